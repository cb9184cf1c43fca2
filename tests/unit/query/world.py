"""Small catalogs for tests: rows as plain Python values, and the same rows in a database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from catalogdb.records import FIELD_NAMES, Origin, Scalar
from catalogdb.store.engine import ReadingConnection, make_engine, parse_url
from catalogdb.store.intern import typed
from catalogdb.store.migrate import open_schema
from catalogdb.store.reader import Reader

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)
AT = "2026-11-24T12:00:00+00:00"

AT_STEP = Origin("yaml", "sidecar", "", "metrics", "checkpoint")
OF_RUN = Origin("wandb", "wandb", "team/ocr/abc", "summary", "run")


@dataclass(frozen=True)
class Row:
    """A checkpoint as a test states it. ``run_metrics`` are known of the run only."""

    id: int
    path: str
    root: str = "/data"
    format: str | None = "torch_zip"
    size_bytes: int = 1000
    mtime: datetime = NOW
    state: str = "ready"
    source: str | None = "yaml"
    stale: bool = False
    fields: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    run_metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str | None] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    note: str | None = None
    num_parameters: int | None = None
    link_target: str | None = None
    problems: Sequence[str] = ()

    @property
    def rel_path(self) -> str:
        return "." if self.path == self.root else self.path.removeprefix(self.root.rstrip("/") + "/")


def empty_database(folder: Path) -> ReadingConnection:
    """A database at head, in memory."""
    file = folder / "template.db"
    engine = make_engine(parse_url(f"sqlite:///{file}"))
    open_schema(engine)
    engine.dispose()
    source, target = sqlite3.connect(file), sqlite3.connect(":memory:", isolation_level=None, factory=ReadingConnection)
    source.backup(target)
    source.close()
    return target


class Filler:
    """Writes rows into a database, as the writer does, but one by one and with any state."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def add(self, rows: Sequence[Row]) -> None:
        self._raw.execute("BEGIN")
        for row in rows:
            self._add(row)
        self._raw.execute("COMMIT")

    def _id(self, table: str, **values: object) -> int:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._raw.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        condition = " AND ".join(f"{name} = ?" for name in values)
        found = self._raw.execute(f"SELECT id FROM {table} WHERE {condition}", tuple(values.values())).fetchone()
        return int(found[0])

    def _origin(self, origin: Origin) -> int:
        return self._id("origins", **origin._asdict())

    def _add(self, row: Row) -> None:
        step, run = self._origin(AT_STEP), self._origin(OF_RUN)
        root_id = self._id("roots", path=row.root, added_at=AT)
        values = {
            "id": row.id,
            "root_id": root_id,
            "rel_path": row.rel_path,
            "device": 1,
            "inode": row.id,
            "size_bytes": row.size_bytes,
            "mtime_ns": round(row.mtime.timestamp() * 1e6) * 1000,
            "fingerprint": 0,
            "recheck": 0,
            "format": row.format,
            "state": row.state,
            "source": row.source,
            "stale": int(row.stale),
            "num_parameters": row.num_parameters,
            "num_tensors": None if row.num_parameters is None else 2,
            "dtypes": None if row.num_parameters is None else json.dumps({"float32": row.num_parameters}),
            "weights_fingerprint": None if row.num_parameters is None else f"crc:{row.num_parameters}",
            "link_target": row.link_target,
            "problems": json.dumps(list(row.problems)) if row.problems else None,
            "resolved_at": AT,
            "param_set_id": self._params(row, step),
            "provenance_set_id": self._provenance(row, step),
            **{name: row.fields.get(name) for name in FIELD_NAMES},
        }
        marks = ", ".join("?" * len(values))
        self._raw.execute(f"INSERT INTO checkpoints ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        self._metrics(row, step, run)
        for key, value in row.tags.items():
            self._raw.execute("INSERT INTO tags VALUES (?, ?, ?, ?)", (row.id, key, value, AT))
        for name in row.aliases:
            self._raw.execute("INSERT INTO aliases VALUES (?, ?, ?)", (name, row.id, AT))
        if row.note is not None:
            self._raw.execute("INSERT INTO notes VALUES (?, ?, ?)", (row.id, row.note, AT))

    def _metrics(self, row: Row, step: int, run: int) -> None:
        live, architecture = int(row.state != "missing"), row.fields.get("architecture")
        for origin_id, metrics in ((step, row.metrics), (run, row.run_metrics)):
            for name, value in metrics.items():
                name_id = self._id("metric_names", name=name)
                number = None if math.isnan(value) else value
                self._raw.execute(
                    "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
                    (row.id, name_id, number, origin_id, live, architecture),
                )

    def _params(self, row: Row, origin_id: int) -> int | None:
        if not row.params:
            return None
        digest = repr(sorted(row.params.items()))
        set_id = self._id("param_sets", digest=digest)
        for half in (0, 1):
            group = dict(list(row.params.items())[half::2])
            group_id = self._id("param_groups", digest=f"{digest}/{half}")
            link = "INSERT OR IGNORE INTO param_set_groups (param_set_id, param_group_id) VALUES (?, ?)"
            self._raw.execute(link, (set_id, group_id))
            for name, value in group.items():
                self._raw.execute(
                    "INSERT OR IGNORE INTO params (param_group_id, name, type, value, origin_id) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (group_id, name, *typed(value), origin_id),
                )
        return set_id

    def _provenance(self, row: Row, origin_id: int) -> int | None:
        if not row.fields:
            return None
        text = json.dumps({name: origin_id for name in row.fields})
        return self._id("provenance_sets", digest=text, origins=text)


@contextmanager
def copy_of(template: sqlite3.Connection) -> Iterator[ReadingConnection]:
    """A catalog in memory like ``template``."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=ReadingConnection)) as raw:
        template.backup(raw)
        yield raw


@contextmanager
def reader_of(template: sqlite3.Connection, rows: Sequence[Row], *, analyzed: bool = False) -> Iterator[Reader]:
    """A reader of a copy with these rows."""
    with copy_of(template) as raw:
        Filler(raw).add(rows)
        if analyzed:
            raw.execute("ANALYZE")
        yield Reader(raw)
