"""``Catalog``: the facade that commands, notebooks and other tools use. It wires the rooms and holds no logic."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from catalogdb import facts
from catalogdb.discovery import PLAIN_CONFIGS, check_root
from catalogdb.errors import NotFound, RootError, UsageError
from catalogdb.query import ask, curves, frames, usage
from catalogdb.query.ask import Page
from catalogdb.records import (
    Change,
    Checkpoint,
    CheckpointHeader,
    Comparison,
    Contrast,
    Curves,
    DiskUse,
    Facts,
    FactsReport,
    Fault,
    Progress,
    Ranking,
    RevisionReport,
    RunUse,
    ScanReport,
    SidecarWrite,
    UpgradeReport,
)
from catalogdb.settings import Settings, expand_home, load_settings, normalise_url
from catalogdb.store import CatalogStatus, Lease, SqlResult, Store
from catalogdb.timestamps import iso

if TYPE_CHECKING:
    import pandas
    import polars

    from catalogdb.ingest import Ingest
    from catalogdb.limits import Limits
    from catalogdb.resolve import Resolver
    from catalogdb.runs import RefreshReport, Runs


class Catalog:
    """The catalog of one database file. Use it as a context manager; methods may be called from several threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    @classmethod
    def open(cls, url: str | os.PathLike[str] | None = None, *, settings: Settings | None = None) -> Catalog:
        """Opens a catalog: a SQLAlchemy URL, the path of a SQLite file, or what the settings name.

        A file that isn't there is made; an older schema raises SchemaOutdated, an unknown one SchemaTooNew, and a
        file that can't be used DatabaseError. ``sqlite://`` is one that nobody else sees and that
        is gone when it is closed.
        """
        settings = settings or load_settings()
        return cls(Store.open(_url(url, settings)), settings)

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._store.close()

    @property
    def url(self) -> str:
        return self._store.url

    def scan(
        self,
        *roots: str | os.PathLike[str],
        full: bool = False,
        use_wandb: bool = True,
        workers: int | None = None,
        config_names: tuple[str, ...] = PLAIN_CONFIGS,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ScanReport:
        """Brings the rows of ``roots`` in line with the disk, and reads only what changed; ``full`` reads everything.

        Without roots those of the settings are meant, else all that the catalog knows. Raises RootError
        for a root that can't be scanned, before anything is written. Everything else that is wrong with single files
        is in the report. ``workers`` is the number of processes that read a large tree, by default
        one for each processor (on Linux, where no other thread runs); ``config_names`` are the plain configs that are
        looked for beside a checkpoint.
        """
        paths = scannable(roots or self._settings.roots or self.known_roots())
        with self.ingesting(
            full=full, use_wandb=use_wandb, workers=workers, config_names=config_names, on_progress=on_progress
        ) as ingest:
            return ingest.scan(paths)

    def ingest(self, *paths: str | os.PathLike[str], use_wandb: bool = True) -> ScanReport:
        """Brings just these files and folders, there or gone, in line with the disk, as a scan of their root would.

        What depends on them comes with them: links, neighbours with the same sidecar or config. Raises UsageError for
        a path in no known root, and RootError where its root can't be listed.
        """
        with self.ingesting(use_wandb=use_wandb) as ingest:
            return ingest.rescan_paths(_without_links_above(path) for path in paths)

    @contextmanager
    def ingesting(
        self,
        *,
        full: bool = False,
        use_wandb: bool = True,
        workers: int | None = None,
        config_names: tuple[str, ...] = PLAIN_CONFIGS,
        on_progress: Callable[[Progress], None] | None = None,
        on_change: Callable[[Change], None] | None = None,
    ) -> Iterator[Ingest]:
        """The door to the rows, for who scans again and again: one connection, and what was read is remembered.

        ``on_change`` is told of each row that is new, updated, moved or missing, after it was written.
        """
        from catalogdb.ingest import Ingest  # noqa: PLC0415  # 150 ms, pydantic's most, that asking needn't pay
        from catalogdb.resolve import ResolverChain  # noqa: PLC0415  # as above

        with ExitStack() as stack:
            ledger = stack.enter_context(self._store.ledger())
            runs = stack.enter_context(self._runs()) if use_wandb else None
            yield Ingest(
                ledger,
                ResolverChain(_tiers(self._settings.limits)),
                suffixes=self._settings.suffixes,
                config_names=config_names,
                workers=workers,
                full=full,
                on_progress=on_progress,
                on_change=on_change,
                runs=runs.lookup if runs is not None else None,
                questions=runs.questions if runs is not None else None,
                limits=self._settings.limits,
            )

    def forget(self, root: str | os.PathLike[str], *, force: bool = False) -> int:
        """Drops a root with all its rows; no file is touched. Returns how many rows.

        Raises NotFound for what is no root, AlreadyWatched while somebody watches it, and UsageError where checkpoints
        have tags, notes or aliases, which ``force`` forgets as well.
        """
        return self._store.forget_root(
            [os.path.realpath(expand_home(root)), os.path.normpath(Path.cwd() / expand_home(root))], with_facts=force
        )

    def known_roots(self) -> list[str]:
        """Absolute paths of the roots, there or not."""
        with self._store.ledger() as ledger:
            return ledger.roots()

    def set_out_of_reach(self, path: str) -> bool:
        """Has the rows at or below an absolute path be stale, since it can't be read, until a scan can read it again.
        False where the catalog knows nothing of it."""
        with self._store.ledger() as ledger:
            return ledger.set_out_of_reach(path)

    def lease(self, roots: Sequence[str]) -> Lease:
        """The right to watch roots, for ``catalogdb watch``."""
        return self._store.lease(roots)

    def _runs(self) -> AbstractContextManager[Runs]:
        from catalogdb.runs import open_runs  # noqa: PLC0415  # as in scan

        return open_runs(self._store, self._settings)

    def run_use(self) -> list[RunUse]:
        """What the cache of W&B runs holds, by server and project."""
        return self._store.run_cache().use(now=iso(datetime.now(timezone.utc)))

    def refresh_runs(self, *, project: str | None = None, run: str | None = None) -> RefreshReport:
        """Asks W&B again for cached runs, and brings their checkpoints' rows up to date. ``project`` is PROJECT or
        ENTITY/PROJECT, ``run`` an id or ENTITY/PROJECT/ID; without either, all.

        Raises UsageError for what names no run, and where there is no API key.
        """
        from catalogdb.runs import refresh  # noqa: PLC0415  # as in scan

        report = refresh(self._store, self._settings, project=project, run=run)
        there = [root for root in report.roots if Path(root).is_dir()]
        if there:
            offline = self._settings.offline or report.unanswered > 0  # a server that fails isn't asked twice
            Catalog(self._store, replace(self._settings, offline=offline)).scan(*there)
        return report

    def clear_runs(self, *, project: str | None = None, run: str | None = None) -> int:
        """Forgets cached runs; rows keep what they have. Returns how many."""
        return self._store.run_cache().clear(project=project, run=run)

    def rank(
        self,
        metric: str,
        *,
        mode: str | None = None,
        where: str = "",
        limit: int | None = 1,
        per: str | None = None,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> Ranking:
        """The best checkpoints by a metric, best first; with ``per`` the best of each value of that field.

        ``mode`` is ``min`` or ``max``; without it the recorded one counts, then what the metric's name means.
        ``filters`` and ``unique`` as in ``search``. Raises QueryError for an unknown metric or field, and where the
        direction can't be told.
        """
        return ask.rank(self._store, ask.Contest(metric, mode, per), ask.Question(where, filters, (), limit, unique))

    @overload
    def best(
        self,
        metric: str,
        *,
        mode: str | None = None,
        where: str = "",
        limit: None = None,
        per: None = None,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> Checkpoint | None: ...

    @overload
    def best(
        self,
        metric: str,
        *,
        mode: str | None = None,
        where: str = "",
        limit: int,
        per: str | None = None,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> list[Checkpoint]: ...

    @overload
    def best(
        self,
        metric: str,
        *,
        mode: str | None = None,
        where: str = "",
        limit: int | None = None,
        per: str,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> list[Checkpoint]: ...

    def best(
        self,
        metric: str,
        *,
        mode: str | None = None,
        where: str = "",
        limit: int | None = None,
        per: str | None = None,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> Checkpoint | list[Checkpoint] | None:
        """The best checkpoint by a metric, or None; a list with ``limit`` or ``per``. See ``rank``."""
        alone = limit is None and per is None
        question = ask.Question(where, filters, (), 1 if alone else limit, unique)
        found = ask.best(self._store, ask.Contest(metric, mode, per), question)
        return next(iter(found), None) if alone else found

    @overload
    def search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = 1000,
        output_format: Literal["list"] = "list",
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
        page_token: str | None = None,
        columns: None = None,
    ) -> Page[Checkpoint]: ...

    @overload
    def search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = 1000,
        output_format: Literal["list"] = "list",
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
        page_token: str | None = None,
        columns: Sequence[str],
    ) -> Page[dict[str, Any]]: ...

    @overload
    def search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = 1000,
        output_format: Literal["pandas"],
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
        page_token: str | None = None,
    ) -> pandas.DataFrame: ...

    @overload
    def search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = 1000,
        output_format: Literal["polars"],
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
        page_token: str | None = None,
    ) -> polars.DataFrame: ...

    def search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = 1000,
        output_format: Literal["list", "pandas", "polars"] = "list",
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
        page_token: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Page[Checkpoint] | Page[dict[str, Any]] | pandas.DataFrame | polars.DataFrame:
        """The checkpoints that match a filter, by default in the order of their paths. ``max_results=None`` is all.

        ``filters`` is W&B's form of a filter; it and ``where`` must both hold. ``unique`` keeps the first of files with
        the same weights, and of links to one file. The list's ``token``, given as ``page_token`` to the same question,
        goes on after its last row, whatever came or went since; it is None at the end, and with ``unique``.
        ``columns`` gives mappings of these alone (``path``, ``metrics.val/loss``), and nothing else is read.
        ``pandas`` and ``polars`` give a frame with a column for each metric, param and tag, and need these extras.
        """
        if output_format not in ("list", "pandas", "polars"):
            raise UsageError(f"output_format is list, pandas or polars, not {output_format!r}")
        question = ask.Question(where, filters, _listed(order_by), max_results, unique)
        if columns is not None:
            if output_format != "list":
                raise UsageError("columns go with output_format='list'; a frame takes what that gives")
            return ask.page_of_rows(self._store, question, page_token, columns)
        found = ask.page(self._store, question, page_token)
        if output_format == "list":
            return found
        return frames.to_pandas(found) if output_format == "pandas" else frames.to_polars(found)

    def iter_search(
        self,
        where: str = "",
        *,
        order_by: str | Sequence[str] = (),
        max_results: int | None = None,
        filters: Mapping[str, Any] | None = None,
        unique: bool = False,
    ) -> Iterator[Checkpoint]:
        """The same, one after the other, in bounded memory."""
        return ask.search(self._store, ask.Question(where, filters, _listed(order_by), max_results, unique))

    def count(self, where: str = "", *, filters: Mapping[str, Any] | None = None, unique: bool = False) -> int:
        """How many checkpoints ``search`` would find; none is loaded."""
        return ask.count(self._store, ask.Question(where, filters, unique=unique))

    def get(self, ref: int | str | os.PathLike[str]) -> Checkpoint:
        """A checkpoint by id, path, or ``@alias``. Raises NotFound."""
        found = ask.find(self._store, ref)
        if found is None:
            raise NotFound(self._why_not_found(os.fspath(ref) if not isinstance(ref, int) else str(ref)))
        return found

    def _why_not_found(self, ref: str) -> str:
        if not ref:
            return "'' is no checkpoint; write its path, its id, or @ and its alias"
        if ref.startswith("@"):
            file = f"; the file of that name is ./{ref}" if os.path.lexists(ref) else ""
            return f"{ref}: no checkpoint in {self.url} has this alias{file}"
        if ask.find(self._store, f"@{ref}") is not None:
            return f"{ref}: no such checkpoint in {self.url}; the alias is written @{ref}"
        return f"{ref}: no such checkpoint in {self.url}; scan the folder that holds it"

    def header(self, ref: int | str | os.PathLike[str]) -> CheckpointHeader:
        """What the file of a checkpoint says about itself now: its tensors, for one. Raises NotFound, OSError."""
        from catalogdb.formats import read_header  # noqa: PLC0415  # 40 ms that asking needn't pay

        return read_header(self.get(ref).path, limits=self._settings.limits)

    def diff(
        self, first: int | str | os.PathLike[str], second: int | str | os.PathLike[str], *, deep: bool = False
    ) -> Comparison:
        """What two checkpoints don't have in common; ``deep`` reads the payloads of those that keep no checksums.

        Raises NotFound, OSError where a file can't be read.
        """
        from catalogdb.differences import compare  # noqa: PLC0415  # as in header
        from catalogdb.formats import read_header  # noqa: PLC0415  # as in header
        from catalogdb.formats.deep import read_deep  # noqa: PLC0415  # as in header

        read = partial(read_deep if deep else read_header, limits=self._settings.limits)
        one, other = self.get(first), self.get(second)
        return compare(one, other, (read(one.path), read(other.path)))

    def compare(self, *refs: int | str | os.PathLike[str]) -> list[Contrast]:
        """What two or more checkpoints don't all have in common, by what the catalog knows of them: each name with a
        value for each checkpoint, in the order of ``refs``. Raises NotFound.
        """
        from catalogdb.differences import contrasts  # noqa: PLC0415  # as in header

        return list(contrasts([self.get(ref) for ref in refs]))

    def verify(self, where: str = "", *, deep: bool = False) -> Iterator[Fault]:
        """What is wrong with the checkpoints that a filter matches, missing ones too, one by one as it is found.

        ``deep`` reads every payload: checksums that the file keeps are checked, fingerprints of the others computed
        and kept, so that the next time shows whether they changed. Raises QueryError, and NotFound for no match.
        """
        from catalogdb.verify import verify  # noqa: PLC0415  # as in scan

        return verify(self._store, where, deep=deep, limits=self._settings.limits)

    def write_sidecars(self, where: str = "", *, dry_run: bool = False, force: bool = False) -> Iterator[SidecarWrite]:
        """Writes sidecars for the checkpoints that a filter matches and that have none, of what is known of them alone.

        One record for each as it is done, also for what isn't: ``dry_run`` writes nothing, ``force`` replaces those
        that are there. Raises QueryError, and NotFound for no match.
        """
        from catalogdb.conversion import write_sidecars  # noqa: PLC0415  # as in scan

        return write_sidecars(self._store, where, suffixes=self._settings.suffixes, dry_run=dry_run, force=force)

    def tag(self, ref: int | str | os.PathLike[str], *changes: str) -> Checkpoint:
        """Changes the tags of a checkpoint: ``"good"`` or ``"+good"`` adds, ``"stage=prod"`` adds with a value,
        ``"-good"`` takes off. Returns it as it now is. Raises NotFound; UsageError for what can't be a tag.
        """
        checkpoint_id = self.get(ref).id
        facts.change_tags(self._store, checkpoint_id, changes)
        return self.get(checkpoint_id)

    def note(self, ref: int | str | os.PathLike[str], text: str | None) -> Checkpoint:
        """Writes the note of a checkpoint, in place of the one it has; None or an empty text takes it away."""
        checkpoint_id = self.get(ref).id
        facts.write_note(self._store, checkpoint_id, text)
        return self.get(checkpoint_id)

    def alias(self, ref: int | str | os.PathLike[str], name: str) -> Checkpoint:
        """Has ``@name`` mean this checkpoint, wherever a path is taken. It then means no other one."""
        checkpoint_id = self.get(ref).id
        facts.name(self._store, checkpoint_id, name)
        return self.get(checkpoint_id)

    def remove_alias(self, name: str) -> None:
        """Raises NotFound where no checkpoint has it."""
        facts.unname(self._store, name)

    def export_facts(self) -> list[Facts]:
        """The tags, aliases and notes of all checkpoints that have any, by path; missing ones too."""
        return self._store.facts()

    def import_facts(self, records: Iterable[Facts]) -> FactsReport:
        """Takes in what ``export_facts`` gave, here or in another catalog, as one whole.

        A record belongs to the checkpoint at its path, else to the only one with its weights. What is said here
        already stays. What found no checkpoint, or more than one, or says otherwise, is in the report.
        """
        return facts.take_in(self._store, records)

    def hints(self, where: str = "", *, names: Sequence[str] = ()) -> list[str]:
        """What may be why a filter matched nothing, in a line each: params in it, or among ``names`` (``params.lr``),
        that no checkpoint has, and paths that aren't absolute. Neither is an error, here as in MLflow."""
        return ask.find_hints(self._store, where, names)

    def metric_names(self) -> list[str]:
        """The names of all metrics, sorted."""
        return ask.metric_names(self._store)

    def disk_use(self, per: str = "state") -> list[DiskUse]:
        """What the checkpoints take on disk, by the values of a field (``exp_name``, ``params.lr``), largest first."""
        return usage.disk_use(self._store, per)

    def curves(
        self,
        metric: str,
        *,
        by: str | None = None,
        x: Literal["global_step", "epoch"] = "global_step",
        where: str = "",
        mode: str | None = None,
    ) -> Curves:
        """A metric over the steps of each run, to be drawn; ``by`` is the field that tells runs apart.

        Raises QueryError as ``rank`` does.
        """
        return curves.curves(self._store, metric, by=by, x=x, where=where, mode=mode)

    def sql(self, query: str, parameters: Mapping[str, object] = MappingProxyType({})) -> SqlResult:
        """Rows of a read-only SQL query over the views. Raises UsageError for one that fails, or would write."""
        return self._store.sql(query, parameters)

    def status(self) -> CatalogStatus:
        return self._store.status()

    def backup(self, destination: str | os.PathLike[str]) -> Path:
        """A consistent copy, made while others read and write. Raises DatabaseError where the file exists."""
        return self._store.backup(Path(destination))

    def check(self) -> list[str]:
        """What is wrong with the file: SQLite's integrity and foreign keys. Empty where it's sound."""
        return self._store.check()

    @staticmethod
    def upgrade(url: str | os.PathLike[str] | None = None, *, settings: Settings | None = None) -> UpgradeReport:
        """Brings an older catalog to this version's schema; a copy of the old file is made first."""
        return Store.upgrade(_url(url, settings or load_settings()))

    @staticmethod
    def revision(url: str | os.PathLike[str] | None = None, *, settings: Settings | None = None) -> RevisionReport:
        """The schema of a file, and the one that this version writes. Makes nothing."""
        return Store.revision(_url(url, settings or load_settings()))


def _tiers(limits: Limits) -> list[Resolver]:
    """Those that read files, in their order of trust; W&B, between them, is asked for many checkpoints at once."""
    from catalogdb.resolve import EmbeddedResolver, InferenceResolver, SidecarResolver  # noqa: PLC0415  # as in ingesting

    return [EmbeddedResolver(), SidecarResolver(limits), InferenceResolver()]


def _url(url: str | os.PathLike[str] | None, settings: Settings) -> str:
    return settings.url if url is None else normalise_url(url, base=Path.cwd())


def _listed(order_by: str | Sequence[str] | None) -> tuple[str, ...]:
    return (order_by,) if isinstance(order_by, str) else tuple(order_by or ())


def scannable(roots: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Absolute paths of roots that can be scanned, none inside another. Raises UsageError for none, RootError."""
    if not roots:
        raise UsageError("no root to scan; name the folder that holds the outputs")
    paths, errors = reachable(roots)
    for error in errors.values():
        raise error
    return paths


def reachable(roots: Sequence[str | os.PathLike[str]]) -> tuple[list[str], dict[str, RootError]]:
    """The same, and by its path what is wrong with each of the others, in place of raising it."""
    paths: list[str] = []
    errors: dict[str, RootError] = {}
    for path in _outermost([os.path.realpath(expand_home(root)) for root in roots]):
        try:
            check_root(path)
        except RootError as error:
            errors[path] = error
        else:
            paths.append(path)
    return paths, errors


def _outermost(paths: Sequence[str]) -> list[str]:
    """Without repetitions, and without folders inside another one of the list."""
    distinct = list(dict.fromkeys(paths))
    return [
        path
        for path in distinct
        if not any(path != other and path.startswith(other.rstrip("/") + "/") for other in distinct)
    ]


def _without_links_above(path: str | os.PathLike[str]) -> str:
    """Absolute, as roots are: links resolved, but not the last part, which may be a checkpoint's second name."""
    absolute = Path.cwd() / expand_home(path)
    if absolute.name in ("", ".."):
        return os.path.realpath(absolute)
    return str(Path(os.path.realpath(absolute.parent)) / absolute.name)
