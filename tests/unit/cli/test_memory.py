"""Answers of any length stream: memory after 100,000 rows is what it was after the first ones.

Not timed: what is measured is the resident set, in a process of its own for each format.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from catalogdb import Catalog
from catalogdb.cli.render import FORMATS

ROWS = 100_000
EARLY = 20_000
"""By then every buffer has its size."""

ALLOWED = 8 << 20
"""Bytes that the other 80,000 rows may add. Kept, they would take more than 40 MB."""

ANSWER_ALLOWED = 24 << 20
"""The same for a whole answer, whose ids are known before the first row is loaded: 100 bytes each."""

WRITE = """
import sys
from tests.memory import peak_bytes
from catalogdb.cli.render import write_rows

def rows(count):
    for number in range(count):
        path = "/data/outputs/run_%d/checkpoints/epoch=%d.ckpt" % (number // 4, number)
        yield number, path, number / 7, None, "x" * 50

write_rows(["id", "path", "value", "nothing", "text"], rows(int(sys.argv[2])), sys.argv[1])
sys.stdout.flush()
print(peak_bytes(), file=sys.stderr)
"""
ASK = """
import sys
from tests.memory import peak_bytes
from catalogdb.cli.main import main
code = main(sys.argv[1:])
print(peak_bytes(), file=sys.stderr)
sys.exit(code)
"""


def measured(script: str, *arguments: str) -> int:
    """What the process says of its memory, with its rows going nowhere."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("style", [*FORMATS, "path0"])
def test_rows_stream(style: str) -> None:
    if style == "parquet":
        pytest.importorskip("pyarrow")
    peaks = [measured(WRITE, style, str(count)) for count in (EARLY, ROWS)]
    assert peaks[1] - peaks[0] <= ALLOWED


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 100,000 checkpoints with two metrics each, and a set of params that four share."""
    path = tmp_path_factory.mktemp("large") / "catalog.db"
    Catalog.open(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"""
            INSERT INTO roots (id, path, added_at) VALUES (1, '/data', '');
            INSERT INTO metric_names (id, name) VALUES (1, 'val/loss'), (2, 'val/hmean');
            INSERT INTO origins (id, tier, role, path, key, scope) VALUES (1, 'yaml', 'sidecar', '', 'k', 'checkpoint');
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
            INSERT INTO checkpoints (id, root_id, rel_path, device, inode, size_bytes, mtime_ns, fingerprint, recheck,
                                     state, source, stale, exp_name, architecture, epoch, resolved_at)
            SELECT i, 1, 'run_' || (i / 4) || '/checkpoints/epoch=' || i || '.ckpt', 1, i, 1000, i, 0, 0,
                   'ready', 'yaml', 0, 'run_' || (i / 4), 'dbnet', i % 4, '' FROM n;
            INSERT INTO metrics (checkpoint_id, name_id, value, origin_id, live, architecture)
            SELECT c.id, n.id, c.id / 7.0, 1, 1, 'dbnet' FROM checkpoints c, metric_names n;
        """)
    return path


def test_a_whole_answer_streams(large: Path) -> None:
    """Whole records, the most that a row can be."""
    command = ["ls", "--db", str(large), "--format", "jsonl"]
    peaks = [measured(ASK, *command, "-n", limit) for limit in (str(EARLY), "0")]
    assert peaks[1] - peaks[0] <= ANSWER_ALLOWED
