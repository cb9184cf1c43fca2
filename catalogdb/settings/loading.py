"""Settings out of all the places where they may be written."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from catalogdb.errors import UsageError
from catalogdb.limits import Limits
from catalogdb.settings.folders import config_folder, data_folder, home_folder, working_directory
from catalogdb.settings.place import Place
from catalogdb.settings.registry import SETTINGS, Setting, Settings

PROJECT_FILE = "catalogdb.toml"
_SECTIONS = ("wandb", "limits")
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
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
    home = environ.get("HOME") or home_folder()
    values: dict[str, Any] = {"url": f"sqlite:///{data_folder(environ) / 'catalog.db'}"}
    user = config_folder(environ) / "config.toml"
    for path, table in _tables(user, cwd, config_file):
        values.update(_from_file(table, Place(str(path), path.parent, home), user))
    values.update(_from_environment(environ, cwd, home))
    for name, written in overrides.items():
        if written is not None:
            setting = _BY_NAME[name]
            place = Place(setting.flag or name, cwd, home)
            values[name] = _read(setting, written, place, place.label)
    limits = {name: values.pop(name) for name in _BY_NAME if name in values and name.startswith("limits_")}
    return Settings(**values, limits=Limits(**{name.removeprefix("limits_"): limit for name, limit in limits.items()}))


def did_you_mean(written: str, names: Iterable[str]) -> str:
    """``; did you mean a or b?`` with the names that look like ``written``, or nothing."""
    near = difflib.get_close_matches(written, list(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _read(setting: Setting, written: Any, place: Place, label: str) -> Any:
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
            place = Place(variable, cwd, home, text=True)
            values[setting.name] = _read(setting, environ[variable], place, variable)
    return values


def _from_file(table: Mapping[str, Any], place: Place, user: Path) -> dict[str, Any]:
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
    import tomllib  # noqa: PLC0415 - 3 ms that most commands needn't pay

    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: isn't TOML: {error}") from error
