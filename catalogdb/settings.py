"""Settings: flag > environment > project file > user file > default. Loaded by a face and passed in, never global."""

from __future__ import annotations

import difflib
import importlib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import platformdirs

from catalogdb.errors import UsageError
from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import CHECKPOINT_SUFFIXES

PROJECT_FILE = "catalogdb.toml"
LOG_LEVELS = ("debug", "info", "warning", "error")
_SECTIONS = ("wandb", "limits")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. Paths are absolute, times are seconds, unset texts are None."""

    url: str
    roots: tuple[str, ...] = ()
    offline: bool = False
    log: str = "warning"
    suffixes: tuple[str, ...] = CHECKPOINT_SUFFIXES
    watch_reconcile: float = 300.0
    watch_poll: float = 5.0
    wandb_timeout: float = 10.0
    wandb_retry_count: int = 2
    wandb_cache_ttl: float = 3600.0
    wandb_project_filter: str | None = None
    wandb_entity: str | None = None
    wandb_project: str | None = None
    wandb_base_url: str | None = None
    wandb_mode: str = "online"
    wandb_dir: str | None = None
    limits: Limits = DEFAULT

    @property
    def wandb_offline(self) -> bool:
        """Whether Weights & Biases may not be asked over the network."""
        return self.offline or self.wandb_mode in {"offline", "disabled", "dryrun"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value was written: what errors call it, and what its relative paths are relative to.

    ``text`` says that values are text whatever their type, as in the environment.
    """

    label: str
    base: Path
    home: str
    text: bool = False

    def absolute(self, written: str) -> str:
        # Not Path.resolve: a root that is a symbolic link keeps the name its user knows it by.
        return os.path.normpath(self.base / expand_home(written, self.home))


_Reader = Callable[[Any, _Place], Any]
"""From a written value to a typed one; raises ValueError with what was expected instead."""


def _read_text(value: Any, _place: _Place) -> str:
    if not isinstance(value, str):
        raise ValueError("write a text")
    return value


def _read_flag(value: Any, place: _Place) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if place.text and value.lower() in words:
        return words[value.lower()]
    raise ValueError("write true or false")


def _read_number(value: Any, place: _Place, kind: Callable[[Any], Any]) -> Any:
    if place.text:
        return kind(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return value


def _seconds(value: Any, place: _Place) -> float:
    """NaN where it isn't a number, which no range holds."""
    try:
        return float(_read_number(value, place, float))
    except (ValueError, OverflowError):
        return math.nan


def _read_timeout(value: Any, place: _Place) -> float:
    seconds = _seconds(value, place)
    if not 0 < seconds < math.inf:
        raise ValueError("write a number of seconds above 0, such as 10")
    return seconds


def _read_lifetime(value: Any, place: _Place) -> float:
    seconds = _seconds(value, place)
    if not 0 <= seconds < math.inf:
        raise ValueError("write a number of seconds, such as 3600; 0 keeps nothing")
    return seconds


def _read_count(value: Any, place: _Place) -> int:
    try:
        count = _read_number(value, place, int)
    except ValueError:
        count = -1
    if not isinstance(count, int) or count < 0:
        raise ValueError("write a whole number, 0 or above")
    return count


def _read_bound(value: Any, place: _Place) -> int:
    try:
        bound = _read_count(value, place)
    except ValueError:
        bound = 0
    if bound < 1:
        raise ValueError("write a whole number, 1 or above")
    return bound


def _items(value: Any, place: _Place, separator: str, example: str) -> list[str]:
    if place.text:
        return [item.strip() for item in value.split(separator) if item.strip()]
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) and item for item in value):
        return list(value)
    raise ValueError(f"write a list of texts, such as {example}")


def _read_roots(value: Any, place: _Place) -> tuple[str, ...]:
    return tuple(place.absolute(item) for item in _items(value, place, os.pathsep, '["outputs"]'))


def _read_suffixes(value: Any, place: _Place) -> tuple[str, ...]:
    suffixes = _items(value, place, ",", '[".ckpt", ".pt"]')
    if not suffixes or not all(re.fullmatch(r"\.[^/\s]+", suffix) for suffix in suffixes):
        raise ValueError("write suffixes that begin with a dot, such as .ckpt and .pt")
    return tuple(suffixes)


