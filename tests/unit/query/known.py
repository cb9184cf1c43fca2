"""The catalog that the tables of filters are asked of."""

from __future__ import annotations

from datetime import timedelta
from math import inf, nan

from tests.unit.query.world import NOW, Row

ROWS = (
    Row(
        1,
        "/data/a/last.ckpt",
        size_bytes=500,
        mtime=NOW - timedelta(days=1),
        fields={
            "exp_name": "a",
            "architecture": "dbnet",
            "epoch": 1,
            "global_step": 100,
            "monitor": "val/hmean",
            "monitor_mode": "max",
            "created_at": "2026-01-31T12:00:00+00:00",
            "config_path": "a/config.yaml",
            "loss": "bce",
        },
        metrics={"val/hmean": 0.7, "val/loss": 0.5},
        params={"optimizer": "adam", "lr": 0.01, "batch": 16, "amp": True, "seed": None},
        tags={"production": None, "stage": "prod"},
        aliases=("champion",),
        note="good one",
        num_parameters=1000,
    ),
    Row(
        2,
        "/data/a/best.ckpt",
        mtime=NOW - timedelta(days=10),
        fields={
            "exp_name": "a",
            "architecture": "dbnet",
            "epoch": 2,
            "global_step": 200,
            "monitor": "val/hmean",
            "monitor_mode": "max",
            "created_at": "2026-01-31T14:00:00+02:00",
            "loss": "bce",
        },
        metrics={"val/hmean": 0.9, "val/loss": 0.4},
        params={"optimizer": "Adam", "lr": 0.001, "batch": 32, "amp": False},
        tags={"stage": "Prod"},
    ),
    Row(
        3,
        "/data/b/last.ckpt",
        mtime=NOW - timedelta(days=30),
        source="wandb",
        stale=True,
        fields={
            "exp_name": "b",
            "architecture": "parseq",
            "epoch": 3.5,
            "global_step": 300,
            "wandb_run_id": "abc123",
            "created_at": "2026-02-01T00:00:00+00:00",
        },
        metrics={"val/hmean": nan, "val/loss": 0.3, 'we`ird "name" %_\'; DROP TABLE metrics; --🙂': 1.0},
        params={"optimizer": "sgd", "lr": "auto", "batch": 10**30, "amp": "True"},
    ),
    Row(4, "/data/b/none.pt", format="torch_legacy", source="legacy", fields={"exp_name": "b"}),
    Row(
        5,
        "/data/c/gone.ckpt",
        state="missing",
        fields={"exp_name": "c", "architecture": "dbnet", "epoch": 9},
        metrics={"val/hmean": 0.99},
    ),
    Row(
        6,
        "/data/c/young.ckpt",
        state="writing",
        fields={"exp_name": "c", "architecture": "dbnet", "epoch": 8},
        metrics={"val/hmean": 0.95},
        params={"lr": 1, "seed": nan},
    ),
    Row(
        7,
        "/more/d/ünïcode Ä.ckpt",
        root="/more",
        fields={"exp_name": "d", "architecture": "dbnet", "epoch": 5, "global_step": 500},
        metrics={"val/loss": 0.2},
        run_metrics={"val/hmean": 0.9, "val/top": inf},
        link_target="/elsewhere/x.ckpt",
        problems=("config.yaml: no such key",),
    ),
)
