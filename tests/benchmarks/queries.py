"""Questions to a catalog of a million checkpoints, beside the same ones written by hand for ``sqlite3``, and MLflow's.

Registered in ``__main__``. The steps can be taken one by one, on a file that is there:

    python -m tests.benchmarks.crowd FILE
    python -m tests.benchmarks.queries measure FILE
    python -m tests.benchmarks.queries mlflow FILE STORE --runs 100000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import mlflow_store
from tests.benchmarks.crowd import ABSENT, COMMON, METRICS, PER_EXPERIMENT, RARE
from tests.benchmarks.run import REPOSITORY, TIMES, Row, Sizes, python_module

DRAWS = 200
MOST_SECONDS = 60.0
"""For the draws of one question; never fewer than ``FEWEST``."""
FEWEST = 5
STARTS = 11
IMPORTS = [sys.executable, "-c", "import sqlalchemy"]
FASTER = 1_000
"""Than MLflow, which the issue asks for."""

Ids = list[int]


@dataclass(frozen=True)
class Asked:
    """A question, how both sides answer it for a draw, and in how many milliseconds it must be answered."""

    name: str
    ours: Callable[[Any, int], object]
    by_hand: Callable[[sqlite3.Connection, int], object]
    most_ms: float | None = None


BEST = """
SELECT c.id FROM metrics m JOIN checkpoints c ON c.id = m.checkpoint_id
WHERE m.name_id = (SELECT id FROM metric_names WHERE name = :metric) AND m.live = 1
      AND m.architecture = :architecture AND c.state = 'ready'
ORDER BY m.value DESC LIMIT 10
"""
NARROWER = BEST.replace(
    "ORDER BY",
    """AND c.epoch >= :epoch AND (
    SELECT p.value FROM param_set_groups g JOIN params p ON p.param_group_id = g.param_group_id
    WHERE g.param_set_id = c.param_set_id AND p.name = 'optimizer.lr') < :lr
ORDER BY""",
)
BEST_OF_RUN = """
SELECT c.id FROM checkpoints c NOT INDEXED
CROSS JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = (SELECT id FROM metric_names WHERE name = :metric)
WHERE c.wandb_run_id = :run AND c.state = 'ready' ORDER BY m.value DESC LIMIT 10
"""
BEST_OF_EACH = """
SELECT id FROM (
    SELECT c.id, m.value, row_number() OVER (PARTITION BY c.exp_name ORDER BY m.value DESC) AS place
    FROM checkpoints c JOIN metrics m ON m.checkpoint_id = c.id
    WHERE m.name_id = (SELECT id FROM metric_names WHERE name = :metric) AND c.state = 'ready')
