"""The policy: first value wins, absent withdraws, failed keeps, and a row says which of them it was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from catalogdb.errors import ResolverError
from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    Finding,
    Origin,
    OriginRole,
    ParamGroup,
    Problem,
    Resolution,
    Scalar,
    Scope,
    Stamp,
    Tier,
    Value,
)
from catalogdb.resolve import Answer, Hints, ResolverChain, merge
from tests.unit.resolve.support import params

FILE = Candidate("/r", "a/x.ckpt", Stamp(1, 2, 3, 4))
HEADER = CheckpointHeader("torch_zip")


ROLES: dict[Tier, OriginRole] = {"yaml": "sidecar", "wandb": "wandb", "legacy": "name"}


def value(of: object, tier: Tier, role: OriginRole | None = None, scope: Scope = "checkpoint") -> Value:
    return Value(of, Origin(tier, role or ROLES[tier], "", "key", scope))


def finding(tier: Tier, *, metrics: dict[str, float] | None = None, **fields: object) -> Finding:
    return Finding(
        {name: value(of, tier) for name, of in fields.items()},
        {name: value(of, tier) for name, of in (metrics or {}).items()},
    )


def resolve(*answers: Answer, earlier: dict[Tier, Finding] | None = None) -> Resolution:
    return merge(FILE, HEADER, "ready", answers, (earlier or {}).get)


def failed(tier: Tier, *, retryable: bool = False) -> Answer:
    return Answer(tier, error=ResolverError(tier, "/r/a/x.metadata.yaml", "out of reach", retryable=retryable))


def known(resolution: Resolution) -> dict[str, tuple[object, Tier]]:
    return {name: (of.value, of.origin.tier) for name, of in resolution.fields.items()}


@dataclass
class Scripted:
    """A resolver that says what it's told to, and remembers what it was asked for."""

    tier: Tier
    says: Finding | ResolverError | None
    wanted: list[set[str]] = field(default_factory=list)

    @property
    def name(self) -> Tier:
        return self.tier

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        assert candidate is FILE
        assert hints.header is HEADER
        self.wanted.append(set(wanted))
        if isinstance(self.says, ResolverError):
            raise self.says
        return self.says


def test_tiers_are_asked_in_order_for_what_is_still_wanted() -> None:
    first = Scripted("yaml", finding("yaml", epoch=1))
    second = Scripted("wandb", ResolverError("wandb", "x", "timeout", retryable=True))
    third = Scripted("legacy", None)
    answers = ResolverChain([first, second, third]).ask(FILE, HEADER)
    assert [answer.tier for answer in answers] == ["yaml", "wandb", "legacy"]
    assert "epoch" in first.wanted[0]
    assert "epoch" not in second.wanted[0] | third.wanted[0]
    assert answers[1].error is second.says
    assert answers[2] == Answer("legacy")


def test_the_first_value_wins_field_by_field() -> None:
    resolution = resolve(
        Answer("yaml", finding("yaml", epoch=0, metrics={"a": 0.0})),
        Answer("legacy", finding("legacy", epoch=5, architecture="pan", metrics={"a": 1.0, "b": 2.0})),
    )
    assert known(resolution) == {"epoch": (0, "yaml"), "architecture": ("pan", "legacy")}
    assert {name: of.value for name, of in resolution.metrics.items()} == {"a": 0.0, "b": 2.0}
    assert (resolution.source, resolution.failed, resolution.recheck) == ("yaml", frozenset(), False)


def test_the_first_value_of_a_parameter_wins() -> None:
    def group(tier: Tier, **of: object) -> Finding:
        origin = Origin(tier, "config", "c", "k", "run")
        return Finding(params=(ParamGroup({name: Value(each, origin) for name, each in of.items()}),))

    resolution = resolve(Answer("yaml", group("yaml", lr=0.1)), Answer("legacy", group("legacy", lr=0.2, seed=1)))
    assert params(resolution.params) == {"lr": 0.1, "seed": 1}


def test_the_tier_that_said_anything_carries_the_row() -> None:
    assert resolve(Answer("yaml", Finding()), Answer("legacy", finding("legacy", epoch=1))).source == "legacy"
    assert resolve(Answer("yaml"), Answer("wandb", finding("wandb", metrics={"a": 1.0}))).source == "wandb"
    assert resolve(Answer("yaml"), Answer("legacy")).source == "legacy"


def test_absent_withdraws_what_was_said_before() -> None:
    earlier: dict[Tier, Finding] = {"yaml": finding("yaml", hmean=0.9), "wandb": finding("wandb", epoch=3)}
    resolution = resolve(Answer("yaml"), Answer("wandb"), Answer("legacy"), earlier=earlier)
    assert known(resolution) == {}
    assert not resolution.failed


