"""Checkpoints that Lightning's Trainer wrote, against what the trainer itself knows; and older ones by hand."""

from __future__ import annotations

import datetime
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from catalogdb.formats import read_header
from catalogdb.formats.lightning_state import VERSION_KEY, _mode
from catalogdb.formats.pickle_values import GlobalRef
from catalogdb.records import LoopProgress
from tests.unit.formats import support

torch = pytest.importorskip("torch")

VERSION = support.text("2.6.0")


class Run(NamedTuple):
    trainer: Any
    loss: Any
    hmean: Any
    folder: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three epochs of a tiny module; two ModelCheckpoints, one with a time interval, and a last.ckpt."""
    lightning = pytest.importorskip("lightning.pytorch")
    folder = tmp_path_factory.mktemp("run")

    class Tiny(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, lr: float = 0.01, sizes: tuple[int, ...] = (2, 3), options: Any = None) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
            self.seen = 0

        def training_step(self, batch: Any, index: int) -> Any:
            return self.net(batch[0]).pow(2).mean()

        def validation_step(self, batch: Any, index: int) -> None:
            self.seen += 1
            self.log("val/loss", 1.0 / self.seen)
            self.log("val/hmean", self.seen / 10)

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["cleval_metrics"] = {"precision": torch.tensor(0.5), "recall": 0.25, "hmean": math.nan}

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])

    class BestHmeanModelCheckpoint(lightning.callbacks.ModelCheckpoint):  # type: ignore[misc, name-defined]
        pass

    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(8, 4)), batch_size=4)
    loss = lightning.callbacks.ModelCheckpoint(folder, "a-{epoch}", monitor="val/loss", save_top_k=2, save_last=True)
    hmean = BestHmeanModelCheckpoint(folder, "b-{epoch}", monitor="val/hmean", mode="max", save_top_k=1)
    trainer = lightning.Trainer(
        max_epochs=3,
        callbacks=[loss, hmean],
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
    )
    trainer.fit(Tiny(options={"deep": {"x": 1, "flag": None}}), loader, loader)
    return Run(trainer, loss, hmean, folder)


lightning_warnings = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`.*"),
]


def for_real(test: Callable[..., None]) -> Callable[..., None]:
    for mark in lightning_warnings:
        test = mark(test)
    return test


@for_real
def test_the_header_of_last_is_what_the_trainer_knows(run: Run) -> None:
    header = read_header(str(run.folder / "last.ckpt"))
    assert (header.format, header.state, header.reason, header.framework) == ("torch_zip", "ready", None, "lightning")
    assert (header.epoch, header.global_step) == (2, run.trainer.global_step)
    assert header.hyper_parameters == {
        "lr": 0.01,
        "sizes.0": 2,
        "sizes.1": 3,
        "options.deep.x": 1,
        "options.deep.flag": None,
    }
    assert header.metrics["cleval/precision"] == 0.5
    assert header.metrics["cleval/recall"] == 0.25
    assert math.isnan(header.metrics["cleval/hmean"])
    net = run.trainer.lightning_module
    assert [info.name for info in header.tensors] == list(net.state_dict())
    assert header.weights is not None
    assert header.weights.num_parameters == sum(parameter.numel() for parameter in net.parameters())
    assert header.weights.num_tensors == len(net.state_dict())
    assert header.weights.fingerprint is not None


@for_real
def test_the_loop_is_where_the_trainer_stood(run: Run) -> None:
    header = read_header(str(run.folder / "last.ckpt"))
    assert header.framework_version == torch.load(run.folder / "last.ckpt", weights_only=False)[VERSION_KEY]
    assert header.global_step is not None
    assert header.progress == LoopProgress(True, True, True, True, True, row=header.global_step - 1, epoch_ended=True)
    assert [state.by_steps for state in header.monitors] == [False, False]


@for_real
def test_the_monitors_are_what_the_callbacks_know(run: Run) -> None:
    header = read_header(str(run.folder / "last.ckpt"))
    loss, hmean = header.monitors
    assert (loss.monitor, loss.mode, hmean.monitor, hmean.mode) == ("val/loss", "min", "val/hmean", "max")
    assert loss.best_model_score == run.loss.best_model_score.item()
    assert loss.current_score == run.loss.current_score.item()
    assert loss.best_model_path == run.loss.best_model_path
    assert loss.best_k_models == {path: score.item() for path, score in run.loss.best_k_models.items()}
    assert len(loss.best_k_models) == 2
    assert len(hmean.best_k_models) == 1


@for_real
def test_every_file_of_the_run_has_its_own_facts(run: Run) -> None:
    files = sorted(run.folder.glob("*.ckpt"))
    assert len(files) == 4
    for path in files:
        truth = torch.load(path, weights_only=False)
        header = read_header(str(path))
        assert (header.epoch, header.global_step) == (truth["epoch"], truth["global_step"])
        states = list(truth["callbacks"].values())
        assert [state["current_score"].item() for state in states] == [item.current_score for item in header.monitors]


@for_real
def test_the_best_and_the_last_are_twins(run: Run) -> None:
    last = read_header(str(run.folder / "last.ckpt")).weights
    best = read_header(run.loss.best_model_path).weights
    assert last is not None
    assert best is not None
    assert last.fingerprint == best.fingerprint


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("ModelCheckpoint{'monitor': 'val/loss', 'mode': 'min', 'every_n_epochs': 1}", "min"),
        ("ModelCheckpoint{'monitor': None, 'mode': 'max'}", "max"),
        ("ModelCheckpoint{'monitor': \"it's\", 'mode': 'max'}", "max"),
        (r"ModelCheckpoint{'monitor': 'a\', \'mode\': \'min\'', 'mode': 'max', 'x': 1}", "max"),
        (
            f"ModelCheckpoint{ {'monitor': 'v', 'mode': 'max', 'train_time_interval': datetime.timedelta(1)}!r}",
            "max",
        ),
        ("ModelCheckpoint{'every_n_epochs': 1, 'mode': 'max'}", "max"),
        ("ModelCheckpoint{'monitor': 'val/loss', 'mode': 'auto'}", None),
        ("ModelCheckpoint", None),
        ("<class 'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint'>", None),
        ("ModelCheckpoint" + "{'monitor': '" * 300, None),
        (GlobalRef("pytorch_lightning.callbacks", "ModelCheckpoint", lambda *_: None), None),
    ],
)
def test_the_mode_is_read_from_the_key(key: object, mode: str | None) -> None:
    assert _mode(key) == mode


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("'every_n_train_steps': 0, 'train_time_interval': None", False),
        ("'every_n_train_steps': 50, 'train_time_interval': None", True),
        ("'every_n_train_steps': 0, 'train_time_interval': datetime.timedelta(seconds=3)", True),
    ],
)
def test_saving_by_steps_is_read_from_the_key(tmp_path: Path, options: str, expected: bool) -> None:
    key = f"ModelCheckpoint{{'monitor': 'v', 'mode': 'min', {options}}}"
    header = lightning_file(tmp_path, callbacks=b"}" + support.text(key) + b"}s")
    assert [(state.mode, state.by_steps) for state in header.monitors] == [("min", expected)]


def lightning_file(folder: Path, **entries: bytes) -> Any:
    data = support.pickled(support.mapping(**{"pytorch-lightning_version": VERSION} | entries))
    return support.read_bytes(folder, support.torch_zip(data, storages={"0": b"\x00\x00\x00\x3f"}))


def test_older_keys_are_classes_or_their_names(tmp_path: Path) -> None:
    state = support.mapping(
        monitor=support.text("val_loss"),
        best_model_score=support.tensor_opcodes(),
        best_model_path=support.text("/a.ckpt"),
        current_score=b"G" + b"\x7f\xf0" + b"\x00" * 6,
        dirpath=b"N",
    )
    module = "pytorch_lightning.callbacks.model_checkpoint"
    callbacks = b"".join(
        (
            b"}(",
            support.name_ref(module, "ModelCheckpoint") + state,
            support.text(f"<class '{module}.ModelCheckpoint'>") + state,
            support.text("EarlyStopping{'monitor': 'val/loss', 'mode': 'min'}") + support.mapping(monitor=b"N"),
            support.text("ModelCheckpoint{'monitor': 'x', 'mode': 'max'}") + b"K\x01",
            b"u",
        )
    )
    header = lightning_file(tmp_path, callbacks=callbacks, epoch=b"K\x02", global_step=b"\x88")
    assert (header.epoch, header.global_step) == (2, None)
    assert [(m.monitor, m.mode, m.best_model_score, m.current_score) for m in header.monitors] == [
        ("val_loss", None, 0.5, math.inf)
    ] * 2
    assert header.monitors[0].best_k_models == {}
    assert header.monitors[0].best_model_path == "/a.ckpt"


@pytest.mark.parametrize("key", ["MC", "train.<locals>.Saver", "MC{'monitor': 'val_loss', 'mode': 'min'}"])
def test_a_subclass_is_known_by_its_state_whatever_its_name(tmp_path: Path, key: str) -> None:
    stated = dict.fromkeys(("best_model_score", "best_model_path", "current_score", "dirpath"), b"N")
    subclass = support.mapping(monitor=support.text("val_loss"), **stated)
    other = support.mapping(monitor=support.text("val_loss"), best_score=b"N", dirpath=b"N")
    callbacks = b"}(" + support.text(key) + subclass + support.text("EarlyStop") + other + b"u"
    (found,) = lightning_file(tmp_path, callbacks=callbacks).monitors
    assert (found.monitor, found.mode) == ("val_loss", "min" if "mode" in key else None)


@pytest.mark.parametrize("callbacks", [b"N", b"]", b"K\x01", support.text("x"), b"}"])
def test_odd_callbacks_are_none(tmp_path: Path, callbacks: bytes) -> None:
    header = lightning_file(tmp_path, callbacks=callbacks)
    assert (header.state, header.monitors) == ("ready", ())


def test_the_datamodule_is_asked_where_the_module_has_no_parameters(tmp_path: Path) -> None:
    datamodule = support.mapping(batch=b"K\x08")
    assert lightning_file(tmp_path, datamodule_hyper_parameters=datamodule).hyper_parameters == {"batch": 8}
    both = lightning_file(
        tmp_path, datamodule_hyper_parameters=datamodule, hyper_parameters=support.mapping(a=b"K\x01")
    )
    assert both.hyper_parameters == {"a": 1}


def test_shared_and_endless_parameters_are_bounded(tmp_path: Path) -> None:
    doubling = b"}q\x00" + b"".join(
        b"0}q" + bytes((i,)) + b"(" + b"".join(support.text(k) + b"h" + bytes((i - 1,)) for k in "abcdefgh") + b"u"
        for i in range(1, 30)
    )
    header = lightning_file(tmp_path, hyper_parameters=doubling)
    assert (header.state, header.hyper_parameters) == ("ready", {})
    endless = b"}q\x00" + support.text("x") + b"K\x01s" + support.text("again") + b"h\x00s"
    header = lightning_file(tmp_path, hyper_parameters=endless)
    assert len(header.hyper_parameters) == 32


@pytest.fixture
def omegaconf(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Stand-ins with the module names, class names and state of omegaconf 2.3, which pickles them like this."""
    made = types.SimpleNamespace()
    for module_name, names in (
        ("omegaconf", []),
        ("omegaconf.dictconfig", ["DictConfig"]),
        ("omegaconf.listconfig", ["ListConfig"]),
        ("omegaconf.nodes", ["AnyNode", "FloatNode", "UnionNode"]),
        ("omegaconf.base", ["Metadata"]),
    ):
        module = types.ModuleType(module_name)
        monkeypatch.setitem(sys.modules, module_name, module)
        for name in names:
            cls = type(name, (), {"__module__": module_name})
            setattr(module, name, cls)
            setattr(made, name, cls)
    return made


