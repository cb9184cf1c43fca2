"""A record of a ``.wandb`` file: which kind it is, and its items as JSON text.

Most values of a history are never looked at, so they aren't parsed before somebody asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from catalogdb.resolve.wandb.json_text import BadJson, parse
from catalogdb.resolve.wandb.record_types import decode_error, record_class

MAX_VALUES = 16_384
"""Entries of a config or summary."""

MAX_TEXT = 1 << 20
"""Of one value: longer ones (tables, media) are left out."""

HISTORY, SUMMARY, CONFIG, RUN, EXIT = 2, 3, 5, 17, 18
_BESIDE = frozenset({16, 19, 200})
"""Fields of ``wandb_internal.Record``: the contents that matter, and messages that may stand before one."""

_NUMBER = 1 << 3
"""The tag of a record's number, which is no message."""

Texts = dict[str, str]
"""Key → JSON text."""


def parse_record(data: bytes) -> Any:
    """A ``wandb_internal.Record``; None where it can't be decoded."""
    try:
        return record_class().FromString(data)
    except decode_error():  # asked for when there is one
        return None


def kind_of(data: bytes) -> int:
    """Which content a record has: the number of its field; 0 where that can't be told."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag == _NUMBER:
            _, place = _varint(data, place)
        elif tag >> 3 in _BESIDE and tag & 7 == 2:
            length, place = _varint(data, place)
            place += length
        else:
            return tag >> 3
    return 0


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    return 0, len(data)


def history_texts(data: bytes) -> Texts:
    """The items of a history record; none of one that can't be decoded."""
    record = parse_record(data)
    if record is None:
        return {}
    return {item.key or ".".join(item.nested_key): item.value_json or _typed(item) for item in record.history.item}


def update_texts(texts: Texts, change: Any) -> None:
    """Takes in what a record says of a config or a summary, bounded in number and size."""
    for item in change.update:
        set_text(texts, item.key or ".".join(item.nested_key), item.value_json)
    for item in change.remove:
        set_text(texts, item.key or ".".join(item.nested_key), None)


def set_text(texts: Texts, key: str, text: str | None) -> None:
    """None takes the key away."""
    if text is None:
        texts.pop(key, None)
    elif len(text) <= MAX_TEXT and (key in texts or len(texts) < MAX_VALUES):
        texts[key] = text


def _typed(item: Any) -> str:
    """The value of an item under the setting ``x_history_value_encoding="typed"``, as JSON."""
    for name in ("integer", "number", "boolean"):
        if item.HasField(name):
            value = getattr(item, name)
            return str(value).lower() if name == "boolean" else _number(value)
    return json.dumps(item.text) if item.HasField("text") else item.json or "null"


def _number(value: float) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))


def whole_number(text: str | None) -> int | None:
    """A step: a whole number, however it is written."""
    if text is None:
        return None
    if text.isdecimal() and len(text) < 19:
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value < 2**63 else None


def values_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """Parsed; what can't be is left out."""
    return dict(_parsed(texts))


def _parsed(texts: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in texts.items():
        if len(text) <= MAX_TEXT:
            try:
                yield key, parse(text)
            except BadJson:
                continue
