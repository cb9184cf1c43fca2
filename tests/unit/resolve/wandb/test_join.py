"""Which row of a run belongs to which checkpoint, what counts as the checkpoint's own, and which guess holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from catalogdb.records import CachedRun, Finding, HistoryNeed, HistoryRow, RunKey, RunQuestion, RunRef, RunScore
from catalogdb.resolve.wandb.join import Joined, RunKnowledge, confirms, join, needs_of
from catalogdb.resolve.wandb.local_run import LAST_LOGGED
from catalogdb.resolve.wandb.metrics import as_number, as_step, numbers_of, validation_key

KEY = "val/hmean"
PATH = "/data/a.ckpt"
REF = RunRef("abc123de", "team", "ocr", "config")


def row(at: int, value: object, **values: Any) -> HistoryRow:
    """A validation's row under the trainer's step ``at``, ten batches to an epoch; W&B's step runs at twice that."""
    return HistoryRow(2 * at, at, {"epoch": at // 10, "trainer/global_step": at, KEY: value, **values})


def run(
    *rows: HistoryRow, need: int = 29, state: str = "finished", summary: Mapping[str, Any] | None = None, **more: Any
) -> CachedRun:
    """A run whose answer to the need at ``need`` are these rows; it went on until step 99 unless ``summary`` says."""
    told = {"trainer/global_step": 99, "epoch": 9, KEY: 0.9} if summary is None else summary
    key = RunKey("https://api.wandb.ai", "team", "ocr", "abc123de")
    return CachedRun(
        key,
        True,
        "2026-10-18T15:00:00+00:00",
        state=state,
        summary=told,
        history={HistoryNeed(KEY, need): rows},
        **more,
    )


def question(at: int | None = 29, *, own: float | None = 0.5, last: float | None = None, **more: Any) -> RunQuestion:
    """Of a checkpoint that ended an epoch at ``at``."""
    values = {"epoch": None if at is None else at // 10, "scores": (RunScore(KEY, own, last),), **more}
    return RunQuestion((REF,), "/data", at=at, **values)


def finding(asked: RunQuestion, told: CachedRun) -> Finding:
    return RunKnowledge(told).finding(asked, REF, join(asked, told), PATH)


def origins(found: Finding) -> dict[str, tuple[float, str, str]]:
    return {name: (value.value, value.origin.key, value.origin.scope) for name, value in found.metrics.items()}


def test_the_row_of_the_very_step() -> None:
    assert join(question(), run(row(29, 0.5))) == Joined(row(29, 0.5), exact=True, agreed=True)


def test_scores_pass_through_32_bits() -> None:
    assert join(question(own=0.1 + 1e-9), run(row(29, 0.1))).exact


@pytest.mark.parametrize("value", [0.6, math.nan, "NaN"])
def test_a_row_with_another_score_is_refused(value: object) -> None:
    joined = join(question(), run(row(29, value)))
    assert joined.row is None
    assert joined.refused is not None
    assert KEY in joined.refused


def test_a_row_of_another_epoch_is_refused() -> None:
    asked = question(epoch=3)
    joined = join(asked, run(row(29, 0.5)))
    assert (joined.row, joined.exact) == (None, False)
    assert joined.refused is not None
    found = finding(asked, run(row(29, 0.5)))
    assert [(problem.tier, "epoch 2" in problem.reason) for problem in found.problems] == [("wandb", True)]
    assert origins(found)[KEY] == (0.9, "summary", "run"), "the run's last value, as the run's"


def test_between_two_validations_counts_the_last_before_as_the_runs() -> None:
    found = finding(question(27, own=None), run(row(19, 0.4), need=27))
    assert origins(found)[KEY] == (0.4, "history, trainer/global_step 19, the last before 27", "run")


def test_a_score_does_not_judge_an_earlier_row() -> None:
    assert join(question(27, own=0.7), run(row(19, 0.4), need=27)).row == row(19, 0.4)


def test_an_earlier_row_of_a_later_epoch_is_refused() -> None:
    joined = join(question(27, epoch=0), run(row(19, 0.4), need=27))
    assert joined.row is None
    assert joined.refused is not None


@pytest.mark.parametrize("state", ["running", "crashed", "killed"])
@pytest.mark.parametrize(("reached", "used"), [(25, False), (27, False), (28, True), (None, False)])
def test_of_a_run_that_may_have_lost_rows_only_what_it_went_past(state: str, reached: int | None, used: bool) -> None:
    summary = {} if reached is None else {"trainer/global_step": reached}
    joined = join(question(27, own=None), run(row(19, 0.4), need=27, state=state, summary=summary))
    assert (joined.row is not None) is used


def test_a_running_run_gives_the_row_of_the_very_step() -> None:
    told = run(row(29, 0.5), state="running", summary={"trainer/global_step": 29})
    assert join(question(), told).exact


def test_of_two_rows_of_one_step_the_one_that_agrees() -> None:
    """A run that was resumed went over the step again."""
    for rows in ((row(29, 0.4), row(29, 0.5)), (row(29, 0.5), row(29, 0.4))):
        joined = join(question(), run(*rows))
        assert joined.row is not None
        assert joined.row.values[KEY] == 0.5


def test_an_unsure_step_needs_a_witness() -> None:
    told = run(row(29, 0.5))
    assert join(question(own=None, sure=False), told).exact, "the same epoch"
    unlike = HistoryRow(58, 29, {"trainer/global_step": 29, KEY: 0.5})
    assert join(question(own=None, sure=False), run(unlike)) == Joined()
    assert join(question(own=None, last=0.5, sure=False), run(unlike)).agreed


def test_no_row() -> None:
    assert join(question(), run()) == Joined()
    assert join(question(None), run(row(29, 0.5))) == Joined()


def test_which_rows_are_needed() -> None:
    assert needs_of(question(None)) == ()
    assert needs_of(question()) == (HistoryNeed(KEY, 29),)
    unmonitored = question()._replace(scores=())
    assert needs_of(unmonitored) == (HistoryNeed("", 29),), "whatever the run's validations logged"
    assert needs_of(unmonitored, run(summary={"train/loss": 1.0, "val/loss": 2.0})) == (HistoryNeed("val/loss", 29),)
    assert needs_of(unmonitored, run(summary={"train/loss": 1.0})) == ()
    two = question()._replace(
        scores=(RunScore(KEY, 0.5, None), RunScore("val/loss", None, 1.0), RunScore(KEY, 0.5, None))
    )
    assert needs_of(two) == (HistoryNeed(KEY, 29), HistoryNeed("val/loss", 29))


def test_a_row_gives_all_its_numbers_and_when_it_was_logged() -> None:
    values = {"cleval/hmean": 0.0, "nested": {"a": 1}, "odd": "Infinity", "text": "x", "flag": True}
    found = finding(question(), run(row(29, 0.5, _timestamp=1_760_797_935, _runtime=12.5, **values)))
    of_file = {name: value for name, (value, _, scope) in origins(found).items() if scope == "checkpoint"}
    assert of_file == {KEY: 0.5, "cleval/hmean": 0.0, "nested.a": 1.0, "odd": math.inf}
    assert found.fields["created_at"].value == "2025-10-18T14:32:15+00:00"
    assert found.fields["wandb_run_id"].value == "team/ocr/abc123de"


@pytest.mark.parametrize(
    ("state", "summary", "scope"),
    [
        ("finished", {"trainer/global_step": 29, "epoch": 2}, "checkpoint"),
        ("crashed", {"trainer/global_step": 29, "epoch": 2}, "checkpoint"),
        ("running", {"trainer/global_step": 29, "epoch": 2}, "run"),
        (None, {"trainer/global_step": 29, "epoch": 2}, "run"),
        ("finished", {"trainer/global_step": 39, "epoch": 3}, "run"),
        ("finished", {"_step": 29}, "run"),
        ("finished", {}, "run"),
    ],
)
@pytest.mark.parametrize("rows", [(row(29, 0.5),), ()], ids=["with its row", "without a row"])
def test_the_summary_is_the_checkpoints_at_the_runs_last_step(
    state: str, summary: dict[str, Any], scope: str, rows: tuple[HistoryRow, ...]
) -> None:
    told = run(*rows, state=state, summary={**summary, "test/recall": 0.75})
    assert origins(finding(question(), told))["test/recall"] == (0.75, "summary", scope)


@pytest.mark.parametrize(
    ("summary", "scope"),
    [
        ({"trainer/global_step": 29, "epoch": 4}, "run"),
        ({"trainer/global_step": 29, "epoch": 2, KEY: 0.7}, "run"),
        ({"trainer/global_step": 29, "epoch": 2, KEY: 0.5}, "checkpoint"),
        ({"trainer/global_step": 29}, "checkpoint"),
    ],
    ids=["another epoch", "another score", "the score", "no epoch"],
)
def test_without_a_row_the_summary_must_not_contradict(summary: dict[str, Any], scope: str) -> None:
    told = run(summary={**summary, "test/recall": 0.75})
    assert origins(finding(question(), told))["test/recall"][2] == scope


@pytest.mark.parametrize(
    ("epoch", "step", "scope"), [(2, 30, "checkpoint"), (2, 20, "run"), (1, 30, "run"), (None, 30, "run")]
)
def test_a_loop_of_ones_own_logs_its_own_step(epoch: int | None, step: int, scope: str) -> None:
    told = run(summary={"epoch": 2, "global_step": 30, "test/recall": 0.75})
    asked = RunQuestion((REF,), "/data", epoch, step=step)
    assert origins(finding(asked, told))["test/recall"][2] == scope


def test_a_row_counts_before_the_summary() -> None:
    told = run(row(29, 0.5), summary={"trainer/global_step": 29, "epoch": 2, KEY: 0.8})
    assert origins(finding(question(), told))[KEY] == (0.5, "history, trainer/global_step 29", "checkpoint")


@pytest.mark.parametrize(
    ("name", "logged", "scope"),
    [
        ("test/recall", None, "checkpoint"),
        ("best_recall", None, "run"),
        ("recall.max", None, "run"),
        ("test/recall", {"test/recall": 0.75}, "checkpoint"),
        ("test/recall", {"test/recall": 0.5}, "run"),
        ("test/recall", {}, "run"),
    ],
)
def test_of_the_summary_only_what_was_logged_with_the_last_step_is_the_checkpoints(
    name: str, logged: dict[str, float] | None, scope: str
) -> None:
    """``logged`` is what the run's log has of its last step; None where there is no log."""
    attributes = {} if logged is None else {LAST_LOGGED: logged}
    told = run(row(29, 0.5), summary={"trainer/global_step": 29, "epoch": 2, name: 0.75}, attributes=attributes)
    assert origins(finding(question(), told))[name] == (0.75, "summary", scope)


def test_config_and_parameters_are_the_runs() -> None:
    config = {
        "model": {"architecture_name": "dbnet", "encoder": {"model_name": "resnet50"}},
        "decoder_name": "fpn",
        "lr": 0.1,
        "_wandb": {"cli_version": "0.31.0"},
    }
    found = finding(question(), run(config=config))
    fields = {name: (value.value, value.origin.key, value.origin.scope) for name, value in found.fields.items()}
    assert fields["architecture"] == ("dbnet", "config.model.architecture_name", "run")
    assert fields["backbone"] == ("resnet50", "config.model.encoder.model_name", "run")
    assert fields["decoder"] == ("fpn", "config.decoder_name", "run")
    assert {name for group in found.params for name in group.values} == {
        "model.architecture_name",
        "model.encoder.model_name",
        "decoder_name",
        "lr",
    }


GUESS = RunRef("abc123de", "", "", "path")


@pytest.mark.parametrize(
    ("value", "own", "params", "config", "held"),
    [
        (0.5, 0.5, {}, {}, True),
        (0.6, 0.5, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}, False),
        (1.0, 1.0, {}, {}, False),
        (0.0, 0.0, {}, {}, False),
        (1.0, 1.0, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}, True),
        (None, None, {"a": 1, "b": 2.0, "c": "x"}, {"a": 1, "b": 2, "c": "x"}, True),
        (None, None, {"a": 1, "b": 2}, {"a": 1, "b": 2}, False),
        (None, None, {"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3, "d": 5}, False),
        (None, None, {"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3}, True),
        (None, None, {"a": True, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 3}, False),
    ],
    ids=[
        "the score",
        "another score",
        "a score of 1",
        "a score of 0",
        "a score of 1 and parameters",
        "parameters",
        "too few parameters",
        "one differs",
        "one more here",
        "true is not 1",
    ],
)
def test_a_guess_holds_where_the_run_confirms_it(
    value: float | None, own: float | None, params: dict[str, Any], config: dict[str, Any], held: bool
) -> None:
    asked = question(own=own, params=params)
    told = run(*([] if value is None else [row(29, value)]), config=config)
    assert confirms(asked, told, join(asked, told)) is held


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0.0), (1.5, 1.5), ("Infinity", math.inf), ("-Infinity", -math.inf), (True, None), ("0.5", None), (None, None)],
)
def test_numbers(value: object, number: float | None) -> None:
    assert as_number(value) == number


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(as_number("NaN") or 0)
    assert as_number(10**400) is None


@pytest.mark.parametrize(("value", "step"), [(3, 3), (3.0, 3), (3.5, None), (-1, None), ("NaN", None), (True, None)])
def test_steps(value: object, step: int | None) -> None:
    assert as_step(value) == step


def test_the_numbers_of_a_row() -> None:
    row = {"_step": 1, "epoch": 2, "trainer/global_step": 3, "a": {"b": {"c": 1}}, "x": {"_type": "image", "size": 2}}
    assert dict(numbers_of(row)) == {"a.b.c": 1.0}


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (["train/loss", "val/b", "val/a"], "val/a"),
        (["eval_loss", "val_loss"], "val_loss"),
        (["val/loss_step", "valid/loss"], "valid/loss"),
        (["train/loss"], None),
    ],
)
def test_what_validations_log(names: list[str], key: str | None) -> None:
    assert validation_key(dict.fromkeys(names, 0.5)) == key
