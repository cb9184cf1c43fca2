"""The names that a catalog's file holds, for a shell that waits while the user's finger is still on the key.

SQLite alone reads them: the store's own start-up (SQLAlchemy's imports) takes ten times as long as this.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

Kind = Literal["metrics", "params", "tags", "aliases", "roots"]

MOST = 500
"""Names that are given at once; nobody looks through more."""

_QUESTIONS: dict[Kind, str] = {
    "metrics": "SELECT name FROM metric_names",
    "params": "SELECT DISTINCT name FROM params",
    "tags": "SELECT DISTINCT key FROM tags",
    "aliases": "SELECT name FROM aliases",
    "roots": "SELECT path FROM roots",
}


def names_in(path: Path, kind: Kind, beginning: str = "") -> list[str]:
    """Names with this beginning, sorted; none from a file that isn't there, is busy, or is no catalog of this kind."""
    question = _QUESTIONS[kind]
    column = question.split(" FROM ")[0].split()[-1]
    question += f" WHERE substr({column}, 1, ?) = ? ORDER BY 1 LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)) as raw:
            return [name for (name,) in raw.execute(question, (len(beginning), beginning, MOST))]
    except sqlite3.Error:
        return []
