"""What may be why nothing matched: names and values that a filter may have, but no checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from catalogdb.query.fields import near_names
from catalogdb.query.tree import Comparison, Filter, Ident, Membership, iter_conditions, iter_idents, iter_values
from catalogdb.records import State, Tier
from catalogdb.store import Reader

WORDS: dict[str, tuple[str, ...]] = {
    "state": get_args(State),
    "source": get_args(Tier),
    "monitor_mode": ("min", "max"),
}
ABSOLUTE = ("path", "root", "config_path", "link_target")


def hints(reader: Reader, filter: Filter, idents: Iterable[Ident] = ()) -> Iterator[str]:
    """A line for each param, of the filter or of ``idents``, that no checkpoint has, for each path in the filter
    that isn't absolute, and for each state, source or mode that there is none of."""
    params = [ident.name for ident in (*iter_idents(filter.root), *idents) if ident.kind == "param"]
    for name in dict.fromkeys(params):
        if not reader.rows("SELECT 1 FROM params WHERE name = ? LIMIT 1", (name,)):
            near = near_names(name, [known for (known,) in reader.rows("SELECT DISTINCT name FROM params")])
            yield f"no checkpoint has the param {name}" + (f"; did you mean {' or '.join(near)}?" if near else "")
    for node in iter_conditions(filter.root):
        if isinstance(node, Comparison | Membership) and node.ident.kind == "field" and node.ident.name in ABSOLUTE:
            yield from _relative(node)
        if isinstance(node, Comparison | Membership) and node.ident.kind == "field" and node.ident.name in WORDS:
            yield from _no_such_word(node)


def _no_such_word(node: Comparison | Membership) -> Iterator[str]:
    if isinstance(node, Comparison) and node.operator not in ("=", "!="):
        return
    words = WORDS[node.ident.name]
    for value in iter_values(node):
        if value.value not in words:
            yield f"no {node.ident.name} is called {value.value!r}; they are {', '.join(words)}"


def _relative(node: Comparison | Membership) -> Iterator[str]:
    operator = node.operator if isinstance(node, Comparison) else "="
    may_begin = {"=": ("/",), "LIKE": ("/", "%", "_"), "ILIKE": ("/", "%", "_")}.get(operator)
    for value in iter_values(node):
        if may_begin and isinstance(value.value, str) and not value.value.startswith(may_begin):
            name, end = node.ident.name, value.value.removeprefix("./")
            yield f"{name} is absolute, and {value.value!r} isn't: write {name} LIKE '%/{end}'"
