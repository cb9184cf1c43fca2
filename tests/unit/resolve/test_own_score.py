"""Which score is the file's own: proven, or none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from catalogdb.records import LoopProgress, MonitorState
from catalogdb.resolve.own_score import callback_of, own_scores
from tests.unit.resolve.support import HOME, header, keeper

AT_EPOCH_END = LoopProgress(in_epoch=True, batch_processed=True, batch_completed=True, last_batch=True, validated=True)
ON_EXCEPTION = AT_EPOCH_END._replace(batch_processed=False, batch_completed=False, last_batch=False)
AFTER_TRAINING = AT_EPOCH_END._replace(in_epoch=False)
LAST = f"{HOME}/last.ckpt"
MOVED = "/here/outputs/run/checkpoints"


def score(state: MonitorState, path: str, **more: Any) -> float | None:
    return own_scores(header(state, **more), f"{MOVED}/{path}").get("val/loss")


def test_the_entry_whose_name_states_the_header_s_step_is_its_own() -> None:
    state = keeper({"epoch=1-step=20.ckpt": 0.3, "epoch=0-step=10.ckpt": 0.2}, current=0.3)
    assert score(state, "epoch=1-step=20.ckpt") == 0.3
    assert score(state, "last.ckpt") == 0.3, "saved with the same state"
    assert score(state, "renamed.ckpt") == 0.3


def test_zero_is_a_score() -> None:
    assert score(keeper({"epoch=1-step=20.ckpt": 0.0}), "epoch=1-step=20.ckpt") == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_nan_is_no_score_and_lightning_writes_it_as_infinity(value: float) -> None:
    assert score(keeper({"epoch=1-step=20.ckpt": value}), "epoch=1-step=20.ckpt") is None


def test_a_score_of_another_step_is_not() -> None:
    state = keeper({"epoch=0-step=10.ckpt": 0.2}, current=0.2, last_model_path=LAST)
    assert score(state, "last.ckpt") is None
    assert score(state, "epoch=1-step=20.ckpt") is None
    assert score(state, "epoch=0-step=10.ckpt") is None, "another file's name doesn't make it that file"


def test_a_header_without_a_step_proves_nothing_by_step() -> None:
    state = keeper({"epoch=1-step=20.ckpt": 0.3})
    assert score(state, "other.ckpt", global_step=None) is None


def test_a_silent_name_counts_where_the_callback_has_just_saved_it() -> None:
    state = keeper({"best.ckpt": 0.3}, current=0.3)
    assert score(state, "best.ckpt") == 0.3
    assert score(state, "best.ckpt", progress=AT_EPOCH_END) == 0.3
    assert score(state, "best-moved.ckpt") is None


@pytest.mark.parametrize("progress", [ON_EXCEPTION, AFTER_TRAINING])
def test_a_silent_name_overwritten_outside_a_save_keeps_an_old_entry(progress: LoopProgress) -> None:
    assert score(keeper({"best.ckpt": 0.3}, current=0.3), "best.ckpt", progress=progress) is None


def test_a_silent_name_whose_score_isn_t_that_of_the_last_save_is_an_older_one() -> None:
    assert score(keeper({"best.ckpt": 0.3, "best-v1.ckpt": 0.4}, current=0.4), "best.ckpt") is None
    assert score(keeper({"best.ckpt": 0.3, "best-v1.ckpt": 0.4}, current=0.4), "best-v1.ckpt") == 0.4


def test_a_name_with_another_epoch_is_another_file_s() -> None:
    assert score(keeper({"epoch=0.ckpt": 0.3}, current=0.3), "epoch=0.ckpt") is None
    assert score(keeper({"epoch=1.ckpt": 0.3}, current=0.3), "epoch=1.ckpt") == 0.3


def test_equal_names_in_two_folders_are_told_apart_by_the_folder() -> None:
    kept = {"epoch=1-val/loss=0.30.ckpt": 0.301, "epoch=0-val/loss=0.30.ckpt": 0.302}
    state = keeper(kept, current=0.301)
    assert score(state, "epoch=1-val/loss=0.30.ckpt") == 0.301
    assert score(state, "other/loss=0.30.ckpt") is None


@pytest.mark.parametrize(
    ("version", "progress", "expected"),
    [
        ("2.6.1", AT_EPOCH_END, 0.25),
        ("2.10.0", AT_EPOCH_END, 0.25),
        ("3.0", AT_EPOCH_END, 0.25),
        ("2.5.1", AT_EPOCH_END, None),
        ("1.9", AT_EPOCH_END, None),
        ("2.6.0.dev0", AT_EPOCH_END, 0.25),
        ("unknown", AT_EPOCH_END, None),
        (None, AT_EPOCH_END, None),
        ("2.6.1", None, None),
        ("2.6.1", ON_EXCEPTION, None),
        ("2.6.1", AFTER_TRAINING, None),
        ("2.6.1", AT_EPOCH_END._replace(last_batch=False), None),
        ("2.6.1", AT_EPOCH_END._replace(validated=False), None),
    ],
)
def test_last_has_the_latest_score_only_where_that_lightning_writes_it_so(
    version: str | None, progress: LoopProgress | None, expected: float | None
) -> None:
    state = keeper({"other.ckpt": 0.25}, current=0.25, last_model_path=LAST)
    assert score(state, "last.ckpt", framework_version=version, progress=progress) == expected
    assert score(state, "renamed.ckpt", framework_version=version, progress=progress) is None


TWO = {
    "first": keeper(
        {"best.ckpt": 0.3}, current=0.3, folder="/mnt/run/best_loss", last_model_path="/mnt/run/best_loss/last.ckpt"
    ),
    "second": keeper({"best.ckpt": 0.8}, monitor="val/f1", mode="max", current=0.8, folder="/mnt/run/best_f1"),
}


def test_of_two_callbacks_a_silent_name_is_only_its_own_folder_s() -> None:
    both = header(*TWO.values())
    assert own_scores(both, "/here/best_loss/best.ckpt") == {"val/loss": 0.3}
    assert own_scores(both, "/here/best_f1/best.ckpt") == {"val/f1": 0.8}
    assert own_scores(both, "/here/kept/best.ckpt") == {}


def test_of_two_callbacks_last_is_only_its_own_folder_s() -> None:
    both = header(*TWO.values(), framework_version="2.6.1", progress=AT_EPOCH_END)
    assert own_scores(both, "/here/best_loss/last.ckpt") == {"val/loss": 0.3}
    assert own_scores(both, "/here/best_f1/last.ckpt") == {}, "a copy that someone made there"


def test_two_callbacks_that_claim_the_same_file_prove_nothing() -> None:
    both = header(keeper({"best.ckpt": 0.3}, current=0.3), keeper({"best.ckpt": 0.8}, monitor="val/f1", current=0.8))
    assert own_scores(both, f"{MOVED}/best.ckpt") == {}


def test_both_scores_of_a_step_that_both_callbacks_saved() -> None:
    both = header(
        keeper({"epoch=1-step=20.ckpt": 0.3}), keeper({"epoch=1-step=20-v1.ckpt": 0.8}, monitor="val/f1", mode="max")
    )
    assert own_scores(both, f"{MOVED}/last.ckpt") == {"val/loss": 0.3, "val/f1": 0.8}


def test_paths_of_windows() -> None:
    state = MonitorState("val/loss", "min", 0.3, best_k_models={r"C:\runs\checkpoints\best.ckpt": 0.3})
    assert score(state, "best.ckpt") == 0.3


def test_a_callback_that_monitors_nothing_has_no_score() -> None:
    assert own_scores(header(keeper({"best.ckpt": 0.3}, monitor="", current=0.3)), f"{MOVED}/best.ckpt") == {}


# -- whose file is it ------------------------------------------------------------------------------------------------


def monitor_of(*states: MonitorState, path: str) -> str | None:
    found = callback_of(header(*states), path)
    return found.monitor if found else None


def test_the_only_callback_keeps_every_file() -> None:
    assert monitor_of(keeper(), path="/here/anything.ckpt") == "val/loss"
    assert monitor_of(keeper(monitor=""), keeper(), path="/here/anything.ckpt") == "val/loss"
    assert monitor_of(path="/here/anything.ckpt") is None


def test_of_two_the_one_that_names_the_file() -> None:
    assert monitor_of(*TWO.values(), path="/here/best_f1/best.ckpt") == "val/f1"
    assert monitor_of(*TWO.values(), path="/here/best_loss/last.ckpt") == "val/loss"
    assert monitor_of(*TWO.values(), path="/here/best_f1/last.ckpt") is None
    assert monitor_of(*TWO.values(), path="/here/kept/best.ckpt") is None


def test_a_name_with_a_step_is_enough_wherever_the_file_lies() -> None:
    first, second = keeper({"epoch=1-step=20.ckpt": 0.3}), keeper({"epoch=1-step=20-v1.ckpt": 0.8}, monitor="val/f1")
    assert monitor_of(first, second, path="/elsewhere/epoch=1-step=20-v1.ckpt") == "val/f1"


def test_a_name_that_states_another_step_is_not_believed() -> None:
    """Two files that took each other's names."""
    first, second = keeper({"epoch=0-step=10.ckpt": 0.3}), keeper({"epoch=1-step=20.ckpt": 0.8}, monitor="val/f1")
    assert monitor_of(first, second, path=f"{MOVED}/epoch=0-step=10.ckpt") is None


def test_the_same_metric_in_both_directions_is_two_callbacks() -> None:
    assert monitor_of(keeper(mode="min"), keeper(mode="max"), path="/here/x.ckpt") is None
    assert monitor_of(keeper(mode="min"), keeper(mode="min"), path="/here/x.ckpt") == "val/loss"