WHERE place = 1 ORDER BY value DESC
"""
BEST_OF_EACH_LR = BEST_OF_EACH.replace(
    "c.exp_name",
    """(
        SELECT p.value FROM param_set_groups g JOIN params p ON p.param_group_id = g.param_group_id
        WHERE g.param_set_id = c.param_set_id AND p.name = 'optimizer.lr')""",
)
COUNT_BY_METRIC = """
SELECT count(*) FROM metrics
WHERE name_id = (SELECT id FROM metric_names WHERE name = :metric) AND live = 1 AND value >= :least
"""
COUNT_BY_FIELDS = "SELECT count(*) FROM checkpoints WHERE architecture = :architecture AND epoch >= :epoch"
BY_PATH = """
SELECT c.id FROM roots r JOIN checkpoints c ON c.root_id = r.id
WHERE c.rel_path = substr(:path, length(r.path) + 2) AND :path LIKE r.path || '/%'
"""

WHOLE = (
    "SELECT c.*, r.path FROM checkpoints c JOIN roots r ON r.id = c.root_id WHERE c.id IN (SELECT value FROM {})",
    "SELECT m.checkpoint_id, n.name, m.value, m.origin_id FROM metrics m JOIN metric_names n ON n.id = m.name_id "
    "WHERE m.checkpoint_id IN (SELECT value FROM {})",
    "SELECT c.id, p.name, p.type, p.value, p.origin_id FROM checkpoints c "
    "JOIN param_set_groups g ON g.param_set_id = c.param_set_id JOIN params p ON p.param_group_id = g.param_group_id "
    "WHERE c.id IN (SELECT value FROM {})",
)
"""What a checkpoint is made of, in as few statements as it takes."""


def found(connection: sqlite3.Connection, sql: str, **values: object) -> Ids:
    """The checkpoints that a statement finds, read whole: fields, metrics and params."""
    ids = [row[0] for row in connection.execute(sql, values)]
    for part in WHOLE:
        connection.execute(part.format("json_each(?)"), (json.dumps(ids),)).fetchall()
    return ids


def count(connection: sqlite3.Connection, sql: str, **values: object) -> int:
    return int(connection.execute(sql, values).fetchone()[0])


def _metric(draw: int) -> str:
    return METRICS[draw % len(METRICS)]


def _run(draw: int, runs: int) -> str:
    return f"run{draw * 37 % runs:05d}"


def _top(name: str, architecture: str, most_ms: float) -> Asked:
    return Asked(
        f"top 10 by a metric where the architecture is {name}",
        lambda catalog, draw: _ids(
            catalog.best(_metric(draw), mode="max", where=f"architecture = '{architecture}'", limit=10)
        ),
        lambda connection, draw: found(connection, BEST, metric=_metric(draw), architecture=architecture),
        most_ms,
    )


def _narrower(name: str, architecture: str, *, changing: bool = False) -> Asked:
    """With bounds that are always the same, as the questions of a script are, or others for each draw."""

    def bounds(draw: int) -> tuple[int, float]:
        return (draw % 40, (2 + draw % 7) / 1000) if changing else (10, 0.005)

    def where(draw: int) -> str:
        epoch, lr = bounds(draw)
        return f"architecture = '{architecture}' AND epoch >= {epoch} AND params.`optimizer.lr` < {lr}"

    def by_hand(connection: sqlite3.Connection, draw: int) -> Ids:
        epoch, lr = bounds(draw)
        return found(connection, NARROWER, metric=_metric(draw), architecture=architecture, epoch=epoch, lr=lr)

    return Asked(
        f"the same where it is {name}, with two more conditions, on the epoch and a param"
        + ", other ones each time" * changing,
        lambda catalog, draw: _ids(catalog.best(_metric(draw), mode="max", where=where(draw), limit=10)),
        by_hand,
    )


def questions(checkpoints: int) -> list[Asked]:
    """Over a crowd of so many; each draw asks something a little different."""
    places = random.Random(checkpoints)
    runs = checkpoints // PER_EXPERIMENT
    paths = [
        f"/data/outputs/exp_{number // PER_EXPERIMENT:05d}/checkpoints/epoch={number % PER_EXPERIMENT:02d}.ckpt"
        for number in (places.randrange(checkpoints) for _ in range(DRAWS))
    ]
    return [
        _top("common (6 of 10)", COMMON, 1.0),
        _top("rare (1 of 10,000)", RARE, 1.0),
        _top("absent", ABSENT, 1.0),
        _narrower("common", COMMON),
        _narrower("rare", RARE),
        _narrower("common", COMMON, changing=True),
        _narrower("rare", RARE, changing=True),
        Asked(
            f"top 10 by a metric of one of {runs:,} W&B runs, which no index knows",
            lambda catalog, draw: _ids(
                catalog.best(_metric(draw), mode="max", where=f"wandb_run_id = '{_run(draw, runs)}'", limit=10)
            ),
            lambda connection, draw: found(connection, BEST_OF_RUN, metric=_metric(draw), run=_run(draw, runs)),
        ),
        Asked(
            f"the best of each of {runs:,} experiments",
            lambda catalog, draw: _ids(catalog.best(_metric(draw), mode="max", per="exp_name")),
            lambda connection, draw: found(connection, BEST_OF_EACH, metric=_metric(draw)),
        ),
        Asked(
            "the best of each of 10 learning rates",
            lambda catalog, draw: _ids(catalog.best(_metric(draw), mode="max", per="params.optimizer.lr")),
            lambda connection, draw: found(connection, BEST_OF_EACH_LR, metric=_metric(draw)),
        ),
        Asked(
            "how many have a metric of at least 0.5 to 0.99",
            lambda catalog, draw: catalog.count(f"metrics.`{_metric(draw)}` >= {0.5 + draw % 50 / 100:.2f}"),
            lambda connection, draw: count(
                connection, COUNT_BY_METRIC, metric=_metric(draw), least=float(f"{0.5 + draw % 50 / 100:.2f}")
            ),
        ),
        Asked(
            "how many are of a common architecture and of epoch 0 to 39 or later",
            lambda catalog, draw: catalog.count(f"architecture = '{COMMON}' AND epoch >= {draw % 40}"),
            lambda connection, draw: count(connection, COUNT_BY_FIELDS, architecture=COMMON, epoch=draw % 40),
        ),
        Asked(
            "one checkpoint by its path",
            lambda catalog, draw: [catalog.get(paths[draw]).id],
            lambda connection, draw: found(connection, BY_PATH, path=paths[draw]),
            1.0,
        ),
    ]


def _ids(checkpoints: list[Any]) -> Ids:
    return [checkpoint.id for checkpoint in checkpoints]


def _timed(ask: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    answer = ask()
    return time.perf_counter() - start, answer


def _pair(asked: Asked, catalog: Any, connection: sqlite3.Connection, draw: int) -> tuple[float, float]:
    """Seconds of both. Who comes first has to fetch what both read, so that they take turns in that as well."""
    if draw % 2:
        other = _timed(lambda: asked.by_hand(connection, draw))
        one = _timed(lambda: asked.ours(catalog, draw))
    else:
        one = _timed(lambda: asked.ours(catalog, draw))
        other = _timed(lambda: asked.by_hand(connection, draw))
    assert one[1] == other[1], f"{asked.name}: the answers of draw {draw} differ"
    return one[0], other[0]


def _drawn(asked: Asked, catalog: Any, connection: sqlite3.Connection) -> dict[str, Any]:
    """Both sides in turn, draw by draw, and their answers held against each other."""
    _pair(asked, catalog, connection, 0)
    pairs: list[tuple[float, float]] = []
    ends = time.monotonic() + MOST_SECONDS
    while len(pairs) < FEWEST or (len(pairs) < DRAWS and time.monotonic() < ends):
        pairs.append(_pair(asked, catalog, connection, len(pairs)))
    ours, by_hand = zip(*pairs, strict=True)
    return {"name": asked.name, "most_ms": asked.most_ms, "ours": ours, "by_hand": by_hand}


def measure(file: Path) -> list[dict[str, Any]]:
    """Every question, in this one process."""
    from catalogdb import Catalog  # noqa: PLC0415  # what is measured

    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    with Catalog.open(file) as catalog:
        checkpoints = catalog.count("")
        return [_drawn(asked, catalog, connection) for asked in questions(checkpoints)]


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[max(0, round(len(seconds) * 0.99) - 1)]


def _ms(seconds: list[float]) -> str:
    digits = 3 if median(seconds) < 0.1 else 0
    return f"{median(seconds) * 1e3:,.{digits}f} ms (p99 {_p99(seconds) * 1e3:,.{digits}f})"


def _row(result: dict[str, Any]) -> Row:
    ours, by_hand, most = result["ours"], result["by_hand"], result["most_ms"]
    ratio = median(ours) / median(by_hand)
    return Row(
        f"g. {result['name']}, against SQL by hand ({len(ours)} draws)",
        _ms(ours),
        _ms(by_hand),
        f"{ratio:.2f}{TIMES} its time",
        f"at most 3{TIMES}" + (f", p50 at most {most:.0f} ms" if most else ""),
        ratio <= 3 and (most is None or median(ours) * 1e3 <= most),
    )


def _process(command: list[str], **environ: str) -> float:
    """With its modules compiled before, as an installed program has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, env={**kept, **environ}, check=True, capture_output=True)
    return time.perf_counter() - start


