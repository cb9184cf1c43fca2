"""From rows that changed to events: what is told, and what isn't."""

from __future__ import annotations

import json
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalogdb.catalog import Catalog
from catalogdb.daemon.announce import Announcer
from catalogdb.ingest import Ingest
from catalogdb.settings import Settings


@contextmanager
def announced(announcer: Announcer) -> Iterator[tuple[Catalog, Ingest]]:
    settings = Settings(url="sqlite://")
    with (
        Catalog.open(settings=settings) as catalog,
        catalog.ingesting(use_wandb=False, on_change=announcer.note) as ingest,
    ):
        yield catalog, ingest


def weights(size: int = 1) -> bytes:
    entry = {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}
    header = json.dumps({"w": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * size)


def save(path: Path, metric: str, mode: str, value: float) -> None:
    path.write_bytes(weights())
    path.with_suffix(".metadata.yaml").write_text(
        f"exp_name: run\ntraining: {{epoch: 1, global_step: 10}}\ncheckpointing: {{monitor: {metric}, mode: {mode}}}\n"
        f"metrics: {{additional_metrics: {{{metric}: {value}}}}}\n",
        encoding="utf-8",
    )


def bests(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    facts = [record.fact for record in caplog.records]  # type: ignore[attr-defined]
    return [(Path(fact["path"]).name, fact["metric"]) for fact in facts if fact["event"] == "new best"]


def test_each_monitor_of_an_experiment_has_its_own_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "catalogdb.watch")
    save(tmp_path / "a.ckpt", "val/loss", "min", 0.1)
    save(tmp_path / "b.ckpt", "val/acc", "max", 0.9)
    announcer = Announcer()
    with announced(announcer) as (catalog, ingest):
        announcer.is_quiet = True
        ingest.scan([str(tmp_path)])
        announcer.remember(catalog)
        announcer.is_quiet = False
        for moment in (1e9, 2e9):
            for name in ("a.ckpt", "b.ckpt"):
                os.utime(tmp_path / name, (moment, moment))
            ingest.scan([str(tmp_path)])
            announcer.tell_bests(catalog)
        assert bests(caplog) == [], "they are what they were"
        save(tmp_path / "c.ckpt", "val/loss", "min", 0.05)
        ingest.scan([str(tmp_path)])
        announcer.tell_bests(catalog)
        assert bests(caplog) == [("c.ckpt", "val/loss")]


def test_a_file_that_is_renamed_in_the_middle_of_its_write(tmp_path: Path) -> None:
    content = weights(100)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    announcer = Announcer()
    with announced(announcer) as (_, ingest):
        first.write_bytes(content[:-10])
        ingest.scan([str(tmp_path)])
        assert announcer.still_writing() == {str(first)}
        first.rename(second)
        ingest.scan([str(tmp_path)])
        assert announcer.still_writing() == {str(second)}
        second.write_bytes(content)
        ingest.scan([str(tmp_path)])
        assert announcer.still_writing() == set()
