"""Folders that Hydra itself writes: a run and a sweep, each checkpoint with the config of its own job, resolved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogdb import Catalog
from tests.e2e.layout_trees import text

pytest.importorskip("hydra")
pytest.importorskip("torch")

CONFIG = """\
exp: base
data: {root: data, train: "${.root}/train", sizes: [1, 2]}
twin: "${optimizer}"
optimizer: {lr: 0.1, decay: "${optimizer.lr}", momentum: null}
model: {name: wide, width: 8, title: "${model.name}-${model.width}x", lr: "${optimizer.lr}", flag: true}
"""
RESOLVER = 'run_dir: "${hydra:runtime.output_dir}"\n'


def trained(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Runs it in ``folder``; job's folder → its config as OmegaConf resolved it."""
    text(folder / "config.yaml", CONFIG + RESOLVER)
    environment = {**os.environ, "TRUTH": str(folder / "truth.jsonl")}
    program = str(Path(__file__).with_name("hydra_training.py"))
    command = [sys.executable, program, "--config-dir", str(folder), *arguments, "hydra.job.chdir=true"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    jobs = [json.loads(line) for line in (folder / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return {job["folder"]: job["config"] for job in jobs}


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(item, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value


def overridden_first(names: list[str], changed: set[str]) -> bool:
    return set(names[: len(changed)]) == changed


def params_of(folder: Path) -> dict[str, tuple[int | None, dict[str, Any], str | None]]:
    with Catalog.open("sqlite://") as catalog:
        assert catalog.scan(folder).problems == ()
        rows = catalog.search("", max_results=None)
        return {str(Path(row.path).parents[1]): (row.global_step, dict(row.params), row.config_path) for row in rows}


@pytest.mark.parametrize(
    ("arguments", "changed", "jobs"),
    [
        (["optimizer.lr=0.25", "+tag='a=b, c'"], {"optimizer.lr", "tag"}, 1),
        (["--multirun", "optimizer.lr=0.5,0.125", "model.name=deep", "++model.depth=3"], None, 2),
    ],
)
def test_each_job_has_its_own_config(tmp_path: Path, arguments: list[str], changed: set[str] | None, jobs: int) -> None:
    truth = trained(tmp_path / "proj", *arguments)
    found = params_of(tmp_path / "proj")
    assert found.keys() == truth.keys()
    assert len(found) == jobs
    for folder, config in truth.items():
        step, params, config_path = found[folder]
        expected = dict(flat({name: value for name, value in config.items() if name != "run_dir"}))
        assert (step, config_path) == (20, f"{folder}/.hydra/config.yaml")
        assert params == expected
        assert {type(value) for value in params.values()} == {type(value) for value in expected.values()}
        assert overridden_first([*params], changed or {"optimizer.lr", "model.name", "model.depth"})