def _best_is_there(file: Path) -> None:
    """Gives the crowd a root where files can be made, and makes the best one: ``best`` prints only what is there."""
    from catalogdb import Catalog  # noqa: PLC0415  # as in measure

    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE roots SET path = ?", (str(file.parent / "outputs"),))
    with Catalog.open(file) as catalog:
        best = catalog.best(METRICS[0])
        assert best is not None
    path = Path(best.path)
    path.parent.mkdir(parents=True)
    path.touch()


def _in_processes(ours: list[str], bare: list[str], **environ: str) -> tuple[float, float]:
    """Medians of two programs, from the start of the process to its end, in turn; the first round warms both up."""
    rounds = [(_process(ours, **environ), _process(bare)) for _ in range(STARTS)][1:]
    return median(one for one, _ in rounds), median(other for _, other in rounds)


def _started(file: Path) -> Row:
    _best_is_there(file)
    best = [sys.executable, "-m", "catalogdb", "best", "--db", str(file), "-m", METRICS[0]]
    ours, imports = _in_processes(best, IMPORTS)
    return Row(
        'g. `catalogdb best` on it as a whole process, against `python -c "import sqlalchemy"`',
        f"{ours * 1e3:.0f} ms",
        f"{imports * 1e3:.0f} ms",
        f"{ours / imports:.2f}{TIMES} its time",
        f"at most 2.5{TIMES}",
        ours / imports <= 2.5,
    )


