"""``sidecar validate`` on trees made by hand, and no row with a value from the wrong file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogdb import Catalog, MetadataValidator
from catalogdb.lightning.files import embed
from catalogdb.records import Checkpoint, sidecar_path
from tests.e2e.cli.harness import Run
from tests.e2e.cli.saved import lightning

torch = pytest.importorskip("torch")


def document(path: Path, epoch: int, *, architecture: str = "dbnet", **metrics: float) -> dict[str, Any]:
    return {
        "schema_version": "1.0",
        "checkpoint_path": f"{path.parent.parent.name}/checkpoints/{path.name}",
        "exp_name": path.parent.parent.name,
        "created_at": "2026-01-31T12:00:00",
        "training": {"epoch": epoch, "global_step": epoch * 10 + 10},
        "model": {
            "architecture": architecture,
            "encoder": {"model_name": f"{architecture}-encoder"},
            "decoder": {"name": "d"},
            "head": {"name": "h"},
            "loss": {"name": "l"},
        },
        "metrics": {"hmean": (epoch + 1) / 33, "additional_metrics": {"val/hmean": (epoch + 1) / 33, **metrics}},
        "checkpointing": {"monitor": "val/hmean", "mode": "max"},
    }


def put(path: Path, content: dict[str, Any] | str) -> Path:
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    sidecar = Path(sidecar_path(str(path)))
    sidecar.write_text(text, encoding="utf-8")
    return sidecar


def run_of(root: Path, name: str, epochs: range) -> list[Path]:
    """Checkpoints, each with its true sidecar, and in that a metric that only the sidecar knows: its epoch."""
    folder = root / name / "checkpoints"
    folder.mkdir(parents=True)
    paths = [lightning(folder, epoch) for epoch in epochs]
    for epoch, path in zip(epochs, paths, strict=True):
        put(path, document(path, epoch, epoch_it_is=float(epoch)))
    return paths


def validated(run: Run, root: Path) -> dict[str, list[dict[str, Any]]]:
    """By path: the rows of the table. As Python has it, it is the same."""
    ended = run("sidecar", "validate", str(root), "--format", "json")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(ended.out):
        found.setdefault(row.pop("path"), []).append(row)
    report = MetadataValidator().validate_directory(root)
    assert {str(check.path): check.kind for check in report.results} == {
        path: rows[0]["class"] for path, rows in found.items()
    }
    assert ended.code == (0 if report.valid == len(report.results) > 0 else 1)
    for check in report.results:
        alone = MetadataValidator().validate_checkpoint_file(check.path)
        assert (alone.kind, alone.error) == (check.kind, check.error)
    return found


def classes(run: Run, root: Path) -> dict[str, str]:
    return {str(Path(path).relative_to(root)): rows[0]["class"] for path, rows in validated(run, root).items()}


def rows_of(root: Path) -> dict[str, Checkpoint]:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(root)
        return {row.path: row for row in catalog.search("", max_results=None)}


def assert_true(root: Path) -> None:
    """Whatever the sidecars say: each row has its own epoch, step, score and model, or none."""
    for path, row in rows_of(root).items():
        header = torch.load(path, weights_only=True)
        assert row.epoch == header["epoch"]
        assert row.global_step == header["global_step"]
        assert row.metrics["val/hmean"] == pytest.approx((header["epoch"] + 1) / 33)
        assert row.hmean == pytest.approx((header["epoch"] + 1) / 33)
        assert row.metrics.get("epoch_it_is", header["epoch"]) == header["epoch"]
        assert row.architecture == header["hyper_parameters"]["architecture_name"]


def test_all_is_well(tmp_path: Path, run: Run) -> None:
    run_of(tmp_path / "outputs", "run", range(3))
    assert set(classes(run, tmp_path / "outputs").values()) == {"valid"}
    ended = run("sidecar", "validate", str(tmp_path / "outputs"))
    assert (ended.code, ended.err) == (0, "3 valid\n")
    assert_true(tmp_path / "outputs")


def test_stale_ones(tmp_path: Path, run: Run) -> None:
    """What the seed's callback leaves: the sidecar of the best, rewritten with the numbers of each later epoch."""
    best, other, missing = run_of(tmp_path, "run", range(3))
    put(best, document(best, 7, epoch_it_is=7.0))
    put(other, {**document(other, 1), "training": {"epoch": 7, "global_step": 20}})
    Path(sidecar_path(str(missing))).unlink()
    found = validated(run, tmp_path)
    assert [rows[0]["class"] for rows in found.values()] == ["drift", "drift", "missing"]
    assert found[str(best)][0]["reason"] == (
        "is about global_step 80, but the checkpoint is of global_step 10; its metrics are not used"
    )
    assert found[str(other)][0]["reason"] == "epoch is 1 by the file, but 7 by the sidecar; the first counts"
    assert_true(tmp_path)


