"""W&B's filters, MongoDB's query documents, → the tree that a filter's text gives.

They mean what MongoDB says they mean, and so differ from the text in one thing: what is unknown is unequal. ``$ne``,
``$nin``, ``$not`` and ``$nor`` match checkpoints that don't have the value at all; None matches those alone.
https://www.mongodb.com/docs/manual/reference/operator/query/
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, time, timezone
from typing import Any, Literal

from catalogdb.errors import QueryError
from catalogdb.query.fields import near_names
from catalogdb.query.parse import MAX_DEPTH, UnknownField, field_ident, split_prefix
from catalogdb.query.tree import (
    And,
    Comparison,
    Contains,
    Fails,
    Filter,
    Ident,
    IsNull,
    Membership,
    Node,
    Operator,
    Or,
    Value,
)

_COMPARED: dict[str, Operator] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_GROUPS = ("$and", "$or", "$nor")
OPERATORS = (*_GROUPS, "$not", "$eq", "$ne", *_COMPARED, "$in", "$nin", "$exists", "$regex")
_PREFIXES = {"config": "param", "summary_metrics": "metric", "summary": "metric", "summaryMetrics": "metric"}
_NAMES = {"display_name": "exp_name", "displayName": "exp_name", "name": "wandb_run_id", "createdAt": "created_at"}
"""What W&B calls fields of the catalog: in its API, ``name`` is the run's id."""


def from_document(document: Mapping[str, Any], *, metrics: Collection[str] = ()) -> Filter:
    """The filter that a document says; an empty one matches everything.

    ``config.x`` is a param and ``summary_metrics.x`` a metric; other names are those of a filter's text, W&B's
    ``display_name`` is the experiment and ``name`` the run. ``metrics`` are the known metrics' names, for better
    errors. Raises QueryError, naming the key.
    """
    try:
        return Filter(_document(document, 0) if document or not isinstance(document, Mapping) else None)
    except UnknownField as error:
        raise UnknownField(error.name, text="", column=None, metrics=metrics) from None


def _document(document: Any, depth: int) -> Node:
    if not isinstance(document, Mapping) or not document:
        raise QueryError(f"filters: a mapping with at least one key is expected, not {document!r}")
    if depth > MAX_DEPTH:
        raise QueryError(f"filters: nested deeper than {MAX_DEPTH} levels")
    return _all([_entry(key, value, depth) for key, value in document.items()])


def _entry(key: Any, value: Any, depth: int) -> Node:
    if not isinstance(key, str):
        raise QueryError(f"filters: a key is text, not {key!r}")
    if key in _GROUPS:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise QueryError(f"filters: {key} takes a list of at least one filter")
        parts = [_document(item, depth + 1) for item in value]
        if key == "$and":
            return _all(parts)
        either = Or(tuple(parts)) if len(parts) > 1 else parts[0]
        return either if key == "$or" else opposite(either)
    if key == "$not":
        return opposite(_document(value, depth + 1))
    if key.startswith("$"):
        raise QueryError(f"filters: {_unknown(key)}")
    if key in ("tags", "aliases"):
        return _collection("tags" if key == "tags" else "aliases", value)
    return _conditions(key, _ident(key), value, depth)


def _ident(key: str) -> Ident:
    prefix, dot, name = key.partition(".")
    if dot and prefix in _PREFIXES:
        name = name.removesuffix(".value") if prefix == "config" else name
        return Ident("param" if prefix == "config" else "metric", name)
    split = split_prefix(key)
    if split is not None and split[0] != "field":
        return Ident(*split)
    return field_ident(_NAMES.get(key, split[1] if split else key), "", None)


def _conditions(key: str, ident: Ident, value: Any, depth: int) -> Node:
    """What is said of one name: a value, or operators that must all hold."""
    if not isinstance(value, Mapping):
        return _equal(key, ident, value)
    if not value:
        raise QueryError(f"filters: {key}: an empty mapping says nothing")
    if depth > MAX_DEPTH:
        raise QueryError(f"filters: nested deeper than {MAX_DEPTH} levels")
    operators = dict(value)
    options = operators.pop("$options", None)
    if options is not None and "$regex" not in operators:
        raise QueryError(f"filters: {key}: $options goes with $regex")
    return _all([_operator(key, ident, name, item, options, depth) for name, item in operators.items()])


