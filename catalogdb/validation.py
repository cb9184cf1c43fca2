"""Checks sidecars: one, a batch, or all in a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from catalogdb.discovery import Walk, candidate_at, check_root
from catalogdb.documents import line_of, read_document
from catalogdb.errors import MetadataError
from catalogdb.limits import Limits
from catalogdb.metadata import CheckpointMetadataV1, parse_metadata, salvage
from catalogdb.reading import CandidateReader
from catalogdb.records import CHECKPOINT_SUFFIXES, DRIFT, Candidate, Place, Problem, sidecar_path
from catalogdb.resolve import EmbeddedResolver, InferenceResolver, ResolverChain, SidecarResolver
from catalogdb.settings import expand_home, load_settings

ErrorType = Literal["missing", "unreadable", "invalid", "drift"]
SidecarKind = Literal["valid", "missing", "invalid", "drift"]


@dataclass(frozen=True, slots=True)
class SidecarFault:
    """One thing that is wrong with a sidecar: the dotted field, its line from 1, and why, as far as they are known."""

    reason: str
    field: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class SidecarCheck:
    """What came of one checkpoint's sidecar.

    ``path`` is the checkpoint's. ``error_type`` is ``missing`` (there is no sidecar), ``unreadable`` (no access, or no
    YAML), ``invalid`` (a field is wrong or missing) or ``drift`` (it is sound, but about another state or another
    checkpoint than the file beside it); ``error`` is one line, ``faults`` has all there are. ``metadata`` is there when
    all is well.
    """

    path: Path
    is_valid: bool
    error: str | None = None
    error_type: ErrorType | None = None
    metadata: CheckpointMetadataV1 | None = None
    faults: tuple[SidecarFault, ...] = ()

    @property
    def kind(self) -> SidecarKind:
        """One of four: what can't be read is invalid as well."""
        if self.error_type is None:
            return "valid"
        return "invalid" if self.error_type == "unreadable" else self.error_type


