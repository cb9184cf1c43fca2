"""Where the user, the system and XDG keep things."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from catalogdb.errors import UsageError


def expand_home(path: str | os.PathLike[str], home: str | None = None) -> str:
    """``~`` and ``~/…`` lead into ``home``, by default the user's, as in a shell; any other path is as it's written.

    Raises UsageError for an empty one, which a shell's unset variable leaves, and which isn't the working directory."""
    written = os.fspath(path)
    if not written:
        raise UsageError("'' is no path; write . for the working directory")
    if written == "~" or written.startswith("~/"):
        return (home_folder() if home is None else home) + written[1:]
    return written


def working_directory() -> Path:
    """Raises UsageError where it's gone, or may not be entered."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the working directory can't be used: {error.strerror}") from error


def home_folder() -> str:
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


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the catalog is, unless another place is set: ``$XDG_DATA_HOME/catalogdb``."""
    return _xdg(environ, "XDG_DATA_HOME", platformdirs.user_data_path)


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the user's own settings are: ``$XDG_CONFIG_HOME/catalogdb``."""
    return _xdg(environ, "XDG_CONFIG_HOME", platformdirs.user_config_path)
