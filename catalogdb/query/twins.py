"""Twins: files with the same weights, and links, hard or symbolic, to one file. A listing may fold them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from catalogdb.store import Reader
from catalogdb.store.paths import absolute

BATCH = 500
_SAME = (
    "SELECT c.id, c.weights_fingerprint, r.path, coalesce(c.link_target, c.rel_path), "
    "CASE WHEN c.link_target IS NULL AND c.state <> 'missing' THEN c.device || ':' || c.inode END FROM checkpoints c "
    "CROSS JOIN roots r ON r.id = c.root_id WHERE c.id IN (SELECT value FROM json_each(?))"
)


def unique_ids(reader: Reader, ids: Sequence[int], limit: int | None = None) -> list[int]:
    """The first of each group of twins, in the order of ``ids``; at most ``limit``.

    What holds no fingerprint is a twin of its own links alone: it can't be told whether another file is the same.
    """
    seen: set[tuple[str, str]] = set()
    kept: list[int] = []
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        rows = {row[0]: row for row in reader.race([(_SAME, (json.dumps(list(some)),))])}
        for checkpoint_id in some:
            if checkpoint_id not in rows:
                continue
            _, fingerprint, root, path, inode = rows[checkpoint_id]
            keys = {("file", absolute(root, path))}
            keys |= {(kind, key) for kind, key in (("weights", fingerprint), ("inode", inode)) if key is not None}
            if seen.isdisjoint(keys):
                kept.append(checkpoint_id)
                if limit is not None and len(kept) >= limit:
                    return kept
            seen |= keys
    return kept
