"""What trainings and people do to a folder while a watcher looks on, with events and without."""

from __future__ import annotations

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.settings import Settings
from tests.e2e.watching.conftest import EVENTS, POLLING
from tests.e2e.watching.harness import Watching, checkpoint, put, script, sidecar, wait_until, watching

SAVE = """
import sys, torch
state = {f"w{n}": torch.full((25_000_000,), float(n)) for n in range(5)}
torch.save({"epoch": 7, "global_step": 70, "pytorch-lightning_version": "2.6.0", "state_dict": state}, sys.argv[1])
"""

OVERWRITE = """
import pathlib, sys, time
path, size, seconds = sys.argv[1], 40, float(sys.argv[2])
data = pathlib.Path(sys.argv[3]).read_bytes()
with open(path, "wb", buffering=0) as file:
    for part in range(size):
        file.write(data[part * len(data) // size : (part + 1) * len(data) // size])
        time.sleep(seconds / size)
"""

REWRITE = """
import pathlib, sys, time
path, parts = pathlib.Path(sys.argv[1]), [pathlib.Path(each).read_bytes() for each in sys.argv[3:]]
end, count = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    path.write_bytes(parts[count % len(parts)])
    count += 1
    time.sleep(0.2)
"""


def shows(watcher: Watching, rel_path: str, epoch: int) -> bool:
    row = watcher.rows().get(rel_path)
    return row is not None and row.epoch == epoch


def test_a_large_file_that_torch_saves(watcher: Watching) -> None:
    """500 MB by another process: no row calls it whole before it is."""
    path = watcher.root / "run" / "checkpoints" / "large.ckpt"
    path.parent.mkdir(parents=True)
    saving = script(SAVE, path)
    seen = set()
    while saving.poll() is None:
        row = watcher.rows().get("run/checkpoints/large.ckpt")
        if row is not None:
            seen.add((row.state, row.epoch))
        time.sleep(0.02)
    assert saving.returncode == 0
    row = watcher.assert_true()["run/checkpoints/large.ckpt"]
    assert (row.state, row.epoch, row.size_bytes) == ("ready", 7, path.stat().st_size)
    assert {state for state, _ in seen} <= {"writing", "ready"}
    assert {epoch for state, epoch in seen if state == "ready"} <= {7}
    path.unlink()


def test_a_file_that_is_overwritten_loses_its_old_metrics_at_once(watcher: Watching, tmp_path: Path) -> None:
    run = watcher.root / "run" / "checkpoints"
    put(run / "last.metadata.yaml", sidecar(3))
    put(run / "last.ckpt", checkpoint(3))
    wait_until(lambda: watcher.rows().get("run/checkpoints/last.ckpt"))
    assert watcher.assert_true()["run/checkpoints/last.ckpt"].metrics["val/hmean"] == 0.03
    new = put(tmp_path / "new", checkpoint(4, size=500_000))
    began = time.monotonic()
    writing = script(OVERWRITE, run / "last.ckpt", 4, new)
    wait_until(lambda: watcher.rows()["run/checkpoints/last.ckpt"].state == "writing", seconds=4)
    noticed = time.monotonic() - began
    whole = new.stat().st_size
    while (run / "last.ckpt").stat().st_size < whole:
        row = watcher.rows()["run/checkpoints/last.ckpt"]
        if (run / "last.ckpt").stat().st_size < whole:
            assert row.state == "writing", f"{row.state} in the middle of its write, noticed after {noticed:.2f} s"
        time.sleep(0.05)
    assert writing.wait(timeout=20) == 0
    row = watcher.assert_true()["run/checkpoints/last.ckpt"]
    assert (row.state, row.epoch) == ("ready", 4)
    assert "val/hmean" not in row.metrics, "the sidecar is about the file that was there before"


def test_a_temporary_name_first(watcher: Watching) -> None:
    run = watcher.root / "run"
    for step in range(1, 4):
        part = put(run / ".last.ckpt.part", checkpoint(step))
        part.replace(run / "last.ckpt")
        wait_until(partial(shows, watcher, "run/last.ckpt", step))
    rows = watcher.assert_true()
    assert rows.keys() == {"run/last.ckpt"}


