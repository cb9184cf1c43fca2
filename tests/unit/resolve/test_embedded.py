"""The record inside the checkpoint, and a sidecar that differs from it or from the file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalogdb.records import FIELD_NAMES, Candidate, CheckpointHeader, Finding
from catalogdb.resolve import EmbeddedResolver, Hints, InferenceResolver, ResolverChain, SidecarResolver, merge
from tests.unit.resolve.support import DOCUMENT, candidate, edited, header, keeper, metrics, sidecar_of, values

HERE = "exp/checkpoints/epoch=1-step=20.ckpt"


def embedded(**places: Any) -> CheckpointHeader:
    return header(embedded=edited(checkpoint_path=HERE, **places))


def read(found: Candidate, about: CheckpointHeader) -> Finding | None:
    return EmbeddedResolver().resolve(found, wanted=FIELD_NAMES, hints=Hints(about))


def resolved(found: Candidate, about: CheckpointHeader) -> Any:
    chain = ResolverChain([EmbeddedResolver(), SidecarResolver(), InferenceResolver()])
    return merge(found, about, "ready", chain.ask(found, about))


def beside(tmp_path: Path, **places: Any) -> Candidate:
    return candidate(tmp_path, HERE, sidecar=edited(checkpoint_path=HERE, **places))


def drifts(resolution: Any) -> list[str]:
    return [problem.reason for problem in resolution.problems if problem.reason.startswith("drift: ")]


def test_it_says_what_a_sidecar_would_say(tmp_path: Path) -> None:
    of_record = read(candidate(tmp_path, HERE), embedded())
    of_sidecar = sidecar_of(beside(tmp_path), header())
    assert of_record is not None
    assert values(of_record) == values(of_sidecar)
    assert metrics(of_record) == metrics(of_sidecar)
    assert {value.origin.role for value in of_record.fields.values()} == {"embedded"}
    assert of_record.fields["epoch"].origin.describe("x.ckpt", "x.metadata.yaml") == {
        "tier": "yaml",
        "source": "x.ckpt",
        "scope": "checkpoint",
        "key": "training.epoch",
    }


def test_a_checkpoint_without_one_has_nothing_to_say(tmp_path: Path) -> None:
    assert read(candidate(tmp_path, HERE), header()) is None


def test_values_that_are_not_valid_are_left_out_one_by_one(tmp_path: Path) -> None:
    finding = read(candidate(tmp_path, HERE), embedded(metrics__hmean=1.7))
    assert finding is not None
    assert "hmean" not in finding.fields
    assert finding.fields["recall"].value == 0.83
    assert "the record in the file: metrics.hmean" in finding.problems[0].reason
    assert not finding.problems[0].reason.startswith("drift")


def test_a_record_of_another_version_is_no_reason_to_fail(tmp_path: Path) -> None:
    finding = read(candidate(tmp_path, HERE), embedded(schema_version="2.0"))
    assert finding is not None
    assert (finding.fields, len(finding.problems)) == ({}, 1)


def test_a_record_that_was_copied_into_a_later_save_is_not_believed(tmp_path: Path) -> None:
    finding = read(candidate(tmp_path, HERE), replace(embedded(), epoch=4, global_step=100))
    assert finding is not None
    assert not finding.metrics
    assert "epoch" not in finding.fields
    assert finding.fields["architecture"].value == "dbnet"
    assert finding.problems[0].reason == (
        "drift: the record in the file is about global_step 20, but the checkpoint is of global_step 100; "
        "its metrics are not used"
    )


def test_a_mode_without_a_monitor_is_none(tmp_path: Path) -> None:
    finding = read(candidate(tmp_path, HERE), embedded(checkpointing__monitor="unknown"))
    assert finding is not None
    assert finding.fields.keys().isdisjoint({"monitor", "monitor_mode"})


def test_it_counts_before_a_sidecar_and_a_difference_is_drift_with_both_values(tmp_path: Path) -> None:
    found = beside(tmp_path, metrics__hmean=0.91, metrics__additional_metrics={"val/iou": 0.72, "val/more": 0.5})
    resolution = resolved(found, embedded())
    assert resolution.fields["hmean"].value == 0.84
    assert resolution.fields["hmean"].origin.role == "embedded"
    assert drifts(resolution) == [
        "drift: hmean is 0.84 by the record in the file, but 0.91 by the sidecar; its metrics are not used"
    ]
    assert "val/more" not in resolution.metrics, "whose it is, is no longer sure"


def test_rounding_is_no_drift(tmp_path: Path) -> None:
    resolution = resolved(
        beside(tmp_path, metrics__hmean=0.84, metrics__precision=0.8512),
        embedded(metrics__hmean=0.8437, metrics__precision=0.85123456),
    )
    assert drifts(resolution) == []
    assert resolution.fields["hmean"].value == 0.8437


def test_a_sidecar_adds_what_the_record_does_not_hold(tmp_path: Path) -> None:
    found = beside(tmp_path, metrics__additional_metrics={"val/iou": 0.72, "cleval/hmean": 0.5})
    resolution = resolved(found, embedded(wandb_run_id=None))
    assert resolution.metrics["cleval/hmean"].value == 0.5
    assert resolution.fields["wandb_run_id"].origin.role == "sidecar"
    assert drifts(resolution) == []


def test_texts_differ_as_well(tmp_path: Path) -> None:
    resolution = resolved(beside(tmp_path, model__architecture="craft"), embedded(wandb_run_id="ocr/team/abc123de"))
    assert resolution.fields["architecture"].value == "dbnet"
    assert drifts(resolution) == [
        "drift: architecture is dbnet by the record in the file, but craft by the sidecar; the first counts"
    ]
    assert resolution.metrics["val/iou"].value == 0.72


# -- a sidecar that is another file's ---------------------------------------------------------------------------------


def test_a_score_that_the_header_proves_is_held_against_the_sidecar(tmp_path: Path) -> None:
    state = keeper({"epoch=1-step=20.ckpt": 0.61}, monitor="val/hmean", mode="max")
    found = beside(tmp_path, metrics__additional_metrics={"val/hmean": 0.84})
    resolution = resolved(found, header(state))
    assert resolution.metrics["val/hmean"].value == 0.61
    assert resolution.metrics["val/hmean"].origin.role == "header"
    assert "hmean" not in sidecar_of(found, header(state)).metrics
    assert drifts(resolution) == [
        "drift: val/hmean is 0.84 by the sidecar, but 0.61 by the file; its metrics are not used"
    ]


def test_a_later_step_of_another_run_leaves_nothing(tmp_path: Path) -> None:
    found = candidate(tmp_path, "other/checkpoints/last.ckpt", sidecar=edited(checkpoint_path=HERE))
    finding = sidecar_of(found, header(epoch=4, global_step=100))
    assert (finding.fields, finding.metrics, finding.params) == ({}, {}, ())
    assert finding.problems[0].reason == (
        "drift: is about global_step 20, but the checkpoint is of global_step 100; nothing of it is used"
    )


def swapped(tmp_path: Path, *, copied: bool) -> Candidate:
    """Another run's checkpoint of the same step, beside which lies the sidecar of HERE."""
    found = candidate(tmp_path, "other/checkpoints/epoch=1-step=20.ckpt", sidecar=edited(checkpoint_path=HERE))
    for rel_path in (found.rel_path, *((HERE,) if copied else ())):
        (tmp_path / rel_path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / rel_path).write_bytes(b"")
    return found


