"""Lightning: ``<save_dir>/<name>/<version>/checkpoints/``, by default ``lightning_logs/version_N/checkpoints/``.

Loggers write under the number of batches stepped before, so that the metrics of a state whose ``global_step`` is 50
stand at step 49; with several optimizers the loop's own counter tells (``LoopProgress.row``).
Sources: ``lightning/pytorch/callbacks/model_checkpoint.py``, ``…/loops/training_epoch_loop.py``
(``_batches_that_stepped``), ``…/trainer/connectors/logger_connector/logger_connector.py`` (``log_metrics``),
``…/loggers/csv_logs.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Position, Seen, event_files, run_of
from catalogdb.layouts.names import counters
from catalogdb.metric_files.forms import EVENTS
from catalogdb.records import CheckpointHeader

METRICS = "metrics.csv"
HPARAMS = "hparams.yaml"
LOGGERS = ("csv", "csv_logs", "lightning_logs", "tensorboard", "tb_logs", "tb", "logs", "runs")
"""Folders of loggers beside ``checkpoints`` where the latter was given a place of its own."""

VERSION = re.compile(r"version_\d+")
MAX_VERSIONS = 16
"""Where a logger has more beside one ``checkpoints``, none is looked into."""

VERSION_NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)


class Lightning(Habits):
    name = "lightning"
    guide = Guide(
        "Lightning",
        "`lightning_logs/version_N/checkpoints/*.ckpt`, `<name>/<version>/checkpoints`, `<project>/<run id>/…`",
        "the file; `metrics.csv`, else TensorBoard's events, at `global_step - 1`; `hparams.yaml`",
        "0, as in the file; before Lightning 1.6 as in its name, one less",
    )
    marks = frozenset({METRICS, HPARAMS, f"{EVENTS}*", *LOGGERS})
    frameworks = frozenset({"lightning"})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        run = run_of(folder)
        places = [run, *_loggers(run)] if run is not folder else [run]
        logs = [*places, *_versions(run)] if run is not folder else places
        tables = [place for place in logs if METRICS in place.files]
        for place in tables:
            yield Dependency("metrics", place, METRICS)
        for place in () if tables else logs:
            for name in event_files(place):
                yield Dependency("metrics", place, name)
        for place in places:
            if HPARAMS in place.files:
                yield Dependency("params", place, HPARAMS)

    def position(self, seen: Seen) -> Position:
        header = seen.header
        stated = counters(seen.name)
        trained = trained_epoch(header, seen.name)
        epoch = trained if header.epoch is None or is_before(header.framework_version, 1, 6) else header.epoch
        step = header.global_step if header.global_step is not None else stated.get("global_step")
        row = header.progress.row if header.progress is not None else None
        if row is None and step:
            row = step - 1
        return Position(epoch, step, stated_epoch=header.epoch, row=row, row_epoch=trained, whole=False)


def trained_epoch(header: CheckpointHeader, name: str) -> int | None:
    """The 0-based epoch that a Lightning file of this name was last trained in; None where it isn't told.

    ``epoch`` counts epochs done: within one it is its number, after the last one's end (``trainer.save_checkpoint``
    after ``fit``) the next. Before 1.6 it was always the next, but where ``max_steps`` was reached: the name has to
    tell (``pytorch_lightning/trainer/connectors/checkpoint_connector.py``, ``dump_checkpoint``).
    """
    epoch, named = header.epoch, counters(name).get("epoch")
    if epoch is None:
        return named
    if is_before(header.framework_version, 1, 6):
        return named if named in (epoch, epoch - 1) else None
    between = header.progress is not None and not header.progress.in_epoch
    return epoch - 1 if between and epoch else epoch


@lru_cache(maxsize=64)
def is_before(version: str | None, major: int, minor: int) -> bool:
    found = VERSION_NUMBER.match(version or "")
    return found is not None and (int(found[1]), int(found[2])) < (major, minor)


def _loggers(run: Listing) -> Iterator[Listing]:
    """The folders where a logger of this run writes, where it has one version, or none."""
    for name in LOGGERS:
        logger = run.inside(name) if name in run.folders else None
        if logger is None:
            continue
        versions = _versions_in(logger)
        inner = logger.inside(versions[0]) if len(versions) == 1 else None
        if inner is not None:
            yield inner
        elif not versions:
            yield logger


def _versions(run: Listing) -> Iterator[Listing]:
    """The folders of several versions: of a training that went on, or of others (``rivals_among``)."""
    for name in LOGGERS:
        logger = run.inside(name) if name in run.folders else None
        versions = _versions_in(logger) if logger is not None else []
        for version in versions if 1 < len(versions) <= MAX_VERSIONS else ():
            inner = logger.inside(version) if logger is not None else None
            if inner is not None:
                yield inner


def _versions_in(logger: Listing) -> list[str]:
    return [each for each in logger.folders if VERSION.fullmatch(each)]


def rivals_among(paths: Iterable[str]) -> frozenset[str]:
    """The metrics files that are of several versions beside one ``checkpoints``: where a training went on, or began
    anew, the checkpoint itself has to tell which of them is its."""
    versions: dict[str, dict[str, list[str]]] = {}
    for path in paths:
        logger, _, version = path.rpartition("/")[0].rpartition("/")
        if VERSION.fullmatch(version):
            versions.setdefault(logger, {}).setdefault(version, []).append(path)
    several = [found for found in versions.values() if len(found) > 1]
    return frozenset(path for found in several for files in found.values() for path in files)
