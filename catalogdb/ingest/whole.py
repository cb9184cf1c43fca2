"""A scan of a whole root, or of a folder in one."""

from __future__ import annotations

from collections.abc import Callable

from catalogdb.discovery import Walk
from catalogdb.errors import RootError
from catalogdb.ingest.alignment import LOOKAHEAD, Alignment, Top


def scan_root(alignment: Alignment, path: str, walk_of: Callable[..., Walk]) -> None:
    """``walk_of`` makes the walk, as ``Walk`` does. Raises RootError where ``path`` isn't there."""
    top = Top.at(path)
    if top.identity is None:
        raise RootError(f"{path}: no such folder")
    root, rows, foreign = alignment.ledger.open_root(path)
    walk = walk_of(root.path, below=root.below)
    outcome = alignment.bring_in_line(root, rows, foreign, walk, walk.chunks(LOOKAHEAD), top)
    alignment.ledger.finish(
        root, missing=outcome.missing, gone=outcome.forgotten, unlisted=walk.unlisted, problems=walk.problems
    )
