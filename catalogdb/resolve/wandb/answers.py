"""Parts of a server's answer, which may be anything: what isn't of the type that is expected counts as empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogdb.resolve.wandb.json_text import BadJson, parse_object


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_object(text: Any) -> dict[str, Any]:
    """A JSON object as text, as most of the endpoint's types are."""
    if not isinstance(text, str):
        return dict(text) if isinstance(text, dict) else {}
    try:
        return parse_object(text)
    except BadJson:
        return {}
