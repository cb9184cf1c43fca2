"""The service manager: what systemd is told of us (``sd_notify(3)``), and the unit that has it start us."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence

UNIT = """\
[Unit]
Description=catalogdb: keeps the catalog of checkpoints true
Documentation=man:systemd.service(5)
After=local-fs.target remote-fs.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
TimeoutStartSec=infinity
TimeoutStopSec=10
WatchdogSec=120
Nice=5

[Install]
WantedBy=default.target
"""


class Notifier:
    """Tells systemd, where it started us; elsewhere nobody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdigit() and mine else None

    def tell(self, *states: str) -> None:
        """``READY=1``, ``STATUS=…``, ``WATCHDOG=1``, ``STOPPING=1``."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            try:
                connection.sendto("\n".join(states).encode(), address)
            except OSError:
                return  # nobody listens any more


def unit(arguments: Sequence[str]) -> str:
    """The text of a unit that runs ``catalogdb watch`` with these arguments, in this Python."""
    command = [sys.executable, "-m", "catalogdb", "watch", *arguments, "--log-format", "json"]
    return UNIT.format(command=" ".join(shlex.quote(part).replace("%", "%%").replace("$", "$$") for part in command))
