"""From candidates to what their bytes and the tiers say: in this process, or in several beside it."""

from __future__ import annotations

from catalogdb.reading.candidate import CandidateReader, Reader, Reading, unfinished
from catalogdb.reading.readers import Readers

__all__ = ["CandidateReader", "Reader", "Readers", "Reading", "unfinished"]
