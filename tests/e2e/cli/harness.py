"""What the tests of the command line share."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SUMMARY = re.compile(r"Catalog built: \d+ entr(y|ies) \(\d+ YAML, \d+ Wandb, \d+ legacy\) in \d+\.\d{3}s")
PROGRAM = [sys.executable, "-c", "import sys; from catalogdb.cli.main import main; sys.exit(main())"]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ended]
Shell = Callable[[str], "subprocess.CompletedProcess[bytes]"]


@dataclass(frozen=True)
class Demo:
    outputs: Path
    database: Path

    @property
    def size(self) -> int:
        return sum(1 for _ in self.outputs.rglob("*.ckpt"))


def assert_one_line(ended: Ended, code: int, *words: str) -> None:
    assert ended.code == code, ended
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("catalogdb: error: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