def test_stale_ones_leave_nothing(tmp_path: Path, run: Run) -> None:
    paths = run_of(tmp_path, "run", range(4))
    for path in paths[:-1]:
        put(path, document(path, 3, epoch_it_is=3.0))
    assert [*classes(run, tmp_path).values()] == ["drift"] * 3 + ["valid"]
    assert_true(tmp_path)


def test_swapped_ones(tmp_path: Path, run: Run) -> None:
    """Within a run and between two runs of the same epochs, where only names and scores tell."""
    one, two, three, four = run_of(tmp_path, "run", range(4))
    swap(one, two)
    other = run_of(tmp_path, "other", range(2, 4))
    swap(three, other[0])
    assert classes(run, tmp_path) == {
        **{f"run/checkpoints/{path.name}": kind for path, kind in ((one, "drift"), (two, "drift"), (four, "valid"))},
        f"other/checkpoints/{other[0].name}": "valid",
        f"other/checkpoints/{other[1].name}": "valid",
        f"run/checkpoints/{three.name}": "valid",
    }
    assert_true(tmp_path)


def swap(one: Path, other: Path) -> None:
    sidecars = [Path(sidecar_path(str(path))) for path in (one, other)]
    texts = [path.read_text(encoding="utf-8") for path in sidecars]
    for path, text in zip(sidecars, reversed(texts), strict=True):
        path.write_text(text, encoding="utf-8")


