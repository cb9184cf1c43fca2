"""The SDK itself, for those who want it: never needed to know a run, and imported for nothing else."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from catalogdb.resolve.wandb.client import ApiError
from catalogdb.resolve.wandb.credentials import Access


def is_installed() -> bool:
    """Without importing it. A folder ``wandb`` with runs in it, in the working directory, is no package."""
    spec = importlib.util.find_spec("wandb")
    return spec is not None and spec.origin is not None


def open_api(access: Access, *, timeout: float) -> Any:
    """``wandb.Api``, with the key given to it so that it never prompts. Raises ApiError.

    Takes about a second: it starts a program of W&B's, and asks the server who the key belongs to. ``timeout`` bounds
    each of its calls but ``scan_history``, in whole seconds.
    """
    overrides = {"base_url": access.base_url, "entity": access.entity, "project": access.project}
    try:
        wandb = importlib.import_module("wandb")
        return wandb.Api(
            api_key=access.key,
            timeout=max(int(timeout), 1),
            overrides={name: value for name, value in overrides.items() if value},
        )
    except Exception as error:  # noqa: BLE001  # what its service raises is a plain Exception
        said = " ".join(str(error).split())[:200]
        raise ApiError(f"{type(error).__name__}: {said.replace(access.key, '…') if access.key else said}") from None
