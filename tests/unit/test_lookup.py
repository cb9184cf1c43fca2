"""The seed's small questions about one checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalogdb import extract_run_id_from_checkpoint
from catalogdb.lightning.files import embed

torch = pytest.importorskip("torch")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "dbnet" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / "last.ckpt"


def save(checkpoint: Path, *, record: dict[str, Any] | None = None, **hyper_parameters: Any) -> None:
    content = {"epoch": 1, "global_step": 20, "state_dict": {}, "hyper_parameters": hyper_parameters}
    if record is not None:
        embed(content, record)
    torch.save(content, checkpoint)


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_the_sidecar_then_the_config_then_the_checkpoint(checkpoint: Path) -> None:
    assert extract_run_id_from_checkpoint(checkpoint) is None
    save(checkpoint, wandb_run_id="of-file0")
    assert extract_run_id_from_checkpoint(checkpoint) == "of-file0"
    write(checkpoint.parent.parent / "config.yaml", {"logger": {"wandb": {"id": "ofconfig"}}})
    assert extract_run_id_from_checkpoint(str(checkpoint)) == "ofconfig"
    write(checkpoint.with_suffix(".metadata.yaml"), {"wandb_run_id": " team/ocr/sidecar0 "})
    assert extract_run_id_from_checkpoint(checkpoint) == "team/ocr/sidecar0"


def test_the_checkpoints_own_record(checkpoint: Path) -> None:
    save(checkpoint, record={"wandb_run_id": "team/ocr/record00"}, wandb_run_id="of-file0")
    assert extract_run_id_from_checkpoint(checkpoint) == "team/ocr/record00"


def test_a_checkpoint_that_is_not_there_has_what_lies_beside_it(checkpoint: Path) -> None:
    wandb = {"id": "ofconfig", "entity": "team", "project": "ocr"}
    write(checkpoint.parent.parent / "config.yaml", {"logger": {"wandb": wandb}})
    assert extract_run_id_from_checkpoint(checkpoint) == "team/ocr/ofconfig"


@pytest.mark.parametrize("value", ["unknown", "", "${oc.env:RUN}", "???", None, 12, ["abc123de"]])
def test_what_stands_in_for_an_id_is_none(checkpoint: Path, value: object) -> None:
    write(checkpoint.with_suffix(".metadata.yaml"), {"wandb_run_id": value})
    save(checkpoint, wandb_run_id="of-file0")
    assert extract_run_id_from_checkpoint(checkpoint) == "of-file0"


def test_broken_files_are_passed_over(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.with_suffix(".metadata.yaml").write_text("wandb_run_id: [", encoding="utf-8")
    checkpoint.write_bytes(b"no checkpoint")
    assert extract_run_id_from_checkpoint(checkpoint) is None
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"]


def test_a_path_alone_names_no_run(tmp_path: Path) -> None:
    folder = tmp_path / "ocr" / "abc123de" / "checkpoints"
    folder.mkdir(parents=True)
    save(folder / "last.ckpt")
    assert extract_run_id_from_checkpoint(folder / "last.ckpt") is None


def test_who_was_asked_is_logged(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "catalogdb")
    save(checkpoint, wandb_run_id="of-file0")
    extract_run_id_from_checkpoint(checkpoint)
    said = [record.getMessage().rpartition("by its ")[2] for record in caplog.records]
    assert said == ["sidecar: None", "config: None", "record: None", "hyperparameters: of-file0"]


def test_the_limits_of_the_settings_hold(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(checkpoint, wandb_run_id="of-file0")
    monkeypatch.setenv("CATALOGDB_LIMITS_ZIP_ENTRIES", "3")
    assert extract_run_id_from_checkpoint(checkpoint) is None
    monkeypatch.setenv("CATALOGDB_LIMITS_ZIP_ENTRIES", "100")
    assert extract_run_id_from_checkpoint(checkpoint) == "of-file0"
