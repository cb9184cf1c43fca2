"""The sidecar beside a checkpoint, loaded and saved."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from catalogdb.documents import read_document
from catalogdb.errors import MetadataError
from catalogdb.metadata.model import CheckpointMetadataV1
from catalogdb.metadata.reading import parse_metadata
from catalogdb.records import sidecar_path
from catalogdb.sidecars import write_sidecar

logger = logging.getLogger(__name__)


def load_metadata(checkpoint_path: str | Path) -> CheckpointMetadataV1 | None:
    """The sidecar beside a checkpoint. None where there is none, or where it can't be used: a warning says why."""
    path = sidecar_path(os.fspath(checkpoint_path))
    try:
        return parse_metadata(read_document(path), path)
    except FileNotFoundError:
        return None
    except MetadataError as error:
        logger.warning("%s; the sidecar is passed over until it is corrected or deleted", error)
    except OSError as error:
        logger.warning("%s: can't be read: %s; the sidecar is passed over", path, error.strerror or error)
    return None


def load_metadata_batch(paths: Iterable[str | Path]) -> dict[Path, CheckpointMetadataV1 | None]:
    """The sidecar of each checkpoint, as ``load_metadata`` has it."""
    return {Path(path): load_metadata(path) for path in paths}


def save_metadata(metadata: CheckpointMetadataV1, checkpoint_path: str | Path) -> Path:
    """Writes the sidecar beside a checkpoint and returns its path. A reader sees the old one or the new one, whole.

    An existing file keeps its mode. Raises MetadataError, before anything is written, for values that aren't valid
    (maps can be changed behind the model's back), and OSError, with the old sidecar untouched and nothing left behind.
    """
    target = sidecar_path(os.fspath(checkpoint_path))
    checked = parse_metadata(metadata.model_dump(warnings=False), target)
    return write_sidecar(checked.model_dump(exclude_none=True), checkpoint_path)
