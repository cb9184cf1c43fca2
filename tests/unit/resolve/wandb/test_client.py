"""One question to a server: what is asked again, how long is waited, and what is refused. Waits are written down, and
not waited."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from typing import Any

import pytest

from catalogdb.resolve.wandb import Access, ApiError, Client
from catalogdb.resolve.wandb.client import FIRST_WAIT, ServerDown, TooMuch, shown
from tests.wandb_server import KEY, Fault, WandbServer, huge, serving

VIEWER = "query CatalogViewer { viewer { entity } }"


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


def asker(server: WandbServer, waits: list[float], **settings: Any) -> Client:
    return Client(Access(server.url, KEY), sleep=waits.append, **{"timeout": 60, "retries": 3, **settings})


def ask(server: WandbServer, **settings: Any) -> tuple[dict[str, Any] | ApiError, list[float]]:
    waits: list[float] = []
    client = asker(server, waits, **settings)
    try:
        return client.post(VIEWER, {}), waits
    except ApiError as error:
        return error, waits
    finally:
        client.close()


def test_an_answer(server: WandbServer) -> None:
    assert ask(server) == ({"viewer": {"entity": "team"}}, [])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again_after_longer_and_longer(server: WandbServer, status: int) -> None:
    server.faults.append(Fault("status", status, times=3))
    told, waits = ask(server)
    assert told == {"viewer": {"entity": "team"}}
    assert len(server.operations) == 4
    assert len(waits) == 3
    for number, wait in enumerate(waits):
        assert 0.7 * FIRST_WAIT * 2**number < wait < 1.3 * FIRST_WAIT * 2**number


def test_waits_differ_from_one_to_the_other(server: WandbServer) -> None:
    server.faults.append(Fault("status", 500))
    assert len({wait for _ in range(4) for wait in ask(server, retries=1)[1]}) > 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
def test_what_is_no_is_not_asked_again(server: WandbServer, status: int) -> None:
    server.faults.append(Fault("status", status))
    told, waits = ask(server)
    assert isinstance(told, ApiError)
    assert told.status == status
    assert (len(server.operations), waits) == (1, [])


@pytest.mark.parametrize("header", ["Retry-After", "RateLimit-Reset"])
def test_a_server_that_says_how_long(server: WandbServer, header: str) -> None:
    server.faults.append(Fault("status", 429, {header: "7"}, times=1))
    assert ask(server) == ({"viewer": {"entity": "team"}}, [7.0])


def test_a_server_that_says_until_when(server: WandbServer) -> None:
    server.faults.append(Fault("status", 429, {"Retry-After": email.utils.formatdate(time.time() + 20)}, times=1))
    _, (wait,) = ask(server)
    assert 10 < wait < 21


def test_a_server_that_asks_for_more_than_there_is_time(server: WandbServer) -> None:
    server.faults.append(Fault("status", 429, {"Retry-After": "90"}))
    told, waits = ask(server)
    assert isinstance(told, ServerDown)
    assert (len(server.operations), waits) == (1, [])


def test_when_nothing_remains_the_next_question_waits(server: WandbServer) -> None:
    server.faults.append(Fault("headers", headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, times=1))
    waits: list[float] = []
    client = asker(server, waits)
    client.post(VIEWER, {})
    client.post(VIEWER, {})
    client.close()
    (wait,) = waits
    assert 7 < wait <= 9


def test_after_a_failure_nothing_is_asked(server: WandbServer) -> None:
    server.faults.append(Fault("status", 500))
    waits: list[float] = []
    client = asker(server, waits, retries=0)
    for _ in range(3):
        with pytest.raises(ServerDown, match="HTTP 500"):
            client.post(VIEWER, {})
    client.close()
    assert len(server.operations) == 1


def test_too_much(server: WandbServer) -> None:
    huge()
    server.faults.append(Fault("huge"))
    told, _ = ask(server)
    assert isinstance(told, TooMuch)
    assert "50 MB" in told.reason


def test_too_deep(server: WandbServer) -> None:
    server.faults.append(Fault("deep"))
    told, _ = ask(server)
    assert isinstance(told, ApiError)
    assert "too deep" in told.reason


def test_a_redirect_takes_the_key_nowhere(server: WandbServer) -> None:
    with serving() as other:
        server.faults.append(Fault("redirect", location=f"{other.url}/graphql"))
        told, _ = ask(server)
        assert isinstance(told, ApiError)
        assert "redirects" in told.reason
        assert other.keys == set()


def test_a_server_that_says_the_key(server: WandbServer) -> None:
    server.faults.append(Fault("errors"))
    told, _ = ask(server)
    assert isinstance(told, ApiError)
    assert "boom" in told.reason
    assert KEY not in told.reason + str(told) + repr(told.args)


def test_no_text_has_the_key(server: WandbServer) -> None:
    access = Access(server.url, KEY)
    assert KEY not in f"{access!r} {access} {asker(server, [])!r}"
    assert shown("https://ada:secret@wandb.example/x") == "https://wandb.example/x"
