"""What happened, one fact to a line: for people as text, for programs as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

LogFormat = Literal["text", "json"]
LOGGER = logging.getLogger("catalogdb.watch")


def tell(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """One fact. ``event`` is a word or two (``new best``); unknown fields are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    LOGGER.log(level, "%s", event, extra={"fact": {"event": event, **known}})


class FactFormatter(logging.Formatter):
    """``text`` is ``TIME event path name=value …``; ``json`` is an object with time, level, event and the fields."""

    def __init__(self, style: LogFormat) -> None:
        super().__init__()
        self._as_json = style == "json"

    def format(self, record: logging.LogRecord) -> str:
        fact: Mapping[str, Any] = getattr(record, "fact", None) or {"event": "log", "message": record.getMessage()}
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        if self._as_json:
            return json.dumps({"time": at, "level": record.levelname.lower(), **fact}, ensure_ascii=False, default=str)
        rest = {name: value for name, value in fact.items() if name not in ("event", "path", "message")}
        said = " ".join(f"{name}={_shown(value)}" for name, value in rest.items())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        parts = (at, f"{level}{fact['event']}", fact.get("path"), fact.get("message"), said)
        return _one_line(" ".join(str(part) for part in parts if part))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return " | ".join(line.strip() for line in value.splitlines())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
