"""Eight processes ask while a watcher writes. For longer by hand: ``python -m tests.e2e.watching.test_readers 60``."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.watching.harness import Watching, checkpoint, put, rows_of, sidecar, wait_until, watching

READERS, RUNS, FILES = 8, 4, 8
REST = 1.0
"""Seconds between two moves of a folder: longer than anybody looks at it."""

HERE = Path(__file__).resolve().parents[3]


def say(folder: Path, generation: int) -> None:
    """Every sidecar of a folder, anew, with a number below 1 that says which generation it is of."""
    number = generation % 900 + 1
    for step in range(1, FILES + 1):
        text = sidecar(step, exp_name=f"gen-{number}", value=number / 1000)
        young = put(folder / f"epoch={step}.metadata.tmp", text)
        young.rename(folder / f"epoch={step}.metadata.yaml")


def lay_out(root: Path) -> None:
    for name in [*(f"run-{number}" for number in range(RUNS)), "moving-a"]:
        for step in range(1, FILES + 1):
            put(root / name / f"epoch={step}.ckpt", checkpoint(step))
        say(root / name, 1)


def change(watcher: Watching, readers: list[subprocess.Popen[str]]) -> int:
    """Rewrites sidecars, and moves a folder to and fro whenever its last move is known, until all who ask are done.

    A folder that moves again while it is looked at is on disk half here and half there, and so would be its rows.
    """
    root, place, since = watcher.root, "moving-a", 0.0
    for generation in itertools.count(2):
        say(root / f"run-{generation % RUNS}", generation)
        if time.monotonic() > since + REST and is_known(watcher, place):
            here, place = place, "moving-b" if place == "moving-a" else "moving-a"
            (root / here).rename(root / place)
            since = time.monotonic()
        time.sleep(0.05)
        if all(reader.poll() is not None for reader in readers):
            return generation
    raise AssertionError


def is_known(watcher: Watching, folder: str) -> bool:
    return len(rows_of(watcher.database, f"rel_path LIKE '{folder}/%' AND state = 'ready'")) == FILES


@contextmanager
def reading(database: Path, seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.e2e.watching.reader_process", str(database), str(seconds), str(FILES)]
    readers = [
        subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(READERS)
    ]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def read_while_it_writes(folder: Path, seconds: float) -> tuple[int, int]:
    """The rounds of questions that were asked, and the times that something was written."""
    root, database = folder / "outputs", folder / "catalog.db"
    lay_out(root)
    with watching(root, database) as watcher:
        wait_until(lambda: len(watcher.rows()) == (RUNS + 1) * FILES, what="all rows are there")
        with reading(database, seconds) as readers:
            changes = change(watcher, readers)
            ended = [(reader.wait(), *reader.communicate()) for reader in readers]
        failed = [errors[-1500:] for code, _, errors in ended if code]
        assert not failed, "\n".join(failed)
        watcher.assert_true()
    return sum(int(said) for _, said, _ in ended), changes


def test_nobody_is_locked_out_and_nobody_sees_half_a_batch(tmp_path: Path) -> None:
    rounds, changes = read_while_it_writes(tmp_path.resolve(), 10)
    assert rounds >= READERS
    assert changes > 3


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asked, written = read_while_it_writes(Path(temporary).resolve(), float(sys.argv[1]))
    sys.stdout.write(f"{READERS} readers asked {asked} times while {written} changes were made\n")