def _operator(key: str, ident: Ident, name: Any, value: Any, options: Any, depth: int) -> Node:
    if name == "$not":
        if isinstance(value, str):
            return opposite(Comparison(ident, "~", Value(value)))
        return opposite(_conditions(key, ident, value, depth + 1))
    if name in _COMPARED:
        return Comparison(ident, _COMPARED[name], _value(key, value))
    if name == "$exists":
        if not isinstance(value, bool | int):
            raise QueryError(f"filters: {key}: $exists takes true or false")
        return IsNull(ident, negated=bool(value))
    if name == "$regex":
        return Comparison(ident, "~", Value(_pattern(key, value, options)))
    known: dict[Any, Callable[[], Node]] = {
        "$eq": lambda: _equal(key, ident, value),
        "$ne": lambda: opposite(_equal(key, ident, value)),
        "$in": lambda: _among(key, ident, value),
        "$nin": lambda: opposite(_among(key, ident, value)),
    }
    if name not in known:
        raise QueryError(f"filters: {key}: {_unknown(name)}")
    return known[name]()


def _equal(key: str, ident: Ident, value: Any) -> Node:
    return IsNull(ident) if value is None else Comparison(ident, "=", _value(key, value))


def _among(key: str, ident: Ident, values: Any) -> Node:
    if not isinstance(values, Sequence | set | frozenset) or isinstance(values, str) or not values:
        raise QueryError(f"filters: {key}: a list of at least one value is expected")
    known = tuple(_value(key, value) for value in values if value is not None)
    parts: list[Node] = [Membership(ident, known)] if known else []
    if None in values:
        parts.append(IsNull(ident))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _value(key: str, value: Any) -> Value:
    if isinstance(value, datetime):
        return Value(value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc))
    if isinstance(value, date):
        return Value(datetime.combine(value, time(), timezone.utc))
    if isinstance(value, float) and value != value:
        raise QueryError(f"filters: {key}: NaN compares with nothing; write None for an unknown value")
    if isinstance(value, bool | int | float | str):
        return Value(value)
    raise QueryError(f"filters: {key}: a value is text, a number, true, false or a date, not {value!r}")


def _pattern(key: str, value: Any, options: Any) -> str:
    if not isinstance(value, str):
        raise QueryError(f"filters: {key}: $regex takes text")
    if options in (None, ""):
        return value
    if not isinstance(options, str) or set(options) - set("imsx"):
        raise QueryError(f"filters: {key}: $options are letters of imsx, not {options!r}")
    return f"(?{options}){value}"


def _collection(name: Literal["tags", "aliases"], value: Any) -> Node:
    """``{"tags": "production"}``, and lists of them with ``$in`` (any of), ``$nin`` (none of), ``$eq`` and ``$ne``."""
    if isinstance(value, str):
        return Contains(name, value)
    if isinstance(value, Mapping) and value:
        return _all([_held(name, operator, item) for operator, item in value.items()])
    raise QueryError(f"filters: {name}: a name, or a mapping with $in or $nin is expected, not {value!r}")


def _held(name: Literal["tags", "aliases"], operator: Any, value: Any) -> Node:
    single = operator in ("$eq", "$ne")
    names = [value] if single else value
    if operator not in ("$eq", "$ne", "$in", "$nin"):
        raise QueryError(f"filters: {name}: {operator!r} isn't for names; $eq, $ne, $in and $nin are")
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or not _all_texts(names):
        raise QueryError(f"filters: {name}: {operator} takes {'a name' if single else 'a list of names'}")
    held = tuple(Contains(name, item) for item in names)
    any_of: Node = held[0] if len(held) == 1 else Or(held)
    return any_of if operator in ("$eq", "$in") else opposite(any_of)


def _all_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def opposite(node: Node) -> Node:
    """What holds exactly where ``node`` doesn't, unknown values included."""
    if isinstance(node, IsNull):
        return IsNull(node.ident, not node.negated)
    if isinstance(node, Contains):
        return Contains(node.collection, node.name, not node.negated)
    return Fails(node)


def _all(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _unknown(name: Any) -> str:
    near = near_names(str(name), OPERATORS, limit=2)
    return f"unknown operator {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
