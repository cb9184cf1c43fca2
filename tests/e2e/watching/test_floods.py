"""More than a queue holds, a watcher that is killed in the middle of it, and a training beside it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from catalogdb import Catalog
from catalogdb.settings import Settings
from tests.e2e.watching.harness import Watching, checkpoint, put, rows_of, wait_until, watching

FILES, FOLDERS = 10_000, 500


def flood(root: Path, *, files: int = FILES, folders: int = FOLDERS, step: int = 0) -> None:
    """Makes files, renames half of them, some into another folder, and deletes every fifth, at full speed."""
    rng = random.Random(step)
    data = checkpoint(1)
    places = [root / f"run-{number:03}" / "checkpoints" for number in range(folders)]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        path = places[number % folders] / f"{step}-{number}.ckpt"
        path.write_bytes(data)
        if number % 2:
            new = places[rng.randrange(folders)] if number % 3 == 0 else path.parent
            path = path.rename(new / f"{step}-{number}-moved.ckpt")
        if number % 5 == 0:
            path.unlink()


def overflowing(watcher: Watching, act: Callable[[], None]) -> None:
    """Acts while the watcher stands still: the kernel's queue holds 16,384 events as a rule."""
    watcher.process.send_signal(signal.SIGSTOP)
    try:
        act()
    finally:
        watcher.process.send_signal(signal.SIGCONT)


def test_a_queue_that_overflows(root: Path, tmp_path: Path) -> None:
    put(root / "kept" / "epoch=1.ckpt", checkpoint(1))
    for number in range(FOLDERS):  # a folder that isn't watched yet fills no queue
        (root / f"run-{number:03}" / "checkpoints").mkdir(parents=True)
    with watching(root, tmp_path / "catalog.db") as watcher:
        url = f"sqlite:///{watcher.database}"
        with Catalog.open(url, settings=Settings(url=url)) as catalog:
            catalog.tag(root / "kept" / "epoch=1.ckpt", "+good")

        def act() -> None:
            flood(root)
            (root / "kept").rename(root / "run-000" / "kept")

        overflowing(watcher, act)
        wait_until(lambda: watcher.facts("events lost"), what="the overflow is noticed")
        rows = watcher.assert_true(seconds=60)
        assert sum(row.state == "ready" for row in rows.values()) == FILES * 4 // 5 + 1
        assert rows["run-000/kept/epoch=1.ckpt"].tags == {"good": None}
        put(root / "run-000" / "checkpoints" / "after.ckpt", checkpoint(9))
        wait_until(lambda: "run-000/checkpoints/after.ckpt" in watcher.rows(), what="it watches on")
        watcher.assert_true()


def test_killed_in_the_middle_of_a_flood_and_started_again(root: Path, tmp_path: Path) -> None:
    database = tmp_path / "catalog.db"
    put(root / "kept" / "epoch=1.ckpt", checkpoint(1))
    with watching(root, database, ends=None) as watcher:
        with Catalog.open(database) as catalog:
            catalog.tag(root / "kept" / "epoch=1.ckpt", "+good")
        flooding = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from tests.e2e.watching.test_floods import flood; "
                "flood(Path(sys.argv[1]))",
                str(root),
            ],
            cwd=Path(__file__).parents[3],
        )
        wait_until(lambda: len(rows_of(database)) > 100)
        watcher.process.kill()
        watcher.process.wait()
        (root / "kept").rename(root / "run-000" / "kept")
        assert flooding.wait(120) == 0
    with watching(root, database) as watcher:
        rows = watcher.assert_true(seconds=60)
        assert sum(row.state == "ready" for row in rows.values()) == FILES * 4 // 5 + 1
        assert rows["run-000/kept/epoch=1.ckpt"].tags == {"good": None}


def test_the_same_flood_without_events(root: Path, tmp_path: Path) -> None:
    with watching(root, tmp_path / "catalog.db", "--poll", CATALOGDB_WATCH_POLL="0.3") as watcher:
        flood(root, files=1500, folders=50)
        watcher.assert_true(seconds=60)


