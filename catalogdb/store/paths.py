"""Paths as they are stored: relative where they lie in the root, so that a root can move; absolute elsewhere."""

from __future__ import annotations


def inside(root: str, path: str) -> str:
    prefix = root if root.endswith("/") else f"{root}/"
    return path[len(prefix) :] if path.startswith(prefix) else path


def absolute(root: str, stored: str) -> str:
    """The inverse of ``inside``."""
    if stored.startswith("/"):
        return stored
    if stored == ".":
        return root
    return f"{root}{stored}" if root.endswith("/") else f"{root}/{stored}"
