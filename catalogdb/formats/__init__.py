"""Checkpoint files: bytes to CheckpointHeader, executing nothing."""

from __future__ import annotations

from catalogdb.formats.glance import glance
from catalogdb.formats.header import read_header
from catalogdb.formats.limits import Limits

__all__ = ["Limits", "glance", "read_header"]
