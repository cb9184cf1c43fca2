"""``best``, ``ls``, ``show``, ``sql`` and ``status``: what answers."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.cli.harness import Demo, Run, Shell, assert_one_line


def test_best_is_a_file_name(ask: Run, demo: Demo) -> None:
    ended = ask("best", "-m", "val/hmean")
    assert ended.code == 0
    assert len(ended.lines) == 1
    assert Path(ended.lines[0]).is_relative_to(demo.outputs)


def test_best_says_how_many_were_left_out(ask: Run) -> None:
    everything = json.loads(ask("ls", "--format", "json").out)
    without = sum("val/hmean" not in row["metrics"] for row in everything)
    ended = ask("best", "-m", "val/hmean")
    assert (f"{without} checkpoint" in ended.err) == bool(without)


def test_best_by_the_name_of_a_field_says_that_others_have_it_by_another_metric(ask: Run) -> None:
    """The demo's sidecars have a metric called ``hmean``; the other checkpoints' ``hmean`` is their ``val/hmean``."""
    ended = ask("best", "-m", "hmean")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "16 checkpoints have no hmean",
        "16 of them have the field hmean, from another metric: catalogdb ls -S -hmean goes by the field",
    ]
    assert "from another metric" not in ask("best", "-m", "hmean", "-w", "source = 'yaml'").err
    assert "from another metric" not in ask("best", "-m", "val/hmean").err


def test_best_of_each(ask: Run) -> None:
    rows = json.loads(ask("best", "-m", "val/loss", "--per", "exp_name", "--format", "json").out)
    assert len({row["exp_name"] for row in rows}) == len(rows) > 1
    assert len(ask("best", "-m", "val/loss", "--per", "exp_name", "-n", "1").lines) == 1


def test_best_of_each_counts_what_is_in_no_group(ask: Run) -> None:
    without = json.loads(ask("ls", "metrics.`val/hmean` IS NOT NULL AND config_path IS NULL", "--format", "json").out)
    assert len(without) > 1
    ended = ask("best", "-m", "val/hmean", "--per", "config_path")
    assert f"{len(without)} checkpoints have val/hmean, but no config_path" in ended.err.splitlines()
    ended = ask("best", "-m", "val/hmean", "--per", "config_path", "-w", "config_path IS NOT NULL")
    assert "no config_path" not in ended.err
    ended = ask("best", "-m", "val/hmean", "--per", "params.zzz")
    assert (ended.code, ended.out) == (1, "")
    assert "checkpoints have val/hmean, but no params.zzz" in ended.err


@pytest.mark.parametrize("style", ["json", "jsonl"])
def test_sql_columns_of_one_name_are_told_apart(ask: Run, style: str) -> None:
    found = json.loads(ask("sql", "SELECT 1 a, 2 a, 3 b, 4 a", "--format", style).out)
    assert (found[0] if style == "json" else found) == {"a": 1, "a:1": 2, "b": 3, "a:2": 4}


def test_best_takes_a_direction(ask: Run) -> None:
    values = {
        mode: json.loads(ask("best", "-m", "val/loss", "--mode", mode, "--format", "json").out)[0]["metrics"][
            "val/loss"
        ]
        for mode in ("min", "max")
    }
    assert values["min"] < values["max"]


def test_best_ranks(ask: Run) -> None:
    rows = json.loads(ask("best", "-m", "val/hmean", "-n", "0", "--format", "json").out)
    scores = [row["metrics"]["val/hmean"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 2


def test_best_of_nothing(ask: Run) -> None:
    ended = ask("best", "-m", "val/hmean", "-w", "epoch > 1000")
    assert (ended.code, ended.out) == (1, "")
    assert "nothing matched" in ended.err
    assert json.loads(ask("best", "-m", "val/hmean", "-w", "epoch > 1000", "--format", "json").out) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["best", "-m", "val/hmeen"], ["val/hmean"]),
        (["best", "-m", "val/hmean", "--per", "exp_nam"], ["exp_name"]),
        (["best", "-m", "val/hmean", "-w", "epch > 1"], ["epch", "epoch", "^"]),
        (["ls", "epoch >"], ["^"]),
        (["ls", "-S", "epch"], ["epoch"]),
        (["ls", "-c", "epch"], ["-c: epch", "did you mean epoch?"]),
        (["ls", "-c", "metrics.val/hmeen"], ["did you mean val/hmean?"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_unknown_names_end_with_near_ones(ask: Run, arguments: list[str], words: list[str]) -> None:
    ended = ask(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("catalogdb: error: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


def test_ls_in_every_format_tells_the_same(ask: Run, demo: Demo) -> None:
    order = ["-S", "path"]
    paths = ask("ls", *order, "--format", "path").lines
    assert len(paths) == demo.size
    assert all(Path(path).is_file() for path in paths)
    records = json.loads(ask("ls", *order, "--format", "json").out)
    assert [record["path"] for record in records] == paths
    assert [json.loads(line) for line in ask("ls", *order, "--format", "jsonl").lines] == records
    for style, delimiter in (("csv", ","), ("tsv", "\t")):
        rows = list(csv.DictReader(io.StringIO(ask("ls", *order, "--format", style).out), delimiter=delimiter))
        assert [row["path"] for row in rows] == paths
        assert [row["metrics.val/loss"] for row in rows] == [
            "" if (value := record["metrics"].get("val/loss")) is None else repr(value) for record in records
        ]
    assert len(ask("ls", *order, "--format", "md").lines) == demo.size + 2
    table = ask("ls", *order).lines
    assert [line.split("  ")[0] for line in table[1:]] == paths


def test_print0_is_for_xargs(ask: Run, shell: Shell) -> None:
    paths = ask("ls", "--format", "path").out
    assert ask("ls", "--print0").out == paths.replace("\n", "\0")
    assert ask("ls", "--print0", "--format", "path").out == paths.replace("\n", "\0")
    assert ask("best", "-m", "val/hmean", "--print0").out.count("\0") == 1
    assert ask("sql", "SELECT path FROM checkpoint_overview ORDER BY path", "--print0").out.count("\0") > 10
    assert shell("catalogdb ls --print0 | xargs -0 ls -d").stdout.decode() == paths


def test_parquet_holds_what_csv_does(ask: Run, demo: Demo, shell: Shell, home: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert shell("catalogdb ls --format parquet > rows.parquet").stderr == b""
    table = parquet.read_table(home / "rows.parquet")
    records = json.loads(ask("ls", "--format", "json").out)
    rows = table.to_pylist()
    assert len(rows) == demo.size
    for row, record in zip(rows, records, strict=True):
        assert row["path"] == record["path"]
        assert row["epoch"] == record["epoch"]
        assert row["metrics.val/loss"] == record["metrics"].get("val/loss")
        assert json.loads(row["params"] or "{}") == record["params"]
    assert str(table.schema.field("epoch").type) == "double"
    assert shell("catalogdb ls --format parquet -c epoch,params.optimizer.lr | head -c 4").stdout == b"PAR1"


def test_ls_columns(ask: Run, demo: Demo) -> None:
    rows = json.loads(ask("ls", "-c", "epoch,metrics.val/loss,params.lr,source", "--format", "json").out)
    assert len(rows) == demo.size
    assert all(list(row) == ["epoch", "metrics.val/loss", "params.lr", "source"] for row in rows)


def test_ls_filters_and_orders(ask: Run) -> None:
    rows = json.loads(ask("ls", "architecture = 'dbnet' AND epoch >= 6", "-S", "-epoch", "--format", "json").out)
    assert {row["architecture"] for row in rows} == {"dbnet"}
    assert [row["epoch"] for row in rows] == sorted((row["epoch"] for row in rows), reverse=True)
    assert ask("ls", "-S", "architecture,epoch DESC", "-n", "1").code == 0


def test_ls_says_when_there_is_more(ask: Run, demo: Demo) -> None:
    ended = ask("ls", "-n", "5")
    assert len(ended.lines) == 6
    assert ended.err == f"5 of {demo.size}; -n 0 shows all\n"
    assert ask("ls", "-n", "0").err == ""
    assert ask("ls", "-n", str(demo.size)).err == ""
    assert ask("ls", "-n", "5", "-q").err == ""


def test_ls_paths_are_relative_to_here(ask: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.outputs.parent)
    assert all(line.startswith("outputs/") for line in ask("ls").lines[1:])


def test_ls_of_nothing(ask: Run) -> None:
    ended = ask("ls", "epoch > 1000")
    assert (ended.code, ended.out) == (1, "")
    assert "nothing matched" in ended.err


def test_show_says_where_each_value_comes_from(ask: Run) -> None:
    path = ask("best", "-m", "val/hmean", "-w", "source = 'yaml'").lines[0]
    ended = ask("show", path, "--format", "csv")
    rows = {row["field"]: row for row in csv.DictReader(io.StringIO(ended.out))}
    assert rows["path"]["value"] == path
    assert rows["architecture"]["value"] == "dbnet"
    assert rows["architecture"]["tier"] == "yaml"
    assert rows["architecture"]["source"].endswith(".metadata.yaml")
    assert rows["metrics.val/hmean"]["scope"] == "checkpoint"


def test_show_describes_the_weights(ask: Run) -> None:
    path = ask("best", "-m", "val/hmean", "-w", "source != 'yaml'").lines[0]
    rows = {row["field"]: row for row in csv.DictReader(io.StringIO(ask("show", path, "--format", "csv").out))}
    assert int(rows["weights.num_parameters"]["value"]) > 0


def test_show_finds_by_path_and_by_id(ask: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ask("ls", "-n", "1", "--format", "path").lines[0]
    record = json.loads(ask("show", path, "--format", "json").out)
    assert json.loads(ask("show", str(record["id"]), "--format", "json").out) == record
    monkeypatch.chdir(demo.outputs)
    assert json.loads(ask("show", os.path.relpath(path), "--format", "json").out) == record


@pytest.mark.parametrize("ref", ["nope.ckpt", "99999", "@nope"])
def test_show_of_what_is_not_known(ask: Run, ref: str) -> None:
    assert_one_line(ask("show", ref), 1, ref.lstrip("@"))


def test_sql(ask: Run) -> None:
    query = "SELECT path, epoch FROM checkpoint_overview WHERE epoch >= :least AND architecture = :kind ORDER BY path"
    parameters = ["-p", "least", "6", "-p", "kind", "dbnet"]
    rows = json.loads(ask("sql", query, *parameters, "--format", "json").out)
    assert rows
    assert all(row["epoch"] >= 6 for row in rows)
    assert ask("sql", query, *parameters, "--format", "path").lines == [row["path"] for row in rows]
    assert ask("sql", "SELECT 1 AS one, NULL AS two", "--format", "csv").out == "one,two\n1,\n"


@pytest.mark.parametrize(
    "query",
    ["DELETE FROM checkpoints", "SELEKT 1", "SELECT * FROM nope", "PRAGMA query_only = 0", "SELECT 1; SELECT 2",
     "SELECT :missing", "ATTACH 'x.db' AS x", ""],
)  # fmt: skip
def test_sql_that_cannot_be_run(ask: Run, query: str) -> None:
    ended = ask("sql", query)
    assert ended.code in {2, 3}
    assert_one_line(ended, ended.code)


def test_sql_says_when_there_are_more_rows_than_it_gives(ask: Run) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT * FROM n"
    for rows, said in ((100_000, False), (100_001, True)):
        ended = ask("sql", numbers.format(rows), "--format", "csv")
        assert (ended.code, len(ended.lines)) == (0, 100_001)
        assert ("the first 100000 rows" in ended.err) is said


def test_status(ask: Run, demo: Demo) -> None:
    ended = ask("status")
    assert ended.code == 0
    assert str(demo.outputs) in ended.out
    assert str(demo.database) in ended.out
    status = json.loads(ask("status", "--format", "json").out)
    assert sum(status["by_state"].values()) == demo.size


def test_status_counts_the_problems_of_a_root(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    for number, shown in ((1, "; 1 problem\n"), (2, "; 2 problems\n")):
        (root / f"{number}.ckpt").symlink_to("nothing")
        run("scan", str(root))
        assert shown in run("status").out


def test_best_leaves_out_what_is_no_longer_there(ask: Run) -> None:
    first, second = ask("best", "-m", "val/hmean", "-n", "2").lines
    Path(first).rename(f"{first}.away")
    try:
        ended = ask("best", "-m", "val/hmean")
        assert (ended.code, ended.lines) == (0, [second])
        assert first in ended.err
    finally:
        Path(f"{first}.away").rename(first)


def test_best_does_not_look_for_ever_where_all_is_gone(ask: Run, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogdb.cli.best.MOST_GONE", 3)
    folders = [path for path in demo.outputs.iterdir() if path.is_dir()]
    for folder in folders:
        folder.rename(f"{folder}.away")
    try:
        assert_one_line(ask("best", "-m", "val/hmean"), 1, "can't be read", "catalogdb scan")
    finally:
        for folder in folders:
            Path(f"{folder}.away").rename(folder)


def test_best_counts_what_it_leaves_out_for_a_moment_only(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogdb.query.ask.LEFT_OUT_SECONDS", 0.0)
    long = " OR ".join(f"epoch = {number / 8}" for number in range(400))
    ended = ask("best", "-m", "val/hmean", "-w", long)
    assert (ended.code, len(ended.lines)) == (0, 1)
    assert "not counted" in ended.err


def test_an_unknown_metric_names_those_there_are(ask: Run) -> None:
    ended = ask("best", "-m", "zzz")
    assert ended.code == 2
    assert "val/hmean" in ended.err


def test_a_query_that_is_interrupted_ends_as_such(demo: Demo) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    script = "import sys; from catalogdb.cli.main import main; print('ready', flush=True); sys.exit(main())"
    command = [sys.executable, "-c", script, "--db", str(demo.database), "sql", endless]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "too long" not in errors
    assert "Traceback" not in errors


def test_du(ask: Run, demo: Demo) -> None:
    table = [line.split() for line in ask("du", "--per", "exp_name").lines]
    assert table[0] == ["exp_name", "checkpoints", "files", "size_bytes", "twin_bytes"]
    assert table[-1][:2] == ["total", str(demo.size)]
    rows = json.loads(ask("du", "--per", "exp_name", "--format", "json").out)
    assert [[str(value) for value in row.values()] for row in rows] == table[1:-1]
    assert sum(row["size_bytes"] for row in rows) == int(table[-1][3])
    ended = ask("du", "--per", "exp_nam")
    assert ended.code == 2
    assert "did you mean exp_name?" in ended.err


def test_du_of_nothing(run: Run, home: Path) -> None:
    (home / "out").mkdir()
    run("scan", "out", "--db", "own.db")
    ended = run("du", "--db", "own.db")
    assert (ended.code, ended.out, ended.err) == (1, "", "catalogdb: nothing matched\n")


def test_a_leaderboard_of_architectures(ask: Run) -> None:
    board = json.loads(ask("best", "-m", "val/hmean", "--per", "architecture", "--format", "json").out)
    every = json.loads(ask("best", "-m", "val/hmean", "-n", "0", "--format", "json").out)
    firsts = {row["architecture"]: row["id"] for row in reversed(every)}
    assert len(board) > 2
    assert [row["id"] for row in board] == [row["id"] for row in every if firsts[row["architecture"]] == row["id"]]


def test_compare(ask: Run, demo: Demo) -> None:
    paths = ask("best", "-m", "val/hmean", "--per", "exp_name").lines
    rows = json.loads(ask("compare", *paths, "--format", "json").out)
    assert all(list(row) == ["kind", "name", *paths] for row in rows)
    found = {(row["kind"], row["name"]): [row[path] for path in paths] for row in rows}
    assert len(set(found["field", "exp_name"])) == len(paths)
    assert ("param", "optimizer.weight_decay") not in found or len(set(found["param", "optimizer.weight_decay"])) > 1
    for path, value in zip(paths, found["metric", "val/hmean"], strict=True):
        assert json.loads(ask("show", path, "--format", "json").out)["metrics"]["val/hmean"] == value
    header = ask("compare", *paths).lines[0].split()
    assert header == ["kind", "name", *(path.removeprefix(f"{demo.outputs}/") for path in paths)]


def test_compare_wants_several_checkpoints(ask: Run) -> None:
    assert_one_line(ask("compare", "1"), 2, "two checkpoints")
    assert_one_line(ask("compare", "1", "2", "1"), 2, "each once")
    assert_one_line(ask("compare", "1", "nope.ckpt"), 1, "nope.ckpt")
