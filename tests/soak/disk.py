"""What may happen to a root, in any order: Hypothesis's stateful machine draws it, a real watcher looks on.

Each example begins with an empty root and ends with the question whether the rows are those of a fresh scan. Names come
from a small pool, so that files meet the rows of others that were there before.
"""

from __future__ import annotations

import random
import shutil
import time
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.e2e.watching.harness import checkpoint, put, sidecar
from tests.soak.stage import Stage

SETTINGS = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=(Phase.generate,),  # a real process and a real clock: an example that is run again is another one
    suppress_health_check=list(HealthCheck),
)

FOLDERS = st.sampled_from(
    ("one", "one/checkpoints", "two/checkpoints", "two/sweep/0/checkpoints", "two/sweep/1/checkpoints", "kept")
)
NAMES = st.sampled_from(("epoch=1.ckpt", "epoch=2.ckpt", "epoch=3.ckpt", "last.ckpt", "best.ckpt"))
STEPS = st.integers(min_value=0, max_value=9)
PICKS = st.integers(min_value=0, max_value=99)
PAUSES = st.sampled_from((0.0, 0.01, 0.05, 0.3, 1.2))


@lru_cache
def content(step: int) -> bytes:
    """Of a size of its own for each step."""
    return checkpoint(step, size=1000 * (step + 1))


class Disk(RuleBasedStateMachine):
    """One example. After the soak's time nothing is done any more, so that the last run ends at once."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.root = self.stage.root
        if not self.stage.is_over:
            for entry in self.root.iterdir():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def _does(self, name: str) -> bool:
        if self.stage.is_over:
            return False
        self.stage.operations[name] += 1
        return True

    def _file(self, pick: int) -> Path | None:
        files = sorted(self.root.rglob("*.ckpt"))
        return files[pick % len(files)] if files else None

    def _folder(self, pick: int) -> Path | None:
        folders = sorted(path for path in self.root.rglob("*") if path.is_dir() and not path.is_symlink())
        return folders[pick % len(folders)] if folders else None

    @rule(folder=FOLDERS, name=NAMES, step=STEPS)
    def save(self, folder: str, name: str, step: int) -> None:
        if self._does("saved"):
            put(self.root / folder / name, content(step))

    @rule(folder=FOLDERS, name=NAMES, step=STEPS)
    def save_under_a_temporary_name(self, folder: str, name: str, step: int) -> None:
        if self._does("saved by rename"):
            put(self.root / folder / f".{name}.part", content(step)).replace(self.root / folder / name)

    @rule(folder=FOLDERS, name=NAMES, step=STEPS, parts=st.integers(2, 5), pause=st.sampled_from((0.01, 0.1, 0.3)))
    def save_slowly(self, folder: str, name: str, step: int, parts: int, pause: float) -> None:
        if self._does("saved slowly"):
            data = content(step)
            with put(self.root / folder / name, b"").open("wb", buffering=0) as file:
                for part in range(parts):
                    file.write(data[part * len(data) // parts : (part + 1) * len(data) // parts])
                    time.sleep(pause)

    @rule(pick=PICKS)
    def cut_short(self, pick: int) -> None:
        path = self._file(pick)
        if path is not None and path.exists() and self._does("cut short"):
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)

    @rule(pick=PICKS, step=STEPS)
    def write_sidecar(self, pick: int, step: int) -> None:
        path = self._file(pick)
        if path is not None and self._does("sidecar"):
            put(path.with_name(f"{path.stem}.metadata.yaml"), sidecar(step))

    @rule(folder=FOLDERS, step=STEPS)
    def write_config(self, folder: str, step: int) -> None:
        if self._does("config"):
            top = self.root / folder.partition("/")[0]
            put(top / ".hydra" / "config.yaml", f"exp_name: by config\noptimizer: {{lr: 0.{step}1}}\n")

    @rule(pick=PICKS)
    def delete_a_document(self, pick: int) -> None:
        documents = sorted(self.root.rglob("*.yaml"))
        if documents and self._does("document deleted"):
            documents[pick % len(documents)].unlink()

    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        path = self._file(pick)
        if path is not None and self._does("deleted"):
            path.unlink()

    @rule(pick=PICKS)
    def delete_folder(self, pick: int) -> None:
        folder = self._folder(pick)
        if folder is not None and self._does("folder deleted"):
            shutil.rmtree(folder)

    @rule(pick=PICKS, folder=FOLDERS, name=NAMES)
    def move(self, pick: int, folder: str, name: str) -> None:
        path = self._file(pick)
        if path is not None and self._does("moved"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
            path.replace(self.root / folder / name)

    @rule(pick=PICKS, folder=FOLDERS)
    def move_folder(self, pick: int, folder: str) -> None:
        source, target = self._folder(pick), self.root / folder
        if source is None or target.exists() or target.is_relative_to(source):
            return
        if self._does("folder moved"):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    @rule(pick=PICKS, folder=FOLDERS)
    def link(self, pick: int, folder: str) -> None:
        target, link = self._file(pick), self.root / folder / "linked.ckpt"
        if target is None or target == link:
            return
        if self._does("linked"):
            link.parent.mkdir(parents=True, exist_ok=True)
            new = link.with_name("linked.new")
            new.symlink_to(target)
            new.replace(link)

    @rule(pick=PICKS, folder=FOLDERS)
    def hard_link(self, pick: int, folder: str) -> None:
        target, link = self._file(pick), self.root / folder / "twin.ckpt"
        if target is None or link.exists() or link.is_symlink() or target.is_symlink():
            return
        if self._does("hard-linked"):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(target)

    @rule(pause=PAUSES)
    def wait(self, pause: float) -> None:
        if self._does("paused"):
            time.sleep(pause)

    @rule(pause=PAUSES)
    def take_the_root_away_and_back(self, pause: float) -> None:
        if self._does("root away and back"):
            aside = self.root.with_name("aside")
            self.root.rename(aside)
            time.sleep(pause)
            aside.rename(self.root)

    @rule(seed=PICKS)
    def burst(self, seed: int) -> None:
        """Two hundred changes while the watcher stands still."""
        if not self._does("burst while stopped"):
            return
        rng = random.Random(seed)
        with self.stage.stopped():
            for number in range(200):
                path = self.root / "burst" / f"{rng.randrange(5)}" / f"epoch={rng.randrange(4)}.ckpt"
                if number % 4 and path.exists():
                    path.unlink()
                else:
                    put(path, content(rng.randrange(10)))

    @rule(pick=PICKS)
    def tag(self, pick: int) -> None:
        if self._does("tagged"):
            self.stage.tag(pick)

    @rule()
    def kill(self) -> None:
        if self.stage.may_kill and self._does("killed and started again"):
            self.stage.kill()

    @rule(pick=PICKS)
    def compare(self, pick: int) -> None:
        """Seldom: what comes while a change is being looked at is harder than what comes after a rest."""
        if pick < 20 and self._does("compared"):
            self.stage.check()

    def teardown(self) -> None:
        if not self.stage.is_over:
            self.stage.check()
            self.stage.measure()
