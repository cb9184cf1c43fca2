"""The writing side of a catalog, as a scan sees it: what is known, what moved, what to write; in transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from catalogdb.records import Candidate, Finding, Place, Problem, Resolution, Stamp, Tier
from catalogdb.store.engine import database_path, failures_of, immediate, unchecked
from catalogdb.store.known import OUT_OF_REACH, Known, KnownRows
from catalogdb.store.moves import follow_moves
from catalogdb.store.roots import Root, Roots
from catalogdb.store.writer import Writer


class Ledger:
    """One writing connection. Every method is a transaction of its own: a scan that is killed leaves whole rows."""

    def __init__(self, engine: Engine) -> None:
        self._path = database_path(engine.url)
        with failures_of(self._path):
            self._connection = engine.connect()
        self._roots = Roots(self._connection)
        self._known = KnownRows(self._connection, self._roots)
        self._writer = Writer(self._connection)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def open_root(self, path: str) -> tuple[Root, dict[str, Known], dict[str, int]]:
        """The root of an absolute path, which can be reached, its rows by relative path, and its files known to be no
        checkpoints."""
        with failures_of(self._path), immediate(self._connection):
            root = self._roots.find_or_make(path)
            rows = self._known.rows(root)
            if any(row.recheck & OUT_OF_REACH for row in rows.values()):
                self._known.set_in_reach(path)
                rows = self._known.rows(root)
            return root, rows, self._known.foreign(root)

    def roots(self) -> list[str]:
        """Absolute paths of the known roots."""
        with failures_of(self._path):
            return [path for (path,) in self._connection.exec_driver_sql("SELECT path FROM roots ORDER BY path")]

    def open_part(self, path: str) -> Root:
        """The root of an absolute path."""
        with failures_of(self._path), immediate(self._connection):
            return self._roots.find_or_make(path)

    def set_out_of_reach(self, path: str) -> bool:
        """What lies below an absolute path can't be reached: its rows are stale, and none is missing. False where the
        catalog knows nothing of it."""
        with failures_of(self._path), immediate(self._connection):
            return self._known.set_out_of_reach(path)

    def set_in_reach(self, path: str) -> None:
        """It can be reached again."""
        with failures_of(self._path), immediate(self._connection):
            self._known.set_in_reach(path)

    def expiring(self, path: str) -> tuple[list[str], str | None]:
        """What lies below an absolute path and is due for another look because of what was asked elsewhere: paths
        relative to it, and the moment (ISO 8601, UTC) when more will be."""
        with failures_of(self._path):
            return self._known.expiring(path)

    def contents(self, checkpoint_ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """What rows say, to be compared: equal before and after a look that found nothing new."""
        with failures_of(self._path):
            return self._known.contents(checkpoint_ids)

    def rows_at(self, root: Root, places: Sequence[Place]) -> tuple[dict[str, Known], dict[str, int]]:
        """The rows of some places by relative path, and their files known to be no checkpoints."""
        with failures_of(self._path):
            return self._known.rows(root, places), self._known.foreign(root, places)

    def names_of(self, root: Root, inodes: Sequence[int]) -> list[str]:
        with failures_of(self._path):
            return self._known.names_of(root, inodes)

    def link_targets(self, root: Root, rel_paths: Sequence[str]) -> dict[str, str]:
        with failures_of(self._path):
            return self._known.link_targets(root, rel_paths)

    def depending_on(self, root: Root, paths: Sequence[str], folders: Sequence[str]) -> list[str]:
        with failures_of(self._path):
            return self._known.depending_on(root, paths, folders)

    def with_problem(self, root: Root, reason: str) -> list[str]:
        """Absolute paths in a root that had this problem when their folder was looked at last."""
        with failures_of(self._path):
            return self._known.with_problem(root, reason)

    def follow_moves(self, root: Root, candidates: Sequence[Candidate]) -> dict[str, int]:
        """Relative path → id of the rows that were given a new path. Raises DatabaseError where the root is no longer
        there."""
        if not candidates:
            return {}
        with failures_of(self._path), immediate(self._connection):
            self._roots.assert_there(root)
            return follow_moves(self._connection, root, candidates)

    def said_before(self, checkpoint_id: int, stamp: Stamp, tier: Tier) -> Finding | None:
        with failures_of(self._path):
            return self._known.said_before(checkpoint_id, stamp, tier)

    def write(
        self,
        root: Root,
        resolved: Sequence[tuple[Resolution, int]],
        foreign: Sequence[tuple[str, int, str | None]],
        vanished: Mapping[int, int | None],
        *,
        seen: Mapping[str, int | None],
    ) -> None:
        """One batch: rows with their fingerprints, files that are no checkpoints, rows whose file vanished.

        ``seen`` and ``vanished`` say which fingerprint a row had, by its path and by its id, when its file was looked
        at: one that another scan wrote meanwhile stays, and is due for another look. Raises DatabaseError where the
        root is no longer there: another scan, of a folder above it, took its rows over.
        """
        try:
            with failures_of(self._path), unchecked(self._connection), immediate(self._connection):
                self._roots.assert_there(root)
                if resolved:
                    self._writer.upsert(root.id, resolved, seen)
                    self._writer.forget_foreign(root.id, (each.candidate.rel_path for each, _ in resolved))
                self._writer.remember_foreign(root.id, foreign)
                self._writer.mark_missing(vanished)
        except BaseException:
            self._writer.forget()
            raise

    def finish(
        self,
        root: Root,
        *,
        missing: Mapping[int, int | None],
        gone: Iterable[str],
        unlisted: Sequence[str],
        problems: Sequence[Problem],
    ) -> None:
        """Ends the scan of a root: rows whose files are gone (as ``write`` has those that vanished), foreign files that
        are gone, folders (relative) that could not be listed, folders' problems. Raises DatabaseError where the root is
        no longer there."""
        with failures_of(self._path), immediate(self._connection):
            self._roots.assert_there(root)
            self._writer.mark_missing(missing)
            self._known.set_folders_out_of_reach(root, unlisted)
            self._writer.forget_foreign(root.id, gone)
            self._writer.finish_root(root.id, problems)

    def keep_fingerprints(self, known: Sequence[tuple[int, str]]) -> None:
        """Fingerprints of weights by checkpoint, where its container keeps none."""
        with failures_of(self._path), immediate(self._connection):
            self._writer.keep_fingerprints(known)

    def finish_part(
        self,
        root: Root,
        places: Sequence[Place],
        *,
        missing: Mapping[int, int | None],
        gone: Sequence[str],
        unlisted: Sequence[str],
        problems: Sequence[Problem],
    ) -> None:
        """Ends a look at some places: the same for these, and the root's problems elsewhere stay."""
        with failures_of(self._path), immediate(self._connection):
            self._roots.assert_there(root)
            self._writer.mark_missing(missing)
            self._known.set_folders_out_of_reach(root, unlisted)
            self._writer.forget_foreign(root.id, gone)
            self._writer.replace_problems(root.id, places, problems)

    def optimize(self) -> None:
        """Statistics for whoever opens the file with another tool; no query of ours depends on them.

        It reads, then writes: without the lock from its beginning it fails at once where another scan wrote meanwhile.
        """
        with failures_of(self._path), immediate(self._connection):
            self._connection.exec_driver_sql("PRAGMA optimize")