def test_failed_keeps_what_was_said_before_and_the_row_is_stale() -> None:
    earlier: dict[Tier, Finding] = {"wandb": finding("wandb", epoch=3, metrics={"val/loss": 0.1})}
    resolution = resolve(
        Answer("yaml"),
        failed("wandb", retryable=True),
        Answer("legacy", finding("legacy", epoch=7, head="h", metrics={"val/loss": 0.9})),
        earlier=earlier,
    )
    assert known(resolution) == {"epoch": (3, "wandb"), "head": ("h", "legacy"), "validation_loss": (0.1, "wandb")}
    assert resolution.metrics["val/loss"].value == 0.1, "an outage never turns known metrics into guesses"
    assert (resolution.source, set(resolution.failed)) == ("wandb", {"wandb"})
    assert resolution.problems[0] == Problem("/r/a/x.metadata.yaml", "wandb", "out of reach")


def test_failed_with_nothing_said_before() -> None:
    resolution = resolve(failed("yaml"), Answer("legacy", finding("legacy", epoch=7)))
    assert known(resolution) == {"epoch": (7, "legacy")}
    assert (resolution.source, set(resolution.failed)) == ("legacy", {"yaml"})


@pytest.mark.parametrize(("retryable", "recheck"), [(True, True), (False, False)])
def test_only_what_may_end_differently_is_tried_again(retryable: bool, recheck: bool) -> None:
    assert resolve(failed("yaml", retryable=retryable), Answer("legacy")).recheck is recheck


def test_a_file_that_is_being_written_is_looked_at_again() -> None:
    assert merge(FILE, HEADER, "writing", ()).recheck
    assert not merge(FILE, HEADER, "truncated", ()).recheck


def test_the_header_s_reason_is_the_first_problem() -> None:
    about = CheckpointHeader("torch_zip", "truncated", "ends at byte 7")
    said = Finding(problems=(Problem("/r/a/c.yaml", "legacy", "broken"),))
    resolution = merge(FILE, about, "truncated", [Answer("legacy", said)])
    assert [problem.reason for problem in resolution.problems] == ["ends at byte 7", "broken"]
    assert resolution.problems[0] == Problem(FILE.path, None, "ends at byte 7")


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ({"monitor": "val/loss", "monitor_mode": "min"}, "min"),
        ({"monitor": "val/f1", "monitor_mode": "max"}, None),
        ({"monitor_mode": "max"}, None),
    ],
)
def test_a_mode_of_another_tier_counts_for_the_same_monitor_only(said: dict[str, Any], mode: str | None) -> None:
    resolution = resolve(
        Answer("yaml", finding("yaml", monitor="val/loss")), Answer("legacy", finding("legacy", **said))
    )
    assert known(resolution).get("monitor_mode", (None,))[0] == mode


HEADLINES = [
    ({"val/hmean": 0.5, "cleval/hmean": 0.7}, 0.5),
    ({"test/hmean": 0.4, "val/hmean": 0.5}, 0.4),
    ({"cleval/hmean": 0.7}, 0.7),
    ({"val/hmean": float("nan"), "cleval/hmean": 0.7}, None),
    ({"val/hmean": 84.0}, None),
    ({"val/hmean": 0.0}, 0.0),
    ({"val/hmean_ema": 0.5}, None),
]


@pytest.mark.parametrize(("metrics", "hmean"), HEADLINES)
def test_a_headline_is_the_metric_of_that_name(metrics: dict[str, float], hmean: float | None) -> None:
    resolution = resolve(Answer("legacy", finding("legacy", metrics=metrics)))
    assert known(resolution).get("hmean", (None,))[0] == hmean


SIDECAR, HEADER_SAYS, ON_THE_STEP = value(0.5, "yaml"), value(0.4, "legacy", "header"), value(0.3, "legacy", "metrics")
AT_STEP, SUMMARY = value(0.2, "wandb"), value(0.1, "wandb", scope="run")
IN_NAME, IN_CONFIG = value(0.9, "legacy", "name"), value(0.8, "legacy", "config", "run")
EMBEDDED = value(0.6, "yaml", "embedded")


@pytest.mark.parametrize(
    ("wandb", "legacy", "counts"),
    [
        (AT_STEP, ON_THE_STEP, ON_THE_STEP),
        (AT_STEP, HEADER_SAYS, HEADER_SAYS),
        (AT_STEP, IN_NAME, AT_STEP),
        (SUMMARY, IN_NAME, IN_NAME),
        (SUMMARY, HEADER_SAYS, HEADER_SAYS),
        (SUMMARY, IN_CONFIG, SUMMARY),
        (AT_STEP, IN_CONFIG, AT_STEP),
    ],
)
@pytest.mark.parametrize("sidecar", [None, SIDECAR, EMBEDDED])
def test_the_value_that_counts_is_told_by_where_it_was_read(
    sidecar: Value | None, wandb: Value, legacy: Value, counts: Value
) -> None:
    first = [Answer("yaml", Finding(metrics={"m": sidecar}))] if sidecar else []
    answers = [
        *first,
        Answer("wandb", Finding({"epoch": wandb}, {"m": wandb})),
        Answer("legacy", Finding({"epoch": legacy}, {"m": legacy})),
    ]
    resolution = resolve(*answers)
    assert resolution.metrics["m"] == (sidecar or counts)
    assert resolution.fields["epoch"] == counts
    assert resolution.source == ("yaml" if sidecar else "wandb")


