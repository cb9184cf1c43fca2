"""CSV files: sparse rows, growing files, bases of epochs, and lines that were cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogdb.metric_files.csv_file import CsvFile
from catalogdb.metric_files.opening import open_metric_file
from catalogdb.metric_files.table import Asked, LineFile, MetricFile, Row

LIGHTNING = """\
epoch,step,train/loss,val/acc,val/loss
0,3,0.9,,
0,9,,0.5,0.8
0,9,0.7,,
1,13,0.6,,
1,19,,0.6,0.5
"""


@pytest.fixture(autouse=True, params=["kept", "read again"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Small files are kept as they were read; the lines of large ones are read where they are asked for."""
    if request.param == "read again":
        monkeypatch.setattr("catalogdb.metric_files.table.MAX_KEPT", 0)
    return bool(request.param == "kept")


def opened(path: Path, text: str) -> MetricFile:
    path.write_bytes(text.encode())
    file = open_metric_file(str(path))
    assert file is not None
    file.refresh()
    return file


def on_step(file: MetricFile, step: int, epoch: int | None = None) -> Row:
    return file.at(Asked("x.ckpt", step, epoch))


def on_epoch(file: MetricFile, epoch: int) -> Row:
    return file.at(Asked("x.ckpt", None, epoch))


@pytest.mark.parametrize(
    ("step", "epoch", "row"),
    [
        (9, 0, {"train/loss": 0.7, "val/acc": 0.5, "val/loss": 0.8}),
        (9, None, {"train/loss": 0.7, "val/acc": 0.5, "val/loss": 0.8}),
        (9, 1, {}),
        (3, 0, {"train/loss": 0.9}),
        (10, 0, {}),
        (8, 0, {}),
        (19, 1, {"val/acc": 0.6, "val/loss": 0.5}),
        (99, 7, {}),
    ],
)
def test_the_rows_of_the_very_step_and_of_no_other(tmp_path: Path, step: int, epoch: int | None, row: Row) -> None:
    assert on_step(opened(tmp_path / "metrics.csv", LIGHTNING), step, epoch) == row


def test_of_an_epoch_what_is_stated_once(tmp_path: Path) -> None:
    assert on_epoch(opened(tmp_path / "metrics.csv", LIGHTNING), 1) == {
        "train/loss": 0.6,
        "val/acc": 0.6,
        "val/loss": 0.5,
    }
    assert on_epoch(opened(tmp_path / "metrics.csv", LIGHTNING), 0) == {"val/acc": 0.5, "val/loss": 0.8}


def test_two_values_of_one_step_are_none(tmp_path: Path) -> None:
    text = "step,epoch,a,b\n5,0,1.0,2.0\n5,0,1.5,2.0\n"
    assert on_step(opened(tmp_path / "metrics.csv", text), 5, 0) == {"b": 2.0}


def test_a_line_that_was_cut_is_not_there_and_comes_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    whole = LIGHTNING + "2,29,,0.7,0.41\n"
    file = opened(path, whole[:-3])
    assert on_step(file, 29, 2) == {}
    assert on_step(file, 19, 1) != {}
    with path.open("a") as appended:
        appended.write("41\n3,39,,0.8,0.3\n")
    file.refresh()
    assert on_step(file, 29, 2) == {"val/acc": 0.7, "val/loss": 0.41}
    assert on_step(file, 39, 3) == {"val/acc": 0.8, "val/loss": 0.3}
    assert on_step(file, 3, 0) == {"train/loss": 0.9}


def test_only_what_was_added_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.csv"
    rows = "".join(f"{step // 10},{step},{step / 7},,\n" for step in range(20_000))
    file = opened(path, LIGHTNING[: LIGHTNING.index("\n") + 1] + rows)
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    with path.open("a") as appended:
        appended.write("2000,20000,0.5,,\n")
    file.refresh()
    assert sum(read) < 200
    assert on_step(file, 20_000, 2000) == {"train/loss": 0.5}


def test_a_file_that_is_another_one_is_read_anew(tmp_path: Path) -> None:
    """Lightning writes the whole file again when a metric comes first that wasn't there before."""
    path = tmp_path / "metrics.csv"
    file = opened(path, LIGHTNING)
    path.write_text("epoch,new,step\n" + "".join(f"{n},0.5,{n * 10 + 9}\n" for n in range(20)))
    file.refresh()
    assert on_step(file, 19, 1) == {"new": 0.5}
    path.write_text("epoch,new,step\n0,0.25,9\n")
    file.refresh()
    assert on_step(file, 9, 0) == {"new": 0.25}
    assert on_step(file, 19, 1) == {}


