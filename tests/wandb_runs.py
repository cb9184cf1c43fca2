"""What W&B's own program reads out of a ``.wandb`` file: the oracle for ours, and the stand-in server's food."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.wandb_server import ServedRun

AS_WRITTEN = {"finished": "finished", "failed": "failed"}


def inspect(log: Path, *options: str) -> str:
    """``wandb-core leet inspect``, a program of the installed SDK."""
    spec = importlib.util.find_spec("wandb")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "bin" / "wandb-core"
    command = [str(program), "leet", "inspect", "--no-observability", "--run-file", str(log), *options, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def summary_of(log: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(inspect(log, "--summary"))
    return found


def history_of(log: Path) -> list[dict[str, Any]]:
    records = (json.loads(line) for line in inspect(log).splitlines() if line.startswith("{"))
    return [record["history"]["item"] for record in records if record.get("type") == "history"]


def served(log: Path) -> ServedRun:
    """The run as it would be on the server after it was synced."""
    told = summary_of(log)
    return ServedRun(
        told["run_id"],
        told["config"],
        told["summary"],
        history_of(log),
        state=AS_WRITTEN.get(told["state"], "crashed"),
    )