@pytest.mark.parametrize(("arguments", "seconds"), [(EVENTS, 20.0), (POLLING, 8.0)], ids=["events", "polling"])
def test_last_is_rewritten_five_times_a_second(
    root: Path, tmp_path: Path, arguments: tuple[str, ...], seconds: float
) -> None:
    """The debounce has an end: the row follows, and doesn't wait for a pause."""
    parts = [put(tmp_path / f"{step}", checkpoint(step, size=10_000 + step)) for step in range(10)]
    with watching(root, tmp_path / "catalog.db", *arguments, CATALOGDB_WATCH_POLL="0.3") as watcher:
        rewriting = script(REWRITE, root / "last.ckpt", seconds, *parts)
        seen: list[float | None] = []
        while rewriting.poll() is None:
            row = watcher.rows().get("last.ckpt")
            if row is not None and row.state == "ready" and (not seen or seen[-1] != row.epoch):
                seen.append(row.epoch)
            time.sleep(0.05)
        assert len(seen) > seconds / 2, f"the row changed {len(seen)} times in {seconds:g} s"
        watcher.assert_true()


def test_a_link_is_swapped(watcher: Watching) -> None:
    run = watcher.root / "run" / "checkpoints"
    put(run / "epoch=1.ckpt", checkpoint(1))
    put(watcher.root / "kept" / "epoch=2.ckpt", checkpoint(2))
    link = watcher.root / "best" / "best.ckpt"
    link.parent.mkdir()
    for step, target in enumerate((run / "epoch=1.ckpt", watcher.root / "kept" / "epoch=2.ckpt"), 1):
        new = link.with_suffix(".new")
        new.symlink_to(target)
        new.replace(link)
        wait_until(partial(shows, watcher, "best/best.ckpt", step))
    rows = watcher.assert_true()
    assert rows["best/best.ckpt"].link_target == str(watcher.root / "kept" / "epoch=2.ckpt")
    put(watcher.root / "kept" / "epoch=2.ckpt", checkpoint(5))
    wait_until(lambda: watcher.rows()["best/best.ckpt"].epoch == 5, what="a link's row follows its target elsewhere")
    (watcher.root / "kept" / "epoch=2.ckpt").unlink()
    wait_until(lambda: watcher.rows()["best/best.ckpt"].state == "missing")
    watcher.assert_true()


def test_a_sidecar_two_seconds_later(watcher: Watching) -> None:
    run = watcher.root / "run" / "checkpoints"
    put(run / "epoch=3.ckpt", checkpoint(3))
    wait_until(lambda: "run/checkpoints/epoch=3.ckpt" in watcher.rows())
    time.sleep(2)
    put(run / "epoch=3.metadata.yaml", sidecar(3))
    wait_until(lambda: watcher.rows()["run/checkpoints/epoch=3.ckpt"].source == "yaml")
    assert watcher.assert_true()["run/checkpoints/epoch=3.ckpt"].metrics["val/hmean"] == 0.03
    (run / "epoch=3.metadata.yaml").unlink()
    wait_until(lambda: watcher.rows()["run/checkpoints/epoch=3.ckpt"].source == "legacy")
    put(watcher.root / "run" / ".hydra" / "config.yaml", "exp_name: by its config\noptimizer: {lr: 0.1}\n")
    wait_until(lambda: watcher.rows()["run/checkpoints/epoch=3.ckpt"].params.get("optimizer.lr") == 0.1)
    put(watcher.root / "run" / ".hydra" / "config.yaml", "exp_name: by its config\noptimizer: {lr: 0.2}\n")
    wait_until(lambda: watcher.rows()["run/checkpoints/epoch=3.ckpt"].params["optimizer.lr"] == 0.2)
    shutil.rmtree(watcher.root / "run" / ".hydra")
    wait_until(lambda: watcher.rows()["run/checkpoints/epoch=3.ckpt"].exp_name == "run")
    watcher.assert_true()


def tag(watcher: Watching, rel_path: str, tag: str) -> None:
    url = f"sqlite:///{watcher.database}"
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        catalog.tag(watcher.root / rel_path, tag)


def test_a_folder_is_renamed_and_tags_stay(watcher: Watching) -> None:
    for step in range(3):
        put(watcher.root / "trial" / "checkpoints" / f"epoch={step}.ckpt", checkpoint(step))
    wait_until(lambda: len(watcher.rows()) == 3)
    watcher.assert_true()
    tag(watcher, "trial/checkpoints/epoch=1.ckpt", "stage=prod")
    before = {row.id for row in watcher.rows().values()}
    (watcher.root / "trial").rename(watcher.root / "kept")
    wait_until(lambda: "kept/checkpoints/epoch=1.ckpt" in watcher.rows())
    rows = watcher.assert_true()
    assert {row.id for row in rows.values()} == before, "no row is new, and none is missing"
    assert rows["kept/checkpoints/epoch=1.ckpt"].tags == {"stage": "prod"}
    assert rows["kept/checkpoints/epoch=1.ckpt"].exp_name == "kept"
    (watcher.root / "archive" / "2026").mkdir(parents=True)
    (watcher.root / "kept").rename(watcher.root / "archive" / "2026" / "kept")
    wait_until(lambda: "archive/2026/kept/checkpoints/epoch=1.ckpt" in watcher.rows())
    rows = watcher.assert_true()
    assert {row.id for row in rows.values()} == before
    put(watcher.root / "archive" / "2026" / "kept" / "checkpoints" / "epoch=9.ckpt", checkpoint(9))
    wait_until(lambda: len(watcher.rows()) == 4, what="a folder that moved is watched where it is now")
    watcher.assert_true()


