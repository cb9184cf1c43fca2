"""The seed's names over the persistent catalog: build a list of entries for a dropdown."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from catalogdb.catalog import Catalog
from catalogdb.metadata import CheckpointCatalog, CheckpointCatalogEntry
from catalogdb.records import Checkpoint
from catalogdb.settings import Settings, expand_home, load_settings
from catalogdb.timestamps import parse_timestamp

logger = logging.getLogger(__name__)

UNNAMED = "sqlite://"


class CheckpointCatalogBuilder:
    """Scans ``outputs_dir`` and lists its checkpoints.

    ``use_cache=False`` keeps nothing. ``config_filenames`` are the plain configs that are looked for beside a
    checkpoint and above it, in this order.
    """

    def __init__(
        self,
        outputs_dir: Path | str,
        use_cache: bool = True,
        use_wandb_fallback: bool = True,
        config_filenames: tuple[str, ...] = ("config.yaml", "hparams.yaml"),
        *,
        settings: Settings | None = None,
    ) -> None:
        self.outputs_dir = Path(outputs_dir)
        self.use_cache = use_cache
        self.use_wandb_fallback = use_wandb_fallback
        self.config_filenames = config_filenames
        self._settings = settings

    def build_catalog(self) -> CheckpointCatalog:
        """Scans, logs the counts (INFO), and lists. A folder that isn't there gives an empty catalog."""
        started = time.perf_counter()
        root = Path(os.path.realpath(expand_home(self.outputs_dir)))
        entries: list[CheckpointCatalogEntry] = []
        if root.is_dir():
            settings = self._settings or load_settings()
            with Catalog.open(None if self.use_cache else UNNAMED, settings=settings) as catalog:
                report = catalog.scan(root, use_wandb=self.use_wandb_fallback, config_names=self.config_filenames)
                logger.info("%s", report.summary())
                entries = sorted(_entries(catalog.iter_search(), root), key=_order)
        return CheckpointCatalog(
            entries=entries,
            total_count=len(entries),
            metadata_available_count=sum(entry.has_metadata for entry in entries),
            catalog_build_time_seconds=time.perf_counter() - started,
            outputs_dir=self.outputs_dir,
        )


def build_catalog(
    outputs_dir: Path | str,
    use_cache: bool = True,
    use_wandb_fallback: bool = True,
    config_filenames: tuple[str, ...] = ("config.yaml", "hparams.yaml"),
) -> CheckpointCatalog:
    """The checkpoints under ``outputs_dir``, sorted by architecture, backbone, epochs and file name."""
    return CheckpointCatalogBuilder(outputs_dir, use_cache, use_wandb_fallback, config_filenames).build_catalog()


def _entries(checkpoints: Iterable[Checkpoint], root: Path) -> Iterable[CheckpointCatalogEntry]:
    prefix = f"{root}/"
    for checkpoint in checkpoints:
        if checkpoint.path.startswith(prefix):
            yield entry_of(checkpoint)


def entry_of(checkpoint: Checkpoint) -> CheckpointCatalogEntry:
    """One checkpoint as a dropdown shows it. What is unknown reads ``unknown`` or 0 here, and only here."""
    path = Path(checkpoint.path)
    return CheckpointCatalogEntry(
        checkpoint_path=path,
        config_path=Path(checkpoint.config_path) if checkpoint.config_path else None,
        display_name=path.stem,
        architecture=checkpoint.architecture or "unknown",
        backbone=checkpoint.backbone or "unknown",
        exp_name=checkpoint.exp_name or "unknown",
        epochs=int(checkpoint.epoch) if checkpoint.epoch is not None else 0,
        created_timestamp=_timestamp(checkpoint.created_at),
        hmean=checkpoint.hmean,
        precision=checkpoint.precision,
        recall=checkpoint.recall,
        monitor=checkpoint.monitor,
        monitor_mode=checkpoint.monitor_mode,
        has_metadata=checkpoint.source in ("yaml", "wandb"),
    )


def _timestamp(created_at: str | None) -> str:
    if not created_at:
        return ""
    return parse_timestamp(created_at).strftime("%Y%m%d_%H%M")


def _order(entry: CheckpointCatalogEntry) -> tuple[str, str, int, str]:
    return entry.architecture, entry.backbone, entry.epochs, entry.checkpoint_path.name
