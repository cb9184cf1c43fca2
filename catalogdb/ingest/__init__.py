"""The one junction: discovery → resolve → store. Scanning and watching are two doors into it."""

from __future__ import annotations

from catalogdb.ingest.junction import Ingest

__all__ = ["Ingest"]
