"""Bounded reading of the YAML and JSON documents that people and programs leave beside checkpoints; and writing.

Values are those of YAML 1.1 as PyYAML reads them, and so Hydra and OmegaConf, with these differences: ``1e-3``, ``-.5``
and ``1E5`` are numbers, as in YAML 1.2 and OmegaConf; dates and ``12:30:45`` are the text that was written, not
objects or seconds; keys are the text that was written (``1: x`` is ``"1"``). Tags name no types: a tagged node is its
plain content, and nothing is ever constructed or executed.

Two parsers, one meaning. A document of the simple form that ``_SIMPLE`` describes goes to ``yaml12``, which takes a
third of the time (a sidecar of 900 bytes: 30 µs); it is a YAML 1.2 parser that differs on many spellings and stops
silently at some errors, so that form holds only what both read alike. Everything else is built from libyaml's events,
one by one, so that each bound holds before anything is expanded.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
import yaml12
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from catalogdb.errors import MetadataError

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 100_000
"""Scalars, lists and mappings of a document, aliases counted as if they were written out."""

MAX_DIRECTIVES = 8  # libyaml compares each %TAG with all before it
MAX_DIGITS = 1000  # a longer number is text: Python refuses integers of more than 4300 digits
SIMPLE_CHARS = 1 << 16  # a longer document isn't matched with _SIMPLE, which keeps a mark for each line


class Unterminated(dict[str, Any]):
    """A document that ends within a line and with a bare word: where more was to come, it may be half of one."""


_WHOLE = ("\n", "}", "]", '"', "'")
_EventLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_document(path: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The mapping in the document at ``path``: JSON where the name ends with ``.json``, else YAML; an empty one is {}.

    Documents share what they have in common: their values are to be read, not changed.

    Raises MetadataError where it is broken, too big or too deep, no mapping, not UTF-8, or no regular file, and OSError
    where it can't be read. Neither blocks on a pipe nor reads a byte of a file larger than ``max_bytes``.
    """
    return parse_document(read_bounded(path, max_bytes=max_bytes), path)


def read_lines(path: str) -> list[str]:
    """The texts of a YAML list, as Hydra's ``overrides.yaml`` is one; an empty document is []. Raises as above."""
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataError(path, f"is not UTF-8 text (byte {error.start})") from error
    document = _Composer(text, path).compose()
    if document is not None and not isinstance(document, list):
        raise MetadataError(path, "holds no list (- text) at its top")
    return [each for each in document or () if isinstance(each, str)]


