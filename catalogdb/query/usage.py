"""How much disk the checkpoints take: every file counted once, whatever names it has."""

from __future__ import annotations

from datetime import datetime, timezone

from catalogdb.query.conditions import Conditions
from catalogdb.query.groups import as_value, parse_group
from catalogdb.records import DiskUse
from catalogdb.store import Store

_USAGE = """
WITH links AS (
    SELECT c.id AS id, c.link_target AS target, coalesce(
        (SELECT t.id FROM checkpoints t WHERE t.root_id = c.root_id AND t.rel_path = c.link_target),
        (SELECT t.id FROM roots s CROSS JOIN checkpoints t
         ON t.root_id = s.id AND t.rel_path = substr(c.link_target, length(s.path) + 2)
         WHERE substr(c.link_target, 1, length(s.path) + 1) = s.path || '/')) AS target_id
    FROM checkpoints c WHERE c.link_target IS NOT NULL AND c.state <> 'missing'
), names AS (
    SELECT l.id AS id, coalesce(t.device || ':' || t.inode, l.target) AS file, 1 AS link
    FROM links l LEFT JOIN checkpoints t ON t.id = l.target_id
    UNION
    SELECT id, device || ':' || inode, 0 FROM checkpoints
    WHERE id IN (SELECT target_id FROM links) AND link_target IS NULL AND state <> 'missing'
    UNION
    SELECT id, device || ':' || inode, 0 FROM checkpoints
    WHERE inode IN (SELECT inode FROM checkpoints GROUP BY inode HAVING count(*) > 1)
    AND link_target IS NULL AND state <> 'missing'
), more_names AS (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY file ORDER BY link, id) AS place FROM names)
    WHERE place > 1
), more_copies AS (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY weights_fingerprint ORDER BY size_bytes DESC, id) AS place
        FROM checkpoints WHERE state <> 'missing' AND id NOT IN (SELECT id FROM more_names)
        AND weights_fingerprint IN (
            SELECT weights_fingerprint FROM checkpoints WHERE weights_fingerprint IS NOT NULL
            GROUP BY weights_fingerprint HAVING count(*) > 1))
    WHERE place > 1
)
SELECT value, count(*), sum(file), sum(size * file), sum(size * copy) FROM (
    SELECT {group} AS value, c.size_bytes AS size, c.id NOT IN (SELECT id FROM more_names) AS file,
           c.id IN (SELECT id FROM more_copies) AS copy
    FROM checkpoints c CROSS JOIN roots r ON r.id = c.root_id WHERE c.state <> 'missing')
GROUP BY value ORDER BY 4 DESC, value IS NULL, value
"""
"""``names`` are those rows alone whose file may have several, found by its inode, or by a link, whose own inode is
another: most files have one, and to sort them all took three quarters of the time. So it is with ``more_copies``."""


def disk_use(store: Store, per: str) -> list[DiskUse]:
    """By the values of a field, the largest first. Raises QueryError for an unknown field, and for a time."""
    with store.reader() as reader:
        names = reader.metric_ids()
        ident = parse_group(per, metrics=names)
        group = Conditions(names, datetime.now(timezone.utc), per).operand(ident)
        rows = reader.rows(_USAGE.format(group=group.text), group.values)
        return [DiskUse(as_value(ident, value), *counts) for value, *counts in rows]
