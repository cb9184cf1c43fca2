"""The careful way through YAML: built from libyaml's events, one by one, so that each bound holds before anything is
expanded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
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

from catalogdb.documents.bounds import MAX_DEPTH, MAX_NODES
from catalogdb.documents.scalars import resolve_scalar
from catalogdb.errors import MetadataError

MAX_DIRECTIVES = 8  # libyaml compares each %TAG with all before it

_EventLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


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


class Composer:
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
