"""Three shapes of the metrics, asked for the best ten: why ``metrics`` carries ``live`` and ``architecture``.

    python -m tests.benchmarks.schema_shapes [--checkpoints 1000000] [--folder DIR]

Builds each shape in a file of its own in a temporary folder (the largest takes about 1 GB at 1,000,000 checkpoints),
asks, prints a Markdown table, and removes it. The shape of the catalog is taken from ``models.py`` itself.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from statistics import median

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from catalogdb.store import models

METRICS = 10
BATCH = 512
"""Checkpoints per transaction, as a scan writes them."""

DRAWS = 200
PATIENCE_S = 4.0
"""A question that takes long is asked fewer times, at least three."""

CHECKPOINTS = """
CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY, rel_path TEXT NOT NULL, architecture TEXT, exp_name TEXT, epoch INTEGER{columns}
);
"""
PLAIN = """
CREATE TABLE metrics (
    checkpoint_id INTEGER NOT NULL, name_id INTEGER NOT NULL, value FLOAT, PRIMARY KEY (checkpoint_id, name_id)
) WITHOUT ROWID;
"""

Row = tuple[int, str, str, str, int]
Question = Callable[[int, str | None], tuple[str, tuple[object, ...]]]
"""(metric, architecture or None) → SQL and its values."""


@dataclass(frozen=True)
class Shape:
    """A way to store metrics. ``insert`` maps a table's INSERT to its rows for some checkpoints."""

    name: str
    tables: str
    indexes: Sequence[str]
    insert: Callable[[Sequence[Row]], Iterator[tuple[str, Iterator[tuple[object, ...]]]]]
    questions: dict[str, Question]


@dataclass
class Measured:
    """``micros`` maps (kind of asking, architecture) to the median in µs."""

    shape: Shape
    micros: dict[str, dict[str, float]] = field(default_factory=dict)
    bytes_each: float = 0.0
    inserts_per_second: float = 0.0


def architectures(count: int) -> list[str]:
    """Six of ten are common, one of 10,000 is rare, the rest is spread over twenty."""
    rng = random.Random(1)
    others = [f"architecture{number}" for number in range(20)]
    drawn = ["common" if rng.random() < 0.6 else rng.choice(others) for _ in range(count)]
    for at in range(count // 20_000, count, 10_000):
        drawn[at] = "rare"
    return drawn


def values(checkpoint_id: int) -> list[float]:
    rng = random.Random(checkpoint_id)
    return [rng.random() for _ in range(METRICS)]


INSERT_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)"


