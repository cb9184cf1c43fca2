"""A folder in hand during the walk: where its checkpoints' sidecars and configs are, without asking the disk twice.

The order in which a config is looked for is the one of the family's layouts: beside the checkpoint under its own
name, Hydra's one and then two levels above, a plain one in the checkpoint's folder, then in the one above.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from catalogdb.records import Source, Stamp, sidecar_path

OWN_CONFIGS = (".config.json", ".config.yaml", ".config.yml", ".resolved.config.json")
PLAIN_CONFIGS = ("config.yaml", "hparams.yaml")
DOCUMENT_SUFFIXES = (".yaml", ".yml", ".json")
HYDRA_CONFIG = ".hydra/config.yaml"


UNFINISHED = "-unfinished"
"""Ends the name of the file that NeMo keeps beside a checkpoint while it writes it
(``nemo/utils/callbacks/nemo_model_checkpoint.py``, ``format_checkpoint_unfinished_marker_path``)."""

INT64_MAX = 2**63 - 1


def stamp_of(status: os.stat_result) -> Stamp:
    """In SQLite's 64 signed bits: inodes are unsigned (overlayfs and network filesystems use all of their bits), and
    a time may be anything that was set."""
    inode, mtime_ns = status.st_ino, status.st_mtime_ns
    if inode > INT64_MAX:
        inode -= 2**64
    if not -INT64_MAX <= mtime_ns <= INT64_MAX:
        mtime_ns = max(-INT64_MAX, min(mtime_ns, INT64_MAX))
    return Stamp(status.st_size, mtime_ns, inode, status.st_dev)


class Folder:
    """One listed folder. ``parent`` is the one above it, None beyond what the walk has to know."""

    __slots__ = (
        "_config",
        "_config_known",
        "_config_names",
        "_documents",
        "_has_markers",
        "_has_own_configs",
        "has_hydra",
        "parent",
        "path",
    )

    def __init__(self, path: str, parent: Folder | None, config_names: tuple[str, ...] = PLAIN_CONFIGS) -> None:
        self.path = path
        self.parent = parent
        self._config_names = config_names
        self.has_hydra = False
        self._documents: dict[str, os.DirEntry[str] | None] = {}
        self._has_own_configs = False
        self._has_markers = False
        self._config: Source | None = None
        self._config_known = False

    @classmethod
    def above(cls, path: str, config_names: tuple[str, ...] = PLAIN_CONFIGS) -> Folder | None:
        """The folder above a root. Only the names that matter are asked for: it may hold anything."""
        upper = os.path.dirname(path)
        if upper == path:
            return None
        highest = os.path.dirname(upper)
        folder = cls(upper, cls(highest, None, config_names) if highest != upper else None, config_names)
        for each in (folder, folder.parent):
            if each is not None:
                each.has_hydra = os.path.isdir(f"{each.path}/.hydra")
                each._documents = {name: None for name in config_names if os.path.isfile(f"{each.path}/{name}")}
        return folder

    def add(self, entry: os.DirEntry[str]) -> None:
        """Remembers a file that may be a sidecar, a config or a marker."""
        name = entry.name
        if name.endswith(DOCUMENT_SUFFIXES):
            self._documents[name] = entry
            if name.endswith(OWN_CONFIGS):
                self._has_own_configs = True
        elif name.endswith(UNFINISHED):
            self._documents[name] = entry
            self._has_markers = True

    def sources_of(self, name: str) -> tuple[Source, ...]:
        """The sidecar, the config and the marker of the checkpoint ``name`` in this folder, as far as they exist."""
        if self._has_markers:
            return (*self._documents_of(name), *self._marker_of(name))
        return self._documents_of(name)

    def _documents_of(self, name: str) -> tuple[Source, ...]:
        documents = self._documents
        config = self._own_config(name) if self._has_own_configs else None
        if config is None:
            config = self._shared_config()
        sidecar = sidecar_path(name)
        if sidecar in documents:
            stamp = self._stamp(sidecar)
            if stamp is not None:
                found = Source("sidecar", f"{self.path}/{sidecar}", stamp)
                return (found,) if config is None else (found, config)
        return () if config is None else (config,)

    def _marker_of(self, name: str) -> tuple[Source, ...]:
        """``<name>-unfinished`` with or without the checkpoint's suffix."""
        for stem in (name, sidecar_path(name).removesuffix(".metadata.yaml")):
            marker = f"{stem}{UNFINISHED}"
            stamp = self._stamp(marker) if marker in self._documents else None
            if stamp is not None:
                return (Source("marker", f"{self.path}/{marker}", stamp),)
        return ()

    def _own_config(self, name: str) -> Source | None:
        stem = sidecar_path(name).removesuffix(".metadata.yaml")
        return self._first_document(f"{stem}{suffix}" for suffix in OWN_CONFIGS)

    def _shared_config(self) -> Source | None:
        if not self._config_known:
            upper = self.parent
            self._config = (
                (upper and (upper._hydra_config() or (upper.parent and upper.parent._hydra_config())))
                or self._first_document(self._config_names)
                or (upper and upper._first_document(self._config_names))
                or None
            )
            self._config_known = True
        return self._config

    def _hydra_config(self) -> Source | None:
        if not self.has_hydra:
            return None
        path = f"{self.path}/{HYDRA_CONFIG}"
        try:
            return Source("config", path, stamp_of(os.stat(path)))
        except OSError:
            return None

    def _first_document(self, names: Iterable[str]) -> Source | None:
        for name in names:
            if name in self._documents:
                stamp = self._stamp(name)
                if stamp is not None:
                    return Source("config", f"{self.path}/{name}", stamp)
        return None

    def _stamp(self, name: str) -> Stamp | None:
        entry = self._documents[name]
        try:
            return stamp_of(entry.stat() if entry is not None else os.stat(f"{self.path}/{name}"))
        except OSError:
            return None
