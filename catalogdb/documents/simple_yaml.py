"""The fast way through YAML: documents of a simple form, as programs write them.

They go to ``yaml12``, which takes a third of the composer's time (a sidecar of 900 bytes: 30 µs). It is a YAML 1.2
parser that differs on many spellings and stops silently at some errors, so that form holds only what both read alike.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml12

SIMPLE_CHARS = 1 << 16
"""A longer document isn't matched with ``_SIMPLE``, which keeps a mark for each line."""

_CHAR = r"[!-\"$-9;-~]"  # printable, without `:` and `#`, which end a plain scalar beside a space
_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,3})?"
_DATE = r"[0-9]{4}-[0-9][0-9]-[0-9][0-9](?:[T ][0-9][0-9]:[0-9][0-9](?::[0-9][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-9:]+)?)?"
_START = r"(?!(?i:yes|no|on|off)\b)(?:[A-Za-z_/]|\.(?=[/A-Za-z_]))"
_QUOTED = r"\"[ !#-\[\]-~]*\"|'[ -&(-~]*'"
_NUMBERED = r"[0-9]{1,4}-[A-Za-z]+"  # 16-mixed
_WORDS = rf"(?:{_NUMBERED}(?!{_CHAR})|{_START}|\$(?=\{{)){_CHAR}*(?::+{_CHAR}+)*(?: +{_CHAR}+(?::+{_CHAR}+)*)*"
_FLOW_WORDS = rf"{_START}[A-Za-z0-9_./@+$%-]*(?: +[A-Za-z0-9_./@+$%-]+)*"
_NAME = r"(?!(?i:true|false|null)\b)[A-Za-z_][A-Za-z0-9_./@+-]{0,120}"
_KEY = rf"(?:{_NAME}|\"[ !#-\[\]-~]{{0,120}}\"|'[ -&(-~]{{0,120}}'):"
_FLOW_SCALAR = rf"{_NUMBER}|{_FLOW_WORDS}|{_QUOTED}"


def _flow(item: str) -> str:
    return rf"\[(?:{item}(?:, *{item})*)?\]|\{{(?:{_KEY} +{item}(?:, *{_KEY} +{item})*)?\}}"


_FLOW = _flow(rf"(?:{_FLOW_SCALAR}|{_flow(rf'(?:{_FLOW_SCALAR})')})")
_VALUE = rf"(?:{_NUMBER}|{_DATE}|{_WORDS}|{_QUOTED}|{_FLOW})"
_PAIR = rf"{_KEY}(?: +{_VALUE})?"
_END = r" *(?: #[ -~]*)?\n"
_BLANK = r" *(?:#[ -~]*)?\n"
_SIMPLE = re.compile(
    rf"(?:{_BLANK})*{_PAIR}{_END}(?:{_BLANK}| {{0,40}}(?:{_PAIR}|- +(?:{_PAIR}|{_VALUE})){_END})*",
)
"""Lines of ``key: value`` and ``- value`` in ASCII, with flow collections two deep, and no construct that needs a
second look: anchors, tags, escapes, block scalars, continued lines, tabs, numbers with a leading zero, ``yes``."""


_SECTION = re.compile(r"\n(?=[A-Za-z_\"'])")
_sections: dict[str, tuple[str, Any]] = {}
"""Text of a top-level section → its key and value, as it was parsed before."""

SECTION_CHARS = 48
MAX_SECTIONS = 2048


def parse_simple(text: str) -> Any:
    """The mapping of a simple document; None where the text isn't one, or has an error for the other way to name.

    Sidecars of a run, and configs of a project, share most of their top-level sections word for word. A section that
    was parsed before isn't parsed again; a simple document is simple section by section.
    """
    if len(text) > SIMPLE_CHARS or not text.endswith("\n"):
        return None
    sections = _SECTION.split(text[:-1])
    known = [_sections.get(section) for section in sections]
    fresh = [section for section, before in zip(sections, known, strict=True) if before is None]
    parsed = _parse_lines("\n".join(fresh) + "\n") if fresh else {}
    if parsed is None or len(parsed) != len(fresh):
        return None if parsed is None else _parse_lines(text)
    values = iter(parsed.items())
    document: dict[str, Any] = {}
    for section, before in zip(sections, known, strict=True):
        key, value = before or next(values)
        document[key] = value
        if before is None and len(section) >= SECTION_CHARS:
            if len(_sections) >= MAX_SECTIONS:
                _sections.clear()
            _sections[section] = key, value
    return document


_TOKEN = re.compile(
    r": (-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?"
    r"|(?!(?i:true|false|null|yes|no|on|off)\b)[A-Za-z_/][A-Za-z0-9_./=@+-]*"
    r"|'[ !#-&(-\[\]-~]*'|\"[ !#-\[\]-~]*\")(?=\n)"
)
"""A value at a line's end that reads the same in YAML and, words and quotes put in double quotes, in JSON."""

_decode_json = json.JSONDecoder().raw_decode
_MARK = "__catalogdb_value__"
_templates: dict[tuple[str, ...], str] = {}
"""A text without its tokens → the JSON it stands for, with a ``%s`` for each; empty where that can't be."""

TEMPLATE_CHARS = 1 << 13
MAX_TEMPLATES = 256


def _parse_lines(text: str) -> Any:
    """The mapping of simple lines; None where they aren't, or have an error for the other way to name.

    Programs write the same keys again and again with other values: what is left of a text without its values is known
    again, and the values are put into the JSON that it stands for, a quarter of the time of parsing it anew.
    """
    if len(text) > TEMPLATE_CHARS:
        return _parse_anew(text)
    parts = _TOKEN.split(text)
    shape = tuple(parts[::2])
    template = _templates.get(shape)
    if template is None:
        parsed = _parse_anew(text)
        if len(_templates) >= MAX_TEMPLATES:
            _templates.clear()
        _templates[shape] = "" if parsed is None else _template(parts)
        return parsed
    if not template:
        return _parse_anew(text)
    values = [token if token[0] in "-0123456789" else _quoted(token) for token in parts[1::2]]
    return _decode_json(template % tuple(values))[0]


def _quoted(token: str) -> str:
    return f'"{token[1:-1]}"' if token[0] in "'\"" else f'"{token}"'


def _template(parts: list[str]) -> str:
    """Of a simple text that was split into its tokens and what is between them.

    Every token must come out once, in its place: one in a comment doesn't.
    """
    if _MARK in "".join(parts):
        return ""
    marked = _parse_anew(f": {_MARK}".join(parts[::2]))
    pieces = json.dumps(marked).split(f'"{_MARK}"')
    return "%s".join(piece.replace("%", "%%") for piece in pieces) if len(pieces) == len(parts) // 2 + 1 else ""


def _parse_anew(text: str) -> Any:
    if _SIMPLE.fullmatch(text) is None:
        return None
    try:
        return yaml12.parse_yaml(text)
    except ValueError:
        return None
