"""Checks sidecars: one, a batch, or all in a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from catalogdb.documents import read_document
from catalogdb.errors import MetadataError, RootError
from catalogdb.metadata import CheckpointMetadataV1, parse_metadata
from catalogdb.records import CHECKPOINT_SUFFIXES, sidecar_path

ErrorType = Literal["missing", "unreadable", "invalid"]


@dataclass(frozen=True, slots=True)
class SidecarCheck:
    """What came of one checkpoint's sidecar.

    ``path`` is the checkpoint's. ``error_type`` is ``missing`` (there is no sidecar), ``unreadable`` (no access, or no
    YAML) or ``invalid`` (a field is wrong or missing); ``error`` is one line. ``metadata`` is there when all is well.
    """

    path: Path
    is_valid: bool
    error: str | None = None
    error_type: ErrorType | None = None
    metadata: CheckpointMetadataV1 | None = None


@dataclass(frozen=True, slots=True)
class SidecarReport:
    """The checks of a directory's checkpoints, sorted by path. ``invalid`` counts the unreadable ones as well."""

    directory: Path
    results: tuple[SidecarCheck, ...]

    @property
    def valid(self) -> int:
        return sum(check.is_valid for check in self.results)

    @property
    def missing(self) -> int:
        return sum(check.error_type == "missing" for check in self.results)

    @property
    def invalid(self) -> int:
        return len(self.results) - self.valid - self.missing

    def summary(self) -> str:
        """A line of counts, then one for each sidecar that is there and can't be used."""
        noun = "checkpoint" if len(self.results) == 1 else "checkpoints"
        counts = f"{self.valid} valid, {self.invalid} invalid, {self.missing} missing"
        wrong = (check.error for check in self.results if check.error_type in ("unreadable", "invalid"))
        return "\n  ".join([f"{self.directory}: {len(self.results)} {noun}: {counts}", *filter(None, wrong)])


class MetadataValidator:
    """Checks sidecars and says what is wrong with them. It changes nothing."""

    def validate_metadata(self, metadata: CheckpointMetadataV1 | Mapping[str, Any]) -> CheckpointMetadataV1:
        """Returns it, a mapping as a model. Raises MetadataError (a ValueError) on the first field at fault."""
        if isinstance(metadata, CheckpointMetadataV1):
            parse_metadata(metadata.model_dump(warnings=False), "metadata")
            return metadata
        return parse_metadata(metadata, "metadata")

    def validate_checkpoint_file(self, path: str | Path) -> SidecarCheck:
        """Checks the sidecar beside the checkpoint at ``path``."""
        checkpoint = Path(path)
        sidecar = sidecar_path(str(checkpoint))
        try:
            document = read_document(sidecar)
        except FileNotFoundError:
            return SidecarCheck(checkpoint, False, f"{sidecar}: there is no sidecar", "missing")
        except MetadataError as error:
            return SidecarCheck(checkpoint, False, str(error), "unreadable")
        except OSError as error:
            return SidecarCheck(checkpoint, False, f"{sidecar}: {error.strerror or error}", "unreadable")
        try:
            return SidecarCheck(checkpoint, True, metadata=parse_metadata(document, sidecar))
        except MetadataError as error:
            return SidecarCheck(checkpoint, False, str(error), "invalid")

    def validate_batch(self, paths: Iterable[str | Path]) -> list[SidecarCheck]:
        """Checks the sidecar of each checkpoint, in the order given."""
        return [self.validate_checkpoint_file(path) for path in paths]

    def validate_directory(self, path: str | Path, recursive: bool = True) -> SidecarReport:
        """Checks the sidecar of each file below ``path`` whose name is a checkpoint's. Raises RootError."""
        directory = Path(path)
        if not directory.is_dir():
            raise RootError(f"{directory}: is not a directory" if directory.exists() else f"{directory}: doesn't exist")
        checkpoints = sorted(_checkpoints(directory, recursive))
        return SidecarReport(directory, tuple(self.validate_batch(checkpoints)))


def _checkpoints(directory: Path, recursive: bool) -> Iterator[Path]:
    """By name alone. Links to directories and hidden directories are passed over."""
    for folder, folders, names in os.walk(directory, onerror=_cannot_list):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in names:
            if name.lower().endswith(CHECKPOINT_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _cannot_list(error: OSError) -> None:
    raise RootError(f"{error.filename}: can't be listed: {error.strerror}") from error
