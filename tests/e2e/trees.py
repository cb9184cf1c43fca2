"""Random trees of training outputs on disk, with the truth about every checkpoint in them.

Everything follows from the seed. Names never lie where nothing in the file could tell: no file without counters of
its own is given another step's name, and no file the name of another one in its own list of kept files.
"""

from __future__ import annotations

import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from catalogdb.records import sidecar_path
from tests.e2e.tree_files import INVALID, checkpoint_bytes, config_document, foreign_bytes, sidecar_document
from tests.e2e.tree_training import METRICS, PATTERNED, Run, Save, Training, Written, make_run

LONG_AGO = 1_700_000_000
WRITE_IS_RECENT = 3600
"""Seconds that young files lie in the future: no test is so slow that they grow old in it."""

BROKEN = "training: {epoch: 3\nmodel: ]["
TOLD = re.compile(r"(epoch|step)=(\d+)(?=[-.]|$)")


@dataclass(frozen=True)
class Sidecar:
    """About ``save``, which may be another one than the file's. ``named`` are the metrics that it says by name."""

    save: Save
    monitor: tuple[str, str]
    named: frozenset[str] = frozenset()
    invalid: frozenset[str] = frozenset()
    broken: bool = False

    def document(self, run: Run) -> dict[str, Any]:
        return sidecar_document(run, self.save, self.monitor, self.named, self.invalid)


@dataclass(eq=False)
class Entry:
    """One name of a checkpoint. A symbolic link has no content of its own; hard-linked names have equal ones."""

    content: Written | None
    whole: bool = True
    young: bool = False
    is_link: bool = False
    sidecar: Sidecar | None = None
    tags: frozenset[str] = frozenset()
    seen: bool = False
    copied: bool = False
    linked: bool = False
    """It has, or had, other names."""


@dataclass(eq=False)
class Site:
    """A run's folder. Its training goes on as long as it's ``open``."""

    training: Training
    folder: str
    open: bool = True
    targets: bool = field(default=False)

    @property
    def run(self) -> Run:
        return self.training.run


def told_by_name(path: str) -> dict[str, int]:
    """What a generated name says: ``epoch=3-step=40.ckpt``, ``epoch=3-global_step=40.pt``."""
    name = path.rpartition("/")[2].rpartition(".")[0].removesuffix(".pth")
    told = {key: int(digits) for key, digits in TOLD.findall(name)}
    return {"global_step" if key == "step" else key: number for key, number in told.items()}


