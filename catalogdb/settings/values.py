"""Values as they are written in a file, a variable or an option: read, or refused with what to write instead."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

from catalogdb.settings.place import Place
from catalogdb.settings.urls import absolute_url

LOG_LEVELS = ("debug", "info", "warning", "error")


Reader = Callable[[Any, Place], Any]
"""From a written value to a typed one; raises ValueError with what was expected instead."""


def read_text(value: Any, _place: Place) -> str:
    if not isinstance(value, str):
        raise ValueError("write a text")
    return value


def read_flag(value: Any, place: Place) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if place.text and value.lower() in words:
        return words[value.lower()]
    raise ValueError("write true or false")


def read_number(value: Any, place: Place, kind: Callable[[Any], Any]) -> Any:
    if place.text:
        return kind(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return value


def _seconds(value: Any, place: Place) -> float:
    """NaN where it isn't a number, which no range holds."""
    try:
        return float(read_number(value, place, float))
    except (ValueError, OverflowError):
        return math.nan


def read_timeout(value: Any, place: Place) -> float:
    seconds = _seconds(value, place)
    if not 0 < seconds < math.inf:
        raise ValueError("write a number of seconds above 0, such as 10")
    return seconds


def read_lifetime(value: Any, place: Place) -> float:
    seconds = _seconds(value, place)
    if not 0 <= seconds < math.inf:
        raise ValueError("write a number of seconds, such as 3600; 0 keeps nothing")
    return seconds


def read_count(value: Any, place: Place) -> int:
    try:
        count = read_number(value, place, int)
    except ValueError:
        count = -1
    if not isinstance(count, int) or count < 0:
        raise ValueError("write a whole number, 0 or above")
    return count


def read_bound(value: Any, place: Place) -> int:
    try:
        bound = read_count(value, place)
    except ValueError:
        bound = 0
    if bound < 1:
        raise ValueError("write a whole number, 1 or above")
    return bound


def _items(value: Any, place: Place, separator: str, example: str) -> list[str]:
    if place.text:
        return [item.strip() for item in value.split(separator) if item.strip()]
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value):
        return list(value)
    raise ValueError(f"write a list of texts, such as {example}")


def read_roots(value: Any, place: Place) -> tuple[str, ...]:
    return tuple(place.absolute(item) for item in _items(value, place, os.pathsep, '["outputs"]'))


def read_suffixes(value: Any, place: Place) -> tuple[str, ...]:
    suffixes = _items(value, place, ",", '[".ckpt", ".pt"]')
    if not suffixes or not all(re.fullmatch(r"\.[^/\s]+", suffix) for suffix in suffixes):
        raise ValueError("write suffixes that begin with a dot, such as .ckpt and .pt")
    return tuple(suffixes)


def read_level(value: Any, _place: Place) -> str:
    if not isinstance(value, str) or value.lower() not in LOG_LEVELS:
        raise ValueError(f"write one of {', '.join(LOG_LEVELS)}")
    return value.lower()


def read_mode(value: Any, place: Place) -> str:
    return read_text(value, place).lower()


def read_path(value: Any, place: Place) -> str:
    return place.absolute(read_text(value, place))


def read_url(value: Any, place: Place) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError("write the path of a SQLite file, or sqlite:///path/to/catalog.db")
    return absolute_url(os.fsdecode(value), place)


def read_host(value: Any, _place: Place) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ValueError("write an address such as https://api.wandb.ai")
    return value.rstrip("/")