def test_truncated_ones(tmp_path: Path, run: Run) -> None:
    """Cut at each place: never a value that wasn't written, and invalid as long as anything that is required lacks."""
    (path,) = run_of(tmp_path, "run", range(1))
    sidecar = Path(sidecar_path(str(path)))
    whole = sidecar.read_text(encoding="utf-8")
    validator = MetadataValidator()
    for size in range(0, len(whole) - 1, 7):
        sidecar.write_text(whole[:size], encoding="utf-8")
        assert validator.validate_checkpoint_file(path).kind == "invalid", whole[:size]
    for size in (0, len(whole) // 3, len(whole) // 2, len(whole) - 3):
        sidecar.write_text(whole[:size], encoding="utf-8")
        assert_true(tmp_path)
    sidecar.write_text(whole[: whole.index("training")], encoding="utf-8")
    faults = validated(run, tmp_path)[str(path)]
    assert [(fault["class"], fault["field"], fault["reason"]) for fault in faults] == [
        ("invalid", name, "is missing") for name in ("training", "model", "metrics", "checkpointing")
    ]


def test_foreign_ones(tmp_path: Path, run: Run) -> None:
    """Of another project: by another epoch, another model, another score, and the file it names."""
    epoch, model, score, named = paths = run_of(tmp_path / "ours", "run", range(4))
    theirs = run_of(tmp_path / "theirs", "far", range(4))
    put(epoch, document(theirs[0], 9, epoch_it_is=9.0))
    put(model, document(theirs[1], 1, architecture="craft", epoch_it_is=9.0))
    put(score, {**document(theirs[2], 2), "metrics": {"hmean": 0.99, "additional_metrics": {"epoch_it_is": 9.0}}})
    unscored = {"hmean": None, "additional_metrics": {"epoch_it_is": 9.0}}
    absolute = {"checkpoint_path": str(theirs[3]), "metrics": unscored}
    put(named, {**document(theirs[3], 3), **absolute})
    found = validated(run, tmp_path / "ours")
    assert {path: rows[0]["class"] for path, rows in found.items()} == {str(path): "drift" for path in paths}
    assert all(rows[0]["reason"].endswith("; nothing of it is used") for rows in found.values()), found
    assert_true(tmp_path / "ours")


def test_the_field_the_line_and_why(tmp_path: Path, run: Run) -> None:
    first, second, third, fourth = run_of(tmp_path, "run", range(4))
    text = yaml.safe_dump(document(first, 0), sort_keys=False)
    put(first, text.replace("mode: max", "mode: best").replace("hmean: 0.0303", "hmean: 3.0303", 1))
    put(second, text.replace("  global_step: 10\n", ""))
    put(third, text.replace("exp_name: run", "exp_name: [run"))
    put(fourth, text.replace("schema_version: '1.0'", "schema_version: '2.0'"))
    found = [*validated(run, tmp_path).values()]
    lines = text.splitlines()
    wrong = [(each["field"], each["line"], each["reason"]) for rows in found for each in rows]
    assert wrong[0][:2] == ("metrics.hmean", 1 + next(at for at, line in enumerate(lines) if "hmean: 0" in line))
    assert wrong[1] == (
        "checkpointing.mode",
        1 + lines.index("  mode: max"),
        "should be 'min' or 'max', not 'best'",
    )
    assert wrong[2] == ("training.global_step", 1 + lines.index("training:"), "is missing")
    assert wrong[3][:2] == (None, 1 + lines.index("created_at: '2026-01-31T12:00:00'"))
    assert wrong[4][:2] == ("schema_version", 1)


def test_the_record_in_the_file_is_held_against_the_sidecar(tmp_path: Path, run: Run) -> None:
    (path,) = run_of(tmp_path, "run", range(1))
    checkpoint = torch.load(path, weights_only=True)
    embed(checkpoint, document(path, 0, epoch_it_is=0.0))
    torch.save(checkpoint, path)
    assert [*classes(run, tmp_path).values()] == ["valid"]
    put(path, document(path, 0, epoch_it_is=5.0))
    assert validated(run, tmp_path)[str(path)][0]["reason"].startswith(
        "epoch_it_is is 0 by the record in the file, but"
    )


def test_what_was_written_is_valid(tmp_path: Path, run: Run) -> None:
    for sidecar in (Path(sidecar_path(str(path))) for path in run_of(tmp_path, "run", range(3))):
        sidecar.unlink()
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(tmp_path)
        assert len(list(catalog.write_sidecars())) == 3
    assert set(classes(run, tmp_path).values()) == {"valid"}


def test_the_roots_that_are_known(tmp_path: Path, run: Run) -> None:
    run_of(tmp_path / "outputs", "run", range(1))
    database = str(tmp_path / "catalog.db")
    assert run("sidecar", "validate", "--db", database).code == 3
    assert run("scan", str(tmp_path / "outputs"), "--db", database).code == 0
    assert run("sidecar", "validate", "--db", database).code == 0
    shutil.rmtree(tmp_path / "outputs" / "run")
    ended = run("sidecar", "validate", "--db", database)
    assert (ended.code, ended.err) == (1, "no checkpoints\n")
    assert run("sidecar", "validate", str(tmp_path / "nowhere")).code == 3


def test_a_root_that_is_gone_does_not_stop_the_others(tmp_path: Path, run: Run) -> None:
    database = str(tmp_path / "catalog.db")
    for name in ("a", "b"):
        run_of(tmp_path / name, "run", range(1))
    assert run("scan", str(tmp_path / "a"), str(tmp_path / "b"), "--db", database).code == 0
    shutil.rmtree(tmp_path / "a")
    ended = run("sidecar", "validate", "--db", database, "--format", "csv")
    assert (ended.code, len(ended.lines)) == (3, 2)
    assert ended.err.splitlines() == ["1 valid", f"catalogdb: error: {tmp_path / 'a'}: no such folder"]
