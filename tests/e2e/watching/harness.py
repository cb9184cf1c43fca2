"""A real watcher on a real folder, and the question that every test ends with: are its rows those of a fresh scan?"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import catalogdb
from catalogdb import Catalog
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings

SETTLES = 20.0
"""Seconds within which the rows have to be true; a loaded machine is slow."""


def checkpoint(step: int, *, size: int = 8) -> bytes:
    """What Lightning saves, in small: an epoch for each step."""
    buffer = io.BytesIO()
    state = {"epoch": step, "global_step": 10 * step, "pytorch-lightning_version": "2.6.0"}
    torch.save({**state, "state_dict": {"w": torch.zeros(size)}}, buffer)
    return buffer.getvalue()


def sidecar(step: int, *, exp_name: str = "run", value: float | None = None) -> str:
    """About the checkpoint of that step."""
    value = step / 100 if value is None else value
    return (
        f"exp_name: {exp_name}\ntraining: {{epoch: {step}, global_step: {10 * step}}}\n"
        "checkpointing: {monitor: val/hmean, mode: max}\n"
        f"metrics: {{hmean: {value}, additional_metrics: {{val/hmean: {value}}}}}\n"
    )


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(database: Path, where: str = "state IS NOT NULL") -> list[Checkpoint]:
    url = f"sqlite:///{database}"
    with Catalog.open(url, settings=Settings(url=url)) as catalog:
        return catalog.search(where, max_results=None)


def afresh(root: Path) -> dict[str, Checkpoint]:
    """What a scan of ``root`` into nothing finds."""
    with Catalog.open("sqlite://", settings=Settings(url="sqlite://")) as catalog:
        catalog.scan(root, use_wandb=False)
        return {row.path: row for row in catalog.search("state IS NOT NULL", max_results=None)}


def difference(rows: Sequence[Checkpoint], fresh: dict[str, Checkpoint]) -> list[str]:
    """In what the live rows aren't those of a fresh scan: ids and the user's own facts aside."""
    live = {row.path: row for row in rows if row.state != "missing"}
    found = [f"{path}: no row" for path in sorted(fresh.keys() - live.keys())]
    found += [f"{path}: gone, but {live[path].state}" for path in sorted(live.keys() - fresh.keys())]
    for path in sorted(live.keys() & fresh.keys()):
        one, two = (replace(row, id=0, tags={}, aliases=(), note=None) for row in (live[path], fresh[path]))
        if repr(one) != repr(two):
            names = [name for name in one.to_dict() if repr(getattr(one, name)) != repr(getattr(two, name))]
            found += [f"{path}: {name}: {getattr(one, name)!r} != {getattr(two, name)!r}" for name in names]
    return found


def wait_until(holds: Callable[[], Any], *, seconds: float = SETTLES, what: str = "") -> Any:
    """Its value, as soon as it is a true one."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or holds}"
        time.sleep(0.05)
    return found


@dataclass
class Watching:
    """A watcher that runs."""

    process: subprocess.Popen[bytes]
    root: Path
    database: Path
    log: Path

    def facts(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it said so far, in order."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [fact for fact in found if event is None or fact["event"] == event]

    def rows(self) -> dict[str, Checkpoint]:
        """By relative path, the missing ones too."""
        return {row.rel_path: row for row in rows_of(self.database)}

    def assert_true(self, *, seconds: float = SETTLES) -> dict[str, Checkpoint]:
        """Its rows end as those of a fresh scan."""
        end = time.monotonic() + seconds
        fresh = afresh(self.root)
        while wrong := difference(rows_of(self.database), fresh):
            assert self.process.poll() is None, self.log.read_text()
            if time.monotonic() > end:
                raise AssertionError("\n".join([*wrong[:20], f"({len(wrong)} in all)", self.log.read_text()[-3000:]]))
            time.sleep(0.1)
            fresh = afresh(self.root)
        return self.rows()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@contextmanager
def watching(
    root: Path, database: Path, *arguments: str, ends: int | None = 0, within: Sequence[str] = (), **environ: str
) -> Iterator[Watching]:
    """Starts a watcher, waits until it watches, and has it leave in the end; ``ends`` is the code it has to leave with.

    ``within`` is a command that becomes it. It has left within 5 s of SIGTERM, with every thread, and says nothing that
    isn't a fact.
    """
    log = database.with_name(f"watch-{time.monotonic_ns()}.log")
    command = [sys.executable, "-m", "catalogdb", "watch", str(root), "--db", str(database), "--log-format", "json"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CATALOGDB_", "WANDB_", "XDG_"))
    }
    environment |= {"HOME": str(database.parent), "PYTHONPATH": str(Path(catalogdb.__file__).parents[1]), **environ}
    with log.open("wb") as output:
        process = subprocess.Popen([*within, *command, *arguments], stderr=output, env=environment, cwd=database.parent)
    watcher = Watching(process, root, database, log)
    try:
        wait_until(lambda: watcher.facts("watching") or process.poll() is not None, seconds=60)
        assert process.poll() is None, log.read_text()
        yield watcher
        if process.poll() is None and ends is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(5)
        if ends is not None:
            assert process.returncode == ends, log.read_text()
            other = [line for line in log.read_text().splitlines() if not line.startswith("{")]
            assert not other, "\n".join(other)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def script(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Another process, at work beside the watcher."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])
