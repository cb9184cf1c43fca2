"""Frames of pandas and polars."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.demo import lay_out
from catalogdb.errors import UsageError
from catalogdb.query.frames import to_pandas, to_polars
from catalogdb.records import Checkpoint, Weights

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")


def checkpoint(number: int, **values: object) -> Checkpoint:
    return Checkpoint(
        id=number, path=f"/data/{number}.ckpt", root="/data", rel_path=f"{number}.ckpt", format=None, size_bytes=1,
        mtime="2026-01-01T00:00:00+00:00", state="ready", source="yaml", stale=False, **values,  # type: ignore[arg-type]
    )  # fmt: skip


ROWS = [
    checkpoint(1, epoch=3, metrics={"val/loss": 0.5}, params={"lr": 1, "seed": 2**62}, tags={"good": None}),
    checkpoint(2, epoch=None, metrics={"val/loss": math.inf, "x": math.nan}, params={"lr": "auto", "seed": 0.5}),
    checkpoint(
        3,
        epoch=3.5,
        params={"amp": True},
        tags={"stage": "prod"},
        aliases=("a", "b"),
        weights=Weights(3, 1, {"float32": 3}, "f"),
        provenance={"epoch": {"tier": "yaml", "source": "s", "scope": "checkpoint"}},
    ),
]


def test_pandas() -> None:
    frame = to_pandas(ROWS)
    assert list(frame["id"]) == [1, 2, 3]
    assert list(frame["metrics.val/loss"][:2]) == [0.5, math.inf]
    assert frame["metrics.val/loss"].dtype == "float64"
    assert list(frame["params.lr"][:2]) == [1, "auto"]
    assert list(frame["aliases"]) == [[], [], ["a", "b"]]


def test_polars() -> None:
    frame = to_polars(ROWS)
    assert frame["id"].to_list() == [1, 2, 3]
    assert frame["epoch"].to_list() == [3.0, None, 3.5]
    assert frame["metrics.val/loss"].to_list() == [0.5, math.inf, None]
    assert frame["metrics.x"].is_nan().to_list() == [None, True, None]
    assert frame["params.lr"].to_list() == ["1", "auto", None]
    assert frame["params.seed"].to_list() == [str(2**62), "0.5", None]
    assert frame["params.amp"].dtype == polars.Boolean
    assert frame["tags.good"].to_list() == [True, None, None]
    assert frame["tags.stage"].to_list() == [None, None, "prod"]
    assert frame["aliases"].to_list() == [[], [], ["a", "b"]]
    assert frame["provenance"].str.json_path_match("$.epoch.tier").to_list() == [None, None, "yaml"]
    assert frame["weights"].str.json_path_match("$.fingerprint").to_list() == [None, None, "f"]


def test_no_rows() -> None:
    assert to_pandas([]).empty
    assert to_polars([]).is_empty()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(lay_out(tmp_path_factory.mktemp("demo")), workers=1)
        yield catalog


def test_search_gives_either(catalog: Catalog, tmp_path: Path) -> None:
    rows = catalog.search("", max_results=None)
    for output_format in ("pandas", "polars"):
        frame = catalog.search("", max_results=None, output_format=output_format)
        assert list(frame["path"]) == [row.path for row in rows]
        losses = [row.metrics.get("val/loss") for row in rows]
        assert [None if value is None or math.isnan(value) else value for value in frame["metrics.val/loss"]] == losses
    frame.write_parquet(tmp_path / "x.parquet")
    assert polars.read_parquet(tmp_path / "x.parquet").equals(frame)
    with pytest.raises(UsageError, match="output_format is list, pandas or polars, not 'dict'"):
        catalog.search("", output_format="dict")  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_without_it(name: str) -> None:
    script = (
        f"import sys; sys.modules[{name!r}] = None\n"
        f"from catalogdb.catalog import Catalog; Catalog.open('sqlite://').search(output_format={name!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert f"UsageError: a frame needs {name}; install catalogdb[{name}]" in done.stderr
