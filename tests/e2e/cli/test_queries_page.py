"""docs/queries.md can't lie: its blocks are run on the demo's catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalogdb import Catalog
from tests.e2e.cli.harness import Demo

PAGE = (Path(__file__).parents[3] / "docs" / "queries.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_a_block_runs(demo: Demo, block: str) -> None:
    with Catalog.open(demo.database) as catalog:
        exec(compile(block, "docs/queries.md", "exec"), {"catalog": catalog})


def test_the_leaderboard_prints_one_line_for_each(demo: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (block for block in BLOCKS if "per=" in block)
    with Catalog.open(demo.database) as catalog:
        exec(compile(block, "docs/queries.md", "exec"), {"catalog": catalog})
        architectures = {row.architecture for row in catalog.search("")}
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(filter(None, architectures))
