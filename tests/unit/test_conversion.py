"""A row as a sidecar: what stands in it, what is marked as a placeholder, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from catalogdb.conversion import document_of
from catalogdb.documents import format_document, parse_document
from catalogdb.metadata import parse_metadata, salvage, without_placeholders
from catalogdb.records import Checkpoint


def row(scope: str = "checkpoint", *, of_run: tuple[str, ...] = (), **known: Any) -> Checkpoint:
    names = [name for name in known if name not in ("metrics", "params", "rel_path")]
    names += [f"{kind}.{name}" for kind in ("metrics", "params") for name in known.get(kind, ())]
    provenance = {
        name: {"tier": "wandb", "source": "team/ocr/abc", "scope": "run" if name in of_run else scope, "key": "history"}
        for name in names
    }
    return Checkpoint(
        id=1,
        path="/data/outputs/run/checkpoints/a.ckpt",
        root="/data/outputs",
        format="torch_zip",
        size_bytes=10,
        mtime="2026-01-31T12:00:00+00:00",
        state="ready",
        source="wandb",
        stale=False,
        provenance=provenance,
        **{"rel_path": "run/checkpoints/a.ckpt", **known},
    )


def written(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document as it is read back: whole, and without what is no value. It is valid V1."""
    document, _ = document_of(checkpoint)
    read = parse_document(format_document(document).encode(), "a.metadata.yaml")
    assert read == document or "nan" in repr(document)
    parse_metadata(read, "a.metadata.yaml")
    known, errors = salvage(read, "a.metadata.yaml")
    assert errors == []
    return read, without_placeholders(known, read)


def test_what_wandb_knows_of_the_step() -> None:
    checkpoint = row(
        epoch=3,
        hmean=0.8,
        wandb_run_id="team/ocr/abc",
        exp_name="x",
        metrics={"val/hmean": 0.8, "val/iou": 0.7},
        of_run=("exp_name", "metrics.val/iou"),
    )
    document, known = written(checkpoint)
    assert document["metrics"] == {"hmean": 0.8, "additional_metrics": {"val/hmean": 0.8}}
    assert document["derived"] == ["metrics.hmean"]
    assert known["metrics"] == {"additional_metrics": {"val/hmean": 0.8}}
    assert known["training"] == {"epoch": 3}
    assert (document["exp_name"], document["wandb_run_id"]) == ("unknown", "team/ocr/abc")
    assert document["created_at"] == checkpoint.mtime
    assert document["unknown"] == ["training.global_step", "created_at", "checkpointing.mode"]
    assert document_of(checkpoint)[1] == ["epoch", "wandb_run_id", "hmean", "val/hmean"]


def test_nothing_but_the_run() -> None:
    checkpoint = row("run", exp_name="x", architecture="craft", metrics={"val/hmean": 0.8}, params={"lr": 0.1})
    document, values = document_of(checkpoint)
    assert values == []
    assert "hyper_parameters" not in document


def test_what_v1_has_no_place_for() -> None:
    """Half an epoch, a score beyond its range: the file says it again at the next scan."""
    document, known = written(row(epoch=1.5, hmean=1.2, global_step=15, metrics={"a": float("nan"), "b": 0.25}))
    assert document["training"]["epoch"] == 0
    assert "training.epoch" in document["unknown"]
    assert known["training"] == {"global_step": 15}
    assert "hmean" not in known["metrics"]
    assert known["metrics"]["additional_metrics"]["b"] == 0.25


@pytest.mark.parametrize(("monitor", "mode"), [("val/hmean", "max"), ("val/loss", "min"), ("strange", "min")])
def test_a_mode_that_nobody_stated_is_none(monitor: str, mode: str) -> None:
    document, known = written(row(epoch=1, monitor=monitor))
    assert document["checkpointing"] == {"monitor": monitor, "mode": mode}
    assert "checkpointing.mode" in document["unknown"]
    assert known["checkpointing"] == {"monitor": monitor}


def test_a_metric_that_is_called_like_a_headline() -> None:
    document, _ = written(row(epoch=1, metrics={"hmean": 0.4}))
    assert document["metrics"] == {"additional_metrics": {"hmean": 0.4}}
    assert "derived" not in document
    document, _ = written(row(epoch=1, hmean=0.5, metrics={"hmean": 0.5}))
    assert document["metrics"] == {"hmean": 0.5, "additional_metrics": {}}


def test_parameters_keep_their_names_and_types() -> None:
    params = {"optimizer.lr": 0.1, "a b": "yes", "flag": True, "model.x": 3}
    document, _ = written(row(epoch=1, params=params))
    assert document["hyper_parameters"] == params


def test_a_root_that_is_itself_a_checkpoint() -> None:
    assert document_of(row(epoch=1, rel_path="."))[0]["checkpoint_path"] == "a.ckpt"