def _plain_rows(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    yield INSERT_CHECKPOINT, iter(rows)
    yield (
        "INSERT INTO metrics VALUES (?, ?, ?)",
        ((row[0], name, value) for row in rows for name, value in enumerate(values(row[0]), 1)),
    )


def _carried_rows(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    yield INSERT_CHECKPOINT, iter(rows)
    yield (
        "INSERT INTO metrics (checkpoint_id, name_id, value, origin_id, live, architecture) VALUES (?, ?, ?, 1, 1, ?)",
        ((row[0], name, value, row[2]) for row in rows for name, value in enumerate(values(row[0]), 1)),
    )


def _wide_rows(rows: Sequence[Row]) -> Iterator[tuple[str, Iterator[tuple[object, ...]]]]:
    marks = ", ".join(repeat("?", 5 + METRICS))
    yield f"INSERT INTO checkpoints VALUES ({marks})", ((*row, *values(row[0])) for row in rows)


def _ask_plain(hint: str) -> Question:
    def ask(metric: int, architecture: str | None) -> tuple[str, tuple[object, ...]]:
        condition = "" if architecture is None else "AND c.architecture = ? "
        sql = (
            f"SELECT c.rel_path, m.value FROM metrics m {hint} checkpoints c ON c.id = m.checkpoint_id "
            f"WHERE m.name_id = ? {condition}ORDER BY m.value DESC LIMIT 10"
        )
        return sql, (metric,) if architecture is None else (metric, architecture)

    return ask


def _ask_carried(metric: int, architecture: str | None) -> tuple[str, tuple[object, ...]]:
    condition = "" if architecture is None else "AND m.architecture = ? "
    sql = (
        "SELECT c.rel_path, m.value FROM metrics m JOIN checkpoints c ON c.id = m.checkpoint_id "
        f"WHERE m.name_id = ? AND m.live = 1 {condition}ORDER BY m.value DESC LIMIT 10"
    )
    return sql, (metric,) if architecture is None else (metric, architecture)


def _ask_wide(metric: int, architecture: str | None) -> tuple[str, tuple[object, ...]]:
    condition = "" if architecture is None else "AND architecture = ? "
    sql = (
        f"SELECT rel_path, m{metric} FROM checkpoints WHERE m{metric} IS NOT NULL {condition}"
        f"ORDER BY m{metric} DESC LIMIT 10"
    )
    return sql, () if architecture is None else (architecture,)


def _of_the_catalog() -> tuple[str, list[str]]:
    """The table and its indexes as they are in models.py, so that this can't measure anything else."""
    sqlite = dialect()
    table = str(CreateTable(models.metrics).compile(dialect=sqlite))
    indexes = sorted(str(CreateIndex(index).compile(dialect=sqlite)) for index in models.metrics.indexes)
    return table, indexes


def shapes() -> list[Shape]:
    carried_table, carried_indexes = _of_the_catalog()
    wide = "".join(f", m{number} FLOAT" for number in range(1, METRICS + 1))
    by_architecture = "CREATE INDEX by_architecture ON checkpoints (architecture)"
    return [
        Shape(
            "plain (name, value)",
            CHECKPOINTS.format(columns="") + PLAIN,
            ["CREATE INDEX by_value ON metrics (name_id, value)", by_architecture],
            _plain_rows,
            {"planner's choice": _ask_plain("JOIN"), "forced to walk the metric": _ask_plain("CROSS JOIN")},
        ),
        Shape(
            "carried (the catalog's)",
            CHECKPOINTS.format(columns="") + f"{carried_table};",
            [*carried_indexes, by_architecture],
            _carried_rows,
            {"planner's choice": _ask_carried},
        ),
        Shape(
            "wide columns, each indexed twice",
            CHECKPOINTS.format(columns=wide),
            [
                by_architecture,
                *chain.from_iterable(
                    (
                        f"CREATE INDEX by_m{number} ON checkpoints (m{number})",
                        f"CREATE INDEX by_architecture_m{number} ON checkpoints (architecture, m{number})",
                    )
                    for number in range(1, METRICS + 1)
                ),
            ],
            _wide_rows,
            {"planner's choice": _ask_wide},
        ),
    ]


def build(path: Path, shape: Shape, rows: list[Row]) -> tuple[sqlite3.Connection, float, float]:
    """The filled file, its bytes per checkpoint, and how many checkpoints per second it takes up at its full size.

    99 of 100 rows are loaded before there are indexes; the rest as a scan writes: in transactions of 512, through a
    write-ahead log, every index in place.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")
    connection.executescript(shape.tables)
    bulk = len(rows) - max(BATCH, len(rows) // 100)
    connection.execute("BEGIN")
    for start in range(0, bulk, 50_000):
        for statement, values_of in shape.insert(rows[start : min(bulk, start + 50_000)]):
            connection.executemany(statement, values_of)
    for index in shape.indexes:
        connection.execute(index)
    connection.execute("COMMIT")
    connection.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768;")
    spent = 0.0
    for start in range(bulk, len(rows), BATCH):
        statements = [(sql, list(some)) for sql, some in shape.insert(rows[start : start + BATCH])]
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        for statement, listed in statements:
            connection.executemany(statement, listed)
        connection.execute("COMMIT")
        spent += time.perf_counter() - began
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return connection, path.stat().st_size / len(rows), (len(rows) - bulk) / spent


def ask(connection: sqlite3.Connection, question: Question, architecture: str | None) -> float:
    """The median in µs over draws that go through the metrics in turn."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < DRAWS and (len(times) < 3 or time.perf_counter() - began < PATIENCE_S):
        sql, parameters = question(len(times) % METRICS + 1, architecture)
        start = time.perf_counter()
        connection.execute(sql, parameters).fetchall()
        times.append(time.perf_counter() - start)
    return median(times) * 1e6


ASKED: dict[str, str | None] = {"common": "common", "rare": "rare", "absent": "absent", "no filter": None}


def measure(shape: Shape, rows: list[Row], folder: Path) -> Measured:
    path = folder / "shape.db"
    connection, bytes_each, per_second = build(path, shape, rows)
    measured = Measured(shape, bytes_each=bytes_each, inserts_per_second=per_second)
    try:
        for statistics in ("no statistics", "after ANALYZE"):
            if statistics == "after ANALYZE":
                connection.execute("ANALYZE")
            for kind, question in shape.questions.items():
                forced = kind != "planner's choice"
                if forced and statistics == "no statistics":
                    continue
                label = kind if forced else f"{kind}, {statistics}"
                measured.micros[label] = {
                    name: ask(connection, question, architecture) for name, architecture in ASKED.items()
                }
    finally:
        connection.close()
        path.unlink()
    return measured


def table(results: Sequence[Measured]) -> str:
    lines = [
        f"| shape | asked how | {' | '.join(ASKED)} | bytes per checkpoint | inserted per second |",
        f"|---|---|{'---|' * (len(ASKED) + 2)}",
    ]
    for result in results:
        for number, (label, micros) in enumerate(result.micros.items()):
            times = " | ".join(f"{micros[name]:,.0f}" for name in ASKED)
            rest = f"{result.bytes_each:,.0f} | {result.inserts_per_second:,.0f}" if not number else " | "
            lines.append(f"| {result.shape.name if not number else ''} | {label} | {times} | {rest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure three shapes of the metrics table.")
    parser.add_argument("--checkpoints", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary files go")
    options = parser.parse_args()
    names = architectures(options.checkpoints)
    rows: list[Row] = [
        (
            number,
            f"{name}-resnet50-{number // 4:06}/checkpoints/epoch={number % 4}-step={number % 4 * 542}.ckpt",
            name,
            f"{name}-resnet50-{number // 4:06}",
            number % 4,
        )
        for number, name in enumerate(names, 1)
    ]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = [measure(shape, rows, Path(folder)) for shape in shapes()]
    print(f"SQLite {sqlite3.sqlite_version}, {options.checkpoints:,} checkpoints of {METRICS} metrics, µs:\n")
    print(table(results))


if __name__ == "__main__":
    main()
