"""Documents as catalogdb writes them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"(?!(?i:y|n|yes|no|on|off|true|false|null)\Z)[A-Za-z][A-Za-z0-9_./=@+-]*")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def format_document(mapping: Mapping[str, Any]) -> str:
    """``mapping`` as YAML that every reader of 1.1 or 1.2 reads back the same, in its types as well; nulls left out."""
    return "".join(_lines(mapping, ""))


def _lines(mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_written(key)}:\n"
            yield from _lines(value, f"{indent}  ")
        elif value is not None:
            yield f"{indent}{_written(key)}: {_written(value)}\n"


def _written(value: Any) -> str:
    if isinstance(value, str):
        if _BARE.fullmatch(value):
            return value
        quoted = json.dumps(value, ensure_ascii=False)
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = float.__repr__(value)
        if not math.isfinite(value):
            return text.replace("inf", ".inf").replace("nan", ".nan")
        return text if "." in text else text.replace("e", ".0e")  # 1e-05 is text in YAML 1.1
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return "{}"
