"""What checkpoints don't have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from catalogdb.differences import compare, contrasts
from catalogdb.records import Checkpoint, CheckpointHeader, Contrast, Difference, TensorInfo, Weights


def row(**values: Any) -> Checkpoint:
    return Checkpoint(
        id=1, path="/r/x", root="/r", rel_path="x", format="torch_zip", size_bytes=9, mtime="2026-01-01T00:00:00+00:00",
        state="ready", source="legacy", stale=False, **values,
    )  # fmt: skip


def header(*tensors: tuple[str, tuple[int, ...], int | None], prefix: str | None = None) -> CheckpointHeader:
    return CheckpointHeader(
        "torch_zip",
        tensors=tuple(TensorInfo(name, shape, "float32") for name, shape, _ in tensors),
        checksums=tuple(checksum for _, _, checksum in tensors),
        weights=Weights(4, len(tensors), {"float32": 4}),
        weights_prefix=prefix,
    )


ONE = header(("a", (2, 2), 1), ("b", (2,), 2))


def test_the_same_twice() -> None:
    compared = compare(row(epoch=1), row(epoch=1), (ONE, ONE))
    assert (compared.differences, compared.tensors, compared.unknown) == ((), 2, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, 2), (None, 0), (1.0, None), (True, 1), (1, 1.0), ("1", 1), (float("nan"), 0.0)],
)
def test_params_and_metrics_by_type_and_value(first: Any, second: Any) -> None:
    one = row(epoch=0, params={"lr": first}, metrics={"m": 1.0})
    other = row(epoch=None, params={"lr": second}, metrics={})
    found = compare(one, other, (ONE, ONE)).differences
    assert found[0] == Difference("field", "epoch", 0, None)
    assert found[1] == Difference("metric", "m", 1.0, None)
    assert [(each.kind, each.name) for each in found] == [("field", "epoch"), ("metric", "m"), ("param", "lr")]


def test_nan_is_nan() -> None:
    nan = float("nan")
    assert not compare(row(metrics={"m": nan}), row(metrics={"m": nan}), (ONE, ONE)).differences


def test_tensors_by_name_shape_dtype_and_checksum() -> None:
    other = header(("a", (2, 3), 1), ("b", (2,), 3), ("c", (), None))
    compared = compare(row(), row(), (ONE, other))
    assert [each for each in compared.differences if each.kind == "tensor"] == [
        Difference("tensor", "a", "float32 [2, 2] 00000001", "float32 [2, 3] 00000001"),
        Difference("tensor", "b", "float32 [2] 00000002", "float32 [2] 00000003"),
        Difference("tensor", "c", None, "float32 []"),
    ]
    assert (compared.tensors, compared.unknown) == (3, 0)


def test_contents_that_nobody_knows_are_counted() -> None:
    compared = compare(row(), row(), (ONE, header(("a", (2, 2), None), ("b", (2,), 2))))
    assert (compared.differences, compared.unknown) == ((), 1)


def test_a_wrapper_is_one_difference_not_one_for_each_tensor() -> None:
    wrapped = header(("module.a", (2, 2), 1), ("module.b", (2,), 2), prefix="module.")
    compared = compare(row(), row(), (ONE, wrapped))
    assert compared.differences == (Difference("weights", "prefix", None, "module."),)
    assert compared.differences[0].to_dict() == {
        "kind": "weights",
        "name": "prefix",
        "first": None,
        "second": "module.",
    }


def test_a_file_without_weights() -> None:
    nothing = replace(header(), weights=None)
    found = compare(row(), row(), (ONE, nothing)).differences
    assert {each.name for each in found} == {"num_tensors", "num_parameters", "a", "b"}


def test_what_is_not_the_same_for_several() -> None:
    nan = float("nan")
    weights = Weights(4, 2, {"float32": 4}, "crc:1")
    rows = [
        row(epoch=1, exp_name="a", metrics={"m": nan, "n": 1.0}, params={"lr": 1, "seed": 3}, weights=weights),
        row(epoch=1, exp_name="a", metrics={"m": nan}, params={"lr": 1.0, "seed": 3}, weights=weights),
        row(epoch=2, exp_name="a", metrics={"m": nan, "n": 1.0}, params={"lr": True, "seed": 3, "x": None}),
    ]
    assert list(contrasts(rows)) == [
        Contrast("field", "epoch", (1, 1, 2)),
        Contrast("metric", "n", (1.0, None, 1.0)),
        Contrast("param", "lr", (1, 1.0, True)),
        Contrast("weights", "num_tensors", (2, 2, None)),
        Contrast("weights", "num_parameters", (4, 4, None)),
        Contrast("weights", "fingerprint", ("crc:1", "crc:1", None)),
    ]
    assert list(contrasts(rows[:1])) == []
    assert Contrast("metric", "n", (nan, None, 1.0)).to_dict()["values"] == [None, None, 1.0]
