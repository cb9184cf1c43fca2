"""What a listing says of a name, wherever the disk or the catalog can't follow."""

from __future__ import annotations

import os


def is_folder(entry: os.DirEntry[str], *, follow_links: bool = False) -> bool:
    """``entry.is_dir``, and False where the disk can't tell: a link in circles or to a name that is too long, a folder
    on the way that may not be searched."""
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:
        return False


def is_utf8(path: str) -> bool:
    """False for a name with bytes that are no text: SQLite keeps text only."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