class Tree:
    """A folder of outputs. Paths are relative to ``root``; ``missing`` are names that a scan has seen before."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.root = folder.resolve() / "outputs"
        self.stash = folder / "stash"
        self.root.mkdir()
        self.stash.mkdir()
        self.sites: list[Site] = []
        self.entries: dict[str, Entry] = {}
        self.missing: dict[str, Entry] = {}
        self.stashed: dict[str, Entry] = {}
        self.configs: dict[str, dict[str, Any] | None] = {}
        self.foreign: set[str] = set()
        self.touched: set[str] = set()
        self.inodes: dict[str, int] = {}
        self._clock = LONG_AGO
        self._number = 0

    # -- files -----------------------------------------------------------------------------------------------------

    def number(self) -> int:
        self._number += 1
        return self._number

    def disk(self, path: str) -> Path:
        return self.root / path

    def age(self, path: Path, *, young: bool = False) -> None:
        """Every file gets a time of its own: equal sizes and reused inodes must not pass for an unchanged file."""
        self._clock += 1
        seconds = self._clock - LONG_AGO + int(time.time()) + WRITE_IS_RECENT if young else self._clock
        os.utime(path, ns=(seconds * 10**9, seconds * 10**9))

    def put(self, path: str, data: bytes, *, young: bool = False, afresh: bool = True) -> None:
        """Writes a file: afresh, as an atomic save does it, or into the one that is there."""
        place = self.disk(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        linked = place.is_symlink() or (place.exists() and place.stat().st_nlink > 1)
        if afresh or linked:
            part = place.with_name(f".{place.name}.part")
            part.write_bytes(data)
            part.replace(place)
        else:
            place.write_bytes(data)
        self.age(place, young=young)
        self.touched.add(path)

    def put_checkpoint(self, path: str, content: Written, *, whole: bool = True, young: bool = False) -> Entry:
        """A new checkpoint, or a new content for the one that is there; tags belong to the name."""
        data = checkpoint_bytes(content)
        if not whole:
            data = data[: self.rng.randrange(9 if content.kind == "safetensors" else 0, len(data))]
        self.put(path, data, young=young, afresh=self.rng.random() < 0.5)
        self.stashed.pop(path, None)  # whatever comes back now is nothing that the catalog knows
        entry = self.entries.get(path) or self.missing.pop(path, None) or Entry(content)
        entry.content, entry.whole, entry.young, entry.is_link = content, whole, young, False
        self.entries[path] = entry
        return entry

    def put_config(self, path: str, document: dict[str, Any] | None) -> None:
        """``None`` is a broken one."""
        text = BROKEN if document is None else yaml.safe_dump(document, sort_keys=False)
        self.put(path, text.encode())
        self.configs[path] = document

    def put_sidecar(self, path: str, sidecar: Sidecar) -> None:
        content = self.content_of(path)
        assert content is not None
        text = BROKEN if sidecar.broken else yaml.safe_dump(sidecar.document(content.run), sort_keys=False)
        self.put(sidecar_path(path), text.encode(), afresh=self.rng.random() < 0.5)
        self.entries[path].sidecar = sidecar

    def drop_sidecar(self, path: str) -> None:
        if self.entries[path].sidecar is not None:
            self.disk(sidecar_path(path)).unlink()
            self.entries[path].sidecar = None

    def drop(self, path: str) -> None:
        """A checkpoint goes, and maybe its sidecar with it."""
        if self.rng.random() < 0.5 or not self.entries[path].seen:
            self.drop_sidecar(path)
        self.disk(path).unlink()
        self.forget(path)

    def remember_inodes(self) -> None:
        """As they were when the last scan saw them."""
        self.inodes = {path: self.disk(path).lstat().st_ino for path in self.entries}

    def forget(self, path: str) -> None:
        entry = self.entries.pop(path)
        self.touched.add(path)
        if entry.seen:
            self.missing[path] = entry

    # -- truth -----------------------------------------------------------------------------------------------------

    def target(self, path: str) -> str | None:
        """Where a name leads to: itself, or what its symbolic links end at; None for nothing in the tree."""
        real = self.disk(path).resolve()
        inside = os.path.relpath(real, self.root)
        return inside if inside in self.entries and real.exists() else None

    def leads_to(self, path: str) -> str | None:
        """The name of a symbolic link's file, where it lies beside the link."""
        target = self.target(path) if path in self.entries and self.entries[path].is_link else None
        return target.rpartition("/")[2] if target and target.rpartition("/")[0] == path.rpartition("/")[0] else None

    def sidecar_of(self, path: str) -> Sidecar | None:
        """What counts for a name: the sidecar of the file beside it that it leads to, else its own."""
        name = self.leads_to(path)
        of_file = self.entries[f"{path.rpartition('/')[0]}/{name}"].sidecar if name is not None else None
        return of_file or self.entries[path].sidecar

    def content_of(self, path: str) -> Written | None:
        target = self.target(path)
        return self.entries[target].content if target else None

    def told(self, path: str) -> dict[str, int]:
        """The counters that the file states, by its header and else by its name."""
        told = told_by_name(path)
        target = self.target(path)
        entry = self.entries[target] if target else None
        if entry is not None and entry.whole and entry.content is not None:
            save = entry.content.save
            counters = {"epoch": save.epoch, "global_step": save.step}
            told.update({name: counters[name] for name in entry.content.tells})
        return told

    def refutes(self, path: str, save: Save, invalid: frozenset[str] = frozenset()) -> bool:
        """Whether the file can tell that a sidecar about ``save`` is about another one."""
        told = self.told(path)
        if "global_step" in told and "training.global_step" not in invalid:
            return told["global_step"] != save.step
        return "epoch" in told and told["epoch"] != save.epoch and "training.epoch" not in invalid

    def settle(self) -> None:
        """Takes away what would lie without a trace: sidecars of another save beside files that tell nothing, and
        beside links that now lead to another callback's file."""
        for path, entry in self.entries.items():
            content = self.content_of(path)
            about = entry.sidecar
            if about is None or about.broken or content is None:
                continue
            keeper = content.keeper or content.run.keepers[0]
            refuted = about.save is content.save or self.refutes(path, about.save, about.invalid)
            if not refuted or about.monitor != (keeper.monitor, keeper.mode):
                self.drop_sidecar(path)

    def is_free(self, path: str) -> bool:
        """No other file has that name, or would share its sidecar."""
        taken = {*self.entries, *self.missing, *self.foreign, *self.stashed}
        return sidecar_path(path) not in {sidecar_path(name) for name in taken}

    def own(self, site: Site) -> list[str]:
        """The site's checkpoints."""
        return sorted(path for path in self.entries if path.startswith(f"{site.folder}/"))

    # -- building --------------------------------------------------------------------------------------------------

    def build(self, *, runs: int, saves: int) -> None:
        for _ in range(runs):
            site = self.add_site()
            for _ in range(self.rng.randint(1, saves)):
                self.grow(site)
            for _ in range(self.rng.randint(0, 2)):
                self.add_foreign(site)
            self.decorate(site)
        self.add_decoys()
        self.settle()

    def add_site(self) -> Site:
        rng = self.rng
        run = make_run(rng, self.number())
        above = rng.choice(("", "", "2025-10-18/", "sweep/lr/"))
        site = Site(Training(run, rng), f"{above}{run.exp_name}", targets=rng.random() < 0.5)
        self.sites.append(site)
        place = rng.choice((None, ".hydra/config.yaml", ".hydra/config.yaml", "config.yaml", "hparams.yaml"))
        if place:
            self.put_config(f"{site.folder}/{place}", config_document(run, self.number(), targets=site.targets))
        return site

    def grow(self, site: Site) -> None:
        """The training's next validation, and what it saves. A ``last.ckpt`` may be put aside first."""
        rng = self.rng
        for event in site.training.advance():
            path = f"{site.folder}/{event.path}"
            if event.content is None:
                if path in self.entries:
                    self.drop(path)
                continue
            left_behind = None
            if path.endswith("/last.ckpt") and path in self.entries and rng.random() < 0.3:
                left_behind = self.rotate(path)
            elif path not in self.entries and path not in self.missing and not self.is_free(path):
                continue
            whole = rng.random() < 0.9
            entry = self.put_checkpoint(path, event.content, whole=whole, young=not whole and rng.random() < 0.5)
            if left_behind is not None:
                entry.sidecar = left_behind
            if rng.random() < 0.6:
                self.put_sidecar(path, self.any_sidecar(path))
        newest = site.training.saves[-1]
        for path in self.own(site):
            if rng.random() < 0.15 and self.refutes(path, newest):
                self.put_sidecar(path, self.sidecar_about(path, newest))

    def rotate(self, path: str) -> Sidecar | None:
        """``last.ckpt`` becomes ``prev.ckpt``, maybe over an older one. Returns the sidecar that stays behind."""
        new = f"{path.rpartition('/')[0]}/prev.ckpt"
        if self.target(path) is None or (new not in self.entries and not self.is_free(new)):
            return None
        old_tags: frozenset[str] = frozenset()
        if new in self.entries:
            self.drop_sidecar(new)
            old_tags = self.entries.pop(new).tags
        sidecar = self.entries[path].sidecar if self.rng.random() < 0.5 else None
        self.move(path, new, with_sidecar=sidecar is None)
        self.entries[new].tags |= old_tags
        return sidecar

    def move(self, old: str, new: str, *, with_sidecar: bool) -> None:
        self.disk(new).parent.mkdir(parents=True, exist_ok=True)
        entry = self.entries.pop(old)
        self.disk(old).rename(self.disk(new))
        if entry.sidecar is not None and with_sidecar:
            self.disk(sidecar_path(old)).rename(self.disk(sidecar_path(new)))
        elif entry.sidecar is not None:
            entry.sidecar = None
        self.entries[new] = entry
        self.touched.update((old, new))

    def sidecar_about(self, path: str, save: Save, **more: Any) -> Sidecar:
        content = self.content_of(path)
        assert content is not None
        keeper = content.keeper or content.run.keepers[0]
        names = [*METRICS, *(name for name in save.metrics if name.startswith("cleval/"))]
        named = frozenset(name for name in names if self.rng.random() < 0.4)
        return Sidecar(save, (keeper.monitor, keeper.mode), named, **more)

    def any_sidecar(self, path: str) -> Sidecar:
        """True, true with some invalid fields, or broken."""
        content = self.content_of(path)
        assert content is not None
        odds = self.rng.random()
        if odds < 0.08:
            return self.sidecar_about(path, content.save, broken=True)
        if odds < 0.3:
            invalid = frozenset(self.rng.sample(sorted(INVALID), self.rng.randint(1, 3)))
            return self.sidecar_about(path, content.save, invalid=invalid)
        return self.sidecar_about(path, content.save)

    def add_foreign(self, site: Site) -> None:
        suffix = self.rng.choice((".ckpt", ".pt", ".pth.tar", ".bin", ".safetensors"))
        name = f"{self.rng.choice(('epoch=7-step=70', 'best', 'notes'))}-f{self.number()}{suffix}"
        path = f"{site.folder}/checkpoints/{name}"
        self.put(path, foreign_bytes(self.rng), young=self.rng.random() < 0.2)
        self.foreign.add(path)

    def decorate(self, site: Site) -> None:
        """Second names and copies of what is there."""
        rng = self.rng
        for _ in range(rng.randint(0, 2)):
            paths = [path for path in self.own(site) if not self.entries[path].is_link]
            if paths:
                self.add_name(rng.choice(paths), rng.choice(("copy", "symlink", "absolute", "hard")))

    def add_name(self, path: str, how: str) -> None:
        folder = path.rpartition("/")[0]
        suffix = suffix_of(path)
        names = (f"last{suffix}", f"second-{self.number()}{suffix}")
        new = next((f"{folder}/{name}" for name in names if self.is_free(f"{folder}/{name}")), None)
        if new is None:
            return
        entry = self.entries[path]
        if how == "copy":
            self.put(new, self.disk(path).read_bytes(), young=entry.young)
        elif how == "hard":
            os.link(self.disk(path), self.disk(new))
        else:
            target = str(self.disk(path)) if how == "absolute" else path.rpartition("/")[2]
            self.disk(new).symlink_to(target)
        is_link = how in ("symlink", "absolute")
        entry.linked = entry.linked or how != "copy"
        self.entries[new] = Entry(None if is_link else entry.content, entry.whole, entry.young, is_link)
        self.entries[new].linked = how != "copy"
        self.touched.update((path, new))
        if self.rng.random() < 0.4:
            self.put_sidecar(new, self.any_sidecar(new))

    def add_decoys(self) -> None:
        """Checkpoints in folders that are nobody's outputs."""
        content = next((entry.content for entry in self.entries.values() if entry.content is not None), None)
        if content is not None:
            for folder in (".git/objects", "wandb/run-20251018_143215-abc123de/files", "wandb/latest-run-x/.cache"):
                self.put(f"{folder}/model.ckpt", checkpoint_bytes(content))


def suffix_of(path: str) -> str:
    return ".pth.tar" if path.endswith(".pth.tar") else path[len(path.rpartition(".")[0]) :]


def telling_parts(path: str) -> set[str]:
    """The architectures and backbones that the path names as whole words."""
    words = set(re.split(r"[^a-z0-9_]+", path.lower()))
    return words & set(PATTERNED)
