"""A folder in hand during the walk: where its checkpoints' sidecars and configs are, without asking the disk twice.

The order in which a config is looked for is the one of the family's layouts: beside the checkpoint under its own
name, Hydra's in the run's folder or one of two above it, a plain one in the checkpoint's folder, in the one above, in
the run's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from catalogdb.discovery.entries import is_folder, is_utf8
from catalogdb.layouts import all_marks, layouts_with
from catalogdb.layouts.base import run_of
from catalogdb.layouts.hydra import hydra_home
from catalogdb.records import Source, Stamp, sidecar_path, stamp_of

OWN_CONFIGS = (".config.json", ".config.yaml", ".config.yml", ".resolved.config.json")
PLAIN_CONFIGS = ("config.yaml", "hparams.yaml")
DOCUMENT_SUFFIXES = (".yaml", ".yml", ".json")
HYDRA_CONFIG = ".hydra/config.yaml"

ABOVE = 4
"""Folders, a checkpoint's own included, in which a layout may find something."""

UNFINISHED = "-unfinished"
"""Ends the name of the file that NeMo keeps beside a checkpoint while it writes it
(``nemo/utils/callbacks/nemo_model_checkpoint.py``, ``format_checkpoint_unfinished_marker_path``)."""


class Folder:
    """One listed folder, as layouts see it. ``parent`` is the one above it, None beyond what the walk has to know.

    Folders above a walk's start are listed when something in them is asked for; so are folders that a layout looks
    into before the walk comes by, which finds their entries in ``ahead``.
    """

    __slots__ = (
        "_beside",
        "_config",
        "_config_known",
        "_config_names",
        "_documents",
        "_folders",
        "_has_markers",
        "_has_own_configs",
        "_inside",
        "_marks",
        "_stamps",
        "ahead",
        "name",
        "parent",
        "path",
    )

    def __init__(self, path: str, parent: Folder | None, config_names: tuple[str, ...] = PLAIN_CONFIGS) -> None:
        self.path = path
        self.name = path.rpartition("/")[2]
        self.parent = parent
        self._folders: list[str] = []
        self.ahead: dict[str, list[os.DirEntry[str]]] | None = None
        self._config_names = config_names
        self._documents: dict[str, os.DirEntry[str]] = {}
        self._has_own_configs = False
        self._has_markers = False
        self._config: Source | None = None
        self._config_known = False
        self._marks: set[str] | None = None
        self._beside: tuple[Source, ...] | None = None
        self._stamps: dict[str, Stamp | None] | None = None
        self._inside: dict[str, Folder | None] | None = None

    @classmethod
    def above(cls, path: str, config_names: tuple[str, ...] = PLAIN_CONFIGS, *, levels: int = ABOVE) -> Folder | None:
        """The folder above a root, with as many above it as a layout asks for."""
        upper = os.path.dirname(path)
        if upper == path or not levels:
            return None
        return _FolderAbove(upper, cls.above(upper, config_names, levels=levels - 1), config_names)

    @property
    def files(self) -> Collection[str]:
        """Names of the files that are remembered."""
        return self._documents.keys()

    @property
    def folders(self) -> Collection[str]:
        return self._folders

    def inside(self, name: str) -> Folder | None:
        """A folder in it, listed once, for the walk as well."""
        if self._inside is None:
            self._inside = {}
            self.ahead = {}
        if name not in self._inside:
            self._inside[name] = self._listed(name)
        return self._inside[name]

    def _listed(self, name: str) -> Folder | None:
        folder = Folder(f"{self.path}/{name}", self, self._config_names)
        try:
            with os.scandir(folder.path) as listing:
                entries = list(listing)
        except OSError:
            return None
        if self.ahead is not None:
            self.ahead[name] = entries
        folder.take(entries)
        return folder

    def take(self, entries: Iterable[os.DirEntry[str]]) -> None:
        """Remembers what matters of a listing."""
        for entry in entries:
            if is_folder(entry):
                self.add_folder(entry.name)
            else:
                self.add(entry)

    def add_folder(self, name: str) -> None:
        if not is_utf8(name):
            return
        self._folders.append(name)
        mark = all_marks().of(name)
        if mark is not None:
            self._add_mark(mark)

    def _add_mark(self, mark: str) -> None:
        if self._marks is None:
            self._marks = set()
        self._marks.add(mark)

    @property
    def marks(self) -> Collection[str]:
        """The layouts' marks among its names."""
        return self._marks or ()

    def add(self, entry: os.DirEntry[str]) -> None:
        """Remembers a file that may be a sidecar, a config, a marker, or of use to a layout.

        One whose name isn't UTF-8 can be no row's source.
        """
        name = entry.name
        if not is_utf8(name):
            return
        mark = all_marks().of(name)
        if mark is not None:
            self._documents[name] = entry
            self._add_mark(mark)
        elif name.endswith(DOCUMENT_SUFFIXES):
            self._documents[name] = entry
        if name.endswith(OWN_CONFIGS):
            self._has_own_configs = True
        elif name.endswith(UNFINISHED):
            self._documents[name] = entry
            self._has_markers = True

    def sources_of(self, name: str, leads_to: str | None = None, *, of_run: bool = True) -> tuple[Source, ...]:
        """The files that the row of the checkpoint ``name`` in this folder depends on, as far as they exist.

        Those of the run alone if it is one of its checkpoints, not a link to one of another run: of such a link,
        only what bears its name is about it.

        ``leads_to`` is the name of the file of this folder that a symbolic link ends at: what bears that name counts
        before what bears the link's, which may be about the file that it led to before.
        """
        names = (name,) if leads_to is None else (leads_to, name)
        config = self._own_config(names) if self._has_own_configs else None
        if config is None and of_run:
            config = self._shared_config()
        beside = self._of_layouts() if of_run else ()
        found = beside if config is None else (config, *beside)
        for sidecar in map(sidecar_path, names):
            stamp = self._stamp(sidecar) if sidecar in self._documents else None
            if stamp is not None:
                found = (Source("sidecar", f"{self.path}/{sidecar}", stamp), *found)
                break
        return (*found, *self._marker_of(names)) if self._has_markers else found

    def _of_layouts(self) -> tuple[Source, ...]:
        """What layouts say that every row of this folder depends on; each file is asked for its stamp once."""
        if self._beside is None:
            marks: set[str] = set()
            place: Folder | None = self
            for _ in range(ABOVE):
                if place is not None:
                    marks.update(place.marks)
                    place = place.parent
            self._beside = self._dependencies(marks) if marks else ()
        return self._beside

    def _dependencies(self, marks: set[str]) -> tuple[Source, ...]:
        config = self._shared_config()
        found: dict[str, Source] = {}
        for layout in layouts_with(marks):
            for role, folder, name in layout.depends(self):
                path = f"{folder.path}/{name}"
                stamp = folder.stamp(name) if path not in found and (config is None or path != config.path) else None
                if stamp is not None:
                    found[path] = Source(role, path, stamp)
        return tuple(found.values())

    def _marker_of(self, names: Iterable[str]) -> tuple[Source, ...]:
        """``<name>-unfinished`` with or without the checkpoint's suffix."""
        for stem in (stem for name in names for stem in (name, sidecar_path(name).removesuffix(".metadata.yaml"))):
            marker = f"{stem}{UNFINISHED}"
            stamp = self._stamp(marker) if marker in self._documents else None
            if stamp is not None:
                return (Source("marker", f"{self.path}/{marker}", stamp),)
        return ()

    def _own_config(self, names: Iterable[str]) -> Source | None:
        stems = (sidecar_path(name).removesuffix(".metadata.yaml") for name in names)
        return self._first_document(f"{stem}{suffix}" for stem in stems for suffix in OWN_CONFIGS)

    def _shared_config(self) -> Source | None:
        if not self._config_known:
            upper = self.parent
            self._config = (
                self._hydra_config()
                or self._first_document(self._config_names)
                or (upper and upper._first_document(self._config_names))
                or (upper and self._first_of_run(upper))
                or None
            )
            self._config_known = True
        return self._config

    def _first_of_run(self, upper: Folder) -> Source | None:
        """Below ``checkpoints``, in folders that metrics' names made, the run's is further above."""
        run, place = run_of(self), upper.parent
        if run is self or run is upper:
            return None
        while place is not None and place is not run:
            place = place.parent
        return None if place is None else place._first_document(self._config_names)

    def _hydra_config(self) -> Source | None:
        home = hydra_home(self)
        stamp = home.stamp(HYDRA_CONFIG) if home is not None else None
        return Source("config", f"{home.path}/{HYDRA_CONFIG}", stamp) if home is not None and stamp else None

    def stamp(self, name: str) -> Stamp | None:
        """Of a file in it, by its name or its path from here: the disk is asked once. None where there is none."""
        if self._stamps is None:
            self._stamps = {}
        if name not in self._stamps:
            self._stamps[name] = self._stamp(name)
        return self._stamps[name]

    def _first_document(self, names: Iterable[str]) -> Source | None:
        for name in names:
            if name in self.files:
                stamp = self.stamp(name)
                if stamp is not None:
                    return Source("config", f"{self.path}/{name}", stamp)
        return None

    def _stamp(self, name: str) -> Stamp | None:
        entry = self._documents.get(name)
        try:
            return stamp_of(entry.stat() if entry is not None else os.stat(f"{self.path}/{name}"))
        except OSError:
            return None


class _FolderAbove(Folder):
    """A folder that the walk doesn't list: it does so itself, once something is asked of it."""

    __slots__ = ("_known",)

    def __init__(self, path: str, parent: Folder | None, config_names: tuple[str, ...]) -> None:
        super().__init__(path, parent, config_names)
        self._known = False

    @property
    def files(self) -> Collection[str]:
        return self._look()._documents.keys()

    @property
    def folders(self) -> Collection[str]:
        return self._look()._folders

    @property
    def marks(self) -> Collection[str]:
        return self._look()._marks or ()

    def sources_of(self, name: str, leads_to: str | None = None, *, of_run: bool = True) -> tuple[Source, ...]:
        self._look()
        return super().sources_of(name, leads_to, of_run=of_run)

    def _look(self) -> Folder:
        if not self._known:
            self._known = True
            with suppress(OSError), os.scandir(self.path) as listing:
                self.take(listing)
        return self
