"""Checkpoint files: bytes to CheckpointHeader, executing nothing."""

from __future__ import annotations

from catalogdb.formats.header import OpenedCheckpoint, read_header
from catalogdb.limits import Limits

__all__ = ["Limits", "OpenedCheckpoint", "read_header"]
