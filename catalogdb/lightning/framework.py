"""Lightning under either of its names."""

from __future__ import annotations

import importlib
import sys
from typing import Any

PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def callback_class() -> Any:
    """``Callback`` of the package that the training has imported, else of the one that is installed.

    A trainer of either calls a callback of the other: it asks for the hooks by name. Raises ImportError.
    """
    for name in sorted(PACKAGES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name).Callback
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise
    raise ImportError("MetadataCallback needs Lightning; install it with: pip install 'catalogdb[lightning]'")
