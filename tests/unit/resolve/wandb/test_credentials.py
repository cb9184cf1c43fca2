"""The key and the server, as W&B's own tools find them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from catalogdb.resolve.wandb import PUBLIC, find_access

HOST = "https://wandb.example"


def written(home: Path, *, netrc: str = "", settings: str = "") -> dict[str, str]:
    """The environment of a user with these files."""
    if netrc:
        (home / ".netrc").write_text(netrc, encoding="utf-8")
    if settings:
        place = home / ".config" / "wandb" / "settings"
        place.parent.mkdir(parents=True)
        place.write_text(settings, encoding="utf-8")
    return {"HOME": str(home)}


def machine(host: str, key: str) -> str:
    return f"machine {host}\n  login user\n  password {key}\n"


def test_the_environment_then_netrc_then_the_settings_file(tmp_path: Path) -> None:
    environ = written(tmp_path, netrc=machine("wandb.example", "of-netrc"), settings="[default]\napi_key = of-file\n")
    assert find_access(HOST, environ={**environ, "WANDB_API_KEY": "of-environment"}).key == "of-environment"
    assert find_access(HOST, environ=environ).key == "of-netrc"
    assert find_access("https://other.example", environ=environ).key == "of-file"


def test_nobody_has_one(tmp_path: Path) -> None:
    access = find_access(None, environ={"HOME": str(tmp_path)})
    assert (access.base_url, access.key, access.entity, access.project) == (PUBLIC, None, None, None)


def test_another_place_for_netrc(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.write_text(machine("wandb.example", "of-netrc"), encoding="utf-8")
    assert find_access(HOST, environ={"HOME": str(tmp_path), "NETRC": str(place)}).key == "of-netrc"


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
def test_the_public_server_has_two_names(tmp_path: Path, host: str) -> None:
    environ = written(tmp_path, netrc=machine(host, "of-netrc"))
    for url in (None, "https://api.wandb.ai", "https://api.forge.coreweave.com/"):
        assert find_access(url, environ=environ).key == "of-netrc"
    assert find_access(HOST, environ=environ).key is None, "another server isn't told"


def test_the_settings_file_names_the_server_and_the_defaults(tmp_path: Path) -> None:
    text = f"[default]\nbase_url = {HOST}/\nentity = team\nproject = ocr\n"
    environ = written(tmp_path, settings=text)
    access = find_access(None, environ=environ)
    assert (access.base_url, access.entity, access.project) == (HOST, "team", "ocr")
    assert find_access("https://mine.example", environ=environ).base_url == "https://mine.example"


@pytest.mark.parametrize("key", ["", "   ", "schlüssel", "two\nlines"])
def test_what_cannot_be_a_key(tmp_path: Path, key: str) -> None:
    assert find_access(HOST, environ={"HOME": str(tmp_path), "WANDB_API_KEY": key}).key is None


@pytest.mark.parametrize("files", [{"netrc": "nonsense secret-of-file\n"}, {"settings": "api_key = secret-of-file\n"}])
def test_a_broken_file_is_told_of_without_what_is_in_it(
    tmp_path: Path, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert find_access(HOST, environ=written(tmp_path, **files)).key is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(tmp_path) in record.getMessage()
    assert "secret-of-file" not in caplog.text


def test_a_netrc_that_cannot_be_reached_is_passed_over(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "NETRC": f"/{'x' * 300}/netrc"}
    assert find_access(HOST, environ=environ).key is None
