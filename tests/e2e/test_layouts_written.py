"""Trees that the frameworks write themselves, offline: each row has what was true at its own step, or null."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogdb import Catalog
from catalogdb.records import Checkpoint

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '(train|val)_dataloader' does not have many workers"),
]


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open("sqlite://") as opened:
        yield opened


def rows_of(catalog: Catalog) -> dict[str, Checkpoint]:
    return {row.rel_path: row for row in catalog.search("", max_results=None)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Trainer's output folder: six steps of a tiny model with random weights, a save and an evaluation at each
    second one."""
    transformers = pytest.importorskip("transformers")
    output = tmp_path_factory.mktemp("trained") / "bert"
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    data = [{"input_ids": [each % 16, 3, 5], "labels": each % 2} for each in range(12)]
    arguments = transformers.TrainingArguments(
        output_dir=str(output),
        num_train_epochs=3,
        per_device_train_batch_size=6,
        learning_rate=0.05,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=2,
        logging_steps=1,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        save_only_model=True,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=7,
    )
    trainer = transformers.Trainer(
        model=transformers.BertForSequenceClassification(config),
        args=arguments,
        train_dataset=data,
        eval_dataset=data[:5],
    )
    trainer.train()
    return output


@pytest.fixture
def output(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "bert")
    return tmp_path / "bert"


def state_of(folder: Path) -> dict[str, Any]:
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    assert isinstance(state, dict)
    return state


