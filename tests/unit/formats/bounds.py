"""What reading each file of the hostile corpus takes, in a process that dies of more than 2 s of CPU or 300 MB.

``python -m tests.unit.formats.bounds DIR`` writes the corpus below DIR, reads it, and prints the worst of each class.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from catalogdb.formats import read_header
from tests.unit.formats import corpus

SECONDS = 2
MEGABYTES = 300
MEGABYTE = 1024 * 1024


class Taken(NamedTuple):
    """``state`` is the header's, or None where the process died of its limits or of an exception."""

    name: str
    state: str | None
    seconds: float = 0.0
    megabytes: float = 0.0


def take(path: str) -> Taken:
    """Reads ``path`` in a fork of this process, which should have but one thread."""
    name = path.rpartition("/")[2]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _read_and_exit(path, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return Taken(name, *json.loads(told)) if told else Taken(name, None)


def _read_and_exit(path: str, writing: int) -> None:
    """In the child, whose CPU time begins at 0 and whose peak memory is what it was born with."""
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + MEGABYTES * MEGABYTE,) * 2)
        before = resource.getrusage(resource.RUSAGE_SELF)
        state = read_header(path).state
        after = resource.getrusage(resource.RUSAGE_SELF)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        os.write(writing, json.dumps([state, seconds, (after.ru_maxrss - before.ru_maxrss) / 1024]).encode())
    finally:
        os._exit(0)


def take_all(paths: Sequence[str]) -> list[Taken]:
    read_header(paths[0])  # what is imported at first use isn't the next file's
    return [take(path) for path in paths]


def main(folder: Path) -> None:
    taken = take_all([*corpus.write_corpus(folder / "files", "MARKED"), *corpus.write_folders(folder / "folders")])
    classes: dict[str, list[Taken]] = {}
    for each in taken:
        classes.setdefault(each.name.partition("-")[0], []).append(each)
    for kind, members in classes.items():
        slowest = max(members, key=lambda each: each.seconds)
        largest = max(members, key=lambda each: each.megabytes)
        dead = [each.name for each in members if each.state is None]
        sys.stdout.write(
            f"{kind}: {len(members)} read; {slowest.seconds:.2f} s ({slowest.name}); "
            f"{largest.megabytes:.0f} MB ({largest.name}); died: {', '.join(dead) or 'none'}\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
