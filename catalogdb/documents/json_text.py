"""JSON, bounded before the parser recurses."""

from __future__ import annotations

import json
import re
from typing import Any

from catalogdb.documents.bounds import MAX_DEPTH, MAX_NODES
from catalogdb.errors import MetadataError

_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[][{},]', re.DOTALL)
"""A text that doesn't end is one token to the end of the document: it isn't tried anew from each quote in it."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str, path: str) -> Any:
    if not text.strip():
        return None
    _bound_json(text, path)
    try:
        document = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise MetadataError(path, f"is no valid JSON: line {error.lineno}: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise MetadataError(path, "is no valid JSON: it holds half a character (a lone \\ud800-\\udfff)") from error
    except ValueError as error:
        raise MetadataError(path, "is no valid JSON: a number has too many digits") from error
    return document


def _bound_json(text: str, path: str) -> None:
    """Refuses what nests or holds too much, before the parser recurses."""
    opened = text.count("[") + text.count("{")
    if opened <= MAX_DEPTH and opened + text.count(",") < MAX_NODES:  # a quick look is enough for most
        return
    depth = 0
    nodes = 1
    for token in _JSON_TOKEN.finditer(text):
        character = token[0][0]
        if character in "[{":
            depth += 1
            nodes += 1
        elif character in "]}":
            depth -= 1
        elif character == ",":
            nodes += 1
        if depth > MAX_DEPTH:
            raise MetadataError(path, f"nests deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise MetadataError(path, f"holds more than {MAX_NODES:,} values")