@dataclass(frozen=True, slots=True)
class SidecarReport:
    """The checks of a directory's checkpoints, sorted by path. ``invalid`` counts the unreadable ones as well.

    ``problems`` are folders and files that could not be looked at.
    """

    directory: Path
    results: tuple[SidecarCheck, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def valid(self) -> int:
        return self._count("valid")

    @property
    def missing(self) -> int:
        return self._count("missing")

    @property
    def invalid(self) -> int:
        return self._count("invalid")

    @property
    def drift(self) -> int:
        return self._count("drift")

    def _count(self, kind: SidecarKind) -> int:
        return sum(check.kind == kind for check in self.results)

    def summary(self) -> str:
        """A line of counts, then one for each sidecar that is there and can't be used."""
        noun = "checkpoint" if len(self.results) == 1 else "checkpoints"
        counts = f"{self.valid} valid, {self.invalid} invalid, {self.missing} missing, {self.drift} drift"
        wrong = [check.error for check in self.results if check.kind in ("invalid", "drift")]
        wrong += [f"{problem.path}: {problem.reason}" for problem in self.problems]
        return "\n  ".join([f"{self.directory}: {len(self.results)} {noun}: {counts}", *filter(None, wrong)])


class MetadataValidator:
    """Checks sidecars and says what is wrong with them. It changes nothing.

    ``suffixes`` are what a checkpoint's name ends with. A checkpoint and its sidecar are read as a scan reads them, so
    that what is ``drift`` here is a problem of the row there. ``limits`` are of reading a checkpoint: by default those
    of the settings, which are read (and may be a UsageError) when the first one is.
    """

    def __init__(self, *, suffixes: tuple[str, ...] = CHECKPOINT_SUFFIXES, limits: Limits | None = None) -> None:
        self._suffixes = suffixes
        self._limits = limits

    @cached_property
    def _reader(self) -> CandidateReader:
        limits = load_settings().limits if self._limits is None else self._limits
        chain = ResolverChain([EmbeddedResolver(), SidecarResolver(limits), InferenceResolver()])
        return CandidateReader(chain, full=False, clock=time.time, limits=limits)

    def validate_metadata(self, metadata: CheckpointMetadataV1 | Mapping[str, Any]) -> CheckpointMetadataV1:
        """Returns it, a mapping as a model. Raises MetadataError (a ValueError) on the first field at fault."""
        if isinstance(metadata, CheckpointMetadataV1):
            parse_metadata(metadata.model_dump(warnings=False), "metadata")
            return metadata
        return parse_metadata(metadata, "metadata")

    def validate_checkpoint_file(self, path: str | Path) -> SidecarCheck:
        """Checks the sidecar beside the checkpoint at ``path``; one whose checkpoint isn't there has no drift."""
        checkpoint = Path(path)
        absolute = checkpoint.absolute()
        try:
            candidate = candidate_at(str(absolute), str(absolute.parent), absolute.name)
        except OSError:
            candidate = None
        return self._check(checkpoint, candidate)

    def validate_batch(self, paths: Iterable[str | Path]) -> list[SidecarCheck]:
        """Checks the sidecar of each checkpoint, in the order given."""
        return [self.validate_checkpoint_file(path) for path in paths]

    def validate_directory(self, path: str | Path, recursive: bool = True) -> SidecarReport:
        """Checks the sidecar of each checkpoint by name that a scan of ``path`` would come by. Raises RootError."""
        problems: list[Problem] = []
        checks = self.iter_directory(path, recursive=recursive, on_problem=problems.append)
        return SidecarReport(Path(path), tuple(sorted(checks, key=lambda check: check.path)), tuple(problems))

    def iter_directory(
        self, path: str | Path, *, recursive: bool = True, on_problem: Callable[[Problem], None] | None = None
    ) -> Iterator[SidecarCheck]:
        """The same one by one, by folder. ``on_problem`` is told at the end of what could not be looked at."""
        root = os.path.realpath(expand_home(path))
        check_root(root)
        walk = Walk(root, places=() if recursive else (Place("", 0),), suffixes=self._suffixes)
        for candidate in walk:
            yield self._check(Path(candidate.path), candidate)
        if on_problem is not None:
            for problem in walk.problems:
                on_problem(problem)

    def _check(self, checkpoint: Path, candidate: Candidate | None) -> SidecarCheck:
        counted = candidate.source("sidecar") if candidate is not None and candidate.link_target else None
        sidecar = counted.path if counted is not None else sidecar_path(str(checkpoint))

        def wrong(kind: ErrorType, *faults: SidecarFault) -> SidecarCheck:
            first = faults[0]
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            field = f"{first.field}: " if first.field else ""
            return SidecarCheck(checkpoint, False, f"{sidecar}: {field}{first.reason}{more}", kind, faults=faults)

        try:
            document = read_document(sidecar)
        except FileNotFoundError:
            return wrong("missing", SidecarFault("there is no sidecar"))
        except MetadataError as error:
            return wrong("unreadable", SidecarFault(error.reason, line=error.line))
        except OSError as error:
            return wrong("unreadable", SidecarFault(error.strerror or str(error)))
        try:
            _, errors = salvage(document, sidecar)
        except MetadataError as error:
            errors = [error]
        if errors:
            return wrong("invalid", *(_fault(error, sidecar) for error in errors))
        drifts = self._drifts(candidate) if candidate is not None else []
        if drifts:
            return wrong("drift", *map(SidecarFault, drifts))
        return SidecarCheck(checkpoint, True, metadata=parse_metadata(document, sidecar))

    def _drifts(self, candidate: Candidate) -> list[str]:
        reading = self._reader.read(candidate)
        problems = reading.resolution.problems if reading.resolution is not None else ()
        return [each.reason.removeprefix(DRIFT) for each in problems if each.reason.startswith(DRIFT)]


def _fault(error: MetadataError, sidecar: str) -> SidecarFault:
    line = error.line if error.field is None else line_of(sidecar, error.field)
    return SidecarFault(error.reason, error.field, line)
