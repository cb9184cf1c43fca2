"""Trainings that never ran: what each save knew, and the files that Lightning or a plain loop would have written."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from catalogdb.records import Mode

Kind = Literal["lightning", "weights", "dict", "bare", "safetensors"]
"""``weights`` is a Lightning file without callbacks; ``dict`` a plain loop's; ``bare`` a state_dict alone."""

SCORES = {"val/hmean": "max", "val/loss": "min", "val/iou": "max", "val_acc": "max", "val/recall": "max"}
METRICS = ("val/hmean", "val/precision", "val/recall", "val/loss", "val/iou", "val_acc")
ARCHITECTURES = ("dbnet", "dbnetpp", "craft", "pan", "unet3plus")
BACKBONES = ("resnet18", "resnet50", "mobilenetv3_small_050", "efficientnet_b0", "convnext_tiny")
PATTERNED = ("dbnet", "dbnetpp", "craft", "pan", "resnet18", "resnet50", "mobilenetv3_small_050", "efficientnet_b0")
"""Of these, the names that a path may tell."""


class Save(NamedTuple):
    """One moment of a training, with every metric's true value: NaN where it was."""

    epoch: int
    step: int
    metrics: Mapping[str, float]

    @property
    def created_at(self) -> str:
        return f"2025-10-{1 + self.epoch % 28:02d}T{self.step // 60 % 24:02d}:{self.step % 60:02d}:00+00:00"


@dataclass(frozen=True)
class Keeper:
    """A ModelCheckpoint."""

    monitor: str
    mode: Mode
    folder: str
    naming: str
    top_k: int
    save_last: bool

    @property
    def key(self) -> str:
        return (
            f"ModelCheckpoint{{'monitor': {self.monitor!r}, 'mode': {self.mode!r}, 'every_n_train_steps': 0, "
            "'every_n_epochs': 1, 'train_time_interval': None}"
        )

    def name(self, save: Save) -> str:
        score = save.metrics[self.monitor]
        return {
            "default": f"epoch={save.epoch}-step={save.step}",
            "epoch": f"epoch={save.epoch}",
            "silent": "best",
            "rounded": f"epoch={save.epoch:02d}-{self.monitor.replace('/', '_')}={score:.1f}",
            "folder": f"epoch={save.epoch}-{self.monitor}={score:.1f}",
            "numbers": f"{save.epoch:02d}-{score:.1f}",
        }[self.naming]


@dataclass(frozen=True)
class KeeperState:
    """As it is written into every checkpoint. Paths are those of the machine that trained."""

    keeper: Keeper
    kept: Mapping[str, float] = field(default_factory=dict)
    current: float | None = None
    last_path: str = ""

    @property
    def best(self) -> tuple[str, float | None]:
        if not self.kept:
            return "", None
        choose = min if self.keeper.mode == "min" else max
        path = choose(self.kept, key=lambda each: self.kept[each])
        return path, self.kept[path]

    @property
    def worst(self) -> tuple[str, float]:
        choose = max if self.keeper.mode == "min" else min
        path = choose(self.kept, key=lambda each: self.kept[each])
        return path, self.kept[path]

    def admits(self, score: float) -> bool:
        if len(self.kept) < self.keeper.top_k:
            return True
        return score < self.worst[1] if self.keeper.mode == "min" else score > self.worst[1]


@dataclass(frozen=True)
class Written:
    """What is in a checkpoint file. ``stored`` is its path on the machine that trained."""

    run: Run
    save: Save
    kind: Kind
    keeper: Keeper | None = None
    states: tuple[KeeperState, ...] = ()
    stored: str = ""
    tells: frozenset[str] = frozenset({"epoch", "global_step"})


@dataclass(eq=False)
class Run:
    """What doesn't change during a training. ``home`` is its folder on the machine that trained; ``recent`` is a
    Lightning since 2.6, which writes ``last.ckpt`` only where it saved at that step."""

    exp_name: str
    home: str
    fields: Mapping[str, str | int]
    keepers: tuple[Keeper, ...]
    hyper_parameters: Mapping[str, object]
    width: int
    cleval: bool
    plain: bool
    recent: bool
    with_phase: bool


class Event(NamedTuple):
    """A file written into the run's folder, or, without content, removed from it."""

    path: str
    content: Written | None