def read_bounded(path: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file that may be a document, with the bounds and errors of ``read_document``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MetadataError(path, "is not a regular file")
        size = status.st_size
        data = b""
        while size <= max_bytes and (chunk := os.read(descriptor, max(status.st_size - len(data), 0) + 4096)):
            data += chunk
            size = len(data)
            if size == status.st_size:
                break
    finally:
        os.close(descriptor)
    if size > max_bytes:
        raise MetadataError(path, f"has {size:,} bytes, and a document may have {max_bytes:,}")
    return data


def parse_document(data: bytes, path: str) -> dict[str, Any]:
    """The mapping that ``data`` holds. ``path`` decides between JSON and YAML, and stands in the MetadataError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataError(path, f"is not UTF-8 text (byte {error.start})") from error
    is_json = path.lower().endswith(".json")
    document: Any = _parse_json(text, path) if is_json else _parse_simple(text) or _Composer(text, path).compose()
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise MetadataError(path, "holds no mapping (key: value) at its top")
    return document if text.endswith(_WHOLE) else Unterminated(document)


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


def _parse_simple(text: str) -> Any:
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
_templates: dict[str, str] = {}
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
    shape = "\0".join(parts[::2])
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


_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **{f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGERS = (
    (10, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")),
    (2, re.compile(r"[-+]?0b_*[01][01_]*")),
    (16, re.compile(r"[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*")),
    (8, re.compile(r"[-+]?0[0-7_]+")),
)
_EXPONENT = r"[eE][-+]?[0-9]+"
_FLOAT = re.compile(rf"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*(?:{_EXPONENT})?|{_EXPONENT})|\.[0-9][0-9_]*(?:{_EXPONENT})?)")
_CORE_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


def resolve_scalar(text: str) -> bool | int | float | str | None:
    """The value of a plain (unquoted) scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "0123456789+-." or len(text) > MAX_DIGITS:
        return text
    for base, form in _INTEGERS:
        if form.fullmatch(text):
            return int(text.replace("_", ""), base)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text


@dataclass(slots=True)
class _Frame:
    """A list or mapping that is being read. ``key`` waits for its value; ``height`` is that of what it holds."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    start: int
    height: int = 0
    key: str | None = None
    merges: list[dict[str, Any]] = field(default_factory=list)


class _Anchored(NamedTuple):
    """What an alias stands for: its value, what it counts, and its text where it may be a key."""

    value: Any
    nodes: int
    height: int
    text: str | None


_MERGE = "\0<<"  # the pending key of a merge: YAML text can't hold a NUL


class _Composer:
    """Builds plain values from the parser's events. Without recursion: depth is the length of ``_frames``."""

    def __init__(self, text: str, path: str) -> None:
        if f"\n{text}".count("\n%") > MAX_DIRECTIVES:
            raise MetadataError(path, f"has more than {MAX_DIRECTIVES} lines that start with %")
        self._text = text
        self._path = path
        self._tops: list[Any] = []
        self._frames = [_Frame(self._tops, None, 0)]
        self._anchors: dict[str, _Anchored | None] = {}
        self._nodes = 0
        self._documents = 0

    def compose(self) -> Any:
        """The value of the one document; None where there is none."""
        try:
            parser = _EventLoader(self._text)
            try:
                while not isinstance(event := parser.get_event(), StreamEndEvent):
                    self._take(event)
            finally:
                parser.dispose()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            where = f"line {line}: " if line else ""
            raise MetadataError(self._path, f"is no valid YAML: {where}{error.problem}", line=line) from error
        except yaml.reader.ReaderError as error:
            raise MetadataError(self._path, f"is no valid YAML: {error.reason}") from error
        return self._tops[0] if self._tops else None

    def _take(self, event: Event) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._open(event, {} if kind is MappingStartEvent else [])
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._close(event)
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise self._error(event, "a second document starts; there may be one")

    def _scalar(self, event: Any) -> None:
        self._count(event, 1)
        text: str = event.value
        frame = self._frames[-1]
        is_key = frame.key is None and type(frame.value) is dict
        if is_key and event.anchor is None:
            frame.key = _MERGE if text == "<<" and event.implicit[0] else text
            return
        plain = event.implicit[0] if event.tag is None else event.tag in _CORE_TAGS
        value = resolve_scalar(text) if plain else text
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, 1, 0, text)
        if is_key:
            frame.key = text
        else:
            self._add(event, value)

    def _open(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        frame = self._frames[-1]
        if frame.key is None and type(frame.value) is dict:
            raise self._error(event, "a key is a list or a mapping")
        if len(self._frames) > MAX_DEPTH:
            raise self._error(event, f"nests deeper than {MAX_DEPTH} levels")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._frames.append(_Frame(value, event.anchor, self._nodes))
        self._count(event, 1)

    def _close(self, event: Event) -> None:
        frame = self._frames.pop()
        value = frame.value
        if frame.merges and isinstance(value, dict):
            merged: dict[str, Any] = {}
            for mapping in (*frame.merges, dict(value)):
                merged.update(mapping)
            value.clear()
            value.update(merged)
        height = frame.height + 1
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchored(value, self._nodes - frame.start, height, None)
        parent = self._frames[-1]
        parent.height = max(parent.height, height)
        self._add(event, value)

    def _alias(self, event: Any) -> None:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            inside = event.anchor in self._anchors
            raise self._error(event, f"*{event.anchor} " + ("holds itself" if inside else "stands for nothing"))
        self._count(event, anchored.nodes)
        frame = self._frames[-1]
        if frame.key is None and type(frame.value) is dict:
            if anchored.text is None:
                raise self._error(event, "a key is a list or a mapping")
            frame.key = anchored.text
            return
        if len(self._frames) - 1 + anchored.height > MAX_DEPTH:
            raise self._error(event, f"nests deeper than {MAX_DEPTH} levels")
        frame.height = max(frame.height, anchored.height)
        self._add(event, anchored.value)

    def _add(self, event: Event, value: Any) -> None:
        frame = self._frames[-1]
        holder = frame.value
        if isinstance(holder, list):
            holder.append(value)
            return
        if frame.key is _MERGE:
            mappings = value[::-1] if isinstance(value, list) else [value]
            if not all(isinstance(mapping, dict) for mapping in mappings):
                raise self._error(event, "<< needs a mapping, or a list of mappings")
            frame.merges.extend(mappings)
        elif frame.key is not None:
            holder[frame.key] = value
        frame.key = None

    def _count(self, event: Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._error(event, f"holds more than {MAX_NODES:,} values")

    def _error(self, event: Any, reason: str) -> MetadataError:
        line = event.start_mark.line + 1
        return MetadataError(self._path, f"line {line}: {reason}", line=line)


_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _parse_json(text: str, path: str) -> Any:
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
