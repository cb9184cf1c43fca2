"""The roots of a catalog. They never overlap."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from catalogdb.errors import DatabaseError
from catalogdb.store.writer import now


class Root(NamedTuple):
    """A root and the folder in it that is to be scanned: ``below`` is empty for all of it."""

    id: int
    path: str
    below: str


class Roots:
    """Finds, makes and joins the roots of one catalog."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_or_make(self, path: str) -> Root:
        """The root for an absolute path, made where there is none.

        Roots never overlap: a folder in a known root is scanned as a part of it, and a folder above known roots takes
        their rows over.
        """
        above = self.find_above(path)
        if above is not None:
            return above
        execute = self._connection.exec_driver_sql
        roots = execute("SELECT id, path FROM roots").fetchall()
        execute("INSERT INTO roots (path, added_at) VALUES (?, ?)", (path, now()))
        new_id = execute("SELECT id FROM roots WHERE path = ?", (path,)).scalar_one()
        prefix = path.rstrip("/") + "/"
        for root_id, known in roots:
            if known.startswith(prefix):
                self._take_over(root_id, known[len(prefix) :], new_id)
        return Root(new_id, path, "")

    def assert_there(self, root: Root) -> None:
        """Raises DatabaseError for a root that is gone meanwhile: forgotten, or taken over by another scan."""
        row = self._connection.exec_driver_sql("SELECT path FROM roots WHERE id = ?", (root.id,)).fetchone()
        if row is None or row[0] != root.path:
            raise DatabaseError(
                f"{root.path}: was forgotten, or taken over by the scan of a folder above it, meanwhile; scan again"
            )

    def find_above(self, path: str) -> Root | None:
        """The root that an absolute path is, or lies in."""
        for root_id, known in self._connection.exec_driver_sql("SELECT id, path FROM roots").fetchall():
            if path == known or path.startswith(known.rstrip("/") + "/"):
                return Root(root_id, known, path[len(known) :].strip("/"))
        return None

    def below(self, path: str) -> list[Root]:
        """The roots inside the folder at an absolute path."""
        roots = self._connection.exec_driver_sql("SELECT id, path FROM roots").fetchall()
        return [Root(root_id, known, "") for root_id, known in roots if known.startswith(path.rstrip("/") + "/")]

    def _take_over(self, root_id: int, rel_root: str, new_id: int) -> None:
        execute = self._connection.exec_driver_sql
        execute(
            "UPDATE checkpoints SET root_id = :root, "
            "rel_path = CASE rel_path WHEN '.' THEN :at ELSE :at || '/' || rel_path END, "
            "config_path = CASE WHEN config_path NOT LIKE '/%' THEN :at || '/' || config_path ELSE config_path END, "
            "link_target = CASE WHEN link_target NOT LIKE '/%' THEN :at || '/' || link_target ELSE link_target END "
            "WHERE root_id = :below",
            {"root": new_id, "at": rel_root, "below": root_id},
        )
        execute(
            "UPDATE sources SET path = :at || '/' || path WHERE path NOT LIKE '/%' AND checkpoint_id IN "
            "(SELECT id FROM checkpoints WHERE root_id = :root "
            "AND (rel_path = :at OR substr(rel_path, 1, length(:at) + 1) = :at || '/'))",
            {"root": new_id, "at": rel_root},
        )
        execute("DELETE FROM roots WHERE id = ?", (root_id,))
