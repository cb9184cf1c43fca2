"""From a candidate to what its own bytes and the tiers say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from catalogdb.discovery import state_of
from catalogdb.formats import OpenedCheckpoint
from catalogdb.limits import DEFAULT, Limits
from catalogdb.reading.pieces import in_pieces
from catalogdb.records import Candidate, CheckpointHeader, Finding, HeaderState, Resolution, RunQuestion, Tier
from catalogdb.resolve import Answer, ResolverChain, merge


@dataclass(frozen=True, slots=True)
class Reading:
    """One candidate, read. ``header_state`` is None where the file vanished meanwhile, and then there is no more.

    ``answers`` are kept where a tier failed: what it said before has to be put in its place. ``question`` is for W&B,
    which is asked for many checkpoints at once.
    """

    candidate: Candidate
    header_state: HeaderState | None = None
    reason: str | None = None
    resolution: Resolution | None = None
    answers: tuple[Answer, ...] = ()
    header: CheckpointHeader | None = None
    question: RunQuestion | None = None

    def resolve(self, earlier: Callable[[Tier], Finding | None]) -> Resolution:
        """The resolution; for a tier that failed counts what ``earlier`` gives."""
        if self.resolution is None:
            raise ValueError(f"{self.candidate.path} has vanished")
        if not self.answers or self.header is None:
            return self.resolution
        merged = merge(self.candidate, self.header, self.resolution.state, self.answers, earlier)
        return replace(merged, recheck=self.resolution.recheck)


class Reader(Protocol):
    """Reads candidates, some at a time."""

    def read_all(self, candidates: Iterable[Candidate]) -> Iterator[tuple[slice, list[Reading]]]:
        """Goes through all candidates, and may begin to read meanwhile. Then gives each once: which of them, and what
        was read of them."""


class Questions(Protocol):
    """What makes a checkpoint's question for W&B. ``resolve.wandb`` satisfies it."""

    def ask(self, candidate: Candidate, header: CheckpointHeader, known: Resolution) -> RunQuestion | None:
        """None where nothing leads to a run."""


