"""Parts of a root: which folders a look at a few paths has to go through, so that it ends as a whole scan would."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from catalogdb.discovery.folder import DOCUMENT_SUFFIXES, UNFINISHED
from catalogdb.discovery.walk import passed_over
from catalogdb.folders import may_be_owned
from catalogdb.records import Place

SIDECAR_SUFFIX = ".metadata.yaml"
HYDRA_FOLDER = ".hydra"
HYDRA_REACH = 3
"""Levels below the folder that holds ``.hydra`` where checkpoints have its config: a folder that is a checkpoint has
its config from the one above it, so one level more than for files."""

PLAIN_REACH = 3
"""The same for a plain config."""

SIDECAR_REACH = 1
"""The same for a sidecar, and for the marker of a write that isn't finished."""


class Places:
    """What of the wanted places is there to be walked, and what is gone: rows below ``gone`` have no file any more.

    ``whole`` says that only a look at the whole root can tell: a folder on the way is a symbolic link, and what lies
    behind one is listed under one name alone.
    """

    def __init__(self, root: str, wanted: Iterable[Place]) -> None:
        self.walked: list[Place] = []
        self.gone: list[Place] = []
        self.whole = False
        self._prefix = "/" if root == "/" else f"{root}/"
        self._kinds: dict[str, int | None] = {}
        deepest: dict[str, int | None] = {}
        for folder, depth in map(_owner, wanted):
            deepest[folder] = _deeper(deepest.get(folder, -1), depth)
        whole: list[Place] = []
        for folder, depth in sorted(deepest.items(), key=lambda item: item[0].split("/") if item[0] else []):
            if whole and covers(whole[-1], folder):
                continue
            place = Place(folder, depth)
            if depth is None:
                whole.append(place)
            self._sort(place)

    def _sort(self, place: Place) -> None:
        upper = ""
        for part in place.folder.split("/") if place.folder else ():
            upper = f"{upper}/{part}" if upper else part
            kind = self._kind(upper)
            if kind is not None and stat.S_ISLNK(kind) and os.path.isdir(self._prefix + upper):
                self.whole = True
                return
            if kind is None or not stat.S_ISDIR(kind) or passed_over(part):
                self.gone.append(Place(place.folder))
                return
        self.walked.append(place)

    def _kind(self, rel_path: str) -> int | None:
        """The file's mode; None where there is none."""
        if rel_path not in self._kinds:
            try:
                self._kinds[rel_path] = os.lstat(self._prefix + rel_path).st_mode
            except OSError:
                self._kinds[rel_path] = None
        return self._kinds[rel_path]


def places_of(path: str, *, is_file: bool = False) -> list[Place]:
    """Where the rows are that a change at ``path`` (relative; a file or a folder, there or gone) may change.

    Rows elsewhere that link to it or have it as a source are known to the catalog alone.
    """
    parts = path.split("/")
    for level, part in enumerate(parts):
        if part == HYDRA_FOLDER:
            return [Place("/".join(parts[:level]), HYDRA_REACH)]
        if passed_over(part):
            return []
    folder = "/".join(parts[:-1])
    name = parts[-1]
    if name.endswith(DOCUMENT_SUFFIXES):
        return [Place(folder, SIDECAR_REACH if name.endswith(SIDECAR_SUFFIX) else PLAIN_REACH)]
    own = Place(folder, SIDECAR_REACH if name.endswith(UNFINISHED) else 0)
    return [own] if is_file else [own, Place(path)]


def covers(place: Place, folder: str) -> bool:
    """Whether a look at ``place`` goes through ``folder``."""
    if place.folder == folder:
        return True
    if place.folder and not folder.startswith(f"{place.folder}/"):
        return False
    below = folder[len(place.folder) + 1 :] if place.folder else folder
    return place.depth is None or below.count("/") < place.depth


def includes(place: Place, other: Place) -> bool:
    """Whether a look at ``place`` is one at ``other`` as well."""
    if not covers(place, other.folder):
        return False
    if place.depth is None or other.depth is None:
        return place.depth is None
    below = other.folder[len(place.folder) :].strip("/")
    return (below.count("/") + 1 if below else 0) + other.depth <= place.depth


def _owner(place: Place) -> Place:
    """The folder that may own this one as a part of a checkpoint, with all below it: a part is no place of its own."""
    parts = place.folder.split("/")
    for level, part in enumerate(parts):
        if may_be_owned(parts[level - 1] if level else "", part):
            return Place("/".join(parts[:level]))
    return place


def _deeper(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
