"""What lies beside a checkpoint, as its layout reads it: the metrics of its step, parameters, what it is said to be."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from catalogdb.errors import MetadataError, ResolverError
from catalogdb.layouts import Monitor, Position, Seen, layout_of
from catalogdb.layouts.names import counters
from catalogdb.metric_files.forms import OWN_LOGS
from catalogdb.metric_files.opening import open_metric_file
from catalogdb.metric_files.table import Asked, LineFile, MetricFile, Row
from catalogdb.records import Candidate, CheckpointHeader, Problem, Source, Stamp
from catalogdb.resolve.documents import PerSource

MAX_TEXT = 64 * 1024
"""Of a file with the role ``state`` as much is read: a path, a number, the beginning of a state."""

MAX_OPEN = 64
"""Metrics files whose index is kept: the walk goes by folder."""

MAX_KEPT = 64 << 20
"""Bytes of them that are kept as they were read."""

BESIDE = ("metrics", "params", "state")


class Placed(NamedTuple):
    """A checkpoint in its run. ``said`` is what it is called, ``best`` or ``last``, and the file that calls it so;
    ``monitor`` is what its framework chooses the best by."""

    position: Position
    said: Mapping[str, Source | None]
    monitor: Monitor | None


class Found(NamedTuple):
    """What a metrics file has: values of the step, the checkpoint's own counters, and names of metrics."""

    row: Row
    counters: Mapping[str, int]
    names: Collection[str]


NOTHING = Found({}, {}, ())


class MetricFiles:
    """Metrics files by path, each read once however many checkpoints ask; where one has grown, only what was added."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[Stamp, MetricFile | ResolverError | None]] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, source: Source, asked: Asked) -> Found:
        """Raises ResolverError; retryable where the disk was at fault."""
        file = self._file(source)
        try:
            return Found(file.at(asked), file.counters(asked.name), file.names) if file is not None else NOTHING
        except OSError as error:
            raise _unreadable(source, error) from error

    def _file(self, source: Source) -> MetricFile | None:
        with self._lock:
            known = self._files.pop(source.path, None)
            if known is None or known[0] != source.stamp:
                earlier = known[1] if known is not None and not isinstance(known[1], ResolverError) else None
                self._files[source.path] = known = source.stamp, _read(source, earlier)
                self._make_room()
            else:
                self._files[source.path] = known
        if isinstance(known[1], ResolverError):
            if known[1].retryable:
                self._files.pop(source.path, None)
            raise known[1]
        return known[1]

    def _make_room(self) -> None:
        """At the cost of those that weren't asked for the longest."""
        if len(self._files) > MAX_OPEN:
            self._files.popitem(last=False)
        files = [file for _, file in self._files.values() if isinstance(file, LineFile)]
        kept = sum(file.kept for file in files)
        for file in files:
            if kept > MAX_KEPT:
                kept -= file.kept
                file.let_go()


def _read(source: Source, file: MetricFile | None) -> MetricFile | ResolverError | None:
    try:
        file = file or open_metric_file(source.path)
        if file is not None:
            file.refresh()
    except OSError as error:
        return _unreadable(source, error)
    except MetadataError as error:
        return ResolverError("legacy", source.path, error.reason)
    return file


def _unreadable(source: Source, error: OSError) -> ResolverError:
    return ResolverError("legacy", source.path, f"can't be read: {error.strerror or error}", retryable=True)


class Beside:
    """Reads what candidates depend on besides their sidecar and their config."""

    def __init__(self) -> None:
        self._metrics = MetricFiles()
        self._texts: PerSource[str] = PerSource(_read_text)

    def place(self, candidate: Candidate, header: CheckpointHeader) -> Placed:
        """Where the checkpoint stands, by the layout of its framework, else of the files beside it."""
        others = [source for source in candidate.sources if source.role in BESIDE]
        own_name = candidate.path.rpartition("/")[2]
        name = candidate.link_target.rpartition("/")[2] if candidate.link_target else own_name
        framework = header.framework or _framework_of(header, name)
        beside = () if framework is not None else tuple([source.path.rpartition("/")[2] for source in others])
        layout = layout_of(framework, beside)
        states = [source for source in others if source.role == "state"]
        texts = {source.path.rpartition("/")[2]: self._text(source) for source in states}
        above = tuple(candidate.path.rsplit("/", 4)[-2:0:-1]) if header.framework == "megatron" else ()
        seen = Seen(name, own_name, header, texts, above)
        claims = layout.claims(seen)
        if not claims:
            return Placed(layout.position(seen), {}, layout.monitor(seen))
        by_name = layout.claims(Seen(name, own_name, header)) if states else claims
        source = states[0] if states else None
        said: dict[str, Source | None] = {claim: None if claim in by_name else source for claim in sorted(claims)}
        return Placed(layout.position(seen), said, layout.monitor(seen))

    def _text(self, source: Source) -> str:
        try:
            return self._texts.get(source)
        except ResolverError:
            return ""

    def metrics(self, candidate: Candidate, position: Position) -> Iterator[tuple[Source, Found | Problem]]:
        """What each metrics file has on the checkpoint's step. A file that can't be read is a problem."""
        name = candidate.path.rpartition("/")[2]
        for source in candidate.sources:
            if source.path.endswith(OWN_LOGS) and not _is_of_a_loop(position):
                continue
            if source.role == "metrics":
                asked = Asked(
                    name,
                    position.row,
                    position.row_epoch,
                    position.global_step,
                    position.epoch,
                    position.whole,
                    position.from_zero,
                    position.beyond_epochs,
                )
                try:
                    yield source, self._metrics.look(source, asked)
                except ResolverError as error:
                    yield source, Problem(error.path, "legacy", error.reason, error.retryable)


def _is_of_a_loop(position: Position) -> bool:
    """Whether a log of the loop's own may be about it: a framework counts otherwise than who writes beside it."""
    return position.row == position.global_step and (position.row_epoch is None or position.from_zero)


def _framework_of(header: CheckpointHeader, name: str) -> str | None:
    """By its format, or by a name that Lightning gives, for a file that doesn't say what wrote it."""
    if header.format == "torch_dcp":
        return header.format
    return "lightning" if "global_step" in counters(name) else None


def _read_text(source: Source) -> str:
    try:
        descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, MAX_TEXT, 0).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(source, error) from error
