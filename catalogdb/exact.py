"""Exact types: what a model takes without converting anything, as a plain mapping. Most documents are just so."""

from __future__ import annotations

import functools
from types import NoneType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

_make_mapping: Any = TypedDict  # type checkers take fields that are written down, not those of a model


def exact(model: type[BaseModel]) -> TypeAdapter[dict[str, Any]]:
    """Validates a mapping whose values have the model's types already, and gives those it names, none filled in.

    What it takes, the model takes as well, with the same values; what it refuses, the model has to judge: a number
    written as text, say, or a null. It costs half: no Python is called for each value, and no model is made to be
    dumped again. For models whose ``BeforeValidator``s convert or refuse what isn't exact, and do nothing else.
    """
    return TypeAdapter(_mapping(model))


def _mapping(model: type[BaseModel]) -> Any:
    fields = {
        name: _exact(info.rebuild_annotation())
        if info.is_required()
        else NotRequired[_exact(info.rebuild_annotation())]
        for name, info in model.model_fields.items()
    }
    mapping = _make_mapping(f"Exact{model.__name__}", fields)
    mapping.__pydantic_config__ = ConfigDict(**{**model.model_config, "strict": True})
    return mapping


def _exact(kind: Any) -> Any:
    """A type without null, and without what stands before its own check."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _mapping(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kept = [each for each in arguments[1:] if not isinstance(each, BeforeValidator)]
        return functools.reduce(lambda inner, each: Annotated[inner, each], kept, _exact(arguments[0]))
    if origin in (list, dict):
        return origin[tuple(map(_exact, arguments))]
    others = [each for each in arguments if each is not NoneType]
    return Union[tuple(map(_exact, others))] if len(others) < len(arguments) else kind  # noqa: UP007  # made at run time
