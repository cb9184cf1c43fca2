"""The seed's small questions about one checkpoint, asked of the files beside it without any catalog."""

from __future__ import annotations

import logging
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

from catalogdb.config_facts import config_facts
from catalogdb.discovery import Walk
from catalogdb.documents import read_document
from catalogdb.errors import MetadataError
from catalogdb.records import Source

_log = logging.getLogger(__name__)


def resolve_config_path(checkpoint_path: str | os.PathLike[str]) -> Path | None:
    """The config that a checkpoint was trained with, as the catalog would find it; None where there is none."""
    source = _source(checkpoint_path, "config")
    return Path(source.path) if source is not None else None


def load_config(config_path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The mapping in a YAML or JSON config; None, and one warning, where it can't be read."""
    try:
        return deepcopy(read_document(os.fspath(config_path)))
    except MetadataError as error:
        _log.warning("%s", error)
    except OSError as error:
        _log.warning("%s: can't be read: %s", os.fspath(config_path), error.strerror)
    return None


def extract_run_id_from_checkpoint(checkpoint_path: str | os.PathLike[str]) -> str | None:
    """The W&B run of a checkpoint: its sidecar's ``wandb_run_id``, else its config's ``logger.wandb.id``.

    ``entity/project/id`` where all three are written down, else the bare id; None where neither says.
    """
    sidecar = _source(checkpoint_path, "sidecar")
    document = load_config(sidecar.path) if sidecar is not None else None
    stated = document.get("wandb_run_id") if document is not None else None
    if isinstance(stated, str) and stated.strip():
        return stated.strip()
    config = resolve_config_path(checkpoint_path)
    document = load_config(config) if config is not None else None
    run_id = config_facts(document).fields.get("wandb_run_id") if document is not None else None
    return str(run_id[0]) if run_id is not None else None


def _source(checkpoint_path: str | os.PathLike[str], role: str) -> Source | None:
    """Of a checkpoint that needn't exist any more."""
    path = Path(checkpoint_path).absolute()
    sources = Walk.sources_of(str(path.parent), path.name)
    return next((source for source in sources if source.role == role), None)
