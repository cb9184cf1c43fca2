"""``verify``, ``diff`` and ``show --tensors``: commands that look at the files themselves."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Demo, Ended, Run, assert_one_line


@pytest.fixture
def own(run: Run, demo: Demo, home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a copy of the demo's outputs in ``outputs``, scanned."""
    shutil.copytree(demo.outputs, home / "outputs", symlinks=True)
    monkeypatch.setenv("CATALOGDB_URL", "own.db")
    assert run("scan", "outputs", "-q").code == 0
    return run


def test_verify_lists_what_is_wrong_and_ends_with_1(own: Run, home: Path) -> None:
    path = own("ls", "-n", "1", "epoch = 5", "--format", "path").lines[0]
    assert own("verify", "epoch = 5") == Ended(0, "", "")
    Path(path).unlink()
    ended = own("verify", "epoch = 5", "--format", "json")
    assert (ended.code, ended.err) == (1, "1 fault\n")
    assert json.loads(ended.out) == [{"path": path, "kind": "missing", "reason": "is no longer on disk"}]
    assert own("verify", "epoch = 5", "--format", "path", "-q") == Ended(1, f"{path}\n", "")


def test_verify_lists_the_claims_that_don_t_hold(own: Run, home: Path) -> None:
    newest = Path(own("ls", "-n", "1", "-S", "global_step DESC", "--format", "path").lines[0])
    stale = newest.with_name("last.ckpt")
    stale.unlink(missing_ok=True)
    shutil.copy2(next(path for path in sorted(newest.parent.glob("epoch*.ckpt")) if path != newest), stale)
    for sidecar in newest.parent.glob("last.*.yaml"):
        sidecar.unlink()
    assert own("scan", "outputs", "-q").code == 0
    ended = own("verify", "claims = 'last'", "--format", "json")
    (row,) = [row for row in json.loads(ended.out) if row["kind"] == "claim"]
    assert (ended.code, row["path"]) == (1, str(stale))
    assert row["reason"].startswith("is called last, of step ")
    assert newest.name in row["reason"]
    table = own("verify", "claims = 'last'")
    assert any("claim" in line and newest.name in line for line in table.lines)


def test_verify_finds_twins(own: Run) -> None:
    rows = json.loads(own("verify", "--format", "json").out)
    assert {row["kind"] for row in rows} == {"duplicate"}
    assert rows == json.loads(own("verify", "--deep", "--format", "json").out)


def test_verify_of_nothing(own: Run) -> None:
    assert_one_line(own("verify", "epoch > 1000", "--format", "path"), 1, "no checkpoint matches")
    assert own("verify", "epohc > 1").code == 2


def test_diff(own: Run) -> None:
    assert own("diff", "1", "1") == Ended(0, "", "0 of 10 tensors differ\n")
    ended = own("diff", "1", "2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert (ended.code, ended.err) == (0, "10 of 10 tensors differ\n")
    assert {row["kind"] for row in rows} >= {"field", "metric", "weights", "tensor"}
    assert {"kind": "field", "name": "epoch"}.items() <= rows[0].items()
    assert own("diff", "1", "99999").code == 1


def test_show_lists_tensors(own: Run) -> None:
    ended = own("show", "1", "--tensors", "--format", "json")
    rows = json.loads(ended.out)
    record = json.loads(own("show", "1", "--format", "json").out)
    assert ended.code == 0
    assert len(rows) == record["weights"]["num_tensors"]
    assert rows[0].keys() == {"name", "dtype", "shape", "elements", "storage", "crc32"}
    assert all(isinstance(row["shape"], list) for row in rows)
    assert f"{record['weights']['num_parameters']} parameters" in ended.err
    assert own("show", "1", "--tensors", "-q").err == ""


def test_a_file_that_is_gone_has_no_tensors(own: Run) -> None:
    Path(own("ls", "-n", "1", "id = 1", "--format", "path").lines[0]).unlink()
    for command in (("show", "1", "--tensors"), ("diff", "1", "2")):
        assert_one_line(own(*command), 3, ".ckpt")


def test_weights_that_can_t_be_read_differ_in_nothing(own: Run, home: Path) -> None:
    whole, cut = sorted(home.rglob("*.ckpt"))[:2]
    cut.write_bytes(cut.read_bytes()[:600])
    ended = own("diff", str(whole), str(cut), "--format", "json")
    assert ended.code == 0
    assert {each["kind"] for each in json.loads(ended.out)}.isdisjoint({"tensor", "weights"})
    assert ended.err == f"{cut}: the zip has no end record; weights aren't compared\n"
    cut.write_bytes(b"")
    assert own("show", str(cut), "--tensors", "--format", "csv").err == "truncated: empty\n"
