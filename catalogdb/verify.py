"""What is wrong with known checkpoints, asked of the disk. From the last scan are their paths, and the values that
decide whether one is the best or the last, as it is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from catalogdb.discovery import candidate_at, state_of
from catalogdb.errors import NotFound
from catalogdb.formats import read_header
from catalogdb.formats.deep import read_deep
from catalogdb.limits import DEFAULT, Limits
from catalogdb.query import ask
from catalogdb.query.claims import broken_claims
from catalogdb.reading import unfinished
from catalogdb.records import Candidate, Checkpoint, CheckpointHeader, Fault, FaultKind, State, sidecar_path
from catalogdb.resolve import ResolverChain, SidecarResolver
from catalogdb.store import Store
from catalogdb.timestamps import iso_of_ns

ALL_STATES = {"state": {"$in": list(get_args(State))}}
"""A filter that names the state is about missing checkpoints as well."""
_CANT_BE_READ = frozenset[FaultKind]({"missing", "truncated", "unreadable", "corrupt"})
BATCH = 100


@dataclass(frozen=True, slots=True)
class Verified:
    """One checkpoint with its faults. ``fingerprint`` is one that had to be computed: its container keeps none."""

    checkpoint: Checkpoint
    faults: tuple[Fault, ...] = ()
    fingerprint: str | None = None


def verify(store: Store, where: str, *, deep: bool, limits: Limits = DEFAULT) -> Iterator[Fault]:
    """The faults of the checkpoints that a filter matches, by path. Fingerprints that ``deep`` computed are kept.

    Raises NotFound where it matches none.
    """
    computed: list[tuple[int, str]] = []
    looked_at = 0
    rows = ask.search_at_leisure(store, ask.Question(where, ALL_STATES, order_by=("path",)))
    try:
        for verified in Verifier(deep=deep, limits=limits).verify(rows):
            looked_at += 1
            yield from verified.faults
            if verified.checkpoint.claims is not None:
                yield from _of_claims(store, verified)
            if verified.fingerprint is not None and not verified.faults:
                computed.append((verified.checkpoint.id, verified.fingerprint))
                if len(computed) == BATCH:
                    store.keep_fingerprints(computed)
                    computed = []
    finally:
        store.keep_fingerprints(computed)
    if not looked_at:
        raise NotFound("no checkpoint matches" if where.strip() else "there is no checkpoint; scan first")


def _of_claims(store: Store, verified: Verified) -> Iterator[Fault]:
    """Of one that can be read. What the catalog knows of the others in its folder counts, as long as it is still so."""
    if not _CANT_BE_READ.isdisjoint(fault.kind for fault in verified.faults):
        return
    for reason in broken_claims(store, verified.checkpoint):
        yield Fault(verified.checkpoint.path, "claim", reason)


class Verifier:
    """Looks at checkpoints one after the other, and remembers whose weights it has seen.

    ``deep`` reads every payload: it checks the checksums that a container keeps, and computes those it doesn't.
    """

    def __init__(self, *, deep: bool, clock: Callable[[], float] = time.time, limits: Limits = DEFAULT) -> None:
        self._deep = deep
        self._limits = limits
        self._clock = clock
        self._chain = ResolverChain([SidecarResolver(limits)])
        self._seen: dict[str, str] = {}

    def verify(self, checkpoints: Iterable[Checkpoint]) -> Iterator[Verified]:
        for checkpoint in checkpoints:
            try:
                candidate = candidate_at(checkpoint.path, checkpoint.root, checkpoint.rel_path)
                yield self._verify(checkpoint, candidate)
            except FileNotFoundError:
                yield Verified(checkpoint, (Fault(checkpoint.path, "missing", "is no longer on disk"),))
            except OSError as error:
                reason = f"can't be read: {error.strerror or error}"
                yield Verified(checkpoint, (Fault(checkpoint.path, "unreadable", reason),))

    def _verify(self, checkpoint: Checkpoint, candidate: Candidate) -> Verified:
        path = candidate.path
        kept = read_header(path, limits=self._limits)
        header = unfinished(read_deep(path, limits=self._limits) if self._deep else kept, candidate)
        faults = [*self._of_state(kept, header, candidate), *self._of_sidecar(header, candidate)]
        found = header.weights.fingerprint if header.weights is not None else None
        computed = found if kept.weights is None or kept.weights.fingerprint is None else None
        if computed is not None and _said_otherwise(checkpoint, candidate, computed):
            faults.append(Fault(path, "corrupt", "its weights have changed since they were last verified"))
        elif found is not None and candidate.link_target is None and checkpoint.link_target is None:
            first = self._seen.setdefault(found, path)
            if first != path:
                faults.append(Fault(path, "duplicate", f"has the weights of {first}"))
        return Verified(checkpoint, tuple(faults), computed)

    def _of_state(self, kept: CheckpointHeader, header: CheckpointHeader, candidate: Candidate) -> Iterator[Fault]:
        """A file that is being written is no fault."""
        state = state_of(header.state, candidate.stamp, now=self._clock())
        reason = header.reason or ""
        if kept.state == "ready" and header.state == "unreadable":
            yield Fault(candidate.path, "corrupt", reason)
        elif state == "truncated" or state == "unreadable":
            yield Fault(candidate.path, state, reason)

    def _of_sidecar(self, header: CheckpointHeader, candidate: Candidate) -> Iterator[Fault]:
        """A link's own: what is wrong with its file's is told of that."""
        sidecar = candidate.source("sidecar")
        if sidecar is None or sidecar.path != sidecar_path(candidate.path) or header.state != "ready":
            return
        name = sidecar.path.rpartition("/")[2]
        for answer in self._chain.ask(candidate, header):
            problems = answer.finding.problems if answer.finding is not None else ()
            reasons = [problem.reason for problem in problems]
            if answer.error is not None:
                reasons.append(answer.error.reason)
            yield from (Fault(candidate.path, "sidecar", f"{name}: {reason}") for reason in reasons)


def _said_otherwise(checkpoint: Checkpoint, candidate: Candidate, fingerprint: str) -> bool:
    """Whether a fingerprint was computed before, of a file of the same size and time, and was another one."""
    before = checkpoint.weights.fingerprint if checkpoint.weights is not None else None
    stamp = candidate.stamp
    same = (stamp.size, iso_of_ns(stamp.mtime_ns)) == (checkpoint.size_bytes, checkpoint.mtime)
    return before is not None and same and before != fingerprint
