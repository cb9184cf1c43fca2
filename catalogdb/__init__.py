"""catalogdb: a catalog of the checkpoints on your disk."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from catalogdb.metadata import load_metadata as load_metadata

_HOMES = {
    "CheckpointCatalog": "metadata",
    "CheckpointCatalogEntry": "metadata",
    "CheckpointMetadataV1": "metadata",
    "MetadataValidator": "metadata",
    "load_metadata": "metadata",
    "load_metadata_batch": "metadata",
    "save_metadata": "metadata",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'catalogdb' has no attribute {name!r}")
    return getattr(importlib.import_module(f"catalogdb.{_HOMES[name]}"), name)
