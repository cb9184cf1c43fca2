"""Checkpoint files: bytes to CheckpointHeader, executing nothing."""

from __future__ import annotations

from catalogdb.formats.glance import glance
from catalogdb.formats.header import read_header

__all__ = ["glance", "read_header"]
