from __future__ import annotations

from pathlib import Path

import pytest

from catalogdb.errors import MetadataError, RootError
from catalogdb.metadata import CheckpointMetadataV1
from catalogdb.validation import MetadataValidator
from tests.unit.test_metadata import DOCUMENT, EXAMPLE, example

VALIDATOR = MetadataValidator()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.ckpt", "b.pth.tar", "notes.txt", "runs/c.safetensors", "runs/d.pt", ".git/e.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a.metadata.yaml").write_text(EXAMPLE)
    (tmp_path / "b.pth.metadata.yaml").write_text(EXAMPLE.replace("mode: max", "mode: best"))
    (tmp_path / "runs" / "c.metadata.yaml").write_text("a: [")
    return tmp_path


def test_metadata_comes_back_or_raises() -> None:
    metadata = example()
    assert VALIDATOR.validate_metadata(metadata) is metadata
    assert VALIDATOR.validate_metadata(DOCUMENT) == metadata
    metadata.metrics.additional_metrics["a"] = "x"  # type: ignore[assignment]
    with pytest.raises(MetadataError, match=r"metrics\.additional_metrics\.a"):
        VALIDATOR.validate_metadata(metadata)
    with pytest.raises(ValueError, match="training: is missing"):
        VALIDATOR.validate_metadata({name: DOCUMENT[name] for name in DOCUMENT if name != "training"})


def test_one_file(tree: Path) -> None:
    check = VALIDATOR.validate_checkpoint_file(str(tree / "a.ckpt"))
    assert (check.path, check.is_valid, check.error, check.error_type) == (tree / "a.ckpt", True, None, None)
    assert isinstance(check.metadata, CheckpointMetadataV1)


@pytest.mark.parametrize(
    ("name", "error_type", "error"),
    [
        ("b.pth.tar", "invalid", "b.pth.metadata.yaml: checkpointing.mode: should be 'min' or 'max', not 'best'"),
        ("runs/c.safetensors", "unreadable", "c.metadata.yaml: is no valid YAML"),
        ("runs/d.pt", "missing", "d.metadata.yaml: there is no sidecar"),
        ("a.ckpt/x.ckpt", "unreadable", "x.metadata.yaml: Not a directory"),
    ],
)
def test_what_is_wrong(tree: Path, name: str, error_type: str, error: str) -> None:
    check = VALIDATOR.validate_checkpoint_file(tree / name)
    assert (check.is_valid, check.error_type, check.metadata) == (False, error_type, None)
    assert error in (check.error or "")


def test_batch_keeps_the_order(tree: Path) -> None:
    checks = VALIDATOR.validate_batch([tree / "runs/d.pt", str(tree / "a.ckpt")])
    assert [(check.path.name, check.is_valid) for check in checks] == [("d.pt", False), ("a.ckpt", True)]


def test_directory(tree: Path) -> None:
    (tree / "runs" / "loop").symlink_to(tree)
    report = VALIDATOR.validate_directory(tree)
    assert (report.valid, report.invalid, report.missing) == (1, 2, 1)
    assert [check.path.name for check in report.results] == ["a.ckpt", "b.pth.tar", "c.safetensors", "d.pt"]
    first, *rest = report.summary().splitlines()
    assert first == f"{tree}: 4 checkpoints: 1 valid, 2 invalid, 1 missing, 0 drift"
    assert [line.startswith(f"  {tree}") for line in rest] == [True, True]


def test_directory_alone(tree: Path) -> None:
    report = VALIDATOR.validate_directory(str(tree / "runs"), recursive=False)
    assert (report.valid, report.invalid, report.missing) == (0, 1, 1)
    assert len(VALIDATOR.validate_directory(tree, recursive=False).results) == 2


def test_no_directory(tree: Path) -> None:
    with pytest.raises(RootError, match="no such folder"):
        VALIDATOR.validate_directory(tree / "gone")
    with pytest.raises(RootError, match="is a file"):
        VALIDATOR.validate_directory(tree / "a.ckpt")
