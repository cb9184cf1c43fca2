"""Random filters that mean something: each name is compared with values of its type, often ones that occur."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from catalogdb.query.tree import (
    And,
    Between,
    Comparison,
    Contains,
    Ident,
    IsNull,
    Membership,
    Node,
    Not,
    Or,
    OrderKey,
    Value,
)
from tests.unit.query.world import NOW

NAMES = ("x", "val/hmean", "a b", "q\"uo`te's", "%_", "🙂", "n" * 300, "x'; DROP TABLE metrics; --", "In")
TEXTS = (
    "",
    "a",
    "A",
    "dbnet",
    "it's",
    'say "x"',
    "%",
    "_",
    "a%",
    "[a]",
    "*",
    "Ä",
    "ä",
    "0.01",
    "True",
    "None",
    "nan",
    "1",
)
NUMBERS = (-1, 0, 1, 2, 0.5, -0.5, 0.01, 1e300, -1e300, float("inf"), float("-inf"), 2**53, 10**18)
PATTERNS = ("%", "_", "a%", "%A%", "%[a]%", "%Ä", "%ä", "*", "%'%", "", "%.ckpt", "1%", "%e%")
REGEXES = ("a", "^d", "A|a", "[0-9]+", r"\.ckpt$", "'", "^$", "(?i)ä")

TEXT_FIELDS = (
    "path",
    "rel_path",
    "root",
    "format",
    "source",
    "exp_name",
    "architecture",
    "loss",
    "note",
    "config_path",
)
NUMBER_FIELDS = ("id", "size_bytes", "epoch", "global_step", "hmean", "num_parameters", "num_tensors")
TIME_FIELDS = ("mtime", "created_at")

texts = st.sampled_from(TEXTS)
numbers: st.SearchStrategy[int | float] = st.sampled_from(NUMBERS) | st.integers(-3, 3)
moments = st.sampled_from([NOW + timedelta(days=days, microseconds=days) for days in range(-4, 3)])
times = moments | st.integers(0, 5).map(lambda days: timedelta(days=days))


def ident(kind: str, names: tuple[str, ...]) -> st.SearchStrategy[Ident]:
    return st.sampled_from(names).map(lambda name: Ident(kind, name))  # type: ignore[arg-type]


text_idents = ident("field", TEXT_FIELDS) | ident("tag", NAMES) | ident("field", ("state",))
number_idents = ident("field", NUMBER_FIELDS) | ident("metric", NAMES) | ident("metric", NAMES)
time_idents = ident("field", TIME_FIELDS)
param_idents = ident("param", NAMES)
idents = text_idents | number_idents | time_idents | param_idents | ident("field", ("stale",))

equalities = st.sampled_from(("=", "!="))
operators = st.sampled_from(("=", "!=", "<", "<=", ">", ">="))


def _conditions(names: st.SearchStrategy[Ident], literals: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    values = literals.map(Value)
    return st.one_of(
        st.builds(Comparison, names, operators, values),
        st.builds(Between, names, values, values, st.booleans()),
        st.builds(Membership, names, st.lists(values, min_size=1, max_size=3).map(tuple), st.booleans()),
    )


def _either(names: st.SearchStrategy[Ident], literals: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    """``x = 1 OR x = 2``."""
    values = st.lists(literals.map(Value), min_size=2, max_size=3)
    return st.builds(lambda name, some: Or(tuple(Comparison(name, "=", value) for value in some)), names, values)


patterned = text_idents | param_idents
conditions: st.SearchStrategy[Node] = st.one_of(
    _conditions(text_idents, texts),
    _conditions(number_idents, numbers),
    _conditions(time_idents, times),
    _conditions(param_idents, numbers),
    _conditions(param_idents, texts),
    _either(text_idents, texts),
    _either(number_idents, numbers),
    _either(param_idents, numbers | texts | st.booleans()),
    st.builds(Comparison, param_idents, equalities, st.booleans().map(Value)),
    st.builds(Comparison, ident("field", ("stale",)), equalities, st.booleans().map(Value)),
    st.builds(Comparison, patterned, st.sampled_from(("LIKE", "ILIKE")), st.sampled_from(PATTERNS).map(Value)),
    st.builds(Comparison, patterned, st.just("~"), st.sampled_from(REGEXES).map(Value)),
    st.builds(IsNull, idents, st.booleans()),
    st.builds(Contains, st.sampled_from(("tags", "aliases")), st.sampled_from(NAMES), st.booleans()),
)

trees: st.SearchStrategy[Node] = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: Or(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=8,
)

sortable = text_idents | number_idents | time_idents
orders: st.SearchStrategy[tuple[OrderKey, ...]] = st.lists(
    st.builds(OrderKey, sortable, st.booleans(), st.booleans()), max_size=3
).map(tuple)
