"""The catalog's file: its schema, the one writer, the many readers."""

from __future__ import annotations

from catalogdb.store.catalog_store import Store
from catalogdb.store.known import Known
from catalogdb.store.ledger import Ledger
from catalogdb.store.reader import Reader, SqlResult
from catalogdb.store.roots import Root
from catalogdb.store.status import CatalogStatus
from catalogdb.store.watchers import HEARTBEAT_SECONDS, Lease, Pulse

__all__ = [
    "HEARTBEAT_SECONDS",
    "CatalogStatus",
    "Known",
    "Lease",
    "Ledger",
    "Pulse",
    "Reader",
    "Root",
    "SqlResult",
    "Store",
]
