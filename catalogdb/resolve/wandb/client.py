"""One POST to W&B's GraphQL endpoint, bounded in time, bytes and depth; and the breaker that ends asking.

httpx, and not the SDK: one call of the SDK blocks for 19 s where the server is down, ``Api()`` may prompt, and 6 % of
processes never end after a call that timed out. The same query over httpx fails in a millisecond where the connection
is refused, needs no subprocess, and is imported in 0.16 s, when the first question is asked. urllib3 takes half of
that, but leaves proxies, and the deadline of each phase, to its caller.
"""

from __future__ import annotations

import email.utils
import importlib
import random
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from catalogdb import __version__
from catalogdb.resolve.wandb.credentials import Access
from catalogdb.resolve.wandb.json_text import BadJson, parse_object

MAX_ANSWER = 50 * 1024 * 1024
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
FAST_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that are worth asking again for; 400, 401, 403, 404, 409, 410, 413 and 422 never are."""


class ApiError(Exception):
    """The server answered, and not with what was asked. Text for the user, without anything secret."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        self.reason = reason
        self.status = status
        super().__init__(reason)


class TooMuch(ApiError):
    """The answer is bigger than may be read, or the server found the question too big: ask for less."""


class ServerDown(ApiError):
    """The server can't be asked any more: nothing will be asked until the next scan."""


