"""One condition of a filter → SQL with bound values.

Logic is SQL's, of three values: what compares with something missing (or NaN) is unknown, and so is its negation;
only ``IS NULL`` says yes. Metrics, params and tags are scalar subqueries, so that fields and they follow one rule.

Params are typed. A number compares with ints and floats, ``true`` and ``false`` with bools, a quoted text with texts;
a value of another type is unequal and in no order. A quoted text also equals the value that Python's ``str`` writes
so (``'0.01'``, ``'True'``, ``'None'``), since that is how MLflow stores them; patterns match that text as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from catalogdb.errors import QueryError
from catalogdb.query.fields import FIELDS, Field
from catalogdb.query.moments import iso_utc, microseconds, moment_of
from catalogdb.query.parse import unknown_metric
from catalogdb.query.patterns import check_like, like_to_glob
from catalogdb.query.tree import (
    And,
    Between,
    Comparison,
    Condition,
    Contains,
    Fails,
    Ident,
    IsNull,
    Membership,
    Node,
    Not,
    Operator,
    Or,
    Value,
)
from catalogdb.store.regex import check_regex

PATTERNS = ("LIKE", "ILIKE", "~")
INT64 = 2**63

PARAM_NUMBER = "CASE typeof(p.value) WHEN 'text' THEN CAST(p.value AS REAL) ELSE p.value END"
PARAM_TEXT = "CASE p.type WHEN 'str' THEN p.value ELSE param_text(p.type, p.value) END"
METRIC = "(SELECT v.value FROM metrics v WHERE v.checkpoint_id = c.id AND v.name_id = ?)"
TAG = "(SELECT t.value FROM tags t WHERE t.checkpoint_id = c.id AND t.key = ?)"
PARAM = (
    "FROM params p JOIN param_set_groups g ON g.param_group_id = p.param_group_id "
    "WHERE g.param_set_id = c.param_set_id AND p.name = ?"
)


class Sql(NamedTuple):
    """A piece of SQL with the values of its placeholders, in their order."""

    text: str
    values: tuple[Any, ...] = ()


def joined(parts: Iterable[Sql], separator: str) -> Sql:
    pieces = list(parts)
    return Sql(separator.join(piece.text for piece in pieces), tuple(v for piece in pieces for v in piece.values))


def balanced(parts: Sequence[Sql], word: str) -> Sql:
    """Parts under AND or OR as a balanced tree: SQLite takes expressions up to 1000 levels deep."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) <= 8:
        inner = joined(parts, f" {word} ")
    else:
        middle = len(parts) // 2
        inner = joined((balanced(parts[:middle], word), balanced(parts[middle:], word)), f" {word} ")
    return Sql(f"({inner.text})", inner.values)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Compiles conditions over the alias ``c`` (and ``r``) for one statement.

    ``names`` maps metric names to ids; ``metric_columns`` maps ids of metrics that the statement has joined to the
    columns that hold them.
    """

    names: Mapping[str, int]
    now: datetime
    text: str = ""
    metric_columns: Mapping[int, str] = field(default_factory=dict)

    def node(self, node: Node) -> Sql:
        if isinstance(node, And | Or):
            return balanced([self.node(part) for part in node.parts], "AND" if isinstance(node, And) else "OR")
        if isinstance(node, Not):
            inner = self.node(node.part)
            return Sql(f"NOT ({inner.text})", inner.values)
        if isinstance(node, Fails):
            inner = self.node(node.part)
            return Sql(f"(({inner.text}) IS NOT TRUE)", inner.values)
        return self._condition(node)

    def metric_id(self, ident: Ident) -> int:
        found = self.names.get(ident.name)
        if found is None:
            raise self.error(unknown_metric(ident.name, self.names), ident.column)
        return found

    def operand(self, ident: Ident) -> Sql:
        """The value as SQL: what compares and sorts. Not for params in comparisons, which are typed."""
        if ident.kind == "field":
            return Sql(FIELDS[ident.name].expression)
        if ident.kind == "metric":
            metric_id = self.metric_id(ident)
            column = self.metric_columns.get(metric_id)
            return Sql(column) if column else Sql(METRIC, (metric_id,))
        if ident.kind == "tag":
            return Sql(TAG, (ident.name,))
        return Sql(f"(SELECT {PARAM_NUMBER_OR_TEXT} {PARAM})", (ident.name,))

    def error(self, message: str, column: int | None) -> QueryError:
        return QueryError(message, text=self.text, column=column)

    def _condition(self, node: Condition) -> Sql:
        if isinstance(node, Contains):
            return self._contains(node)
        if isinstance(node, IsNull):
            return self._is_null(node)
        if isinstance(node, Comparison):
            return self._comparison(node)
        found = self._between(node) if isinstance(node, Between) else self._in(node)
        return Sql(f"NOT ({found.text})", found.values) if node.negated else found

    def _comparison(self, node: Comparison) -> Sql:
        if node.ident.kind == "param":
            return self._param(node)
        operand, right = self.operand(node.ident), self.bind(node.ident, node.operator, node.value)
        left = f"lower_text({operand.text})" if right.text == _LOWERED else operand.text
        return Sql(f"({left} {right.text})", (*operand.values, *right.values))

    def _param(self, node: Comparison | Membership | Between) -> Sql:
        inner = self.param_tests(node)
        return Sql(f"(SELECT {inner.text} {PARAM})", (*inner.values, node.ident.name))

    def param_tests(self, node: Comparison | Membership | Between) -> Sql:
        """What a condition asks of a param, over the alias ``p`` of params; its negation left out."""
        if isinstance(node, Comparison):
            return self._param_test(node.operator, node.value)
        if isinstance(node, Membership):
            return balanced([self._param_test("=", value) for value in node.values], "OR")
        return balanced([self._param_test(">=", node.low), self._param_test("<=", node.high)], "AND")

    def _in(self, node: Membership) -> Sql:
        if node.ident.kind == "param":
            return self._param(node)
        operand = self.operand(node.ident)
        bound = [self.bind(node.ident, "=", value) for value in node.values]
        places = ", ".join(item.text.removeprefix("= ") for item in bound)
        return Sql(f"({operand.text} IN ({places}))", (*operand.values, *(v for item in bound for v in item.values)))

    def _between(self, node: Between) -> Sql:
        if node.ident.kind == "param":
            return self._param(node)
        operand, low, high = self.operand(node.ident), *(self.bind(node.ident, "=", v) for v in (node.low, node.high))
        ends = f"{low.text.removeprefix('= ')} AND {high.text.removeprefix('= ')}"
        return Sql(f"({operand.text} BETWEEN {ends})", (*operand.values, *low.values, *high.values))

    def _contains(self, node: Contains) -> Sql:
        column = "key" if node.collection == "tags" else "name"
        exists = f"EXISTS (SELECT 1 FROM {node.collection} t WHERE t.checkpoint_id = c.id AND t.{column} = ?)"
        return Sql("NOT " * node.negated + exists, (node.name,))

    def _is_null(self, node: IsNull) -> Sql:
        ident = node.ident
        if ident.kind == "tag":
            exists = "EXISTS (SELECT 1 FROM tags t WHERE t.checkpoint_id = c.id AND t.key = ?)"
            return Sql("NOT " * (not node.negated) + exists, (ident.name,))
        operand = self.operand(ident)
        return Sql(f"({operand.text}) IS {'NOT ' * node.negated}NULL", operand.values)

    def bind(self, ident: Ident, operator: Operator, value: Value) -> Sql:
        """Operator and bound value for a field, a metric or a tag, after checking that they go together."""
        kind = self._type(ident)
        if operator in PATTERNS:
            if kind != "text":
                raise self.error(f"{ident.name!r} isn't text; {operator} matches text", ident.column)
            return self._pattern(operator, value)
        checked = self._checked(ident, kind, operator, value)
        if ident.kind == "field" and ident.name == "created_at":
            return Sql(f"{operator} julianday(?)", (checked,))
        return Sql(f"{operator} ?", (checked,))

    def _type(self, ident: Ident) -> str:
        if ident.kind == "field":
            return FIELDS[ident.name].type
        return "float" if ident.kind == "metric" else "text"

    def _checked(self, ident: Ident, kind: str, operator: Operator, value: Value) -> Any:
        literal = value.value
        if kind == "time":
            return self._time(FIELDS[ident.name], value)
        if kind == "text":
            if isinstance(literal, str):
                return literal
            hint = f", or metrics.`{ident.name}`" if ident.name in self.names else ""
            raise self.error(f"{ident.name!r} is text; write the value in quotes{hint}", value.column)
        if kind == "bool":
            if operator in ("=", "!=") and literal in (True, False):
                return int(literal)  # type: ignore[arg-type]  # just found equal to True or False
            raise self.error(f"{ident.name!r} is true or false; = and != compare it", value.column)
        if isinstance(literal, bool) or not isinstance(literal, int | float):
            raise self.error(f"{ident.name!r} is a number; write the value without quotes", value.column)
        return _native(literal)

    def _time(self, field: Field, value: Value) -> int | str:
        literal = value.value
        try:
            if isinstance(literal, bool):
                raise ValueError(literal)
            moment = moment_of(literal, self.now)
            return microseconds(moment) if field.name == "mtime" else iso_utc(moment)
        except (ValueError, OverflowError):
            message = f"{field.name!r} is a time; write 2026-01-31, 2026-01-31T12:00 or -3w"
            raise self.error(message, value.column) from None

    def _pattern(self, operator: Operator, value: Value) -> Sql:
        pattern = value.value
        if not isinstance(pattern, str):
            raise self.error(f"{operator} takes a pattern in quotes", value.column)
        problem = check_regex(pattern) if operator == "~" else check_like(pattern)
        if problem:
            raise self.error(problem, value.column)
        if operator == "~":
            return Sql("REGEXP ?", (pattern,))
        if operator == "LIKE":
            return Sql("GLOB ?", (like_to_glob(pattern),))
        if pattern.isascii():
            return Sql("LIKE ?", (pattern,))
        return Sql(_LOWERED, (pattern.lower(),))

    def _param_test(self, operator: Operator, value: Value) -> Sql:
        literal = value.value
        if isinstance(literal, datetime | timedelta):
            raise self.error("params are numbers, texts, true and false; write a date in quotes", value.column)
        if operator in PATTERNS:
            right = self._pattern(operator, value)
            left = f"lower_text({PARAM_TEXT})" if right.text == _LOWERED else PARAM_TEXT
            return Sql(f"{left} {right.text}", right.values)
        other = int(operator == "!=")
        if isinstance(literal, bool):
            if operator not in ("=", "!="):
                raise self.error("true and false are in no order; = and != compare them", value.column)
            cases = f"CASE p.type WHEN 'bool' THEN p.value {operator} ? WHEN 'null' THEN NULL ELSE {other} END"
            return Sql(cases, (int(literal),))
        if isinstance(literal, str):
            return _param_text_test(operator, literal)
        cases = (
            f"CASE WHEN p.type IN ('int', 'float') THEN {PARAM_NUMBER} {operator} ? "
            f"WHEN p.type = 'null' THEN NULL ELSE {other} END"
        )
        return Sql(cases, (_native(literal),))


_LOWERED = "LIKE ? /* lowered */"
PARAM_NUMBER_OR_TEXT = f"CASE p.type WHEN 'int' THEN {PARAM_NUMBER} ELSE p.value END"


def _native(number: int | float) -> int | float:
    return number if isinstance(number, float) or -INT64 < number < INT64 else float(number)


def _param_text_test(operator: Operator, text: str) -> Sql:
    if operator not in ("=", "!="):
        return Sql(f"CASE p.type WHEN 'str' THEN p.value {operator} ? WHEN 'null' THEN NULL ELSE 0 END", (text,))
    written = written_as(text)
    also = f" WHEN '{written[0]}' THEN p.value IS ?" if written else ""
    equal = f"CASE p.type WHEN 'str' THEN p.value = ?{also} ELSE 0 END"
    values = (text, written[1]) if written else (text,)
    return Sql(equal if operator == "=" else f"NOT {equal}", values)


def written_as(text: str) -> tuple[str, int | float | str | None] | None:
    """The type and stored value of the param that Python's ``str`` writes as ``text``, where there is one."""
    if text in ("True", "False"):
        return "bool", int(text == "True")
    if text == "None":
        return "null", None
    if text == "nan":
        return "float", None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0") and text != "-0":
        if len(digits) >= 20:
            return "int", text
        number = int(text)
        return "int", number if -INT64 < number < INT64 else text
    try:
        value = float(text)
    except ValueError:
        return None
    return ("float", value) if repr(value) == text else None
