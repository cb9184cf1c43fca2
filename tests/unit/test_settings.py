"""Settings: every one, in every place it can be written, by tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from catalogdb.errors import UsageError
from catalogdb.limits import Limits
from catalogdb.settings import SETTINGS, Settings, database_file, load_settings, normalise_url

EXAMPLES: dict[str, tuple[str, str, Any]] = {
    # name: as an environment variable, as TOML, and what is read from both
    "url": ("sqlite:////srv/x.db", '"sqlite:////srv/x.db"', "sqlite:////srv/x.db"),
    "roots": (f"/a{os.pathsep}/b", '["/a", "/b"]', ("/a", "/b")),
    "offline": ("yes", "true", True),
    "log": ("INFO", '"info"', "info"),
    "suffixes": (".ckpt, .pdparams", '[".ckpt", ".pdparams"]', (".ckpt", ".pdparams")),
    "watch_reconcile": ("60", "60", 60.0),
    "watch_poll": ("0.5", "0.5", 0.5),
    "wandb_timeout": ("2.5", "2.5", 2.5),
    "wandb_retry_count": ("0", "0", 0),
    "wandb_cache_ttl": ("60", "60", 60.0),
    "wandb_project_filter": ("team/ocr", '"team/ocr"', "team/ocr"),
    "wandb_entity": ("team", '"team"', "team"),
    "wandb_project": ("ocr", '"ocr"', "ocr"),
    "wandb_base_url": ("http://localhost:8080/", '"http://localhost:8080/"', "http://localhost:8080"),
    "wandb_mode": ("Offline", '"offline"', "offline"),
    "wandb_dir": ("/w", '"/w"', "/w"),
}

BAD: list[tuple[str, str, str]] = [
    # name, as TOML, a word of the advice
    ("url", '"postgresql://host/db"', "SQLite"),
    ("url", '""', "path"),
    ("url", '"what?.db"', "question mark"),
    ("url", '"sqlite://runs.db"', "sqlite:///"),
    ("url", "5", "path"),
    ("roots", '"outputs"', "list"),
    ("roots", "[1]", "list"),
    ("roots", '[""]', "list"),
    ("offline", '"yes"', "true or false"),
    ("offline", "1", "true or false"),
    ("log", '"loud"', "debug, info"),
    ("suffixes", "[]", "dot"),
    ("suffixes", '["ckpt"]', "dot"),
    ("wandb_timeout", "0", "above 0"),
    ("wandb_timeout", "inf", "above 0"),
    ("wandb_timeout", "nan", "above 0"),
    ("wandb_timeout", "true", "above 0"),
    ("wandb_timeout", '"10"', "above 0"),
    ("wandb_retry_count", "-1", "whole number"),
    ("wandb_retry_count", "1.5", "whole number"),
    ("wandb_retry_count", "true", "whole number"),
    ("wandb_cache_ttl", "-1", "number of seconds"),
    ("wandb_entity", "5", "text"),
    ("wandb_base_url", '"api.wandb.ai"', "https://"),
]

for _limit in fields(Limits):
    EXAMPLES[f"limits_{_limit.name}"] = ("7", "7", 7)

BAD_VARIABLES: list[tuple[str, str, str]] = [
    ("CATALOGDB_OFFLINE", "perhaps", "true or false"),
    ("CATALOGDB_WANDB_TIMEOUT", "soon", "above 0"),
    ("CATALOGDB_WANDB_TIMEOUT", "-1", "above 0"),
    ("CATALOGDB_WANDB_RETRY_COUNT", "2.5", "whole number"),
    ("CATALOGDB_WANDB_CACHE_TTL", "1h", "number of seconds"),
    ("CATALOGDB_LOG", "loud", "debug, info"),
    ("CATALOGDB_LIMITS_PICKLE_BYTES", "0", "whole number, 1 or above"),
    ("CATALOGDB_LIMITS_PICKLE_BYTES", "64 MB", "whole number, 1 or above"),
    ("CATALOGDB_LIMITS_FILE_SECONDS", "0", "above 0"),
    ("CATALOGDB_SUFFIXES", "ckpt", "dot"),
    ("CATALOGDB_URL", "mysql://host/db", "SQLite"),
    ("WANDB_BASE_URL", "ftp://host", "https://"),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work" / "deep" / "er").mkdir(parents=True)
    return tmp_path / "home"


def value_of(settings: Settings, name: str) -> object:
    if name.startswith("limits_"):
        return getattr(settings.limits, name.removeprefix("limits_"))
    return getattr(settings, name)


def load(home: Path, environ: Mapping[str, str] | None = None, **more: Any) -> Settings:
    xdg = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}
    return load_settings(environ={**xdg, **(environ or {})}, **{"cwd": home.parent / "work", **more})


def project_file(home: Path, content: str, name: str = "catalogdb.toml") -> Path:
    path = home.parent / "work" / name
    path.write_text(content, encoding="utf-8")
    return path


def user_file(home: Path, content: str) -> Path:
    path = home / "config" / "catalogdb" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    return path


def test_the_registry_is_the_dataclass() -> None:
    single = [item.name for item in fields(Settings) if item.name != "limits"]
    assert [setting.name for setting in SETTINGS] == single + [f"limits_{item.name}" for item in fields(Limits)]
    assert set(EXAMPLES) == {setting.name for setting in SETTINGS}
    assert all(setting.description.endswith(".") for setting in SETTINGS)


def test_defaults(home: Path) -> None:
    settings = load(home)
    assert settings.url == f"sqlite:///{home}/data/catalogdb/catalog.db"
    for item in fields(Settings):
        if item.default is not MISSING:
            assert getattr(settings, item.name) == item.default


@pytest.mark.parametrize("relative", ["", "data", "./data"])
def test_xdg_ignores_what_is_not_absolute(home: Path, relative: str) -> None:
    assert load(home, {"XDG_DATA_HOME": relative}).url.startswith("sqlite:////")


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_from_the_environment(home: Path, name: str) -> None:
    written, _, expected = EXAMPLES[name]
    for variable in next(setting.variables for setting in SETTINGS if setting.name == name):
        assert value_of(load(home, {variable: written}), name) == expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_from_a_file(home: Path, name: str) -> None:
    _, written, expected = EXAMPLES[name]
    personal = next(setting.personal for setting in SETTINGS if setting.name == name)
    (user_file if personal else project_file)(home, f"{name} = {written}\n")
    assert value_of(load(home), name) == expected


@pytest.mark.parametrize(
    "content", ['wandb_base_url = "https://evil.example"\n', '[wandb]\nbase_url = "https://evil.example"\n']
)
def test_a_project_can_not_name_the_server_that_the_key_is_sent_to(home: Path, content: str) -> None:
    path = project_file(home, content)
    message = r"a project may not set this; write it in .*config\.toml, or set WANDB_BASE_URL"
    for config_file in (None, path):
        with pytest.raises(UsageError, match=message):
            load(home, config_file=config_file)
    path.unlink()
    project_file(home, "[tool.catalogdb]\n" + content.replace("[wandb]", "[tool.catalogdb.wandb]"), "pyproject.toml")
    with pytest.raises(UsageError, match="a project may not set this"):
        load(home)


@pytest.mark.parametrize("content", ["limits_pickle_bytes = 9\n", "[limits]\npickle_bytes = 9\n"])
def test_limits_are_their_user_s_alone(home: Path, content: str) -> None:
    user_file(home, content)
    assert load(home).limits == Limits(pickle_bytes=9)
    project_file(home, content)
    with pytest.raises(UsageError, match=r"a project may not set this; .*CATALOGDB_LIMITS_PICKLE_BYTES"):
        load(home)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_as_an_override(home: Path, name: str) -> None:
    expected = EXAMPLES[name][2]
    assert value_of(load(home, overrides={name: expected}), name) == expected


@pytest.mark.parametrize(("name", "written", "advice"), BAD)
def test_bad_values_in_a_file(home: Path, name: str, written: str, advice: str) -> None:
    personal = next(setting.personal for setting in SETTINGS if setting.name == name)
    path = (user_file if personal else project_file)(home, f"{name} = {written}\n")
    with pytest.raises(UsageError) as caught:
        load(home)
    message = str(caught.value)
    assert message.startswith(f"{path}: {name}: ")
    assert advice in message
    assert "\n" not in message


@pytest.mark.parametrize(("variable", "written", "advice"), BAD_VARIABLES)
def test_bad_values_in_the_environment(home: Path, variable: str, written: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice) as caught:
        load(home, {variable: written})
    assert str(caught.value).startswith(f"{variable}: {written!r}: ")


def test_an_empty_variable_is_not_set(home: Path) -> None:
    assert load(home, {setting.variables[0]: "" for setting in SETTINGS}) == load(home)


@pytest.mark.parametrize("place", range(5))
def test_precedence(home: Path, place: int) -> None:
    """Each place wins over all that follow it."""
    if place <= 3:
        user_file(home, 'log = "debug"\n')
    if place <= 2:
        project_file(home, 'log = "error"\n')
    environ = {"CATALOGDB_LOG": "info"} if place <= 1 else {}
    overrides = {"log": "warning"} if place == 0 else {"log": None}
    expected = ["warning", "info", "error", "debug", "warning"][place]
    assert load(home, environ, overrides=overrides).log == expected


def test_places_add_up(home: Path) -> None:
    user_file(home, "[wandb]\ntimeout = 3\nretry_count = 7\n")
    project_file(home, "wandb_timeout = 4\n")
    settings = load(home, {"WANDB_ENTITY": "team"})
    assert (settings.wandb_timeout, settings.wandb_retry_count, settings.wandb_entity) == (4.0, 7, "team")


def test_our_variable_wins_over_wandbs(home: Path) -> None:
    assert load(home, {"WANDB_ENTITY": "theirs", "CATALOGDB_WANDB_ENTITY": "ours"}).wandb_entity == "ours"


@pytest.mark.parametrize(
    ("key", "near"),
    [("rots", "roots"), ("wandb_timeot", "wandb_timeout"), ("zzz", ""), ("wandb.timout", "wandb_timeout")],
)
def test_unknown_keys(home: Path, key: str, near: str) -> None:
    path = project_file(home, f"{key} = 1\n")
    with pytest.raises(UsageError, match="no such setting") as caught:
        load(home)
    assert str(caught.value).startswith(f"{path}: {key.replace('.', '_')}: ")
    assert ("did you mean" in str(caught.value)) == bool(near)
    assert near in str(caught.value)


def test_the_project_file_is_found_by_walking_up(home: Path) -> None:
    project_file(home, 'roots = ["outputs", "~/more", "/abs"]\nurl = "runs.db"\n')
    settings = load(home, cwd=home.parent / "work" / "deep" / "er")
    work = home.parent / "work"
    assert settings.roots == (f"{work}/outputs", f"{home}/more", "/abs")
    assert settings.url == f"sqlite:///{work}/runs.db"


def test_pyproject(home: Path) -> None:
    project_file(home, '[project]\nname = "x"\n[tool.catalogdb]\nlog = "info"\n', "pyproject.toml")
    assert load(home, cwd=home.parent / "work" / "deep").log == "info"


def test_a_pyproject_of_others_is_passed_over(home: Path) -> None:
    project_file(home, 'log = "info"\n')
    (home.parent / "work" / "deep" / "pyproject.toml").write_text("this isn't [TOML", encoding="utf-8")
    (home.parent / "work" / "deep" / "er" / "pyproject.toml").write_text(
        '[project]\ndependencies = ["catalogdb"]\n', encoding="utf-8"
    )
    assert load(home, cwd=home.parent / "work" / "deep" / "er").log == "info"


def test_the_nearest_file_wins_alone(home: Path) -> None:
    project_file(home, 'log = "info"\noffline = true\n')
    (home.parent / "work" / "deep" / "catalogdb.toml").write_text('log = "error"\n', encoding="utf-8")
    settings = load(home, cwd=home.parent / "work" / "deep")
    assert (settings.log, settings.offline) == ("error", False)


def test_a_named_file_takes_the_projects_place(home: Path) -> None:
    project_file(home, 'log = "info"\noffline = true\n')
    named = home.parent / "named.toml"
    named.write_text('log = "error"\nroots = ["here"]\n', encoding="utf-8")
    for written in (named, Path("../named.toml")):
        settings = load(home, config_file=written)
        assert (settings.log, settings.offline) == ("error", False)
        assert [os.path.realpath(root) for root in settings.roots] == [os.path.realpath(home.parent / "here")]


@pytest.mark.parametrize("content", ["log = ", "log = 'a'\nlog = 'b'\n", "\xff"])
def test_broken_toml(home: Path, content: str) -> None:
    path = home.parent / "work" / "catalogdb.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load(home)
    assert str(caught.value).startswith(f"{path}: isn't TOML: ")
    assert "\n" not in str(caught.value)


def test_a_named_file_that_is_not_there(home: Path) -> None:
    with pytest.raises(UsageError, match=r"--config: nope\.toml: no such file"):
        load(home, config_file=Path("nope.toml"))


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({}, False),
        ({"WANDB_MODE": "offline"}, True),
        ({"WANDB_MODE": "disabled"}, True),
        ({"WANDB_MODE": "online"}, False),
        ({"CATALOGDB_OFFLINE": "1"}, True),
        ({"CATALOGDB_OFFLINE": "0", "WANDB_MODE": "disabled"}, True),
    ],
)
def test_wandb_offline(home: Path, variables: dict[str, str], offline: bool) -> None:
    assert load(home, variables).wandb_offline is offline


@pytest.mark.parametrize(
    ("written", "url", "file"),
    [
        ("runs.db", "sqlite:////base/runs.db", "/base/runs.db"),
        ("./a/../runs.db", "sqlite:////base/runs.db", "/base/runs.db"),
        ("/abs/runs.db", "sqlite:////abs/runs.db", "/abs/runs.db"),
        ("with space & %20 ü.db", "sqlite:////base/with space & %20 ü.db", "/base/with space & %20 ü.db"),
        (Path("/abs/p.db"), "sqlite:////abs/p.db", "/abs/p.db"),
        ("sqlite:///runs.db", "sqlite:////base/runs.db", "/base/runs.db"),
        ("sqlite:////abs/runs.db", "sqlite:////abs/runs.db", "/abs/runs.db"),
        ("sqlite+pysqlite:///runs.db", "sqlite+pysqlite:////base/runs.db", "/base/runs.db"),
        ("sqlite:///runs.db?timeout=5", "sqlite:////base/runs.db?timeout=5", "/base/runs.db"),
        ("sqlite:///file:/a/my%20b.db?uri=true", "sqlite:///file:/a/my%20b.db?uri=true", "/a/my b.db"),
        ("sqlite://", "sqlite://", None),
        ("sqlite:///:memory:", "sqlite:///:memory:", None),
        (":memory:", "sqlite://", None),
    ],
)
def test_normalise_url(written: str | Path, url: str, file: str | None) -> None:
    assert normalise_url(written, base=Path("/base")) == url
    assert database_file(url) == (None if file is None else Path(file))


def test_normalise_url_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="mysql://x: catalogs are SQLite files"):
        normalise_url("mysql://x", base=Path("/"))