def test_what_is_kept_isn_t_read_again(tmp_path: Path, kept: bool) -> None:
    path = tmp_path / "metrics.csv"
    file = opened(path, LIGHTNING)
    assert isinstance(file, LineFile)
    assert file.kept == (len(LIGHTNING) if kept else 0)
    path.write_text(LIGHTNING.replace("0.7", "0.1"))
    assert on_step(file, 9, 0)["train/loss"] == (0.7 if kept else 0.1)
    file.let_go()
    assert file.kept == 0
    assert on_step(file, 9, 0)["train/loss"] == 0.1


@pytest.mark.parametrize("first", [1, 0])
def test_ultralytics_counts_from_1_and_older_releases_from_0(tmp_path: Path, first: int) -> None:
    text = "                  epoch,   metrics/mAP50(B),  time\n" + "".join(
        f"                      {n + first},            0.{n + 1},  1.5\n" for n in range(3)
    )
    file = opened(tmp_path / "results.csv", text)
    assert [on_epoch(file, n) for n in range(-1, 4)] == [
        {},
        {"metrics/mAP50(B)": 0.1},
        {"metrics/mAP50(B)": 0.2},
        {"metrics/mAP50(B)": 0.3},
        {},
    ]


@pytest.mark.parametrize("before", ["", "0,1.5,2.5,40.0\n", '0,1.5,2.5,"40.0"\n'])
def test_a_header_within_it_names_the_columns_of_what_follows(tmp_path: Path, before: str) -> None:
    """timm, started anew in the same folder with other metrics."""
    text = f"epoch,train_loss,eval_loss,eval_top1\n{before}epoch,train_loss,eval_top1,eval_top5\n1,0.5,61.0,82.0\n"
    file = opened(tmp_path / "summary.csv", text)
    assert on_epoch(file, 1) == {"train_loss": 0.5, "eval_top1": 61.0, "eval_top5": 82.0}
    assert on_epoch(file, 0) == {}, "its columns were others"


def test_the_same_header_again_is_no_row(tmp_path: Path) -> None:
    file = opened(tmp_path / "summary.csv", "epoch,eval_top1\n0,40.0\nepoch,eval_top1\n1,61.0\n")
    assert [on_epoch(file, epoch) for epoch in (0, 1)] == [{"eval_top1": 40.0}, {"eval_top1": 61.0}]


def test_timm_counts_from_0(tmp_path: Path) -> None:
    file = opened(tmp_path / "summary.csv", "epoch,train_loss,eval_top1\r\n0,1.5,40.0\r\n1,1.2,55.5\r\n")
    assert on_epoch(file, 1) == {"train_loss": 1.2, "eval_top1": 55.5}


FIELD = st.sampled_from(
    ["", "0", "1", "2", "17", "4.0", "-3", " 5 ", "x", "nan", '"6"', '"a,b"', str(2**53 + 1), "1e2"]
)


@given(lines=st.lists(st.lists(FIELD, min_size=1, max_size=5).map(",".join), max_size=12), base=st.sampled_from([0, 1]))
def test_many_lines_are_taken_as_one_by_one(lines: list[str], base: int) -> None:
    content = [f"{line}\n".encode() for line in ("epoch,val/loss,step", *lines)]
    together, apart = CsvFile("metrics.csv", base=base), CsvFile("metrics.csv", base=base)
    together.take(0, content)
    LineFile.take(apart, 0, content)
    for name in ("steps", "epochs", "offsets"):
        assert getattr(together.index, name) == getattr(apart.index, name)


ODD = [
    ("", {}),
    ("\n\n\n", {}),
    ("epoch,step\n", {}),
    ("step,a\n5\n5,1.0,2.0\n5,x\n", {}),
    ("step,a\n5,nan\n", {"a": float("nan")}),
    ("step,a,a b,ü-é\n5,1e-3,inf,2\n", {"a": 0.001, "a b": float("inf"), "ü-é": 2.0}),
    ('step,"a,b",c\n5,0.5,"text, more"\n', {"a,b": 0.5}),
    ("step,a\n5.0,1\n", {"a": 1.0}),
    ("step,a\n-5,1\n99999999999999999999999,1\n", {}),
    ("\ufeffstep,a\n5,1\n", {"a": 1.0}),
    ("step,a\n" + "x" * 3_000_000 + "\n5,1\n", {"a": 1.0}),
]


@pytest.mark.parametrize(("text", "row"), ODD)
def test_odd_files(tmp_path: Path, text: str, row: Row) -> None:
    assert str(on_step(opened(tmp_path / "metrics.csv", text), 5)) == str(dict(row))
