"""Small trees by their paths."""

from __future__ import annotations

import os
from pathlib import Path

from catalogdb.discovery import Walk
from catalogdb.records import Candidate


def lay_out(root: Path, *paths: str) -> Path:
    """Files with some bytes; a path that ends with a slash is an empty folder."""
    for path in paths:
        place = root / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(os.fsencode(path))
    return root


def walk(root: Path, *, below: str = "") -> tuple[dict[str, Candidate], Walk]:
    """The candidates by relative path, with the walk that gave them; no path comes twice."""
    walk = Walk(str(root), below=below)
    candidates = list(walk)
    by_path = {candidate.rel_path: candidate for candidate in candidates}
    assert len(by_path) == len(candidates)
    return by_path, walk


def names(root: Path, *, below: str = "") -> list[str]:
    return sorted(walk(root, below=below)[0])
