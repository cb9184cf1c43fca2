"""What the catalog knows about a root before a scan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from catalogdb.records import Finding, Origin, ParamGroup, Place, Stamp, State, Tier, Value
from catalogdb.store.engine import chunks, driver_connection
from catalogdb.store.functions import scalar
from catalogdb.store.models import checkpoints
from catalogdb.store.roots import Root, Roots
from catalogdb.store.writer import now

CONTENT = ", ".join(
    column.name for column in checkpoints.columns if column.name not in ("recheck", "recheck_at", "resolved_at")
)
"""What a row says, and not when it was looked at."""

OUT_OF_REACH = 2
"""The bit of ``recheck`` that says that a row is stale since its folder can't be reached, and for no other reason: the
next scan that reaches it looks again in any case."""


class Known(NamedTuple):
    """A row as far as a scan has to compare it."""

    id: int
    fingerprint: int
    recheck: int
    state: State
    source: Tier


class KnownRows:
    """Reads rows of one catalog, and says which can't be reached."""

    def __init__(self, connection: Connection, roots: Roots) -> None:
        self._connection = connection
        self._roots = roots

    def rows(self, root: Root, places: Iterable[Place] = ()) -> dict[str, Known]:
        """The root's rows, or those of some places in it, by relative path."""
        same: dict[Any, Any] = {}  # one text for all rows of a state and a tier
        at = now()
        return {
            rel_path: Known(row_id, mark, recheck, same.setdefault(state, state), same.setdefault(source, source))
            for place in places or (Place(root.below),)
            for rel_path, row_id, mark, recheck, state, source in driver_connection(self._connection).execute(
                "SELECT rel_path, id, fingerprint, recheck | coalesce(recheck_at <= ?, 0), state, source "
                f"FROM checkpoints WHERE {_within(place)}",
                (at, *_within_values(root, place)),
            )
        }

    def expiring(self, path: str) -> tuple[list[str], str | None]:
        root = self._roots.find_above(path)
        if root is None:
            return [], None
        at = now()
        rows = self._connection.exec_driver_sql(
            "SELECT rel_path, CASE WHEN recheck & stale THEN '' ELSE recheck_at END AS moment FROM checkpoints "
            f"WHERE {_within(Place(root.below))} AND state <> 'missing' AND moment IS NOT NULL",
            _within_values(root, Place(root.below)),
        ).fetchall()
        start = len(root.below) + 1 if root.below else 0
        due = [rel_path[start:] for rel_path, moment in rows if moment <= at]
        return due, min((moment for _, moment in rows if moment > at), default=None)

    def contents(self, checkpoint_ids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        found: dict[int, list[Any]] = {}
        for some in chunks(checkpoint_ids):
            marks = ", ".join("?" * len(some))
            for row in self._connection.exec_driver_sql(
                f"SELECT {CONTENT} FROM checkpoints WHERE id IN ({marks})", tuple(some)
            ):
                found[row[0]] = [*row]
            for row in self._connection.exec_driver_sql(
                f"SELECT checkpoint_id, name_id, value, origin_id FROM metrics WHERE checkpoint_id IN ({marks}) "
                "ORDER BY checkpoint_id, name_id",
                tuple(some),
            ):
                found[row[0]].extend(row)
        return {checkpoint_id: tuple(content) for checkpoint_id, content in found.items()}

    def foreign(self, root: Root, places: Iterable[Place] = ()) -> dict[str, int]:
        return {
            rel_path: fingerprint
            for place in places or (Place(root.below),)
            for rel_path, fingerprint in self._connection.exec_driver_sql(
                f"SELECT rel_path, fingerprint FROM foreign_files WHERE {_within(place)}", _within_values(root, place)
            )
        }

    def names_of(self, root: Root, inodes: Sequence[int]) -> list[str]:
        """Relative paths of the root's rows, missing ones left out, whose file has one of the inodes."""
        found: list[str] = []
        for some in chunks(inodes):
            found.extend(
                rel_path
                for (rel_path,) in self._connection.exec_driver_sql(
                    "SELECT rel_path FROM checkpoints WHERE root_id = ? AND state <> 'missing' "
                    f"AND inode IN ({', '.join('?' * len(some))})",
                    (root.id, *some),
                )
            )
        return found

    def set_out_of_reach(self, path: str) -> bool:
        """Marks what lies below an absolute path as stale, not as missing: its folder can't be reached. False where
        no root of the catalog holds it, or lies below it."""
        above = self._roots.find_above(path)
        roots = [above] if above is not None else self._roots.below(path)
        for root in roots:
            self.set_folders_out_of_reach(root, [root.below])
        return bool(roots)

    def set_folders_out_of_reach(self, root: Root, folders: Iterable[str]) -> None:
        """The same for folders of a root, by relative path."""
        for place in map(Place, folders):
            self._connection.exec_driver_sql(
                f"UPDATE checkpoints SET stale = 1, recheck = recheck | {OUT_OF_REACH} WHERE {_within(place)} "
                "AND state <> 'missing' AND stale = 0",
                _within_values(root, place),
            )

    def set_in_reach(self, path: str) -> None:
        """Takes that back."""
        root = self._roots.find_above(path)
        if root is not None:
            self._connection.exec_driver_sql(
                f"UPDATE checkpoints SET stale = 0, recheck = recheck & ~{OUT_OF_REACH} "
                f"WHERE {_within(Place(root.below))} AND recheck & {OUT_OF_REACH}",
                _within_values(root, Place(root.below)),
            )

    def link_targets(self, root: Root, rel_paths: Sequence[str]) -> dict[str, str]:
        """What the links among the rows of these paths led to at their last look."""
        found: dict[str, str] = {}
        for some in chunks(rel_paths):
            found.update(
                (rel_path, target)
                for rel_path, target in self._connection.exec_driver_sql(
                    "SELECT rel_path, link_target FROM checkpoints WHERE root_id = ? AND link_target IS NOT NULL "
                    f"AND rel_path IN ({', '.join('?' * len(some))})",
                    (root.id, *some),
                )
            )
        return found

    def depending_on(self, root: Root, paths: Sequence[str], folders: Sequence[str]) -> list[str]:
        """Relative paths of the root's rows that link to, or have a source among, ``paths`` (relative), or below
        ``folders``. Sidecars are left out: they lie beside the checkpoint."""
        found: list[str] = []
        for some in chunks(paths):
            found.extend(self._depending(root, f"IN ({', '.join('?' * len(some))})", some))
        for folder in folders:
            found.extend(self._depending(root, "BETWEEN ? AND ?", (f"{folder}/", f"{folder}0")))
        return found

    def _depending(self, root: Root, condition: str, values: Sequence[str]) -> Iterator[str]:
        rows = self._connection.exec_driver_sql(
            f"SELECT rel_path FROM checkpoints WHERE root_id = ? AND link_target {condition} AND state <> 'missing' "
            "UNION SELECT c.rel_path FROM sources s CROSS JOIN checkpoints c ON c.id = s.checkpoint_id "
            f"WHERE c.root_id = ? AND s.role <> 'sidecar' AND s.path {condition} AND c.state <> 'missing'",
            (root.id, *values, root.id, *values),
        )
        return (rel_path for (rel_path,) in rows)

    def with_problem(self, root: Root, reason: str) -> list[str]:
        texts = self._connection.exec_driver_sql("SELECT problems FROM roots WHERE id = ?", (root.id,)).scalar()
        end = f": {reason}"
        return [text.removesuffix(end) for text in json.loads(texts or "[]") if text.endswith(end)]

    def said_before(self, checkpoint_id: int, stamp: Stamp, tier: Tier) -> Finding | None:
        """What a tier said about a row whose file is unchanged; None where it changed or nothing was said."""
        execute = self._connection.exec_driver_sql
        row = (
            execute(
                "SELECT c.*, r.path AS root_path, s.origins FROM checkpoints c JOIN roots r ON r.id = c.root_id "
                "LEFT JOIN provenance_sets s ON s.id = c.provenance_set_id WHERE c.id = ?",
                (checkpoint_id,),
            )
            .mappings()
            .fetchone()
        )
        if row is None or (row["size_bytes"], row["mtime_ns"]) != (stamp.size, stamp.mtime_ns):
            return None
        origins = {
            origin[0]: Origin(*origin[1:])
            for origin in execute("SELECT id, tier, role, path, key, scope FROM origins WHERE tier = ?", (tier,))
        }
        fields = {
            field: Value(row[field], origins[origin_id])
            for field, origin_id in json.loads(row["origins"] or "{}").items()
            if origin_id in origins and row[field] is not None
        }
        metrics = {
            name: Value(float("nan") if value is None else value, origins[origin_id])
            for name, value, origin_id in execute(
                "SELECT n.name, m.value, m.origin_id FROM metrics m JOIN metric_names n ON n.id = m.name_id "
                "WHERE m.checkpoint_id = ?",
                (checkpoint_id,),
            )
            if origin_id in origins
        }
        params = {
            name: Value(scalar(kind, value), origins[origin_id])
            for name, kind, value, origin_id in execute(
                "SELECT p.name, p.type, p.value, p.origin_id FROM param_set_groups g "
                "JOIN params p ON p.param_group_id = g.param_group_id WHERE g.param_set_id = ?",
                (row["param_set_id"],),
            )
            if origin_id in origins
        }
        groups = (ParamGroup(params),) if params else ()
        return Finding(fields, metrics, groups) if fields or metrics or params else None


def _within(place: Place) -> str:
    condition = "root_id = ?"
    if place.folder:
        condition += " AND (rel_path = ? OR rel_path >= ? AND rel_path < ?)"
    if place.depth is not None:
        condition += " AND length(substr(rel_path, ?)) - length(replace(substr(rel_path, ?), '/', '')) <= ?"
    return condition


def _within_values(root: Root, place: Place) -> tuple[int | str, ...]:
    values: tuple[int | str, ...] = (root.id,)
    if place.folder:
        values += (place.folder, f"{place.folder}/", f"{place.folder}0")
    if place.depth is not None:
        start = len(place.folder) + 2 if place.folder else 1
        values += (start, start, place.depth)
    return values
