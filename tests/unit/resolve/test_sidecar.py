"""The first tier: what a sidecar says, as far as it's valid, and as far as the file agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogdb.errors import ResolverError
from catalogdb.records import CheckpointHeader
from catalogdb.resolve import Hints, SidecarResolver
from tests.unit.resolve.support import DOCUMENT, candidate, edited, header, keeper, metrics, params, sidecar_of, values


def test_every_field_of_the_format(tmp_path: Path) -> None:
    finding = sidecar_of(candidate(tmp_path, sidecar=DOCUMENT), header())
    assert values(finding) == {
        "exp_name": "exp",
        "architecture": "dbnet",
        "backbone": "resnet50",
        "decoder": "pan_decoder",
        "head": "db_head",
        "loss": "db_loss",
        "epoch": 1,
        "global_step": 20,
        "max_epochs": 50,
        "training_phase": "training",
        "monitor": "val/hmean",
        "monitor_mode": "max",
        "created_at": "2025-10-18T14:32:15",
        "wandb_run_id": "abc123de",
        "precision": 0.85,
        "recall": 0.83,
        "hmean": 0.84,
        "validation_loss": 0.02,
    }
    assert metrics(finding) == {
        "val/iou": 0.72,
        "precision": 0.85,
        "recall": 0.83,
        "hmean": 0.84,
        "validation_loss": 0.02,
        "val/hmean": 0.84,
    }
    assert params(finding.params) == {
        "model.encoder.pretrained": True,
        "model.encoder.frozen": False,
        "model.decoder.in_channels.0": 256,
        "model.decoder.in_channels.1": 512,
        "model.head.params.box_thresh": 0.3,
        "model.loss.params.alpha": 1.0,
        "checkpointing.save_top_k": 3,
        "checkpointing.save_last": True,
    }
    assert not finding.problems


def test_every_value_says_where_it_stood(tmp_path: Path) -> None:
    finding = sidecar_of(candidate(tmp_path, sidecar=DOCUMENT), header())
    origins = {name: value.origin for name, value in finding.fields.items()}
    assert all(
        (origin.tier, origin.role, origin.scope) == ("yaml", "sidecar", "checkpoint") for origin in origins.values()
    )
    assert origins["epoch"].key == "training.epoch"
    assert origins["backbone"].key == "model.encoder.model_name"
    assert finding.metrics["val/iou"].origin.key == "metrics.additional_metrics.val/iou"
    assert finding.metrics["val/hmean"].origin.key == "metrics.hmean"


def test_no_sidecar_is_nothing_to_say(tmp_path: Path) -> None:
    assert SidecarResolver().resolve(candidate(tmp_path), wanted=(), hints=Hints(header())) is None


def test_defaults_are_not_filled_in(tmp_path: Path) -> None:
    """What nobody wrote is not known."""
    document = edited(training__training_phase=None, checkpointing__save_last=None, model__encoder__pretrained=None)
    finding = sidecar_of(candidate(tmp_path, sidecar=document), header())
    assert "training_phase" not in finding.fields
    assert {"checkpointing.save_last", "model.encoder.pretrained"}.isdisjoint(params(finding.params))


def test_epoch_0_and_a_metric_of_0_are_values(tmp_path: Path) -> None:
    document = edited(training__epoch=0, training__global_step=0, metrics__hmean=0.0)
    finding = sidecar_of(candidate(tmp_path, sidecar=document), header(epoch=0, global_step=0))
    assert (values(finding)["epoch"], values(finding)["global_step"], values(finding)["hmean"]) == (0, 0, 0.0)
    assert metrics(finding)["val/hmean"] == 0.0


@pytest.mark.parametrize("text", ["unknown", "Unknown", " ", "???", "${model.name}"])
def test_what_stands_for_unknown_is_null(tmp_path: Path, text: str) -> None:
    assert "architecture" not in sidecar_of(candidate(tmp_path, sidecar=edited(model__architecture=text))).fields


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("metrics__hmean", 1.7, "hmean"),
        ("metrics__precision", "high", "precision"),
        ("metrics__validation_loss", -0.1, "validation_loss"),
        ("training__epoch", -1, "epoch"),
        ("training__epoch", 1.5, "epoch"),
        ("training__epoch", True, "epoch"),
        ("training__epoch", 10**30, "epoch"),
        ("training__global_step", "many", "global_step"),
        ("training__max_epochs", 0, "max_epochs"),
        ("training__training_phase", "sleeping", "training_phase"),
        ("checkpointing__mode", "best", "monitor_mode"),
        ("created_at", "yesterday", "created_at"),
        ("model__encoder__model_name", ["resnet50"], "backbone"),
        ("exp_name", {"name": "x"}, "exp_name"),
    ],
)
def test_one_value_that_isn_t_valid_takes_no_other_with_it(tmp_path: Path, place: str, value: Any, field: str) -> None:
    finding = sidecar_of(candidate(tmp_path, sidecar=edited(**{place: value})), header())
    whole = values(sidecar_of(candidate(tmp_path / "whole", sidecar=DOCUMENT), header()))
    del whole[field]
    assert values(finding) == whole
    (problem,) = finding.problems
    assert place.replace("__", ".") in problem.reason
    assert (problem.tier, "\n" in problem.reason) == ("yaml", False)


@pytest.mark.parametrize(
    "text", ["training: {epoch: 3\nmodel: ]", "- a\n- b\n", "just text", "\x00\x01", 'schema_version: "2.0"\n']
)
def test_a_document_that_is_no_sidecar_fails_for_good(tmp_path: Path, text: str) -> None:
    with pytest.raises(ResolverError) as error:
        sidecar_of(candidate(tmp_path, sidecar=text))
    assert (error.value.tier, error.value.retryable) == ("yaml", False)


def test_an_empty_sidecar_says_nothing_but_what_is_missing(tmp_path: Path) -> None:
    """It may be the moment in which it's written anew."""
    finding = sidecar_of(candidate(tmp_path, sidecar=""))
    assert not finding.fields
    assert not finding.metrics
    assert all("missing" in problem.reason for problem in finding.problems)


