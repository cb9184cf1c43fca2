"""The record that training put into the checkpoint itself: it can't belong to another file."""

from __future__ import annotations

from collections.abc import Collection

from catalogdb.errors import MetadataError
from catalogdb.metadata import salvage
from catalogdb.records import DRIFT, Candidate, CheckpointHeader, Finding, Problem, Tier
from catalogdb.resolve.base import Hints
from catalogdb.resolve.record import RecordReader, contradiction, in_one_line


class EmbeddedResolver:
    """Reads the header's ``embedded``. Values that aren't valid are left out one by one, each with a problem."""

    def __init__(self) -> None:
        self._reader = RecordReader("embedded")
        self._last: tuple[CheckpointHeader, str, Finding] | None = None

    @property
    def name(self) -> Tier:
        return "yaml"

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        del wanted
        return self.finding(candidate, hints.header)

    def finding(self, candidate: Candidate, header: CheckpointHeader) -> Finding | None:
        """The same answer to who asks again about one header."""
        if header.embedded is None:
            return None
        last = self._last
        if last is not None and last[0] is header and last[1] == candidate.path:
            return last[2]
        found = self._read(candidate.path, header)
        self._last = header, candidate.path, found
        return found

    def _read(self, path: str, header: CheckpointHeader) -> Finding:
        try:
            known, errors = salvage(header.embedded or {}, path)
        except MetadataError as error:
            return Finding(problems=(Problem(path, "yaml", f"the record in the file: {error.reason}"),))
        problems = [Problem(path, "yaml", f"the record in the file: {in_one_line(errors)}")] if errors else []
        said = self._reader.read(known)
        counters = {"epoch": header.epoch, "global_step": header.global_step}
        other = contradiction(said.fields, {name: value for name, value in counters.items() if value is not None})
        if other is not None:
            reason = f"{DRIFT}the record in the file {other}; its metrics are not used"
            problems.append(Problem(path, "yaml", reason))
            said.forget_step()
        return Finding(said.fields, said.metrics, said.params, tuple(problems))