def test_a_sidecar_that_names_another_file_that_is_there_is_that_file_s(tmp_path: Path) -> None:
    finding = sidecar_of(swapped(tmp_path, copied=True), header())
    assert (finding.fields, finding.metrics) == ({}, {})
    assert finding.problems[0].reason == (
        f"drift: is the sidecar of {HERE}, which is another file; nothing of it is used"
    )


def test_a_score_may_confirm_a_copy(tmp_path: Path) -> None:
    state = keeper({"epoch=1-step=20.ckpt": 0.02}, monitor="validation_loss")
    assert sidecar_of(swapped(tmp_path, copied=True), header(state)).metrics


def test_a_file_that_was_moved_with_its_sidecar_keeps_what_that_says(tmp_path: Path) -> None:
    finding = sidecar_of(swapped(tmp_path, copied=False), header())
    assert finding.fields["exp_name"].value == "exp"
    assert not finding.problems


def test_a_foreign_model_beside_a_file_of_its_step(tmp_path: Path) -> None:
    about = header(hyper_parameters={"architecture_name": "craft"})
    finding = sidecar_of(swapped(tmp_path, copied=False), about)
    assert not finding.fields
    assert "its architecture is dbnet, the checkpoint's craft" in finding.problems[0].reason


def test_a_look_at_the_start_is_not_enough_for_a_sidecar_from_elsewhere(tmp_path: Path) -> None:
    finding = sidecar_of(swapped(tmp_path, copied=False), header(whole=False))
    assert "may be the sidecar of another file" in finding.problems[0].reason


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_link_is_the_file_that_its_sidecar_names(tmp_path: Path, kind: str) -> None:
    """``last.ckpt`` elsewhere."""
    target = tmp_path / HERE
    target.parent.mkdir(parents=True)
    target.write_bytes(b"")
    found = candidate(tmp_path, "best/last.ckpt", sidecar=edited(checkpoint_path=HERE), link_target=str(target))
    place = tmp_path / "best/last.ckpt"
    place.symlink_to(target) if kind == "symbolic" else place.hardlink_to(target)
    assert sidecar_of(found, header()).metrics
    place.unlink()
    shutil.copy(target, place)
    assert not sidecar_of(found, header()).metrics


def test_two_checkpoints_of_one_stem_share_a_sidecar_that_is_one_s(tmp_path: Path) -> None:
    document = edited(checkpoint_path="exp/checkpoints/model.ckpt")
    for name in ("model.ckpt", "model.pt"):
        found = candidate(tmp_path, f"exp/checkpoints/{name}", sidecar=document)
        (tmp_path / found.rel_path).write_bytes(b"")
    assert not sidecar_of(candidate(tmp_path, "exp/checkpoints/model.pt", sidecar=document)).metrics
    assert sidecar_of(candidate(tmp_path, "exp/checkpoints/model.ckpt", sidecar=document)).metrics


@pytest.mark.parametrize(
    ("unknown", "gone"),
    [
        (["created_at"], {"created_at"}),
        (["training.epoch", "training.global_step"], {"epoch", "global_step"}),
        (["checkpointing.mode", "nowhere.at.all", 3], {"monitor_mode"}),
        ("created_at", set()),
    ],
)
def test_a_placeholder_is_no_value(tmp_path: Path, unknown: object, gone: set[str]) -> None:
    whole = values(sidecar_of(candidate(tmp_path, sidecar=DOCUMENT), header()))
    listed = values(sidecar_of(candidate(tmp_path, sidecar={**DOCUMENT, "unknown": unknown}), header()))
    assert whole.keys() - listed.keys() == gone
