"""The seed's small questions about one checkpoint, asked of the files beside it without any catalog."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from catalogdb.config_facts import config_facts, is_known
from catalogdb.discovery import Walk
from catalogdb.documents import read_document
from catalogdb.errors import MetadataError
from catalogdb.formats import read_header
from catalogdb.records import Source
from catalogdb.resolve.wandb import IN_HYPER_PARAMETERS
from catalogdb.settings import load_settings

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
    """The W&B run of a checkpoint: its sidecar's ``wandb_run_id``, else its config's ``logger.wandb.id``, else what the
    checkpoint itself says: its record, then its hyperparameters.

    ``entity/project/id`` where all three are written down, else the bare id; None where nobody says. Nothing is guessed
    from a path: only the run could confirm it. The checkpoint is read within the limits of the settings; a UsageError
    says where these can't be read.
    """
    for place, run_id in _run_ids(checkpoint_path):
        _log.debug("%s: W&B's run by its %s: %s", os.fspath(checkpoint_path), place, run_id)
        if run_id is not None:
            return run_id
    return None


def _run_ids(checkpoint_path: str | os.PathLike[str]) -> Iterator[tuple[str, str | None]]:
    """Who may say it, and what he says; asked one after the other."""
    sidecar = _source(checkpoint_path, "sidecar")
    document = load_config(sidecar.path) if sidecar is not None else None
    yield "sidecar", _known_text(document, "wandb_run_id")
    config = resolve_config_path(checkpoint_path)
    document = load_config(config) if config is not None else None
    stated = config_facts(document).fields.get("wandb_run_id") if document is not None else None
    yield "config", str(stated[0]) if stated is not None else None
    try:
        header = read_header(os.fspath(checkpoint_path), limits=load_settings().limits)
    except OSError as error:
        _log.debug("%s: can't be read: %s", os.fspath(checkpoint_path), error.strerror)
        return
    yield "record", _known_text(header.embedded, "wandb_run_id")
    run_ids = (_known_text(header.hyper_parameters, key) for key in IN_HYPER_PARAMETERS)
    yield "hyperparameters", next((run_id for run_id in run_ids if run_id is not None), None)


def _known_text(document: Mapping[str, Any] | None, key: str) -> str | None:
    value = document.get(key) if document is not None else None
    return value.strip() if isinstance(value, str) and is_known(value) else None


def _source(checkpoint_path: str | os.PathLike[str], role: str) -> Source | None:
    """Of a checkpoint that needn't exist any more."""
    path = Path(checkpoint_path).absolute()
    sources = Walk.sources_of(str(path.parent), path.name)
    return next((source for source in sources if source.role == role), None)
