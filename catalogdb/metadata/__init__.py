"""The V1 sidecar, ``X.metadata.yaml``: its model, and how it is read, salvaged and saved. And what a dropdown shows."""

from catalogdb.metadata.entries import CheckpointCatalog, CheckpointCatalogEntry
from catalogdb.metadata.files import load_metadata, load_metadata_batch, save_metadata
from catalogdb.metadata.keys import DERIVED, HYPER_PARAMETERS, PLACEHOLDERS, UNKNOWN
from catalogdb.metadata.model import (
    CheckpointingConfig,
    CheckpointMetadataV1,
    DecoderInfo,
    EncoderInfo,
    HeadInfo,
    LossInfo,
    MetricsInfo,
    ModelInfo,
    TrainingInfo,
)
from catalogdb.metadata.reading import SHARED_SECTIONS, parse_metadata, salvage, without_placeholders

__all__ = [
    "DERIVED",
    "HYPER_PARAMETERS",
    "PLACEHOLDERS",
    "SHARED_SECTIONS",
    "UNKNOWN",
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
    "parse_metadata",
    "salvage",
    "save_metadata",
    "without_placeholders",
]