def _completed(file: Path) -> Row:
    words = {"_CATALOGDB_COMPLETE": "bash_complete", "COMP_WORDS": "catalogdb best -m val/", "COMP_CWORD": "3"}
    command = [sys.executable, "-m", "catalogdb"]
    ours, imports = _in_processes(command, IMPORTS, CATALOGDB_URL=str(file), **words)
    return Row(
        "g. completion of `catalogdb best -m val/` on it as a whole process, against the same",
        f"{ours * 1e3:.0f} ms",
        f"{imports * 1e3:.0f} ms",
        f"{ours / imports:.2f}{TIMES} its time",
        "",
        None,
    )


def _disk_use(file: Path) -> Row:
    from catalogdb import Catalog  # noqa: PLC0415  # as in measure

    with Catalog.open(file) as catalog, closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as raw:
        ours, _ = _timed(lambda: catalog.disk_use("architecture"))
        sums = "SELECT architecture, count(*), sum(size_bytes) FROM checkpoints GROUP BY architecture"
        by_hand, _ = _timed(lambda: raw.execute(sums).fetchall())
    return Row(
        "g. `du --per architecture` of it, links and twins told apart, against a bare sum by hand",
        f"{ours:.1f} s",
        f"{by_hand:.1f} s",
        f"{ours / by_hand:.1f}{TIMES} its time",
        "",
        None,
    )


def beside_mlflow(file: Path, theirs: Path, runs: int) -> dict[str, list[float]]:
    """The first question, asked of a crowd and of an MLflow store in turn."""
    from catalogdb import Catalog  # noqa: PLC0415  # as in measure

    common = questions(PER_EXPERIMENT)[0]
    with Catalog.open(file) as catalog:
        return mlflow_store.measure(theirs, runs, lambda metric: common.ours(catalog, METRICS.index(metric)))


def _beside(asked: str, ours: list[float], theirs: list[float], bound: int | None = None) -> Row:
    faster = median(theirs) / median(ours)
    return Row(
        asked,
        _ms(ours),
        _ms(theirs),
        f"{faster:,.0f}{TIMES} faster",
        "" if bound is None else f"at least {bound:,}{TIMES}",
        None if bound is None else faster >= bound,
    )


def queries(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """The rows of the table."""
    file = folder / "crowd.db"
    print(f"making a catalog of {sizes.rows:,} checkpoints …", file=sys.stderr)
    python_module("tests.benchmarks.crowd", file, "--checkpoints", sizes.rows)
    yield from map(_row, json.loads(python_module("tests.benchmarks.queries", "measure", file)))
    yield _disk_use(file)
    print(f"making an MLflow store of {sizes.runs:,} runs …", file=sys.stderr)
    store = folder / "mlflow.db"
    taken = json.loads(python_module("tests.benchmarks.queries", "mlflow", file, store, "--runs", sizes.runs))
    question = f"g. the first of these questions, against MLflow's `search_runs` over {sizes.runs:,} runs"
    yield _beside(question, taken["again"], taken["theirs"], FASTER)
    yield _beside(f"{question}, each metric for the first time", taken["first"], taken["theirs"])
    yield _started(file)
    yield _completed(file)
    shutil.rmtree(folder / "outputs")
    file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["measure", "mlflow"])
    parser.add_argument("file", type=Path)
    parser.add_argument("store", type=Path, nargs="?", help="where MLflow's store goes")
    parser.add_argument("--runs", type=int, default=Sizes.runs)
    options = parser.parse_args()
    if options.step == "measure":
        print(json.dumps(measure(options.file)))
    else:
        print(json.dumps(beside_mlflow(options.file, options.store, options.runs)))


if __name__ == "__main__":
    main()
