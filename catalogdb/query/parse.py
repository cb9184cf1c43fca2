"""Text → tree. The grammar is in grammar.lark; lark is imported when the first filter is parsed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from catalogdb.errors import QueryError
from catalogdb.query.fields import FIELDS, find_field, near_names
from catalogdb.query.tree import Filter, Ident, Kind, Node, OrderKey

if TYPE_CHECKING:
    from lark import Lark

PREFIXES: dict[str, Kind] = {
    "metric": "metric",
    "metrics": "metric",
    "param": "param",
    "params": "param",
    "parameter": "param",
    "parameters": "param",
    "tag": "tag",
    "tags": "tag",
    "attr": "field",
    "attribute": "field",
    "attributes": "field",
    "run": "field",
}
MAX_LENGTH = 1_000_000
MAX_DEPTH = 200
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class UnknownField(QueryError):
    """A name that is no field. ``name`` is what was written."""

    def __init__(self, name: str, *, text: str, column: int | None, metrics: Collection[str] = ()) -> None:
        self.name = name
        super().__init__(_unknown_field(name, metrics), text=text, column=column)


def parse_filter(text: str, *, metrics: Collection[str] = ()) -> Filter:
    """The filter that ``text`` says; an empty text matches everything.

    ``metrics`` are the known metrics' names, for better errors. Raises QueryError with the column.
    """
    try:
        return _parse_filter(text)
    except UnknownField as error:
        raise UnknownField(error.name, text=text, column=error.column, metrics=metrics) from None


def parse_order(order: str | Sequence[str] | None, *, metrics: Collection[str] = ()) -> tuple[OrderKey, ...]:
    """The keys of an ordering: one text with commas, or a list of such. Raises QueryError with the column."""
    if order is None:
        return ()
    keys: list[OrderKey] = []
    for text in [order] if isinstance(order, str) else order:
        try:
            keys.extend(_parse_order(text))
        except UnknownField as error:
            raise UnknownField(error.name, text=text, column=error.column, metrics=metrics) from None
    return tuple(keys)


def parse_ident(text: str, *, metrics: Collection[str] = ()) -> Ident:
    """One name: ``epoch``, ``params.lr``, ``metrics.`val/loss` ``, ``tags.stage``."""
    keys = parse_order(text, metrics=metrics)
    if len(keys) != 1 or keys[0] != OrderKey(keys[0].ident):
        raise QueryError("one name is expected here, a field or params.NAME, say", text=text, column=0)
    return keys[0].ident


@lru_cache(maxsize=256)
def _parse_filter(text: str) -> Filter:
    if not text.strip():
        return Filter(None, text)
    root: Node = _run("start", text)
    return Filter(root, text)


@lru_cache(maxsize=256)
def _parse_order(text: str) -> tuple[OrderKey, ...]:
    return _run("order", text) if text.strip() else ()


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark  # noqa: PLC0415  # 30 ms that a query without a filter needn't pay

    return Lark.open(
        "grammar.lark",
        rel_to=__file__,
        parser="lalr",
        start=["start", "order"],
        maybe_placeholders=True,
        propagate_positions=False,
    )


def terminal(name: str) -> str:
    """The regular expression of one of the grammar's words."""
    return str(_parser().get_terminal(name).pattern.to_regexp())


def _run(start: str, text: str) -> Any:
    from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken  # noqa: PLC0415  # as above

    from catalogdb.query.build import TreeBuilder  # noqa: PLC0415  # as above

    check_text(text)
    try:
        parsed = _parser().parse(text, start=start)
    except UnexpectedToken as error:
        at_end = error.token.type == "$END"
        column = len(text) if at_end else error.token.start_pos
        raise QueryError(_explain(error.token, error.accepts or error.expected), text=text, column=column) from None
    except UnexpectedCharacters as error:
        column = error.pos_in_stream or 0
        raise QueryError(_explain_character(text, column), text=text, column=column) from None
    except UnexpectedInput as error:
        raise QueryError("can't be read", text=text, column=error.pos_in_stream) from None
    return TreeBuilder(text).build(parsed)


