"""Asking W&B while the caller goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def ask_beside(call: Callable[[], T], name: str) -> Future[T]:
    """Begins the call in a thread of its own. The process doesn't wait for it at its end, as an executor's would."""
    result: Future[T] = Future()
    threading.Thread(target=_answer, args=(result, call), name=name, daemon=True).start()
    return result


def ask_first(call: Callable[[], T]) -> Future[T]:
    """The same without a thread: the call is over when this returns."""
    result: Future[T] = Future()
    _answer(result, call)
    return result


def _answer(result: Future[T], call: Callable[[], T]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
        result.set_exception(error)
