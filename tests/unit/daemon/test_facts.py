"""One fact to a line, whatever it holds."""

from __future__ import annotations

import json
import logging

import pytest

from catalogdb.daemon.facts import LOGGER, FactFormatter, LogFormat, tell


def told(style: LogFormat, caplog: pytest.LogCaptureFixture) -> str:
    formatter = FactFormatter(style)
    return "\n".join(formatter.format(record) for record in caplog.records)


def test_a_bug_is_told_with_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    traceback = 'Traceback:\n  File "a.py", line 1\nValueError: no\n'
    with caplog.at_level(logging.INFO, LOGGER.name):
        tell("failed", level=logging.ERROR, message="a bug in catalogdb: ValueError: no", traceback=traceback)
    fact = json.loads(told("json", caplog))
    assert (fact["event"], fact["level"], fact["traceback"]) == ("failed", "error", traceback)
    line = told("text", caplog)
    assert line.endswith(
        'error: failed a bug in catalogdb: ValueError: no traceback=Traceback: | File "a.py", line 1 | ValueError: no'
    )


def test_what_is_not_known_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        tell("new best", path="/outputs/a\nb.ckpt", value=0.123456789, epoch=None)
    assert json.loads(told("json", caplog)).keys() == {"time", "level", "event", "path", "value"}
    assert told("text", caplog).endswith(" new best /outputs/a?b.ckpt value=0.123457")