def is_of_its_step(row: Checkpoint, folder: Path) -> None:
    step = int(folder.name.rpartition("-")[2])
    state = state_of(folder)
    evaluated = [each for each in state["log_history"] if each["step"] == step and "eval_loss" in each]
    assert len(evaluated) == 1
    assert row.metrics["eval_loss"] == evaluated[0]["eval_loss"]
    assert row.provenance["metrics.eval_loss"]["scope"] == "checkpoint"
    assert (row.global_step, row.epoch, row.stated_epoch) == (step, step // 2 - 1, step / 2)


def test_a_trainer_s_rows_have_their_own_step_and_the_best_is_the_trainer_s(output: Path, catalog: Catalog) -> None:
    report = catalog.scan(output.parent)
    rows = rows_of(catalog)
    assert rows.keys() == {f"bert/checkpoint-{step}" for step in (2, 4, 6)}
    assert report.problems == ()
    for path, row in rows.items():
        is_of_its_step(row, output.parent / path)
        assert row.params["model_type"] == "bert"
        assert (row.params["learning_rate"], row.params["seed"]) == (0.05, 7)
        assert (row.params["eval_strategy"], row.params["per_device_train_batch_size"]) == ("steps", 6)
        assert (row.monitor, row.monitor_mode) == ("eval_loss", "min")
    assert len({row.metrics["eval_loss"] for row in rows.values()}) == 3
    said = Path(state_of(output / "checkpoint-6")["best_model_checkpoint"]).name
    best = catalog.best("eval_loss", mode="min")
    assert isinstance(best, Checkpoint)
    assert Path(best.path).name == said
    assert {Path(row.path).name for row in rows.values() if row.claims == "best"} == {said}


def test_a_trainer_s_output_without_the_best_loaded_has_the_last_state(output: Path, catalog: Catalog) -> None:
    """As ``save_model`` and ``save_state`` write it; the arguments beside say ``load_best_model_at_end=False``."""
    final = shutil.copytree(output / "checkpoint-6", output.parent / "final")
    said = {**state_of(final), "best_model_checkpoint": "/elsewhere/bert/checkpoint-2"}
    (final / "trainer_state.json").write_text(json.dumps(said), encoding="utf-8")
    catalog.scan(final)
    (row,) = rows_of(catalog).values()
    assert (row.epoch, row.global_step) == (2, 6)
    assert "eval_loss" in row.metrics


def test_a_trainer_s_best_that_isn_t_the_best(output: Path, catalog: Catalog) -> None:
    newest = output / "checkpoint-6" / "trainer_state.json"
    scores = {each["step"]: each["eval_loss"] for each in state_of(newest.parent)["log_history"] if "eval_loss" in each}
    best, worst = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    catalog.scan(output.parent)
    assert [fault for fault in catalog.verify() if fault.kind == "claim"] == []
    said = {**state_of(newest.parent), "best_model_checkpoint": f"/elsewhere/bert/checkpoint-{worst}"}
    newest.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")
    catalog.scan(output.parent)
    (fault,) = [fault for fault in catalog.verify() if fault.kind == "claim"]
    assert Path(fault.path).name == f"checkpoint-{worst}"
    assert fault.reason == (
        f"is called best, with eval_loss {scores[worst]:.6g}, but checkpoint-{best} has {scores[best]:.6g}"
    )


def test_a_trainer_s_state_that_was_cut_says_nothing_wrong(output: Path, catalog: Catalog) -> None:
    cut = output / "checkpoint-4" / "trainer_state.json"
    os.truncate(cut, cut.stat().st_size // 2)
    catalog.scan(output.parent)
    rows = rows_of(catalog)
    for step in (2, 6):
        is_of_its_step(rows[f"bert/checkpoint-{step}"], output / f"checkpoint-{step}")
    row = rows["bert/checkpoint-4"]
    assert (row.epoch, row.metrics) == (None, {})
    assert row.global_step in (None, 4)


def test_a_trainer_s_folder_without_its_newest(output: Path, catalog: Catalog) -> None:
    catalog.scan(output.parent)
    shutil.rmtree(output / "checkpoint-6")
    assert catalog.scan(output.parent).missing == 1
    rows = rows_of(catalog)
    assert rows.keys() == {"bert/checkpoint-2", "bert/checkpoint-4"}
    for path, row in rows.items():
        is_of_its_step(row, output.parent / path)
    said = Path(state_of(output / "checkpoint-4")["best_model_checkpoint"]).name
    assert {Path(row.path).name for row in rows.values() if row.claims == "best"} == {said}


def train_with_lightning(folder: Path, logger_name: str) -> Any:
    """Three epochs of four steps. The validation's value of an epoch is one that no other epoch has."""
    lightning = pytest.importorskip("lightning.pytorch")
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    callbacks = pytest.importorskip("lightning.pytorch.callbacks")

    class Model(lightning.LightningModule):  # type: ignore[misc,name-defined]  # an optional package's
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.layer(batch).square().mean()
            self.log("train/loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val/loss", torch.tensor(0.5 + self.current_epoch / 4))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.125)

    logger = getattr(loggers, logger_name)(folder)
    batches = torch.utils.data.DataLoader(torch.ones(4, 1))
    trainer = lightning.Trainer(
        max_epochs=3,
        logger=logger,
        callbacks=[callbacks.ModelCheckpoint(save_top_k=-1, save_last=True)],
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Model(), batches, batches)
    return trainer


@pytest.mark.parametrize("logger_name", ["CSVLogger", "TensorBoardLogger"])
def test_lightning_s_loggers(logger_name: str, tmp_path: Path, catalog: Catalog) -> None:
    """Each checkpoint states what it logged."""
    trainer = train_with_lightning(tmp_path / "proj", logger_name)
    trainer.save_checkpoint(tmp_path / "proj" / "lightning_logs" / "version_0" / "checkpoints" / "final.ckpt")
    report = catalog.scan(tmp_path / "proj")
    assert report.problems == ()
    rows = rows_of(catalog)
    saved = {Path(path).name: row for path, row in rows.items()}
    assert saved.keys() == {
        *(f"epoch={epoch}-step={4 * epoch + 4}.ckpt" for epoch in range(3)),
        "last.ckpt",
        "final.ckpt",
    }
    for name, row in saved.items():
        assert row.epoch is not None
        trained = row.epoch - (name == "final.ckpt")  # saved after fit, it counts the epochs that are done
        assert row.global_step == 4 * trained + 4
        assert row.metrics["val/loss"] == 0.5 + trained / 4
        assert row.provenance["metrics.val/loss"]["scope"] == "checkpoint"
    assert len({row.metrics["train/loss"] for row in saved.values()}) == 3
    assert {name: row.claims for name, row in saved.items() if row.claims} == {
        "last.ckpt": "last",
        "final.ckpt": "last",
    }


def log_to_mlflow(folder: Path, *, every_epoch: bool) -> None:
    mlflow = pytest.importorskip("mlflow")
    checkpoints = pytest.importorskip("mlflow.utils.checkpoint_utils")

    class Saves(checkpoints.MlflowModelCheckpointCallbackBase):  # type: ignore[misc,name-defined]  # as above
        def save_checkpoint(self, filepath: str) -> None:
            torch.save({"w": torch.ones(2)}, filepath)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri(folder.as_uri())
        with mlflow.start_run():
            saves = Saves(".pth", "val_loss", "min", False, True, "epoch" if every_epoch else 5)
            for epoch in range(2):
                saves.check_and_save_checkpoint_if_needed(epoch, 5 * epoch + 5, {"val_loss": 0.5 - epoch / 4})


@pytest.mark.parametrize("every_epoch", [True, False])
def test_mlflow_s_autologged_checkpoints(every_epoch: bool, tmp_path: Path, catalog: Catalog) -> None:
    log_to_mlflow(tmp_path / "mlruns", every_epoch=every_epoch)
    catalog.scan(tmp_path / "mlruns")
    found = [(row.epoch, row.global_step, row.metrics) for row in rows_of(catalog).values()]
    assert sorted(found, key=lambda each: each[1] or 0) == [(0, 5, {"val_loss": 0.5}), (1, 10, {"val_loss": 0.25})]


METRICS = {
    "trainer": "checkpoint-4/trainer_state.json",
    "CSVLogger": "metrics.csv",
    "TensorBoardLogger": "events.out.tfevents.*",
    "mlflow": "checkpoint_metrics.json",
}
"""Each tree's metrics file, the last of that name."""

OF_THE_PLACE = {"id", "path", "root", "rel_path", "config_path", "link_target"}
OF_THE_FILE = {"state", "format", "mtime", "size_bytes", "problems"}


@pytest.fixture(scope="module", params=METRICS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name: str = request.param
    if name == "trainer":
        trained: Path = request.getfixturevalue("trained")
        return name, trained.parent
    root = tmp_path_factory.mktemp(name) / "proj"
    if name == "mlflow":
        log_to_mlflow(root, every_epoch=True)
    else:
        train_with_lightning(root, name)
    return name, root


@pytest.fixture
def tree(written: tuple[str, Path], tmp_path: Path) -> tuple[str, Path]:
    shutil.copytree(written[1], tmp_path / "here" / "proj")
    return written[0], tmp_path / "here" / "proj"


def is_right_or_null(row: Checkpoint, before: Checkpoint, leaving_out: set[str]) -> None:
    known = before.to_dict()
    for name, value in row.to_dict().items():
        if name in leaving_out:
            continue
        if isinstance(value, dict) and name != "provenance":
            assert value.items() <= known[name].items()
        elif name != "provenance":
            assert value in (known[name], None), name


def move(root: Path) -> Path:
    moved = root.parents[1] / "elsewhere" / "proj"
    moved.parent.mkdir()
    root.rename(moved)
    return moved


def cut(name: str, root: Path) -> None:
    """Within a line, after more than half of the file."""
    path = sorted(root.glob(f"**/{METRICS[name]}"))[-1]
    content = path.read_bytes()
    end = content.find(b"\n", len(content) // 2)
    os.truncate(path, end + 4 if 0 < end < len(content) - 4 else len(content) // 2)


def remove_newest(rows: dict[str, Checkpoint], root: Path) -> str:
    newest = max(rows, key=lambda path: (rows[path].global_step or 0, path))
    path = root / newest
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return newest


def test_moved_it_is_as_it_was(tree: tuple[str, Path], catalog: Catalog) -> None:
    _, root = tree
    catalog.scan(root)
    before = rows_of(catalog)
    report = catalog.scan(move(root))
    rows = rows_of(catalog)
    assert (report.moved, report.new, report.problems) == (len(before), 0, ())
    assert rows.keys() == before.keys()
    for path, row in rows.items():
        was, now = before[path].to_dict(), row.to_dict()
        assert {name: value for name, value in now.items() if name not in OF_THE_PLACE - {"id"}} == {
            name: value for name, value in was.items() if name not in OF_THE_PLACE - {"id"}
        }


def test_its_metrics_file_cut_each_field_is_right_or_null(tree: tuple[str, Path], catalog: Catalog) -> None:
    name, root = tree
    catalog.scan(root)
    before = rows_of(catalog)
    cut(name, root)
    catalog.scan(root)
    rows = rows_of(catalog)
    assert rows.keys() == before.keys()
    for path, row in rows.items():
        is_right_or_null(row, before[path], OF_THE_FILE)
    assert any(row.metrics for row in rows.values())
    assert any(row.metrics != before[path].metrics for path, row in rows.items()), "something was lost"


def test_without_its_newest_the_others_are_as_they_were(tree: tuple[str, Path], catalog: Catalog) -> None:
    _, root = tree
    catalog.scan(root)
    before = rows_of(catalog)
    gone = remove_newest(before, root)
    assert catalog.scan(root).missing == 1
    rows = rows_of(catalog)
    assert rows.keys() == before.keys() - {gone}
    for path, row in rows.items():
        assert (row.metrics, row.params) == (before[path].metrics, before[path].params)
        is_right_or_null(row, before[path], {"claims"})


def test_moved_cut_and_without_its_newest_nothing_is_wrong(tree: tuple[str, Path], catalog: Catalog) -> None:
    name, root = tree
    catalog.scan(root)
    before = rows_of(catalog)
    cut(name, root)
    gone = remove_newest(before, root)
    moved = move(root)
    with Catalog.open("sqlite://") as anew:
        anew.scan(moved)
        rows = rows_of(anew)
    assert rows.keys() == before.keys() - {gone}
    for path, row in rows.items():
        is_right_or_null(row, before[path], OF_THE_FILE | OF_THE_PLACE | {"claims"})