TRAINING = """
import sys, time, warnings
from pathlib import Path
import torch, lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset
warnings.simplefilter("ignore")

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.losses = [0.9, 0.5, 0.7, 0.3, 0.8, 0.2, 0.6]
    def training_step(self, batch, _):
        return self.layer(batch[0]).square().mean()
    def validation_step(self, *_):
        pass
    def on_validation_epoch_end(self):
        self.log("val_loss", self.losses[self.current_epoch])
        time.sleep(1.0)  # what is there for less than a moment, nobody sees
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

data = DataLoader(TensorDataset(torch.rand(8, 2)), batch_size=4)
saver = ModelCheckpoint(dirpath=Path(sys.argv[1], "trained", "checkpoints"), monitor="val_loss", save_top_k=2,
                        filename="{epoch}-{val_loss:.2f}", save_last=True)
pl.Trainer(max_epochs=7, accelerator="cpu", callbacks=[saver], logger=False, enable_progress_bar=False,
           enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=sys.argv[1]).fit(Model(), data, data)
"""


@pytest.mark.training
def test_lightning_trains_beside_it(root: Path, tmp_path: Path) -> None:
    with watching(root, tmp_path / "catalog.db") as watcher:
        subprocess.run([sys.executable, "-c", TRAINING, str(root)], check=True, capture_output=True, timeout=120)
        rows = watcher.assert_true()
    on_disk = {path.name for path in root.rglob("*.ckpt")}
    assert on_disk == {"epoch=3-val_loss=0.30.ckpt", "epoch=5-val_loss=0.20.ckpt", "last.ckpt"}
    for path, row in rows.items():
        name = path.rpartition("/")[2]
        assert row.state == ("ready" if name in on_disk else "missing")
        if row.state == "ready" and name != "last.ckpt":
            assert row.metrics["val_loss"] == pytest.approx(float(name.split("val_loss=")[1].removesuffix(".ckpt")))
    missing = [row for row in rows.values() if row.state == "missing"]
    assert missing, "what was kept for a while, and deleted, is known"
    best = [fact for fact in watcher.facts("new best") if fact["metric"] == "val_loss"]
    values = [round(fact["value"], 6) for fact in best]
    assert values == sorted(values, reverse=True), "each is better than the one before"
    assert set(values) <= {0.9, 0.5, 0.3, 0.2}, "epochs that pass faster than it looks may be missed, none is made up"
    assert values[-1] == 0.2


def test_nothing_is_held_that_isn_t_needed(root: Path, tmp_path: Path) -> None:
    """Folders that come and go leave no watch, thread or descriptor behind."""
    with watching(root, tmp_path / "catalog.db") as watcher:
        process = psutil.Process(watcher.process.pid)

        def held() -> tuple[int, int, int]:
            return process.num_fds(), process.num_threads(), watches_of(process.pid)

        put(root / "first" / "a.ckpt", checkpoint(1))
        wait_until(lambda: "first/a.ckpt" in watcher.rows())
        before = held()
        for step in range(20):
            put(root / f"run-{step}" / "checkpoints" / "a.ckpt", checkpoint(step))
        wait_until(lambda: len(watcher.rows()) == 21)
        assert watches_of(process.pid) == before[2] + 40
        for step in range(20):
            (root / f"run-{step}" / "checkpoints" / "a.ckpt").unlink()
            (root / f"run-{step}" / "checkpoints").rmdir()
            (root / f"run-{step}").rmdir()
        watcher.assert_true()
        wait_until(lambda: held() == before, what=f"as before: {before}, now {held()}")


def watches_of(pid: int) -> int:
    """As the kernel counts them."""
    lines = [
        line
        for entry in Path(f"/proc/{pid}/fdinfo").iterdir()
        for line in entry.read_text().splitlines()
        if line.startswith("inotify ")
    ]
    return len(lines)


def test_no_work_is_done_when_nothing_happens(root: Path, tmp_path: Path) -> None:
    """No busy loop: a few wake-ups a second, whatever they cost on this machine, and no row written."""
    for step in range(50):
        put(root / f"run-{step}" / "a.ckpt", checkpoint(step))
    with watching(root, tmp_path / "catalog.db") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        process = psutil.Process(watcher.process.pid)
        before = process.num_ctx_switches().voluntary
        time.sleep(3)
        assert process.num_ctx_switches().voluntary - before < 150
