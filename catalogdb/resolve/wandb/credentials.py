"""Which W&B server, and with which key: as W&B's own tools find them.

The key: ``WANDB_API_KEY``, then netrc (``NETRC``, else ``~/.netrc`` or ``~/_netrc``) under the server's name, then
W&B's settings file (``WANDB_CONFIG_DIR`` or ``~/.config/wandb``, file ``settings``). ``api.wandb.ai`` and
``api.forge.coreweave.com`` are one deployment, and an entry of either serves for both (SDK 0.31,
``sdk/lib/urls.py``).
"""

from __future__ import annotations

import configparser
import logging
import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PUBLIC = "https://api.wandb.ai"
SAME_DEPLOYMENT = ("api.wandb.ai", "api.forge.coreweave.com")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """A server and what it takes to ask it. The key shows in no text. ``entity`` and ``project`` are the defaults."""

    base_url: str
    key: str | None = field(default=None, repr=False)
    entity: str | None = None
    project: str | None = None


def find_access(base_url: str | None, *, environ: Mapping[str, str] | None = None) -> Access:
    """``base_url`` is the setting's, where there is one. Reads files; nothing is asked, and nobody is prompted."""
    environ = os.environ if environ is None else environ
    settings = _settings_file(environ)
    server = (base_url or settings.get("base_url") or PUBLIC).rstrip("/")
    key = environ.get("WANDB_API_KEY") or _from_netrc(server, environ) or settings.get("api_key")
    return Access(server, _clean(key), settings.get("entity"), settings.get("project"))


def _clean(key: str | None) -> str | None:
    """None for what can't be a key: it goes into a header."""
    key = key.strip() if key else ""
    return key if key.isascii() and key.isprintable() and key else None


def _settings_file(environ: Mapping[str, str]) -> Mapping[str, str]:
    folder = environ.get("WANDB_CONFIG_DIR") or os.path.join(_home(environ), ".config", "wandb")
    path = os.path.join(os.path.expanduser(folder), "settings")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
        return dict(parser["default"]) if "default" in parser else {}
    except (configparser.Error, UnicodeDecodeError, OSError):
        _log.warning("%s: isn't a settings file of W&B's", path)
        return {}


def _from_netrc(server: str, environ: Mapping[str, str]) -> str | None:
    home = _home(environ)
    named = environ.get("NETRC")
    places = [named] if named else [os.path.join(home, ".netrc"), os.path.join(home, "_netrc")]
    entries = next(filter(None, map(_entries, places)), None)
    if entries is None:
        return None
    name = urlsplit(server).netloc.rpartition("@")[2]
    for host in dict.fromkeys([name, *(SAME_DEPLOYMENT if name in SAME_DEPLOYMENT else ())]):
        found = entries.hosts.get(host)
        if found is not None and found[2]:
            return found[2]
    return None


def _entries(path: str) -> netrc.netrc | None:
    """None where there is no such file, or one that can't be read, which is said."""
    try:
        return netrc.netrc(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (netrc.NetrcParseError, UnicodeDecodeError, OSError) as error:
        line = getattr(error, "lineno", None)
        _log.warning("%s: can't be read%s", path, f", at line {line}" if line else "")
        return None


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")