def test_a_sidecar_that_can_t_be_read_now_may_be_read_later(tmp_path: Path) -> None:
    found = candidate(tmp_path, sidecar=DOCUMENT)
    Path(found.sources[0].path).unlink()
    with pytest.raises(ResolverError) as error:
        sidecar_of(found)
    assert error.value.retryable


# -- a sidecar of another save ---------------------------------------------------------------------------------------

OF_THE_STEP = {"epoch", "global_step", "created_at", "precision", "recall", "hmean", "validation_loss"}


@pytest.mark.parametrize(
    ("about", "name", "believed"),
    [
        (header(epoch=1, global_step=20), "last.ckpt", True),
        (header(epoch=1, global_step=10), "last.ckpt", False),
        (header(epoch=0, global_step=20), "last.ckpt", True),
        (header(epoch=0, global_step=None), "last.ckpt", False),
        (header(epoch=1, global_step=None), "last.ckpt", True),
        (header(epoch=None, global_step=None), "last.ckpt", True),
        (header(epoch=None, global_step=10), "last.ckpt", False),
        (CheckpointHeader(None), "epoch=1-step=20.safetensors", True),
        (CheckpointHeader(None), "epoch=0-step=10.safetensors", False),
        (CheckpointHeader(None), "epoch=0.safetensors", False),
        (CheckpointHeader(None), "step=10.pth.tar", False),
        (CheckpointHeader(None, "truncated"), "epoch=0-step=10.ckpt", False),
        (header(epoch=1, global_step=20), "epoch=0-step=10.ckpt", True),
        (header(epoch=1, global_step=None), "epoch=1-step=10.ckpt", False),
    ],
)
def test_a_sidecar_counts_for_the_step_that_the_file_is_of(
    tmp_path: Path, about: CheckpointHeader, name: str, believed: bool
) -> None:
    """The header says which, else the file's name; the step decides before the epoch."""
    found = candidate(tmp_path, f"exp/checkpoints/{name}", sidecar=DOCUMENT)
    finding = sidecar_of(found, about)
    if believed:
        assert finding.fields.keys() >= OF_THE_STEP
        assert finding.metrics
        assert not finding.problems
    else:
        assert finding.fields.keys().isdisjoint(OF_THE_STEP)
        assert not finding.metrics
        assert "its metrics are not used" in finding.problems[0].reason
    assert values(finding)["architecture"] == "dbnet", "the run is the same"
    assert values(finding)["monitor"] == "val/hmean"


def test_the_name_of_a_link_s_target_tells_the_step(tmp_path: Path) -> None:
    target = str(tmp_path / "run/checkpoints/epoch=0-step=10.safetensors")
    found = candidate(tmp_path, "run/checkpoints/last.safetensors", sidecar=DOCUMENT, link_target=target)
    assert not sidecar_of(found).metrics


def test_without_a_valid_step_the_epoch_decides(tmp_path: Path) -> None:
    document = edited(training__global_step="many")
    assert sidecar_of(candidate(tmp_path, sidecar=document), header(epoch=1, global_step=10)).metrics
    assert not sidecar_of(candidate(tmp_path, sidecar=document), header(epoch=0, global_step=10)).metrics


# -- the monitored metric --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "value"),
    [
        ("val/hmean", 0.84),
        ("hmean", 0.84),
        ("val/loss", 0.02),
        ("val_loss", 0.02),
        ("val/iou", 0.72),
        ("test/hmean", None),
    ],
)
def test_the_monitored_metric_is_known_by_its_headline(tmp_path: Path, monitor: str, value: float | None) -> None:
    finding = sidecar_of(candidate(tmp_path, sidecar=edited(checkpointing__monitor=monitor)), header())
    assert metrics(finding).get(monitor) == value


def test_a_headline_never_stands_in_for_a_score_that_the_header_proves(tmp_path: Path) -> None:
    """Headlines are written rounded; the header's score is exact."""
    found = candidate(tmp_path, sidecar=DOCUMENT)
    state = keeper({"epoch=1-step=20.ckpt": 0.8437}, monitor="val/hmean", mode="max")
    assert "val/hmean" not in sidecar_of(found, header(state)).metrics
