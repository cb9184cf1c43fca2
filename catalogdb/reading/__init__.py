"""From candidates to what their bytes and the tiers say: in this process, or in several beside it."""

from __future__ import annotations

from catalogdb.reading.candidate import CandidateReader, Reader, Reading, unfinished
from catalogdb.reading.processes import ReadingProcesses, can_fork

__all__ = ["CandidateReader", "Reader", "Reading", "ReadingProcesses", "can_fork", "unfinished"]
