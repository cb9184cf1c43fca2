"""Parquet reads back as what went in, each column of one type."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from catalogdb.cli import parquet as writing
from catalogdb.cli.render import write_rows
from catalogdb.errors import UsageError
from catalogdb.records import Weights

pq = pytest.importorskip("pyarrow.parquet")

Written = Callable[..., Any]


@pytest.fixture
def table(capfdbinary: pytest.CaptureFixture[bytes]) -> Written:
    def run(headers: Sequence[str], rows: Sequence[Sequence[object]], kinds: Any = None) -> Any:
        write_rows(headers, iter(rows), "parquet", kinds)
        sys.stdout.flush()
        return pq.read_table(io.BytesIO(capfdbinary.readouterr().out))

    return run


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([1, None, 3], "int64", [1, None, 3]),
        ([True, None], "bool", [True, None]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([2**62, 1], "int64", [2**62, 1]),
        ([2**62, 0.5], "string", [str(2**62), "0.5"]),
        ([2**70, 1], "string", [str(2**70), "1"]),
        ([True, 1], "string", ["true", "1"]),
        ([3, "auto", None, 0.1], "string", ["3", "auto", None, "0.1"]),
        ([None, None], "string", [None, None]),
        ([math.inf, -math.inf, 1], "double", [math.inf, -math.inf, 1.0]),
        (["ü🤖", 'a,"b"\n'], "string", ["ü🤖", 'a,"b"\n']),
        ([b"\x01\xff"], "string", ["01ff"]),
        ([{"a": [1]}, ["x"]], "string", ['{"a": [1]}', '["x"]']),
    ],
    ids=str,
)
def test_a_column_has_one_type(table: Written, values: list[object], kind: str, read: list[object]) -> None:
    written = table(["x"], [[value] for value in values])
    assert str(written.schema.field("x").type) == kind
    assert written.column("x").to_pylist() == read


def test_nan_stays(table: Written) -> None:
    assert math.isnan(table(["x"], [[math.nan]]).column("x").to_pylist()[0])


def test_a_known_type_holds_without_values(table: Written) -> None:
    written = table(["a", "b", "c"], [[None, None, 3]], ["float", "int", "float"])
    assert [str(field.type) for field in written.schema] == ["double", "int64", "double"]
    assert table(["a"], [], ["float"]).num_rows == 0


def test_more_rows_than_a_group(table: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_ROWS", 10)
    rows = [(number, f"r{number}") for number in range(25)]
    written = table(["n", "name"], rows)
    assert list(zip(*written.to_pydict().values(), strict=True)) == rows


def test_columns_of_one_name(table: Written) -> None:
    assert table(["a", "a", "b", "a"], [(1, 2, 3, 4)]).to_pydict() == {"a": [1], "a:1": [2], "b": [3], "a:2": [4]}


def test_weights_are_json(table: Written) -> None:
    weights = Weights(num_parameters=3, num_tensors=1, dtypes={"float32": 3})
    assert '"num_parameters": 3' in table(["w"], [[weights]]).to_pydict()["w"][0]


def test_not_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UsageError, match="send it to a file"):
        write_rows(["a"], [], "parquet")


def test_without_pyarrow() -> None:
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from catalogdb.cli.render import write_rows; write_rows(['a'], [], 'parquet')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "UsageError: --format parquet needs pyarrow; install catalogdb[parquet]" in done.stderr
