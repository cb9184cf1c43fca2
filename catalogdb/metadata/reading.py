"""From a document to a sidecar: valid as a whole, or what is left of a broken one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BaseModel, ValidationError
from pydantic import create_model as create_pydantic_model
from pydantic_core import ErrorDetails

from catalogdb.documents import Unterminated
from catalogdb.errors import MetadataError
from catalogdb.exact import exact
from catalogdb.metadata.keys import DERIVED, PLACEHOLDERS
from catalogdb.metadata.model import CheckpointMetadataV1, Part


def _annotated(kind: Any, constraint: Any) -> Any:
    return Annotated[kind, constraint]


def _partial(whole: type[BaseModel]) -> type[BaseModel]:
    """The same model with nothing required, and null allowed in every place: for what is left of a broken sidecar."""
    fields: dict[str, Any] = {}
    for name, info in whole.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _partial(kind)
        fields[name] = (functools.reduce(_annotated, info.metadata, kind) | None, None)
    return create_pydantic_model(f"Partial{whole.__name__}", __base__=Part, **fields)


_PartialMetadata = _partial(CheckpointMetadataV1)
_MISSING = "is missing"

SHARED_SECTIONS = ("model", "checkpointing")
MAX_SHARED = 1024
_OwnMetadata: type[BaseModel] = create_pydantic_model(
    "OwnMetadata",
    __base__=Part,
    **cast(
        "dict[str, Any]",
        {
            name: (info.rebuild_annotation(), info)
            for name, info in CheckpointMetadataV1.model_fields.items()
            if name not in SHARED_SECTIONS
        },
    ),
)
_EXACT = {model: exact(model) for model in (CheckpointMetadataV1, _OwnMetadata)}
_shared: dict[tuple[int, int], tuple[Any, Any, dict[str, Any]]] = {}
"""The sections that the sidecars of a run have in common, by identity (documents share equal sections), with their
validated values: they are validated once, and not to be changed."""


def parse_metadata(document: Mapping[str, Any], path: str) -> CheckpointMetadataV1:
    """The sidecar that ``document`` is; a null is an absent value. Raises MetadataError on the first field at fault."""
    try:
        return CheckpointMetadataV1.model_validate(document)
    except ValidationError:
        known, errors = _examine(document, path)
    if not errors:
        return CheckpointMetadataV1.model_validate(known)
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise MetadataError(path, f"{first.reason}{more}", field=first.field)


def salvage(document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[MetadataError]]:
    """Those values of a sidecar that are valid on their own, nested as written, and an error for each other one.

    Defaults are not filled in. A required value that isn't there is an error as well. Where a file ends in the middle
    of a line, or too early and with a list, its last value is left out. Raises MetadataError for another version.
    """
    errors: list[MetadataError] = []
    try:
        known = _valid(document)
    except ValidationError:
        known, errors = _examine(document, path)
    for error in errors:
        if error.field == "schema_version":
            raise error
    if not errors and not isinstance(document, Unterminated):
        return known, errors
    last, value = _last_value(document)
    open_ended = isinstance(document, Unterminated) and not isinstance(value, bool)
    open_ended |= isinstance(value, list) and any(error.reason == _MISSING for error in errors)
    if open_ended and _pop(known, last) is not None:
        reason = "may be half of what was to be written: the file ends here"
        errors.append(MetadataError(path, reason, field=".".join(last)))
    return known, errors


def _valid(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a sidecar without fault. Raises ValidationError."""
    model, checkpointing = (document.get(name) for name in SHARED_SECTIONS)
    shared = _shared.get((id(model), id(checkpointing)))
    if shared is not None and shared[0] is model and shared[1] is checkpointing:
        return {**_values(_OwnMetadata, document), **shared[2]}
    known = _values(CheckpointMetadataV1, document)
    if len(_shared) >= MAX_SHARED:
        _shared.clear()
    _shared[id(model), id(checkpointing)] = model, checkpointing, {name: known[name] for name in SHARED_SECTIONS}
    return known


def _values(model: type[BaseModel], document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _EXACT[model].validate_python(document)
    except ValidationError:
        return model.model_validate(document).model_dump(exclude_unset=True, exclude_none=True)


def without_placeholders(known: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """``known`` without the values that ``document`` lists as unknown, or as derived from others."""
    rest = _unshared(known)
    lists = (document.get(key) for key in (PLACEHOLDERS, DERIVED))
    for place in (place for listed in lists if isinstance(listed, list) for place in listed):
        *above, name = str(place).split(".")
        holder: Any = rest
        for key in above:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(name, None)
    return cast("dict[str, Any]", rest)


def _examine(document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[MetadataError]]:
    """The values that are valid, and an error for each that isn't and each required one that is missing."""
    rest = _unshared({name: document[name] for name in _PartialMetadata.model_fields if name in document})
    faults: dict[tuple[str, ...], str] = {}
    try:
        _PartialMetadata.model_validate(rest)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            place = _place(rest, detail["loc"])
            if _pop(rest, place) is not None:
                faults[place] = _reason(detail)
    known = _PartialMetadata.model_validate(rest).model_dump(exclude_unset=True, exclude_none=True)
    try:
        CheckpointMetadataV1.model_validate(known)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            faults.setdefault(tuple(str(part) for part in detail["loc"]), _MISSING)
    return known, [MetadataError(path, reason, field=".".join(place)) for place, reason in faults.items()]


def _unshared(value: Any) -> Any:
    """A copy in which no two places share a mapping (aliases do), with text for keys."""
    return {str(key): _unshared(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _place(document: Mapping[str, Any], location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys down to the value at fault. A list counts as a whole: without one of its items it would be another."""
    keys: list[str] = []
    value: Any = document
    for key in map(str, location):
        if not isinstance(value, Mapping) or key not in value:
            break
        keys.append(key)
        value = value[key]
    return tuple(keys)


def _pop(document: dict[str, Any], place: tuple[str, ...]) -> Any:
    """Removes the value at ``place`` and returns it; None where it is no longer there."""
    holder: Any = document
    for key in place[:-1]:
        holder = holder.get(key, {})
    return holder.pop(place[-1], None)


def _last_value(document: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    """Where the text of a document ends, and the value there: the last one of the last mapping."""
    place: list[str] = []
    value: Any = document
    while isinstance(value, Mapping) and value:
        place.append(str(list(value)[-1]))
        value = list(value.values())[-1]
    return tuple(place), value


_PLAIN_WORDS = {
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "string_type": "should be text",
    "int_from_float": "should be a whole number",
}


def _reason(detail: ErrorDetails) -> str:
    """What is wrong, as part of a sentence, with the value that was found."""
    message = _PLAIN_WORDS.get(detail["type"]) or detail["msg"].removeprefix("Input ")
    found = repr(detail["input"])
    hint = ": put it in quotes" if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)) else ""
    return f"{message}, not {found if len(found) <= 60 else found[:57] + '...'}{hint}"
