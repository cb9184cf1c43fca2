"""A look at some places of a root, and at what depends on them: the rows end as a scan would leave them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from catalogdb.discovery import LEADS_NOWHERE, Places, Walk, covers, includes
from catalogdb.ingest.alignment import Alignment, Top, folder_of
from catalogdb.records import Candidate, Place
from catalogdb.store import Known, Root

MAX_ROUNDS = 8
"""How far rows are followed that depend on rows, before the whole root is looked at."""


class _View(NamedTuple):
    """Some places: what the disk has there, and by relative path what the catalog has (``rows``, ``foreign``)."""

    places: Places
    walk: Walk
    found: list[Candidate]
    rows: dict[str, Known]
    foreign: dict[str, int]


class PartialLook:
    """``walk_of`` makes walks, as ``Walk`` does."""

    def __init__(self, alignment: Alignment, root: Root, top: Top, walk_of: Callable[..., Walk]) -> None:
        self._alignment = alignment
        self._ledger = alignment.ledger
        self._root = root
        self._top = top
        self._walk_of = walk_of

    def align(self, wanted: list[Place], touched: list[str]) -> bool:
        """Brings places in line, and rows elsewhere that depend on them or on ``touched`` (relative paths). False where
        only a scan of the whole root can tell."""
        root, tally = self._root, self._alignment.tally
        done: list[Place] = []
        gone: list[str] = []
        for _ in range(MAX_ROUNDS):
            elsewhere = {folder_of(path) for path in self._ledger.depending_on(root, touched, gone)}
            elsewhere |= self._mended_links()
            wanted += [Place(folder, 0) for folder in elsewhere if not any(covers(place, folder) for place in done)]
            if not wanted:
                return True
            places, walk, found, rows, foreign = self._view(wanted)
            whole = [place for place in wanted if place.depth is None]
            if places.whole or any(covers(place, path) for path in walk.linked_folders for place in whole):
                return False
            done += wanted
            before = rows.copy()
            targets = self._ledger.link_targets(root, [*before])
            outcome = self._alignment.bring_in_line(root, rows, foreign, walk, [found], self._top)
            self._ledger.finish_part(
                root,
                [*places.walked, *places.gone],
                missing=outcome.missing,
                gone=outcome.forgotten,
                unlisted=walk.unlisted,
                problems=walk.problems,
            )
            seen = {candidate.rel_path for candidate in found}
            tally.done |= seen
            changed = [*outcome.read, *(before.keys() - seen)]
            wanted, gone = [], [place.folder for place in places.gone]
            touched = [*changed, *(targets[path] for path in changed if path in targets)]
        return False

    def _mended_links(self) -> set[str]:
        """Folders (relative) with links that led nowhere at the last look, and lead somewhere now."""
        start = len(self._root.path.rstrip("/")) + 1
        nowhere = self._ledger.with_problem(self._root, LEADS_NOWHERE)
        return {folder_of(path[start:]) for path in nowhere if os.path.exists(path)}  # noqa: PTH110 - never raises

    def _view(self, wanted: list[Place]) -> _View:
        """Some places, to which are added those that must be seen together with them: where the other names of a
        hard-linked file are, and all below a folder that is or was a checkpoint."""
        root = self._root
        while True:
            places = Places(root.path, wanted)
            walk = self._walk_of(root.path, places=places.walked)
            found = list(walk) if places.walked else []
            rows, foreign = self._ledger.rows_at(root, [*places.walked, *places.gone])
            seen = {candidate.rel_path for candidate in found}
            rows = {path: row for path, row in rows.items() if path in seen or walk.judges(path)}
            folders = {candidate.rel_path for candidate in found if candidate.parts}
            folders.update(path for path in rows if path in walk.listed)
            further = [Place("" if folder == "." else folder) for folder in folders]
            names = self._ledger.names_of(root, walk.linked_elsewhere)
            further += [Place(folder_of(name), 0) for name in names]
            further = [place for place in further if not any(includes(each, place) for each in wanted)]
            if places.whole or not further:
                return _View(places, walk, found, rows, foreign)
            wanted += further
