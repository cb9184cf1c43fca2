"""Following the files that a trainer writes and deletes, and keeping their sidecars beside them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from catalogdb.documents import read_document
from catalogdb.records import EMBEDDED_KEY, sidecar_path
from catalogdb.sidecars import write_sidecar

FIRST_KEYS = ("epoch", "global_step", "pytorch-lightning_version")
"""What Lightning begins a checkpoint with (``checkpoint_connector.py``, dump_checkpoint)."""

_FOLLOWED = "_catalogdb_followed"


def embed(checkpoint: dict[str, Any], record: Mapping[str, Any]) -> None:
    """Puts the record into the checkpoint; right behind Lightning's first keys, where a look at the file's start sees
    it before gigabytes of weights."""
    keys = tuple(checkpoint)[: len(FIRST_KEYS)]
    if keys != FIRST_KEYS:
        checkpoint[EMBEDDED_KEY] = record
        return
    items = dict(checkpoint)
    checkpoint.clear()
    checkpoint.update({key: items[key] for key in FIRST_KEYS})
    checkpoint[EMBEDDED_KEY] = record
    checkpoint.update({key: value for key, value in items.items() if key != EMBEDDED_KEY and key not in FIRST_KEYS})


class Sidecars:
    """The sidecars of the checkpoints that one process writes. ``guard`` is what a failure ends in.

    Files may be written in another thread (AsyncCheckpointIO) than the one that deletes them.
    """

    def __init__(self, guard: Callable[[str], contextlib.AbstractContextManager[None]]) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self.links_may_have_moved = False

    def saved(self, checkpoint: Mapping[str, Any], path: str, before: tuple[int, ...] | None) -> None:
        """``before`` is what the file was when the save began: one that hasn't changed isn't there yet."""
        record = checkpoint.get(EMBEDDED_KEY)
        if record is None or "://" in path or Path(path).name.startswith("."):
            return
        with self._guard(f"writing the sidecar of {path}"), self._lock:
            if file_state(path) in (None, before):
                return
            try:
                write_sidecar(record, path, durable=False)
            except BaseException:
                _delete(sidecar_path(path))  # what stands there is of the file that was replaced
                raise
            self.links_may_have_moved = True

    def removed(self, path: str) -> None:
        with self._guard(f"deleting the sidecar of {path}"), self._lock:
            if not os.path.lexists(path):
                _delete(sidecar_path(path))

    def follow_links(self, callbacks: Iterable[Any]) -> None:
        """``save_last="link"`` makes a link and no file: its sidecar says what that of its target says.

        Lightning makes the link right after a save, and calls nobody; so this is asked for at the next occasion.
        """
        self.links_may_have_moved = False
        for callback in callbacks:
            link = Path(getattr(callback, "last_model_path", None) or "")
            if getattr(callback, "save_last", None) != "link" or not link.is_symlink():
                continue
            with self._guard(f"writing the sidecar of {link}"), self._lock:
                try:
                    record = read_document(sidecar_path(str(link.resolve())))
                except FileNotFoundError:  # its file is still being written
                    self.links_may_have_moved = True
                    _delete(sidecar_path(str(link)))
                    continue
                own = Path(str(record.get("checkpoint_path"))).with_name(link.name)
                write_sidecar({**record, "checkpoint_path": str(own)}, link, durable=False)


def follow(
    strategy: Any, sidecars: Sidecars | None, *, complete: Callable[[Any, str], None], done: Callable[[], None]
) -> None:
    """Has ``complete`` called with each checkpoint and its path before it is written, on every rank; keeps the sidecars
    of what is written and deleted; and calls ``done`` when the strategy is torn down, an exception's way included.

    A strategy's methods are wrapped on the instance: a checkpoint that holds only weights is made without asking any
    callback, no callback learns of a file's path or its deletion, and a plugin's class may matter to its strategy.
    """
    if getattr(strategy, _FOLLOWED, False):
        return
    setattr(strategy, _FOLLOWED, True)
    save, teardown = strategy.save_checkpoint, strategy.teardown

    @wraps(save)
    def save_checkpoint(checkpoint: Any, filepath: Any, *args: Any, **options: Any) -> Any:
        complete(checkpoint, os.fspath(filepath))
        return save(checkpoint, filepath, *args, **options)

    @wraps(teardown)
    def torn_down() -> Any:
        try:
            return teardown()
        finally:
            done()

    strategy.save_checkpoint, strategy.teardown = save_checkpoint, torn_down
    if sidecars is None:
        return
    plugin = strategy.checkpoint_io
    while getattr(plugin, "checkpoint_io", None) is not None:  # the innermost: AsyncCheckpointIO returns too early
        plugin = plugin.checkpoint_io
    _follow_plugin(plugin, sidecars)


def _follow_plugin(plugin: Any, sidecars: Sidecars) -> None:
    if getattr(plugin, _FOLLOWED, False):
        return
    setattr(plugin, _FOLLOWED, True)
    save, remove = plugin.save_checkpoint, plugin.remove_checkpoint

    @wraps(save)
    def save_checkpoint(checkpoint: Any, path: Any, *args: Any, **options: Any) -> Any:
        before = file_state(os.fspath(path))
        result = save(checkpoint, path, *args, **options)
        sidecars.saved(checkpoint, os.fspath(path), before)
        return result

    @wraps(remove)
    def remove_checkpoint(path: Any, *args: Any, **options: Any) -> Any:
        result = remove(path, *args, **options)
        sidecars.removed(os.fspath(path))
        return result

    plugin.save_checkpoint, plugin.remove_checkpoint = save_checkpoint, remove_checkpoint


def file_state(path: str) -> tuple[int, ...] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _delete(path: str) -> None:
    Path(path).unlink(missing_ok=True)
