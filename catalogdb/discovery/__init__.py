"""From roots to candidates: the walk, identity, and whether a file's write is finished."""

from __future__ import annotations

from catalogdb.discovery.entries import is_folder, is_utf8
from catalogdb.discovery.folder import DOCUMENT_SUFFIXES, PLAIN_CONFIGS
from catalogdb.discovery.identity import fingerprint
from catalogdb.discovery.parts import find_parts
from catalogdb.discovery.places import HYDRA_FOLDER, Places, covers, includes, places_of
from catalogdb.discovery.settle import SETTLE_SECONDS, state_of
from catalogdb.discovery.single import candidate_at
from catalogdb.discovery.walk import LEADS_NOWHERE, Walk, check_root, passed_over

__all__ = [
    "DOCUMENT_SUFFIXES",
    "HYDRA_FOLDER",
    "LEADS_NOWHERE",
    "PLAIN_CONFIGS",
    "SETTLE_SECONDS",
    "Places",
    "Walk",
    "candidate_at",
    "check_root",
    "covers",
    "find_parts",
    "fingerprint",
    "includes",
    "is_folder",
    "is_utf8",
    "passed_over",
    "places_of",
    "state_of",
]