def test_the_root_goes_and_comes_back(watcher: Watching, tmp_path: Path) -> None:
    """Moved away: stale, not missing. Deleted and made anew: what is there again, and what isn't."""
    for step in range(3):
        put(watcher.root / "run" / f"epoch={step}.ckpt", checkpoint(step))
    wait_until(lambda: len(watcher.rows()) == 3)
    watcher.assert_true()
    tag(watcher, "run/epoch=1.ckpt", "stage=prod")
    before = {path: row.id for path, row in watcher.rows().items()}
    watcher.root.rename(tmp_path / "aside")
    wait_until(lambda: watcher.facts("root vanished"))
    wait_until(lambda: all(row.stale for row in watcher.rows().values()))
    assert {row.state for row in watcher.rows().values()} == {"ready"}
    (tmp_path / "aside").rename(watcher.root)
    wait_until(lambda: watcher.facts("root is back"))
    wait_until(lambda: not any(row.stale for row in watcher.rows().values()))
    assert {path: row.id for path, row in watcher.assert_true().items()} == before
    shutil.rmtree(watcher.root)
    wait_until(lambda: len(watcher.facts("root vanished")) == 2)
    put(watcher.root / "run" / "epoch=1.ckpt", checkpoint(1))
    put(watcher.root / "run" / "epoch=7.ckpt", checkpoint(7))
    wait_until(lambda: (row := watcher.rows().get("run/epoch=7.ckpt")) and row.state == "ready")
    rows = watcher.assert_true()
    assert rows["run/epoch=0.ckpt"].state == "missing"
    assert rows["run/epoch=1.ckpt"].tags == {"stage": "prod"}
    put(watcher.root / "run" / "epoch=8.ckpt", checkpoint(8))
    wait_until(lambda: "run/epoch=8.ckpt" in watcher.rows())
    watcher.assert_true()


def test_sidecars_that_are_written_beside_it(watcher: Watching) -> None:
    """``sidecar write --yes`` into the watcher's own catalog: it takes them in, and nothing of a half-written one."""
    for step in range(20):
        put(watcher.root / "run" / "checkpoints" / f"{step}.ckpt", checkpoint(step))
    wait_until(lambda: sum(row.state == "ready" for row in watcher.rows().values()) == 20)
    url = f"sqlite:///{watcher.database}"
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        written = [each.action for each in catalog.write_sidecars()]
    assert written == ["written"] * 20
    rows = watcher.assert_true()
    assert {row.source for row in rows.values()} == {"yaml"}
    assert not any(row.problems for row in rows.values())


def test_the_root_is_away_for_a_moment_while_changes_wait(root: Path, tmp_path: Path) -> None:
    """It's back before anybody noticed: what was to be looked at meanwhile is looked at all the same."""
    put(root / "run" / "epoch=1.ckpt", checkpoint(1))
    with watching(root, tmp_path / "catalog.db") as watcher:
        wait_until(lambda: watcher.facts("reconciled"))
        for step in range(2, 5):
            watcher.process.send_signal(signal.SIGSTOP)
            put(root / "run" / f"epoch={step}.ckpt", checkpoint(step))
            root.rename(tmp_path / "aside")
            watcher.process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
            (tmp_path / "aside").rename(root)
            wait_until(partial(shows, watcher, f"run/epoch={step}.ckpt", step))
            put(root / f"later-{step}" / "last.ckpt", checkpoint(step))
            wait_until(partial(shows, watcher, f"later-{step}/last.ckpt", step), what="it watches on")
        watcher.assert_true()


def test_names_that_the_catalog_or_the_disk_cannot_follow(root: Path) -> None:
    """A link in a circle, and names that aren't UTF-8, are in nobody's way."""
    with watching(root, root.parent / "catalog.db") as watcher:
        (root / "latest").symlink_to("latest")
        folder = root / os.fsdecode(b"folder-\xff")
        for path in (root / os.fsdecode(b"log-\xfe.txt"), root / os.fsdecode(b"\xff.ckpt"), folder / "x.ckpt"):
            put(path, checkpoint(1))
        put(root / "x.ckpt", checkpoint(2))
        wait_until(lambda: shows(watcher, "x.ckpt", 2))
        assert not watcher.facts("failed")