class Training:
    """A run under way: each ``advance`` is one validation with the saves that follow it."""

    def __init__(self, run: Run, rng: random.Random) -> None:
        self.run = run
        self.saves: list[Save] = []
        self._rng = rng
        self._states = [KeeperState(keeper) for keeper in run.keepers]
        self._epoch = 0
        self._step = 0
        self._files: set[str] = set()

    def advance(self) -> Iterator[Event]:
        save = self._validate()
        if self.run.plain:
            yield from self._plain_saves(save)
            return
        for index, keeper in enumerate(self.run.keepers):
            before = self._states[index]
            yield from self._keep_best(index, save)
            state = self._states[index]
            if keeper.save_last and (state is not before or not self.run.recent):
                path = f"{keeper.folder}/last.ckpt"
                self._states[index] = KeeperState(keeper, state.kept, state.current, self._stored(path))
                yield Event(path, self._written(save, keeper, path))

    def _validate(self) -> Save:
        """Sometimes a second one in the same epoch."""
        rng = self._rng
        if self.saves and rng.random() < 0.85:
            self._epoch += rng.choice((1, 1, 2))
        self._step += rng.randint(1, 40)
        names = [*METRICS, *(f"cleval/{name}" for name in ("precision", "recall", "hmean") if self.run.cleval)]
        metrics = {name: rng.randint(1, 1023) / 1024 for name in names}
        for name in names:
            odds = rng.random()
            if odds < 0.06:
                metrics[name] = 0.0
            elif odds < 0.10 and not name.startswith("cleval"):
                metrics[name] = math.nan
        save = Save(self._epoch, self._step, metrics)
        self.saves.append(save)
        return save

    def _keep_best(self, index: int, save: Save) -> Iterator[Event]:
        """As Lightning's ``_update_best_and_save``: the state is brought up to date, then the file is written."""
        state = self._states[index]
        keeper = state.keeper
        score = save.metrics[keeper.monitor]
        if keeper.top_k == 0 or (not math.isnan(score) and not state.admits(score)):
            return
        if math.isnan(score):
            if len(state.kept) >= keeper.top_k:
                return
            score = math.inf if keeper.mode == "min" else -math.inf
        kept = dict(state.kept)
        evicted = state.worst[0] if len(kept) == keeper.top_k else None
        if evicted is not None:
            del kept[evicted]
        path = self._free_name(f"{keeper.folder}/{keeper.name(save)}", evicted)
        kept[self._stored(path)] = score
        self._states[index] = KeeperState(keeper, kept, score, state.last_path)
        self._files.add(path)
        yield Event(path, self._written(save, keeper, path))
        if evicted is not None and evicted != self._stored(path):
            relative = evicted.removeprefix(f"{self.run.home}/")
            self._files.discard(relative)
            yield Event(relative, None)

    def _free_name(self, stem: str, evicted: str | None) -> str:
        """``-v1`` where the name is taken, unless by the file that is about to go."""
        path, version = f"{stem}.ckpt", 0
        while path in self._files and self._stored(path) != evicted:
            version += 1
            path = f"{stem}-v{version}.ckpt"
        return path

    def _stored(self, path: str) -> str:
        return f"{self.run.home}/{path}"

    def _written(self, save: Save, keeper: Keeper, path: str) -> Written:
        return Written(self.run, save, "lightning", keeper, tuple(self._states), self._stored(path))

    def _plain_saves(self, save: Save) -> Iterator[Event]:
        rng = self._rng
        kind: Kind = rng.choice(("weights", "dict", "bare", "safetensors"))
        suffix = {"weights": ".ckpt", "safetensors": ".safetensors"}.get(kind) or rng.choice(
            (".pt", ".pth", ".pth.tar", ".bin")
        )
        tells = {
            "weights": frozenset({"epoch", "global_step"}),
            "dict": rng.choice((frozenset({"epoch"}), frozenset({"epoch", "global_step"}))),
        }.get(kind, frozenset[str]())
        name = rng.choice(("epoch={e}-step={s}", "epoch={e}-global_step={s}", "model_{n}", "checkpoint{n:04d}"))
        stem = name.format(e=save.epoch, s=save.step, n=len(self.saves))
        yield Event(
            f"{rng.choice(('checkpoints', 'weights'))}/{stem}{suffix}",
            Written(self.run, save, kind, None, (), "", tells),
        )


def make_run(rng: random.Random, number: int) -> Run:
    """``number`` keeps names apart."""
    architecture, backbone = rng.choice(ARCHITECTURES), rng.choice(BACKBONES)
    exp_name = f"{'company' if rng.random() < 0.5 else 'run'}-{number:02d}"
    if rng.random() < 0.4:
        exp_name = "-".join(part for part in (architecture, backbone, f"{number:02d}") if part)
    fields: dict[str, str | int] = {
        "architecture": architecture,
        "backbone": backbone,
        "decoder": rng.choice(("pan_decoder", "unet_decoder")),
        "head": "db_head",
        "loss": rng.choice(("db_loss", "craft_loss")),
        "max_epochs": rng.randint(60, 90),
    }
    hyper_parameters: dict[str, object] = {
        "lr": rng.choice((0.1, 0.001, 3e-05)),
        "dropout": None,
        "use_amp": rng.random() < 0.5,
        "optimizer": {"name": "adam", "betas": [0.9, 0.999], "steps": rng.randint(0, 5)},
        "encoder_name": rng.choice((backbone, "unknown")),
    }
    if rng.random() < 0.5:
        hyper_parameters["architecture_name"] = architecture
    if rng.random() < 0.3:
        hyper_parameters["max_epochs"] = fields["max_epochs"]
    return Run(
        exp_name=exp_name,
        home=f"/mnt/cluster/{rng.choice(('users/kim', 'jobs'))}/{rng.choice((exp_name, 'tmp_4711'))}",
        fields=fields,
        keepers=_keepers(rng),
        hyper_parameters=hyper_parameters,
        width=rng.randint(1, 6),
        cleval=rng.random() < 0.3,
        plain=rng.random() < 0.3,
        recent=rng.random() < 0.6,
        with_phase=rng.random() < 0.5,
    )


def _keepers(rng: random.Random) -> tuple[Keeper, ...]:
    count = 2 if rng.random() < 0.35 else 1
    together = rng.random() < 0.5
    keepers: list[Keeper] = []
    for index in range(count):
        monitor = rng.choice(list(SCORES))
        mode: Mode = "max" if SCORES[monitor] == "max" else "min"
        if index and monitor == keepers[0].monitor:
            mode = "min" if keepers[0].mode == "max" else "max"
        naming = rng.choice(("default", "default", "epoch", "silent", "rounded", "folder", "numbers"))
        keepers.append(
            Keeper(
                monitor=monitor,
                mode=mode,
                folder="checkpoints" if together or count == 1 else ("best_first", "best_second")[index],
                naming=naming if not (together and index) else "default",
                top_k=1 if naming == "silent" else rng.choice((0, 1, 2, 3)),
                save_last=index == 0 and rng.random() < 0.7,
            )
        )
    return tuple(keepers)