def test_a_run_s_parameters_come_after_the_checkpoint_s_own() -> None:
    def of(tier: Tier, role: OriginRole, scope: Scope, **values: Scalar) -> ParamGroup:
        return ParamGroup({name: Value(each, Origin(tier, role, "", "k", scope)) for name, each in values.items()})

    resolution = resolve(
        Answer("wandb", Finding(params=(of("wandb", "wandb", "run", lr=0.1, seed=1, depth=1),))),
        Answer(
            "legacy",
            Finding(params=(of("legacy", "header", "checkpoint", lr=0.2), of("legacy", "config", "run", depth=2, b=3))),
        ),
    )
    assert params(resolution.params) == {"lr": 0.2, "seed": 1, "depth": 1, "b": 3}


DIFFERING: list[tuple[Value, Value, str | None]] = [
    (SIDECAR, value(0.5000001, "legacy", "metrics"), None),
    (SIDECAR, value(0.504, "legacy", "metrics"), None),
    (SIDECAR, ON_THE_STEP, "drift: m is 0.5 by the sidecar, but 0.3 by ../metrics.csv; the first counts"),
    (SIDECAR, HEADER_SAYS, "drift: m is 0.5 by the sidecar, but 0.4 by the file; the first counts"),
    (SIDECAR, SUMMARY, None),
    (SIDECAR, IN_CONFIG, None),
    (SIDECAR, value(float("nan"), "legacy", "metrics"), None),
    (
        SIDECAR,
        value(float("inf"), "legacy", "header"),
        "drift: m is 0.5 by the sidecar, but inf by the file; the first counts",
    ),
    (value(0.43587, "yaml"), Value(0.436, Origin("legacy", "name", "", "m=0.436", "checkpoint")), None),
    (value(0.43587, "yaml"), Value(0.44, Origin("legacy", "name", "", "m=0.44", "checkpoint")), None),
    (
        value(0.43587, "yaml"),
        Value(0.45, Origin("legacy", "name", "", "m=0.45", "checkpoint")),
        "drift: m is 0.43587 by the sidecar, but 0.45 by the file's name; the first counts",
    ),
    (AT_STEP, ON_THE_STEP, "m is 0.3 by ../metrics.csv, but 0.2 by W&B; the first counts"),
    (EMBEDDED, SIDECAR, "drift: m is 0.6 by the record in the file, but 0.5 by the sidecar; the first counts"),
]


@pytest.mark.parametrize(("one", "other", "said"), DIFFERING)
def test_a_difference_beyond_rounding_is_a_problem_that_names_both_sides(
    one: Value, other: Value, said: str | None
) -> None:
    def at(each: Value) -> Finding:
        path = "../metrics.csv" if each.origin.role == "metrics" else ""
        return Finding(metrics={"m": Value(each.value, each.origin._replace(path=path))})

    resolution = resolve(Answer(one.origin.tier, at(one)), Answer(other.origin.tier, at(other)))
    assert [problem.reason for problem in resolution.problems] == ([said] if said else [])
    assert all(problem.path == FILE.path for problem in resolution.problems)


def test_epochs_and_steps_are_compared_as_well_and_names_are_not() -> None:
    resolution = resolve(
        Answer("yaml", finding("yaml", epoch=3, global_step=40, exp_name="a")),
        Answer("legacy", finding("legacy", epoch=4, global_step=40, exp_name="b")),
    )
    assert [problem.reason for problem in resolution.problems] == [
        "drift: epoch is 3 by the sidecar, but 4 by the file's name; the first counts"
    ]


@pytest.mark.parametrize(("said", "counts"), [(SIDECAR, HEADER_SAYS), (EMBEDDED, EMBEDDED)])
def test_the_file_s_own_epoch_counts_more_than_a_sidecar_s(said: Value, counts: Value) -> None:
    both = {"epoch": said}, {"epoch": HEADER_SAYS}
    resolution = resolve(Answer("yaml", Finding(both[0])), Answer("legacy", Finding(both[1])))
    assert resolution.fields["epoch"] == counts
    assert len(resolution.problems) == 1


def test_a_headline_follows_all_tiers_metrics_and_never_beats_one_that_was_written_down() -> None:
    header_says = Answer("legacy", finding("legacy", metrics={"cleval/hmean": 0.7, "cleval/recall": 0.6}))
    resolution = resolve(Answer("yaml", finding("yaml", hmean=0.1, metrics={"val/recall": 0.2})), header_says)
    assert known(resolution)["hmean"] == (0.1, "yaml")
    assert known(resolution)["recall"] == (0.2, "yaml"), "a val/ value is known"


def test_a_loss_may_exceed_1_but_not_be_negative() -> None:
    assert known(resolve(Answer("legacy", finding("legacy", metrics={"val/loss": 7.5}))))["validation_loss"][0] == 7.5
    assert "validation_loss" not in resolve(Answer("legacy", finding("legacy", metrics={"val_loss": -1.0}))).fields
