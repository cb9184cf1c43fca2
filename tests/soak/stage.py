"""The watcher of a soak: started, killed, asked, and measured from outside."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from catalogdb import Catalog
from catalogdb.errors import NotFound
from catalogdb.settings import Settings
from tests.e2e.watching.harness import Watching, wait_until, watching

KILLING_SHARE = 0.25
"""In this share of the time, at its beginning, the watcher may be killed; then one process lives to the end."""


class Held(NamedTuple):
    """What a process holds at a moment of rest. ``watches`` counts those beyond the folders that are there."""

    megabytes: float
    threads: int
    descriptors: int
    watches: int


@dataclass
class Stage:
    """One root, one catalog, and the process that watches."""

    folder: Path
    seconds: float
    began: float = field(default_factory=time.monotonic)
    operations: Counter[str] = field(default_factory=Counter)
    measures: list[tuple[float, Held]] = field(default_factory=list)
    checks: int = 0

    def __post_init__(self) -> None:
        self.root = self.folder / "outputs"
        self.root.mkdir()
        self.database = self.folder / "catalog.db"
        self._tags: set[str] = set()
        self._stack = ExitStack()
        self.watcher: Watching = self._start()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        return self.elapsed > self.seconds

    @property
    def may_kill(self) -> bool:
        return self.elapsed < KILLING_SHARE * self.seconds

    def _start(self) -> Watching:
        return self._stack.enter_context(watching(self.root, self.database, ends=None))

    def kill(self) -> None:
        """As a machine that loses power would, and the next one."""
        self.watcher.process.kill()
        self.watcher.process.wait()
        self._stack.close()
        self.measures.clear()
        self.watcher = self._start()

    def end(self) -> None:
        """It leaves as it should, and has said nothing but facts."""
        try:
            assert self.watcher.stop() == 0, self.watcher.log.read_text()
            lines = self.watcher.log.read_text().splitlines()
            assert all(line.startswith("{") for line in lines), self.watcher.log.read_text()[-3000:]
            self._assert_well()
        finally:
            self.close()

    def _assert_well(self) -> None:
        failed = self.watcher.facts("failed")
        assert not failed, f"{failed}\n{self.watcher.log.read_text()[-5000:]}"

    def close(self) -> None:
        self._stack.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.watcher.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.watcher.process.send_signal(signal.SIGCONT)

    def tag(self, pick: int) -> None:
        """Any row that has a file."""
        url = f"sqlite:///{self.database}"
        with Catalog.open(url, settings=Settings(url=url)) as catalog:
            rows = catalog.search("", max_results=None)
            if rows:
                name = f"t{len(self._tags)}"
                with suppress(NotFound):  # its file was moved onto another one in between: one row is left of two
                    catalog.tag(rows[pick % len(rows)].id, f"+{name}")
                    self._tags.add(name)

    def check(self) -> None:
        """The rows are those of a fresh scan, and every tag is still there."""
        rows = self.watcher.assert_true(seconds=60)
        self._assert_well()
        self.checks += 1
        lost = self._tags.difference(*(row.tags for row in rows.values()))
        assert not lost, f"tags were lost: {sorted(lost)}"

    def measure(self) -> None:
        process = psutil.Process(self.watcher.process.pid)

        def beyond() -> int:
            return watches_of(process.pid) - 1 - sum(path.is_dir() for path in self.root.rglob("*"))

        wait_until(lambda: beyond() == 0, what=f"a watch for each folder: {beyond()} beyond that")
        held = Held(process.memory_info().rss / 1e6, process.num_threads(), process.num_fds(), beyond())
        self.measures.append((self.elapsed, held))


def watches_of(pid: int) -> int:
    """As the kernel counts them."""
    lines = [
        line
        for entry in Path(f"/proc/{pid}/fdinfo").iterdir()
        for line in entry.read_text().splitlines()
        if line.startswith("inotify ")
    ]
    return len(lines)
