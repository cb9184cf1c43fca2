"""lark's parse tree → ours. Apart from parse.py, since it needs lark."""

from __future__ import annotations

from typing import Any, cast

from lark import Token, Tree

from catalogdb.errors import QueryError
from catalogdb.query.literals import number, unquoted
from catalogdb.query.moments import parse_age, parse_moment
from catalogdb.query.parse import MAX_DEPTH, field_ident, split_prefix
from catalogdb.query.tree import (
    And,
    Between,
    Collection,
    Comparison,
    Contains,
    Ident,
    IsNull,
    Literal_,
    Membership,
    Node,
    Not,
    Operator,
    Or,
    OrderKey,
    Value,
)

_SAME = {"==": "=", "<>": "!="}


class TreeBuilder:
    """Builds trees out of one text, which its errors point into."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self, tree: Tree[Token]) -> Any:
        if tree.data == "order":
            return tuple(self._key(_tree(child)) for child in tree.children)
        return self._node(_tree(tree.children[0]), 0)

    def _node(self, tree: Tree[Token], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise QueryError(f"nested deeper than {MAX_DEPTH} levels", text=self._text, column=0)
        children = tree.children
        if tree.data in ("or", "and"):
            parts = tuple(self._node(_tree(child), depth + 1) for child in children)
            return Or(parts) if tree.data == "or" else And(parts)
        if tree.data == "not":
            return Not(self._node(_tree(children[0]), depth + 1))
        if tree.data == "contains":
            name, negation, collection = cast("tuple[Token, Token | None, Token]", tuple(children))
            known = cast("Collection", collection.lower())
            return Contains(known, unquoted(name), negation is not None, name.start_pos)
        ident = self._ident(_tree(children[0]))
        if tree.data == "comparison":
            operator = str(children[1]).upper()
            return Comparison(ident, cast("Operator", _SAME.get(operator, operator)), self._value(_tree(children[2])))
        negated = children[1] is not None
        if tree.data == "membership":
            return Membership(ident, tuple(self._value(_tree(child)) for child in children[2:]), negated)
        if tree.data == "between":
            return Between(ident, self._value(_tree(children[2])), self._value(_tree(children[3])), negated)
        return IsNull(ident, negated)

    def _key(self, tree: Tree[Token]) -> OrderKey:
        sign, ident, direction, nulls = tree.children
        if sign is not None and direction is not None:
            column = cast("Token", direction).start_pos
            raise QueryError("a sign and ASC or DESC say the same twice", text=self._text, column=column)
        descending = sign == "-" or (direction is not None and str(direction).upper() == "DESC")
        nulls_first = nulls is not None and str(nulls).upper() == "FIRST"
        return OrderKey(self._ident(_tree(ident)), descending, nulls_first, self._text)

    def _ident(self, tree: Tree[Token]) -> Ident:
        first = cast("Token", tree.children[0])
        column = first.start_pos or 0
        if tree.data == "quoted":
            return field_ident(unquoted(first), self._text, column)
        name = str(first)
        split = split_prefix(name)
        if tree.data == "prefixed":
            second = cast("Token", tree.children[1])
            if split is None or split[1]:
                message = "metrics, params, tags or attributes and a dot are expected before a quoted name"
                raise QueryError(message, text=self._text, column=column)
            split = (split[0], unquoted(second))
        if split is None:
            return field_ident(name, self._text, column)
        kind, rest = split
        if not rest:
            raise QueryError(f"a name is expected after {name!r}", text=self._text, column=column + len(name))
        return field_ident(rest, self._text, column) if kind == "field" else Ident(kind, rest, column)

    def _value(self, tree: Tree[Token]) -> Value:
        token = cast("Token", tree.children[0])
        return Value(self._literal(tree.data, token), token.start_pos)

    def _literal(self, kind: str, token: Token) -> Literal_:
        if kind == "number":
            return number(token)
        if kind == "infinity":
            return float(token)
        if kind == "boolean":
            return token.lower() == "true"
        if kind == "text":
            return unquoted(token)
        try:
            if kind == "ago":
                return parse_age(token)
            return parse_moment(token)
        except (ValueError, OverflowError):
            message = f"{str(token)!r} is not a time that the calendar knows"
            raise QueryError(message, text=self._text, column=token.start_pos) from None


def _tree(child: Any) -> Tree[Token]:
    return cast("Tree[Token]", child)