class CandidateReader:
    """Reads candidates in this process. ``full`` reads whole headers; ``clock`` gives seconds since the epoch;
    ``questions`` makes what W&B is asked, where it is asked at all; ``limits`` are of what it reads."""

    def __init__(
        self,
        chain: ResolverChain,
        *,
        full: bool,
        clock: Callable[[], float],
        questions: Questions | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self._questions = questions
        self._limits = limits
        self._chain = chain
        self._full = full
        self._clock = clock

    def read_all(self, candidates: Iterable[Candidate]) -> Iterator[tuple[slice, list[Reading]]]:
        known = list(candidates)
        return ((piece.part, self.read_piece(known[piece.part])) for piece in in_pieces(known))

    def read_piece(self, candidates: Sequence[Candidate]) -> list[Reading]:
        """A few candidates together: those that a glance suffices for step by step, then each other one by itself."""
        with ExitStack() as until_read:
            opened = [OpenedCheckpoint(candidate.path, limits=self._limits) for candidate in candidates]
            files = [until_read.enter_context(file) for file in opened]
            glanced = {} if self._full else self._glance_at(candidates, files)
            return [
                glanced.get(place) or self._read_whole(candidate, file)
                for place, (candidate, file) in enumerate(zip(candidates, files, strict=True))
            ]

    def read(self, candidate: Candidate) -> Reading:
        return self.read_piece([candidate])[0]

    def _read_whole(self, candidate: Candidate, file: OpenedCheckpoint) -> Reading:
        try:
            with file:
                header = unfinished(file.header(), candidate)
        except FileNotFoundError:
            return Reading(candidate)
        except OSError as error:
            header = CheckpointHeader(None, "unreadable", f"can't be read: {error.strerror or error}")
            reading = self._merged(candidate, header, self._chain.ask(candidate, header))
            resolution = reading.resolve(lambda tier: None)
            return replace(reading, resolution=replace(resolution, state="unreadable", recheck=True))
        return self._questioned(self._merged(candidate, header, self._chain.ask(candidate, header)), header)

    def _questioned(self, reading: Reading, header: CheckpointHeader) -> Reading:
        """With a question for W&B where something names a run. A sound sidecar needs no W&B beside it."""
        if self._questions is None or reading.resolution is None or header.state != "ready":
            return reading
        if self._full and _is_sound(reading.candidate, header, reading.resolution):
            return reading
        question = self._questions.ask(reading.candidate, header, reading.resolution)
        return reading if question is None else replace(reading, question=question)

    def _glance_at(self, candidates: Sequence[Candidate], files: Sequence[OpenedCheckpoint]) -> dict[int, Reading]:
        """The fast path, by place: a record in the file, or a sidecar that agrees with its epoch and step, without
        fault.

        What isn't to be taken is left out: a sidecar alone has to have the monitored metric as well, since without it
        the file's own score counts.
        """
        glances = map(_glance, candidates, files)
        headers = {place: header for place, header in enumerate(glances) if header is not None}
        asked = [(candidates[place], header) for place, header in headers.items()]
        answers = zip(headers.items(), self._chain.ask_all(asked), strict=True)
        return {
            place: self._merged(candidates[place], header, said)
            for (place, header), said in answers
            if _suffices(header, said)
        }

    def _merged(self, candidate: Candidate, header: CheckpointHeader, answers: tuple[Answer, ...]) -> Reading:
        state = state_of(header.state, candidate.stamp, now=self._clock())
        resolution = merge(candidate, header, state, answers)
        if not resolution.failed:
            return Reading(candidate, header.state, header.reason, resolution)
        return Reading(candidate, header.state, header.reason, resolution, answers, header)


OLDER_NS = 60 * 10**9
"""How much older than its file a sidecar may be. Some are written before the file, which takes seconds to write."""


def _glance(candidate: Candidate, file: OpenedCheckpoint) -> CheckpointHeader | None:
    """What a glance at the file gives; None where there is nothing to hold it against, or the whole is wanted.

    It is for the loop's progress, which tells the step that a metrics file has its metrics under; and for its own
    score, where the sidecar is older: a later training, as long as the first one, may have overwritten the file.
    """
    if candidate.is_folder or candidate.source("marker") is not None or candidate.source("metrics") is not None:
        return None
    sidecar = candidate.source("sidecar")
    try:
        header = file.glance()
    except OSError:
        return None
    if header is None or header.embedded is not None:
        return header
    if sidecar is None or candidate.stamp.mtime_ns - sidecar.stamp.mtime_ns > OLDER_NS:
        return None
    return header


def _suffices(header: CheckpointHeader, answers: Sequence[Answer]) -> bool:
    found = [answer.finding for answer in answers if answer.tier == "yaml" and answer.finding is not None]
    if not found or any(finding.problems for finding in found):
        return False
    monitor = found[0].fields.get("monitor")
    return header.embedded is not None or (monitor is not None and monitor.value in found[0].metrics)


def _is_sound(candidate: Candidate, header: CheckpointHeader, known: Resolution) -> bool:
    """Whether a record or a sidecar says all that it should: what lets a scan do with a glance at the file."""
    if header.embedded is not None:
        return not any(problem.tier == "yaml" for problem in known.problems)
    monitor = known.fields.get("monitor")
    if candidate.source("sidecar") is None or monitor is None or monitor.origin.role != "sidecar":
        return False
    value = known.metrics.get(monitor.value)
    return value is not None and value.origin.role == "sidecar"


def unfinished(header: CheckpointHeader, candidate: Candidate) -> CheckpointHeader:
    """Whole as it may look: where a marker lies beside it, whoever wrote it hasn't said that it's done."""
    marker = candidate.source("marker")
    if marker is None or header.state != "ready":
        return header
    name = marker.path.rpartition("/")[2]
    return replace(header, state="truncated", reason=f"its write wasn't finished: {name} is there")
