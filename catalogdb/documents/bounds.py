"""What a document may hold at most."""

from __future__ import annotations

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Scalars, lists and mappings of a document, aliases counted as if they were written out."""
