"""How rows follow files that moved, with the tags, notes and aliases that are theirs."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection

from catalogdb.records import Candidate, Stamp, signed_inode
from catalogdb.store.engine import chunks
from catalogdb.store.paths import absolute
from catalogdb.store.roots import Root


def follow_moves(connection: Connection, root: Root, candidates: Sequence[Candidate]) -> dict[str, int]:
    """Gives rows whose file now lies elsewhere their new path, and returns path → id of those that moved.

    A file is known again by device, inode, size and mtime, and only where its old path no longer leads to it.
    Hard links are one file under several names: a name that has its row keeps it, and of those that moved
    together each row follows the name it had, those that were there at the last scan first. A row whose file was
    overwritten by the move hands its tags, notes and aliases on.
    """
    new: dict[Stamp, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        new[candidate.stamp].append(candidate)
    homeless: dict[Stamp, list[tuple[int, str]]] = defaultdict(list)
    for checkpoint_id, old_path, stamp in _with_inodes(connection, list({stamp.inode for stamp in new})):
        if stamp not in new:
            continue
        if any(candidate.path == old_path for candidate in new[stamp]):
            new[stamp] = [candidate for candidate in new[stamp] if candidate.path != old_path]
        elif not _still_there(old_path, stamp):
            homeless[stamp].append((checkpoint_id, old_path))
    moves: dict[int, Candidate] = {}
    for stamp, rows in homeless.items():
        moves.update(_paired(rows, new[stamp]))
    _move(connection, root, moves)
    return {candidate.rel_path: checkpoint_id for checkpoint_id, candidate in moves.items()}


def _with_inodes(connection: Connection, inodes: Sequence[int]) -> Iterator[tuple[int, str, Stamp]]:
    """Rows by inode: id, absolute path, stamp."""
    for some in chunks(inodes):
        rows = connection.exec_driver_sql(
            "SELECT c.id, r.path, c.rel_path, c.size_bytes, c.mtime_ns, c.inode, c.device "
            "FROM checkpoints c JOIN roots r ON r.id = c.root_id "
            f"WHERE c.inode IN ({', '.join('?' * len(some))}) ORDER BY c.state = 'missing', c.id",
            tuple(some),
        )
        for checkpoint_id, root_path, rel_path, *stamp in rows:
            yield checkpoint_id, absolute(root_path, rel_path), Stamp(*stamp)


def _move(connection: Connection, root: Root, moves: Mapping[int, Candidate]) -> None:
    execute = connection.exec_driver_sql
    for checkpoint_id in moves:
        execute("UPDATE checkpoints SET rel_path = '//moving/' || id WHERE id = ?", (checkpoint_id,))
    for checkpoint_id, candidate in moves.items():
        place = (root.id, candidate.rel_path)
        overwritten = execute("SELECT id FROM checkpoints WHERE root_id = ? AND rel_path = ?", place).fetchone()
        if overwritten is not None:
            _hand_on(connection, overwritten[0], checkpoint_id)
        execute("UPDATE checkpoints SET root_id = ?, rel_path = ?, recheck = 1 WHERE id = ?", (*place, checkpoint_id))


def _hand_on(connection: Connection, from_id: int, to_id: int) -> None:
    execute = connection.exec_driver_sql
    execute("UPDATE OR IGNORE tags SET checkpoint_id = ? WHERE checkpoint_id = ?", (to_id, from_id))
    execute("UPDATE aliases SET checkpoint_id = ? WHERE checkpoint_id = ?", (to_id, from_id))
    execute(
        "INSERT INTO notes (checkpoint_id, text, updated_at) "
        "SELECT ?, text, updated_at FROM notes WHERE checkpoint_id = ? "
        "ON CONFLICT DO UPDATE SET text = notes.text || char(10) || excluded.text",
        (to_id, from_id),
    )
    execute("DELETE FROM checkpoints WHERE id = ?", (from_id,))


def _paired(rows: Sequence[tuple[int, str]], candidates: Sequence[Candidate]) -> Iterator[tuple[int, Candidate]]:
    """Rows with the candidates they became: those of the same file name first."""
    free = list(candidates)
    left: list[int] = []
    for checkpoint_id, old_path in rows:
        name = old_path.rpartition("/")[2]
        same = next((candidate for candidate in free if candidate.path.rpartition("/")[2] == name), None)
        if same is None:
            left.append(checkpoint_id)
        else:
            free.remove(same)
            yield checkpoint_id, same
    yield from zip(left, free, strict=False)


def _still_there(path: str, stamp: Stamp) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return signed_inode(status.st_ino) == stamp.inode and status.st_dev == stamp.device
