"""How much disk the checkpoints take: every file counted once, whatever names it has."""

from __future__ import annotations

from datetime import datetime, timezone

from catalogdb.query.conditions import Conditions
from catalogdb.query.groups import as_value, parse_group
from catalogdb.records import DiskUse
from catalogdb.store import Store

_FILE = """
CASE WHEN c.link_target IS NULL THEN c.device || ':' || c.inode ELSE coalesce(
    (SELECT t.device || ':' || t.inode FROM checkpoints t WHERE t.root_id = c.root_id AND t.rel_path = c.link_target),
    (SELECT t.device || ':' || t.inode FROM roots s CROSS JOIN checkpoints t
     ON t.root_id = s.id AND t.rel_path = substr(c.link_target, length(s.path) + 2)
     WHERE substr(c.link_target, 1, length(s.path) + 1) = s.path || '/'),
    c.link_target) END
"""
"""What a row's path leads to. A symbolic link has an inode of its own, so it's known by its target."""

_USAGE = """
WITH named AS (
    SELECT c.id AS id, {group} AS value, c.size_bytes AS size, c.weights_fingerprint AS weights,
           row_number() OVER (PARTITION BY {file} ORDER BY c.link_target IS NOT NULL, c.id) AS name
    FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id WHERE c.state <> 'missing'
), copied AS (
    SELECT *, row_number() OVER (PARTITION BY weights, name = 1 ORDER BY size DESC, id) AS copy FROM named
)
SELECT value, count(*), sum(name = 1), sum(size * (name = 1)),
       sum(size * (name = 1 AND weights IS NOT NULL AND copy > 1))
FROM copied GROUP BY value ORDER BY 4 DESC, value IS NULL, value
"""


def disk_use(store: Store, per: str) -> list[DiskUse]:
    """By the values of a field, the largest first. Raises QueryError for an unknown field, and for a time."""
    with store.reader() as reader:
        names = reader.metric_ids()
        ident = parse_group(per, metrics=names)
        group = Conditions(names, datetime.now(timezone.utc), per).operand(ident)
        rows = reader.rows(_USAGE.format(group=group.text, file=_FILE), group.values)
        return [DiskUse(as_value(ident, value), *counts) for value, *counts in rows]
