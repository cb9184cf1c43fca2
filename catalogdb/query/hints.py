"""What may be why nothing matched: names and values that a filter may have, but no checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from catalogdb.query.fields import near_names
from catalogdb.query.tree import Comparison, Filter, Ident, Membership, iter_conditions, iter_idents, iter_values
from catalogdb.store import Reader

ABSOLUTE = ("path", "root", "config_path", "link_target")


def hints(reader: Reader, filter: Filter, idents: Iterable[Ident] = ()) -> Iterator[str]:
    """A line for each param, of the filter or of ``idents``, that no checkpoint has, and for each path in the filter
    that isn't absolute."""
    params = [ident.name for ident in (*iter_idents(filter.root), *idents) if ident.kind == "param"]
    for name in dict.fromkeys(params):
        if not reader.rows("SELECT 1 FROM params WHERE name = ? LIMIT 1", (name,)):
            near = near_names(name, [known for (known,) in reader.rows("SELECT DISTINCT name FROM params")])
            yield f"no checkpoint has the param {name}" + (f"; did you mean {' or '.join(near)}?" if near else "")
    for node in iter_conditions(filter.root):
        if isinstance(node, Comparison | Membership) and node.ident.kind == "field" and node.ident.name in ABSOLUTE:
            yield from _relative(node)


def _relative(node: Comparison | Membership) -> Iterator[str]:
    operator = node.operator if isinstance(node, Comparison) else "="
    may_begin = {"=": ("/",), "LIKE": ("/", "%", "_"), "ILIKE": ("/", "%", "_")}.get(operator)
    for value in iter_values(node):
        if may_begin and isinstance(value.value, str) and not value.value.startswith(may_begin):
            name, end = node.ident.name, value.value.removeprefix("./")
            yield f"{name} is absolute, and {value.value!r} isn't: write {name} LIKE '%/{end}'"