class Client:
    """Asks one server. Safe to use from several threads; a request that outlives its time closes the breaker's door.

    ``timeout`` bounds each question with all that is asked again for it.
    """

    def __init__(
        self,
        access: Access,
        *,
        timeout: float,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access = access
        self.timeout = timeout
        self._retries = retries
        self._sleep = sleep
        self._http: Any = None
        self._lock = threading.Lock()
        self._asking: dict[int, float] = {}
        self._not_before = 0.0
        self.requests = 0
        self.down: str | None = None

    @property
    def base_url(self) -> str:
        return self._access.base_url

    @property
    def name(self) -> str:
        """The server as messages name it."""
        return urlsplit(shown(self.base_url)).netloc or shown(self.base_url)

    def close(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()

    def trip(self, reason: str) -> None:
        """Opens the circuit: from now on every question is a ServerDown."""
        with self._lock:
            if self.down is None:
                self.down = reason

    def reset(self) -> None:
        """Closes it: the server may be back."""
        with self._lock:
            self.down = None
            self._asking.clear()

    def overdue(self, grace: float = 0.25) -> bool:
        """Whether a request is still out although its time is up (a name server that hangs, bytes that drip)."""
        with self._lock:
            return any(time.monotonic() > deadline + grace for deadline in self._asking.values())

    def post(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The answer's ``data``. Raises ServerDown, TooMuch or ApiError."""
        deadline = time.monotonic() + self.timeout
        with self._lock:
            self._asking[threading.get_ident()] = deadline
        try:
            return self._ask(query, variables, deadline)
        finally:
            with self._lock:
                self._asking.pop(threading.get_ident(), None)

    def _ask(self, query: str, variables: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        for attempt in range(self._retries + 1):
            self._check()
            self._wait_until(self._not_before, deadline)
            try:
                status, headers, body = self._send({"query": query, "variables": dict(variables)}, deadline)
            except _Unreached as error:
                reason, wait = str(error), None
            else:
                if status not in FAST_STATUSES:
                    self._heed(headers)
                    return self._read(status, body)
                reason, wait = f"answers with HTTP {status}", _asked_to_wait(headers)
            last = attempt == self._retries
            wait = wait if wait is not None else _backoff(attempt)
            if last or time.monotonic() + wait >= deadline:
                self.trip(reason)
                self._check()
            self._sleep(wait)
        raise AssertionError("unreachable")

    def _check(self) -> None:
        if self.down is not None:
            raise ServerDown(self.down)

    def _wait_until(self, moment: float, deadline: float) -> None:
        wait = moment - time.monotonic()
        if wait > 0:
            if moment >= deadline:
                self.trip(f"asks to wait {wait:.0f} s before the next question")
                self._check()
            self._sleep(wait)

    def _heed(self, headers: Mapping[str, str]) -> None:
        """``RateLimit-Remaining: 0`` asks for a pause before the next question, of ``RateLimit-Reset`` seconds."""
        if headers.get("ratelimit-remaining", "").strip() == "0":
            wait = _seconds(headers.get("ratelimit-reset"))
            if wait:
                self._not_before = time.monotonic() + wait

    def _send(self, body: Mapping[str, Any], deadline: float) -> tuple[int, Mapping[str, str], bytes]:
        httpx = _httpx()
        left = max(deadline - time.monotonic(), 0.001)
        received = bytearray()
        try:
            with (
                self._client(httpx) as http,
                http.stream("POST", "/graphql", json=body, timeout=httpx.Timeout(left)) as answer,
            ):
                self.requests += 1
                if answer.is_redirect:
                    raise ApiError("redirects to another address; set WANDB_BASE_URL to the server's own")
                for part in answer.iter_bytes(65536):
                    received += part
                    if len(received) > MAX_ANSWER:
                        raise TooMuch(f"its answer is bigger than {MAX_ANSWER // 2**20} MB")
                    if time.monotonic() > deadline:
                        raise _Unreached(f"did not answer within {self.timeout:g} s")
                return answer.status_code, answer.headers, bytes(received)
        except httpx.TimeoutException:
            raise _Unreached(f"did not answer within {self.timeout:g} s") from None
        except httpx.TransportError as error:
            raise _Unreached(f"can't be reached: {_why(error)}") from None
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise ApiError(f"answers in a form that can't be read: {type(error).__name__}") from None

    def _client(self, httpx: Any) -> _Kept:
        with self._lock:
            if self._http is None:
                token = b64encode(f"api:{self._access.key or ''}".encode()).decode()
                headers = {"Authorization": f"Basic {token}", "User-Agent": f"catalogdb/{__version__}"}
                self._http = httpx.Client(base_url=self.base_url, headers=headers, follow_redirects=False)
            return _Kept(self._http)

    def _read(self, status: int, body: bytes) -> dict[str, Any]:
        if status in (401, 403):
            what = "refuses the API key" if status == 401 else "forbids this question"
            error = ApiError(f"{what} (HTTP {status}); see wandb login", status=status)
            if status == 401:
                self.trip(error.reason)
                raise ServerDown(self.down or error.reason, status=status)
            raise error
        if status == 413:
            raise TooMuch("finds the question too big (HTTP 413)", status=status)
        try:
            answer = parse_object(body)
        except BadJson as error:
            if status == 404:
                raise ApiError("has nothing there (HTTP 404)", status=404) from None
            self.trip(f"answers with HTTP {status} and no JSON: {error}")
            raise ServerDown(self.down or str(error), status=status) from None
        errors, data = answer.get("errors"), answer.get("data")
        if errors or status != 200 or not isinstance(data, dict):
            said = _said(errors, status)
            raise ApiError(said.replace(self._access.key, "…") if self._access.key else said, status=status)
        return data


class _Unreached(Exception):
    """No answer: the connection failed, or time was up."""


class _Kept:
    """A client that is used in a ``with`` and stays open."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def __enter__(self) -> Any:
        return self._http

    def __exit__(self, *exception: object) -> None:
        return None


def _httpx() -> Any:
    return importlib.import_module("httpx")


def shown(url: str) -> str:
    """The address without a user's name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _backoff(attempt: int) -> float:
    return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.75, 1.25))


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    for name in ("retry-after", "ratelimit-reset"):
        wait = _seconds(headers.get(name))
        if wait is not None:
            return wait
    return None


def _seconds(text: str | None) -> float | None:
    """Seconds from now, out of a number or, as ``Retry-After`` may have it, a date."""
    if text is None:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def _why(error: Exception) -> str:
    """The system's own words, without addresses of ours."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _said(errors: Any, status: int) -> str:
    first = errors[0] if isinstance(errors, list) and errors else None
    message = first.get("message") if isinstance(first, dict) else None
    return f"says: {message[:200]!r}" if isinstance(message, str) else f"answers with HTTP {status}"
