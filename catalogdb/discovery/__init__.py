"""From roots to candidates: the walk, identity, and whether a file's write is finished."""

from __future__ import annotations

from catalogdb.discovery.folder import PLAIN_CONFIGS, stamp_of
from catalogdb.discovery.identity import fingerprint
from catalogdb.discovery.parts import find_parts
from catalogdb.discovery.places import Places, covers, includes, places_of
from catalogdb.discovery.settle import state_of
from catalogdb.discovery.walk import Walk, check_root

__all__ = [
    "PLAIN_CONFIGS",
    "Places",
    "Walk",
    "check_root",
    "covers",
    "find_parts",
    "fingerprint",
    "includes",
    "places_of",
    "stamp_of",
    "state_of",
]
