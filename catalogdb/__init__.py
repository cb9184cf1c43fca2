"""catalogdb: a catalog of the checkpoints on your disk. Names are imported when first used, so that this is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from catalogdb.builder import CheckpointCatalogBuilder, build_catalog
    from catalogdb.catalog import Catalog
    from catalogdb.errors import (
        CatalogError,
        DatabaseError,
        MetadataError,
        NotFound,
        QueryError,
        RootError,
        SchemaOutdated,
        SchemaTooNew,
        UsageError,
    )
    from catalogdb.lookup import extract_run_id_from_checkpoint, load_config, resolve_config_path
    from catalogdb.metadata import (
        CheckpointCatalog,
        CheckpointCatalogEntry,
        CheckpointingConfig,
        CheckpointMetadataV1,
        DecoderInfo,
        EncoderInfo,
        HeadInfo,
        LossInfo,
        MetricsInfo,
        ModelInfo,
        TrainingInfo,
        load_metadata,
        load_metadata_batch,
        save_metadata,
    )
    from catalogdb.records import Checkpoint, Facts, ScanReport
    from catalogdb.validation import MetadataValidator
    from catalogdb.wandb_client import WandbClient, get_wandb_client

__all__ = [
    "Catalog",
    "CatalogError",
    "Checkpoint",
    "CheckpointCatalog",
    "CheckpointCatalogBuilder",
    "CheckpointCatalogEntry",
    "CheckpointMetadataV1",
    "CheckpointingConfig",
    "DatabaseError",
    "DecoderInfo",
    "EncoderInfo",
    "Facts",
    "HeadInfo",
    "LossInfo",
    "MetadataError",
    "MetadataValidator",
    "MetricsInfo",
    "ModelInfo",
    "NotFound",
    "QueryError",
    "RootError",
    "ScanReport",
    "SchemaOutdated",
    "SchemaTooNew",
    "TrainingInfo",
    "UsageError",
    "WandbClient",
    "build_catalog",
    "extract_run_id_from_checkpoint",
    "get_wandb_client",
    "load_config",
    "load_metadata",
    "load_metadata_batch",
    "resolve_config_path",
    "save_metadata",
]

_MODULES = {
    "catalog": ("Catalog",),
    "builder": ("CheckpointCatalogBuilder", "build_catalog"),
    "errors": (
        "CatalogError",
        "DatabaseError",
        "MetadataError",
        "NotFound",
        "QueryError",
        "RootError",
        "SchemaOutdated",
        "SchemaTooNew",
        "UsageError",
    ),
    "lookup": ("extract_run_id_from_checkpoint", "load_config", "resolve_config_path"),
    "metadata": (
        "CheckpointCatalog",
        "CheckpointCatalogEntry",
        "CheckpointMetadataV1",
        "CheckpointingConfig",
        "DecoderInfo",
        "EncoderInfo",
        "HeadInfo",
        "LossInfo",
        "MetricsInfo",
        "ModelInfo",
        "TrainingInfo",
        "load_metadata",
        "load_metadata_batch",
        "save_metadata",
    ),
    "records": ("Checkpoint", "Facts", "ScanReport"),
    "validation": ("MetadataValidator",),
    "wandb_client": ("WandbClient", "get_wandb_client"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'catalogdb' has no attribute {name!r}")
    return getattr(importlib.import_module(f"catalogdb.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