def _read_level(value: Any, _place: _Place) -> str:
    if not isinstance(value, str) or value.lower() not in LOG_LEVELS:
        raise ValueError(f"write one of {', '.join(LOG_LEVELS)}")
    return value.lower()


def _read_mode(value: Any, place: _Place) -> str:
    return _read_text(value, place).lower()


def _read_path(value: Any, place: _Place) -> str:
    return place.absolute(_read_text(value, place))


def _read_url(value: Any, place: _Place) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError("write the path of a SQLite file, or sqlite:///path/to/catalog.db")
    return _normalise(os.fsdecode(value), place)


def _read_host(value: Any, _place: _Place) -> str:
    if not isinstance(value, str) or not re.match(r"https?://[^/\s]", value):
        raise ValueError("write an address such as https://api.wandb.ai")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of the registry that the loader, the documentation and the tests share.

    ``name`` is the key in a file; ``variables`` are the environment's, the first one wins; ``flag`` is the option of
    the command line, where there is one. ``personal`` ones no project's file may set: a cloned project isn't its user.
    """

    name: str
    read: _Reader
    variables: tuple[str, ...]
    description: str
    flag: str | None = None
    personal: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("url", _read_url, ("CATALOGDB_URL",), "The catalog: a SQLite file, or sqlite:///PATH.", "--db"),
    Setting(
        "roots",
        _read_roots,
        ("CATALOGDB_ROOTS",),
        "The folders to scan or watch when none is named; a list in a file, "
        "in the environment with `:` between them (on Windows `;`).",
    ),
    Setting("offline", _read_flag, ("CATALOGDB_OFFLINE",), "Ask nothing over the network.", "--offline"),
    Setting("log", _read_level, ("CATALOGDB_LOG",), f"What to log: {', '.join(LOG_LEVELS)}.", "-v, -q"),
    Setting(
        "suffixes",
        _read_suffixes,
        ("CATALOGDB_SUFFIXES",),
        "What the name of a checkpoint ends with; a list in a file, in the environment with commas between.",
    ),
    Setting(
        "watch_reconcile",
        _read_timeout,
        ("CATALOGDB_WATCH_RECONCILE",),
        "Seconds between two looks of a watcher at everything, events or not.",
    ),
    Setting(
        "watch_poll",
        _read_timeout,
        ("CATALOGDB_WATCH_POLL",),
        "The same for roots that give no events; as seldom as it must be.",
    ),
    Setting("wandb_timeout", _read_timeout, ("CATALOGDB_WANDB_TIMEOUT",), "Seconds to wait for W&B's answers."),
    Setting("wandb_retry_count", _read_count, ("CATALOGDB_WANDB_RETRY_COUNT",), "How often to ask W&B again."),
    Setting("wandb_cache_ttl", _read_lifetime, ("CATALOGDB_WANDB_CACHE_TTL",), "Seconds a running run stays cached."),
    Setting(
        "wandb_project_filter",
        _read_text,
        ("CATALOGDB_WANDB_PROJECT_FILTER",),
        "The only W&B project to ask: PROJECT or ENTITY/PROJECT.",
    ),
    Setting("wandb_entity", _read_text, ("CATALOGDB_WANDB_ENTITY", "WANDB_ENTITY"), "The entity of bare run ids."),
    Setting("wandb_project", _read_text, ("CATALOGDB_WANDB_PROJECT", "WANDB_PROJECT"), "The project of bare run ids."),
    Setting(
        "wandb_base_url",
        _read_host,
        ("WANDB_BASE_URL",),
        "The W&B server, where it isn't the public one; not in a project's file, since the API key is sent there.",
        personal=True,
    ),
    Setting("wandb_mode", _read_mode, ("WANDB_MODE",), "W&B's own mode; offline and disabled ask W&B nothing."),
    Setting("wandb_dir", _read_path, ("WANDB_DIR",), "The folder that W&B writes its runs into."),
    *(
        Setting(
            f"limits_{limit.name}",
            _read_timeout if limit.name.endswith("_seconds") else _read_bound,
            (f"CATALOGDB_LIMITS_{limit.name.upper()}",),
            f"{limit.metadata['description']} By default {limit.default:_}.",
            personal=True,
        )
        for limit in fields(Limits)
    ),
)

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def load_settings(
    *,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """The settings that hold in ``cwd``; by default this process's environment and working directory count.

    ``overrides`` are typed values by name, those that are None count as not given; ``config_file`` takes the place of
    the project file. Raises UsageError, which names the place, the key and what to write instead.
    """
    environ = os.environ if environ is None else environ
    cwd = working_directory() if cwd is None else cwd
    home = environ.get("HOME") or _home()
    values: dict[str, Any] = {"url": _default_url(environ)}
    user = _user_file(environ)
    for path, table in _tables(user, cwd, config_file):
        values.update(_from_file(table, _Place(str(path), path.parent, home), user))
    values.update(_from_environment(environ, cwd, home))
    for name, written in overrides.items():
        if written is not None:
            setting = _BY_NAME[name]
            place = _Place(setting.flag or name, cwd, home)
            values[name] = _read(setting, written, place, place.label)
    limits = {name: values.pop(name) for name in _BY_NAME if name in values and name.startswith("limits_")}
    return Settings(**values, limits=Limits(**{name.removeprefix("limits_"): limit for name, limit in limits.items()}))


def normalise_url(written: str | os.PathLike[str], *, base: Path) -> str:
    """A SQLAlchemy URL for a URL or the path of a SQLite file; a relative path is taken from ``base``.

    Raises UsageError where it is neither, or names another database than SQLite.
    """
    try:
        return _normalise(os.fsdecode(written), _Place("", base, _home()))
    except ValueError as error:
        raise UsageError(f"{written}: {error}") from error


def expand_home(path: str | os.PathLike[str], home: str | None = None) -> str:
    """``~`` and ``~/…`` lead into ``home``, by default the user's, as in a shell; any other path is as it's written."""
    written = os.fspath(path)
    if written == "~" or written.startswith("~/"):
        return (_home() if home is None else home) + written[1:]
    return written


def database_file(url: str) -> Path | None:
    """The file of a normalised URL; None for a catalog in memory."""
    path, _, query = url.partition(":///")[2].partition("?")
    if "uri" in query:
        path = unquote(path.removeprefix("file:"))
    return Path(path) if path and path != ":memory:" else None


def did_you_mean(written: str, names: Iterable[str]) -> str:
    """``; did you mean a or b?`` with the names that look like ``written``, or nothing."""
    near = difflib.get_close_matches(written, list(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _normalise(written: str, place: _Place) -> str:
    if not written:
        raise ValueError("write the path of a SQLite file, or sqlite:///path/to/catalog.db")
    if written == ":memory:":
        return "sqlite://"
    if not _SCHEME.match(written):
        if "?" in written:
            raise ValueError("a database's path can't hold a question mark; choose another name")
        return f"sqlite:///{place.absolute(written)}"
    scheme, _, rest = written.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        raise ValueError("catalogs are SQLite files; write sqlite:///path/to/catalog.db")
    path, mark, query = rest.removeprefix("/").partition("?")
    if rest and not rest.startswith("/"):
        raise ValueError("has two slashes where SQLite's URLs have three; write sqlite:///path/to/catalog.db")
    if path in {"", ":memory:"} or path.startswith("file:"):
        return written
    return f"{scheme}:///{place.absolute(path)}{mark}{query}"


def _read(setting: Setting, written: Any, place: _Place, label: str) -> Any:
    try:
        return setting.read(written, place)
    except ValueError as error:
        shown = os.fsdecode(written) if isinstance(written, os.PathLike) else written
        raise UsageError(f"{label}: {shown!r}: {error}") from None


def _from_environment(environ: Mapping[str, str], cwd: Path, home: str) -> dict[str, Any]:
    """An empty variable counts as not set, as everywhere in a shell."""
    values = {}
    for setting in SETTINGS:
        variable = next((name for name in setting.variables if environ.get(name)), None)
        if variable is not None:
            place = _Place(variable, cwd, home, text=True)
            values[setting.name] = _read(setting, environ[variable], place, variable)
    return values


def _from_file(table: Mapping[str, Any], place: _Place, user: Path) -> dict[str, Any]:
    """The values of a file's table; ``[wandb] timeout`` is another way to write ``wandb_timeout``, and so for limits.

    What is personal only ``user``'s own file may set.
    """
    flat: dict[str, Any] = {}
    for key, written in table.items():
        if key in _SECTIONS and isinstance(written, Mapping):
            flat.update({f"{key}_{inner}": value for inner, value in written.items()})
        else:
            flat[key] = written
    values = {}
    for key, written in flat.items():
        if key not in _BY_NAME:
            raise UsageError(f"{place.label}: {key}: no such setting{did_you_mean(key, _BY_NAME)}")
        if _BY_NAME[key].personal and place.label != str(user):
            variable = _BY_NAME[key].variables[0]
            raise UsageError(f"{place.label}: {key}: a project may not set this; write it in {user}, or set {variable}")
        values[key] = _read(_BY_NAME[key], written, place, f"{place.label}: {key}")
    return values


def _user_file(environ: Mapping[str, str]) -> Path:
    return _xdg(environ, "XDG_CONFIG_HOME", platformdirs.user_config_path) / "config.toml"


def _tables(user: Path, cwd: Path, config_file: Path | None) -> list[tuple[Path, Mapping[str, Any]]]:
    """The files that apply, each with its settings, the weakest first."""
    tables: list[tuple[Path, Mapping[str, Any] | None]] = [(user, _parse(user))]
    if config_file is None:
        tables.append(_project_file(cwd))
    else:
        path = cwd / config_file
        table = _parse(path)
        if table is None:
            raise UsageError(f"--config: {config_file}: no such file")
        tables.append((path, _section(table) or {} if path.name == "pyproject.toml" else table))
    return [(path, table) for path, table in tables if table is not None]


def _project_file(cwd: Path) -> tuple[Path, Mapping[str, Any] | None]:
    """The nearest project file, walking up from ``cwd``."""
    for folder in (cwd, *cwd.parents):
        own = folder / PROJECT_FILE
        if (table := _parse(own)) is not None:
            return own, table
        shared = folder / "pyproject.toml"
        # Other projects' files aren't ours to judge: one that doesn't speak of catalogdb isn't even parsed.
        if (table := _parse(shared, only_with=b"catalogdb")) is not None and (ours := _section(table)) is not None:
            return shared, ours
    return cwd / PROJECT_FILE, None


def _section(pyproject: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tool = pyproject.get("tool")
    section = tool.get("catalogdb") if isinstance(tool, Mapping) else None
    return section if isinstance(section, Mapping) else None


def _parse(path: Path, *, only_with: bytes = b"") -> dict[str, Any] | None:
    """A TOML file; None where there is none, or where it doesn't hold ``only_with``."""
    try:
        content = path.read_bytes()
    except _ABSENT:
        return None
    except OSError as error:
        if only_with or not os.access(path.parent, os.X_OK):
            return None
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    if only_with not in content:
        return None
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        parsed: dict[str, Any] = toml.loads(content.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: isn't TOML: {error}") from error
    return parsed


def working_directory() -> Path:
    """Raises UsageError where it's gone, or may not be entered."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the working directory can't be used: {error.strerror}") from error


def _home() -> str:
    try:
        return str(Path.home())
    except RuntimeError:  # a container's user without a name has none
        return "/"


def _xdg(environ: Mapping[str, str], variable: str, fallback: Callable[..., Path]) -> Path:
    """catalogdb's folder in one of XDG's; the specification has relative values ignored."""
    folder = environ.get(variable, "")
    return Path(folder) / "catalogdb" if folder.startswith("/") else fallback("catalogdb", appauthor=False)


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where logs go: ``$XDG_STATE_HOME/catalogdb``."""
    return _xdg(environ, "XDG_STATE_HOME", platformdirs.user_state_path)


def _default_url(environ: Mapping[str, str]) -> str:
    return f"sqlite:///{_xdg(environ, 'XDG_DATA_HOME', platformdirs.user_data_path) / 'catalog.db'}"
