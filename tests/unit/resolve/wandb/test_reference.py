"""Which run a checkpoint is of: who says it, in which order, and which guesses are made where nobody does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogdb.records import (
    Candidate,
    CheckpointHeader,
    LoopProgress,
    MonitorState,
    Origin,
    ParamGroup,
    Resolution,
    RunQuestion,
    RunRef,
    RunSource,
    Stamp,
    Value,
)
from catalogdb.resolve.wandb import RunFolders, RunQuestions, parse_run
from catalogdb.resolve.wandb.reference import validation_step
from tests.unit.resolve.support import header

RUN = "abc123de"


def known(run_id: str | None = None, *, role: Any = "sidecar", **wandb: str) -> Resolution:
    """What the other tiers said: a run's id, and the config's ``logger.wandb``."""
    fields = {"wandb_run_id": Value(run_id, Origin("yaml", role, "", "wandb_run_id", "run"))} if run_id else {}
    origin = Origin("legacy", "config", "config.yaml", "", "run")
    named = {f"logger.wandb.{name}": Value(text, origin) for name, text in wandb.items()}
    return Resolution(place(), "ready", None, "legacy", fields, params=(ParamGroup(named),) if named else ())


def place(path: str = "/data/outputs/dbnet/checkpoints/epoch=1-step=20.ckpt") -> Candidate:
    return Candidate("/data", path.removeprefix("/data/"), Stamp(1, 2, 3, 4))


def asked(candidate: Candidate, head: CheckpointHeader, said: Resolution, *, folders: RunFolders | None = None) -> Any:
    return RunQuestions(folders or RunFolders()).ask(candidate, head, said)


def refs(
    candidate: Candidate | None = None,
    *,
    said: Resolution | None = None,
    folders: RunFolders | None = None,
    monitors: tuple[MonitorState, ...] = (MonitorState("val/hmean", "max"),),
    **params: Any,
) -> list[tuple[Any, ...]]:
    question: RunQuestion | None = asked(
        candidate or place(), header(*monitors, hyper_parameters=params), said or known(), folders=folders
    )
    return [tuple(ref) for ref in question.refs] if question is not None else []


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("abc123de", (RUN, "me", "mine", "config")),
        ("ocr/abc123de", (RUN, "me", "ocr", "config")),
        ("team/ocr/abc123de", (RUN, "team", "ocr", "config")),
        (" /team/ocr/abc123de/ ", (RUN, "team", "ocr", "config")),
        ("a/b/c/d", None),
        ("team//abc123de", None),
        ("", None),
    ],
)
def test_a_run_as_text(text: str, ref: tuple[str, ...] | None) -> None:
    found = parse_run(text, "config", "me", "mine")
    assert (None if found is None else tuple(found)) == ref


@pytest.mark.parametrize(("role", "source"), [("sidecar", "sidecar"), ("config", "config"), ("embedded", "sidecar")])
def test_what_is_written_down_counts_first(role: str, source: RunSource) -> None:
    said = known(RUN, role=role, entity="team", project="ocr")
    assert refs(said=said, wandb_run_id="other000") == [
        (RUN, "team", "ocr", source),
        ("other000", "team", "ocr", "hyper_parameters"),
    ]


def test_a_whole_reference_is_taken_as_it_is() -> None:
    said = known(f"one/first/{RUN}", entity="team", project="ocr")
    assert refs(said=said) == [(RUN, "one", "first", "sidecar")]


@pytest.mark.parametrize(
    ("params", "ref"),
    [
        ({"wandb_run_id": RUN}, (RUN, "", "", "hyper_parameters")),
        ({"logger.wandb.id": RUN, "logger.wandb.project": "ocr"}, (RUN, "", "ocr", "hyper_parameters")),
        ({"wandb.id": RUN, "wandb.entity": "team", "wandb.project": "ocr"}, (RUN, "team", "ocr", "hyper_parameters")),
        ({"wandb_id": f"team/ocr/{RUN}"}, (RUN, "team", "ocr", "hyper_parameters")),
    ],
)
def test_hyper_parameters(params: dict[str, Any], ref: tuple[str, ...]) -> None:
    assert refs(**params) == [ref]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/ocr/abc123de/checkpoints/a.ckpt", [(RUN, "", "ocr", "path")]),
        ("/data/ocr/abc123de/checkpoints/epoch=4-val/hmean=0.8.ckpt", [(RUN, "", "ocr", "path")]),
        ("/data/outputs/dbnet-resnet50-abc123de/checkpoints/a.ckpt", [(RUN, "", "", "path")]),
        ("/data/outputs/dbnet_abc123de/a.ckpt", [(RUN, "", "", "path")]),
        ("/data/outputs/dbnet-20251018/checkpoints/a.ckpt", []),
        ("/data/outputs/dbnet-finetune/checkpoints/a.ckpt", []),
        ("/data/outputs/dbnet/checkpoints/a.ckpt", []),
    ],
    ids=["logger", "a folder for a metric", "name ends in an id", "without checkpoints", "date", "word", "name"],
)
def test_guesses_from_the_path(path: str, expected: list[tuple[str, ...]]) -> None:
    assert refs(place(path)) == expected


def test_a_backbone_is_no_run() -> None:
    assert refs(place("/data/outputs/dbnet-resnet18/checkpoints/a.ckpt")) == []


def test_a_guess_from_where_it_was_saved() -> None:
    saved = MonitorState("val/hmean", "max", dirpath="/home/ada/ocr/abc123de/checkpoints")
    assert refs(monitors=(saved,)) == [(RUN, "", "ocr", "dirpath")]
    there = place("/data/ocr/abc123de/checkpoints/a.ckpt")
    assert refs(there, monitors=(saved,)) == [(RUN, "", "ocr", "path")], "the path comes first, and each run once"


def test_run_folders_beside_the_latest_first(tmp_path: Path) -> None:
    for name in ("offline-run-20261018_143215-aaa00001", "run-20261018_150000-bbb00002"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    (tmp_path / "wandb" / "latest-run").symlink_to("run-20261018_150000-bbb00002")
    candidate = Candidate(str(tmp_path), "dbnet/checkpoints/a.ckpt", Stamp(1, 2, 3, 4))
    assert [(ref[0], ref[3]) for ref in refs(candidate)] == [("bbb00002", "run folder"), ("aaa00001", "run folder")]


def test_a_whole_project_beside_it_is_no_guess(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / "wandb" / f"run-20261018_14321{number}-aaa0000{number}").mkdir(parents=True)
    candidate = Candidate(str(tmp_path), "dbnet/checkpoints/a.ckpt", Stamp(1, 2, 3, 4))
    assert refs(candidate) == []


def test_no_guess_without_anything_that_could_confirm_it() -> None:
    there = place("/data/ocr/abc123de/checkpoints/a.ckpt")
    assert refs(there, monitors=()) == []
    assert refs(there, monitors=(), lr=0.1, depth=3) == []
    assert refs(there, monitors=(), lr=0.1, depth=3, width=4) == [(RUN, "", "ocr", "path")]


def test_what_confirms_a_guess_goes_with_the_question() -> None:
    there = place("/data/ocr/abc123de/checkpoints/a.ckpt")
    head = header(MonitorState("val/hmean", "max", current_score=0.5), hyper_parameters={"lr": 0.1, "note": None})
    question = asked(there, head, known())
    assert question.params == {"lr": 0.1}
    assert [(score.monitor, score.own, score.last) for score in question.scores] == [("val/hmean", None, 0.5)]
    assert (question.folder, question.epoch, question.step) == ("/data/ocr/abc123de/checkpoints", 1, 20)
    assert asked(there, head, known(RUN)).params == {}, "what is stated needs no confirmation"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (header(progress=LoopProgress(False, True, True, True, True, row=19)), (19, True)),
        (header(progress=LoopProgress(True, True, True, False, True)), (19, False)),
        (header(), (19, False)),
        (header(global_step=0), (None, True)),
        (header(framework=None), (None, True)),
    ],
    ids=["told by the loop", "the loop doesn't tell", "no loop", "before the first step", "another framework"],
)
def test_the_step_of_the_validation(head: CheckpointHeader, expected: tuple[int | None, bool]) -> None:
    assert validation_step(head) == expected


def test_a_reference_says_whether_it_is_stated() -> None:
    sources: dict[RunSource, bool] = {
        "sidecar": True,
        "config": True,
        "hyper_parameters": True,
        "path": False,
        "dirpath": False,
        "run folder": False,
    }
    assert {source: RunRef(RUN, "", "", source).stated for source in sources} == sources