def check_text(text: str) -> None:
    """Raises QueryError for what no parser should be asked to read."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a filter of {len(text)} characters is too long; at most {MAX_LENGTH}")
    found = _NO_TEXT.search(text)
    if found is not None:
        raise QueryError("not a character of text", text=text.encode("utf-8", "replace").decode(), column=found.start())


def split_prefix(name: str) -> tuple[Kind, str] | None:
    """``metrics.val/loss`` → kind and name; None where there is no known prefix."""
    prefix, dot, rest = name.partition(".")
    kind = PREFIXES.get(prefix.lower())
    return (kind, rest) if dot and kind is not None else None


def field_ident(name: str, text: str, column: int | None) -> Ident:
    field = find_field(name)
    if field is None:
        raise UnknownField(name, text=text, column=column)
    return Ident("field", field.name, column)


def _unknown_field(name: str, metrics: Collection[str]) -> str:
    if name in metrics:
        return f"unknown field {name!r}; the metric of that name is metrics.`{name}`"
    if name.lower() in ("tags", "aliases"):
        return f"{name!r} is no field; write 'name' IN {name.lower()}" + ", or tags.key = 'value'" * (name != "aliases")
    near = near_names(name, FIELDS) + [f"metrics.`{item}`" for item in near_names(name, metrics)]
    hint = f"; did you mean {_either(near[:4])}?" if near else ""
    if not hint and any(character in name for character in "/.:"):
        hint = f"; for a metric write metrics.`{name}`, for a parameter params.`{name}`"
    return f"unknown field {name!r}{hint}"


SHOWN_METRICS = 10


def unknown_metric(name: str, metrics: Collection[str]) -> str:
    """The line that says so, with near names."""
    if not metrics:
        return f"unknown metric {name!r}; the catalog has no metrics yet"
    near = near_names(name, metrics)
    if near:
        return f"unknown metric {name!r}; did you mean {_either(near)}?"
    known = sorted(metrics)
    more = f" and {len(known) - SHOWN_METRICS} more" if len(known) > SHOWN_METRICS else ""
    return f"unknown metric {name!r}; known are {', '.join(known[:SHOWN_METRICS])}{more}"


def _either(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _explain(token: Any, expected: Collection[str]) -> str:
    """What was met instead of what, in words."""
    value_expected = "NUMBER" in expected
    if token.type == "$END":
        return f"the end came too early; {_expectation(expected)}"
    if token.type == "BACKTICKED" and value_expected:
        return f"a name can't stand here; write text in single quotes: '{token[1:-1]}'"
    if value_expected and token.type not in ("RPAR", "LPAR", "COMMA", "OPERATOR"):
        if str(token).lower() == "null":
            return "NULL compares with nothing; write IS NULL or IS NOT NULL"
        if str(token).lower() == "nan":
            return "NaN compares with nothing; write IS NULL or IS NOT NULL"
        if token.type == "SIGN":
            return f"a number such as {token}5 is expected here, or an age: -30m, -12h, -7d, -3w"
        return f"text is written in quotes: '{token}'"
    return f"unexpected {str(token)!r}; {_expectation(expected)}"


def _explain_character(text: str, position: int) -> str:
    character = text[position]
    if character in "'\"`":
        return f"a {character} without its closing {character}"
    if character.isdigit() or character in "+-.":
        word = text[position:].split(maxsplit=1)[0]
        return f"{word!r} is neither a number, a date (2026-01-31T12:00) nor a time ago (-3w)"
    return f"unexpected {character!r}"


def _expectation(expected: Collection[str]) -> str:
    if "NUMBER" in expected:
        return "a value is expected: a number, 'text', true, false, a date"
    if "OPERATOR" in expected:
        return "an operator is expected: = != < <= > >= LIKE ILIKE ~ IN BETWEEN IS"
    if "NAME" in expected:
        return "a name is expected"
    for token, words in _EXPECTED.items():
        if token in expected:
            return f"{words} is expected"
    return "AND, OR or the end is expected"


_EXPECTED = {
    "_AND": "AND or OR",
    "COLLECTION": "'(' or tags",
    "LPAR": "'('",
    "COMMA": "',' or the end",
    "RPAR": "')'",
    "_NULL": "NULL",
    "_IN": "IN or BETWEEN",
    "NULLS_PLACE": "FIRST or LAST",
}
