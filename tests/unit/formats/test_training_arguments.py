"""A Trainer's arguments, as transformers pickles them: read as data, without what gives access to anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from catalogdb.formats import read_header
from tests.unit.formats.test_folders import trainer_folder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


class Inherits(transformers.TrainingArguments):  # type: ignore[misc,name-defined]  # an optional package's
    """As TRL's configs do."""


def arguments(folder: Path, kind: Any = transformers.TrainingArguments, **more: Any) -> Path:
    path = folder / "training_args.bin"
    given = {"output_dir": "out", "report_to": [], "use_cpu": True, "learning_rate": 0.25, **more}
    torch.save(kind(**given), path)
    return path


@pytest.mark.parametrize("kind", [transformers.TrainingArguments, Inherits])
def test_arguments_by_name(tmp_path: Path, kind: Any) -> None:
    folder = trainer_folder(tmp_path)
    arguments(
        folder,
        kind,
        eval_strategy="epoch",
        metric_for_best_model="f1",
        hub_token="hf_secret",
        lr_scheduler_kwargs={"power": 2},
    )
    header = read_header(str(folder))
    found = header.hyper_parameters
    assert header.state == "ready"
    assert found["model_type"] == read_header(str(trainer_folder(tmp_path / "other"))).hyper_parameters["model_type"]
    assert {name: found[name] for name in ("learning_rate", "eval_strategy", "greater_is_better", "optim")} == {
        "learning_rate": 0.25,
        "eval_strategy": "epoch",
        "greater_is_better": True,
        "optim": transformers.TrainingArguments(output_dir="x", use_cpu=True).optim.value,
    }
    assert found["lr_scheduler_kwargs.power"] == 2
    assert "hf_secret" not in found.values()
    assert not any(name.startswith("_") for name in found)


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_what_else_lies_there_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = trainer_folder(tmp_path)
    without = read_header(str(folder))
    path = arguments(folder)
    whole = path.read_bytes()
    for content in (whole[:-100], b"", b"text", whole[:1000]):
        path.write_bytes(content)
        assert read_header(str(folder)).hyper_parameters == without.hyper_parameters
    torch.save(Hostile(), path)
    found = read_header(str(folder))
    assert (found.state, found.hyper_parameters) == (without.state, without.hyper_parameters)
    assert not (tmp_path / "executed").exists()
    torch.save({"epoch": 3, "learning_rate": 0.5, "args": {"lr": 1}}, path)
    assert read_header(str(folder)).hyper_parameters == without.hyper_parameters


def test_by_themselves_they_are_no_checkpoint(tmp_path: Path) -> None:
    header = read_header(str(arguments(tmp_path)))
    assert (header.state, header.reason) == ("foreign", "a Trainer's arguments")
