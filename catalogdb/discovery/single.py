"""One checkpoint that is known by its path, as the walk would find it now."""

from __future__ import annotations

import os
from pathlib import Path

from catalogdb.discovery.parts import find_parts
from catalogdb.discovery.walk import Walk
from catalogdb.records import Candidate, stamp_of


def candidate_at(path: str, root: str, rel_path: str) -> Candidate:
    """Raises OSError; FileNotFoundError also for a folder that is no checkpoint any more."""
    place = Path(path)
    status = place.stat()
    target = str(place.resolve()) if place.is_symlink() else None
    stamp, parts = stamp_of(status), ""
    if place.is_dir():
        with os.scandir(place) as entries:
            found = find_parts(path, place.resolve().name, list(entries))
        if found is None:
            raise FileNotFoundError(path)
        stamp, parts = found.stamp, found.digest
    return Candidate(root, rel_path, stamp, Walk.sources_of(str(place.parent), place.name), target, parts)