def test_omegaconf_is_plain(tmp_path: Path, omegaconf: types.SimpleNamespace) -> None:
    def make(cls: str, parent: Any, **state: Any) -> Any:
        item = getattr(omegaconf, cls)()
        item.__dict__.update(_metadata=omegaconf.Metadata(), _parent=parent, **state)
        return item

    root = make("DictConfig", None, _flags_cache=None)
    inner = make("DictConfig", root, _content={"f": make("FloatNode", None, _val=0.5)})
    sizes = make("ListConfig", root, _content=[make("AnyNode", root, _val=number) for number in (1, 2)])
    union = make("UnionNode", root, _content=make("AnyNode", root, _val="u"))
    root._content = {
        "name": make("AnyNode", root, _val="dbnet"),
        "inner": inner,
        "sizes": sizes,
        "union": union,
        "absent": make("AnyNode", root, _val=None),
        "reference": make("DictConfig", root, _content="${inner}"),
    }
    path = tmp_path / "x.ckpt"
    torch.save({"hyper_parameters": {"cfg": root}}, path)
    assert read_header(str(path)).hyper_parameters == {
        "cfg.name": "dbnet",
        "cfg.inner.f": 0.5,
        "cfg.sizes.0": 1,
        "cfg.sizes.1": 2,
        "cfg.union": "u",
        "cfg.absent": None,
        "cfg.reference": "${inner}",
    }
