"""A metric over steps: the points are those that the rows hold, and nothing else."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import QueryError
from catalogdb.records import Checkpoint, Curve, Point
from tests.unit.query.world import Filler, Row


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    folder = tmp_path_factory.mktemp("curves")
    lay_out(folder)
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(folder / "outputs", workers=1)
        yield catalog


def drawable(row: Checkpoint, metric: str, x: str) -> bool:
    known = metric in row.metrics and getattr(row, x) is not None
    return known and row.provenance[f"metrics.{metric}"]["scope"] == "checkpoint"


@pytest.mark.parametrize("x", ["global_step", "epoch"])
@pytest.mark.parametrize("metric", ["val/hmean", "val/loss"])
@pytest.mark.parametrize("by", [None, "architecture", "params.optimizer.lr", "stale"])
def test_the_points_are_those_of_the_rows(
    catalog: Catalog, metric: str, x: Literal["global_step", "epoch"], by: str | None
) -> None:
    rows = catalog.search("", max_results=None)
    expected: dict[tuple[Any, Any, str], set[tuple[int, float]]] = {}
    for row in rows:
        if drawable(row, metric, x):
            group = row.params.get("optimizer.lr") if by and by.startswith("params") else getattr(row, by or "run")
            expected.setdefault((group, row.exp_name, row.run), set()).add((getattr(row, x), row.metrics[metric]))
    found = catalog.curves(metric, by=by, x=x)
    drawn = {(curve.group, curve.exp_name, curve.run): {point[:2] for point in curve.points} for curve in found.curves}
    assert drawn == expected
    assert expected
    assert found.left_out == sum(not drawable(row, metric, x) for row in rows)
    pick = max if found.mode == "max" else min
    for curve in found.curves:
        assert list(curve.points) == sorted(curve.points)
        assert curve.best in curve.points
        assert curve.best.value == pick(point.value for point in curve.points)


def test_two_files_of_one_step_are_one_point_and_the_later_of_equals_is_best(tmp_path: Path) -> None:
    lay_out(tmp_path)
    folder = tmp_path / "outputs" / "dbnet-resnet18" / "checkpoints"
    for end in ("ckpt", "metadata.yaml"):
        shutil.copy(folder / f"epoch=7-step=80.{end}", folder / f"a.{end}")
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(tmp_path / "outputs", workers=1)
        (curve,) = catalog.curves("val/hmean", where="exp_name = 'dbnet-resnet18'").curves
    assert [point.x for point in curve.points] == [60, 70, 80]
    assert curve.best.x == 80


def test_runs_of_one_experiment_are_lines_of_their_own(tmp_path: Path) -> None:
    """Hydra's jobs of a sweep, whose config names the experiment."""
    rows = [
        Row(
            10 * job + step,
            f"/data/multirun/2026-01-31/12-00-00/{job}/checkpoints/{step}.ckpt",
            fields={"global_step": step, "exp_name": "sweep"},
            metrics={"acc": job / 10 + step / 100},
        )
        for job in range(4)
        for step in range(3)
    ]
    file = tmp_path / "catalog.db"
    Catalog.open(file).close()
    raw = sqlite3.connect(file, isolation_level=None)
    Filler(raw).add(rows)
    raw.close()
    with Catalog.open(file) as catalog:
        for by, groups in ((None, 4), ("exp_name", 1)):
            found = catalog.curves("acc", by=by).curves
            assert [[point.x for point in curve.points] for curve in found] == [[0, 1, 2]] * 4
            assert len({curve.group for curve in found}) == groups
        best = catalog.best("acc", per="run")
        assert [row.rel_path for row in best] == [
            f"multirun/2026-01-31/12-00-00/{job}/checkpoints/2.ckpt" for job in (3, 2, 1, 0)
        ]
        assert [row.run for row in best] == [f"/data/multirun/2026-01-31/12-00-00/{job}" for job in (3, 2, 1, 0)]
        assert catalog.count(f"run = '{best[0].run}'") == 3
        assert catalog.search(f"path = '{best[0].path}'", columns=["run"]) == [{"run": best[0].run}]


def test_the_filter_and_the_mode_count(catalog: Catalog) -> None:
    found = catalog.curves("val/hmean", where="epoch = 6", mode="min")
    assert found.mode == "min"
    assert {point.x for curve in found.curves for point in curve.points} == {70}
    assert catalog.curves("val/hmean", where="epoch = 1000").curves == ()


def test_only_what_was_measured_at_a_known_step_of_a_whole_file_is_drawn(tmp_path: Path) -> None:
    def row(id: int, step: int | None, **rest: Any) -> Row:
        return Row(id, f"/data/{id}.ckpt", fields={"global_step": step, "exp_name": "a"}, **rest)

    rows = [
        row(1, 10, metrics={"acc": 0.5}),
        row(2, 20, run_metrics={"acc": 0.9}),
        row(3, None, metrics={"acc": 0.8}),
        row(4, 40, metrics={"acc": math.inf}),
        row(5, 50, metrics={"acc": math.nan}),
        row(6, 60, metrics={"loss": 0.1}),
        row(7, 70, metrics={"acc": 0.7}, state="truncated"),
        row(8, 80, metrics={"acc": 0.7}, state="missing"),
    ]
    file = tmp_path / "catalog.db"
    Catalog.open(file).close()
    raw = sqlite3.connect(file, isolation_level=None)
    Filler(raw).add(rows)
    raw.close()
    with Catalog.open(file) as catalog:
        found = catalog.curves("acc")
    assert found.curves == (Curve("/data", "a", (point := Point(10, 0.5, "/data/1.ckpt"),), point, "/data"),)
    assert found.left_out == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric": "val/hmeen"}, "val/hmean"),
        ({"metric": "val/hmean", "by": "architectur"}, "architecture"),
        ({"metric": "val/hmean", "by": "mtime"}, "is a time"),
        ({"metric": "val/hmean", "x": "mtime"}, "global_step or epoch"),
    ],
)
def test_what_cannot_be_drawn_is_named(catalog: Catalog, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words):
        catalog.curves(**arguments)
