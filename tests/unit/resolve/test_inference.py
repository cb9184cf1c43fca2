"""The last tier: header before config before names, and each value with where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogdb.config_facts import config_facts
from catalogdb.records import FIELD_NAMES, CheckpointHeader, ModelIdentity, Source
from catalogdb.resolve import Hints, InferenceResolver
from tests.unit.resolve.support import candidate, header, inferred, keeper, metrics, params, values

CONFIG: dict[str, Any] = {
    "model": {
        "architecture_name": "craft",
        "encoder": {"model_name": "resnet18"},
        "decoder": {"_target_": "ocr.models.CraftDecoder"},
        "head": {"name": "craft_head", "_target_": "ocr.models.Head"},
        "loss": {"name": "craft_loss"},
    },
    "trainer": {"max_epochs": 30},
    "callbacks": {"model_checkpoint": {"monitor": "val/loss", "mode": "min"}},
    "logger": {"wandb": {"id": "abc", "entity": "team", "project": "ocr"}},
    "seed": 42,
}


def test_nothing_but_a_name(tmp_path: Path) -> None:
    finding = inferred(candidate(tmp_path, "dbnet-resnet50-01/checkpoints/epoch=0-step=5.ckpt"))
    assert values(finding) == {
        "epoch": 0,
        "global_step": 5,
        "architecture": "dbnet",
        "backbone": "resnet50",
        "exp_name": "dbnet-resnet50-01",
    }
    assert finding.fields["epoch"].origin[:3] == ("legacy", "name", "")
    assert finding.fields["epoch"].origin.scope == "checkpoint"
    assert finding.fields["architecture"].origin.scope == "run"
    assert not finding.metrics


def test_nothing_at_all(tmp_path: Path) -> None:
    assert values(inferred(candidate(tmp_path, "model.pt"))) == {}


def test_the_config_of_the_run(tmp_path: Path) -> None:
    found = candidate(tmp_path, "run/checkpoints/best.ckpt", config=CONFIG)
    finding = inferred(found)
    assert values(finding) == {
        "architecture": "craft",
        "backbone": "resnet18",
        "decoder": "CraftDecoder",
        "head": "craft_head",
        "loss": "craft_loss",
        "max_epochs": 30,
        "monitor": "val/loss",
        "monitor_mode": "min",
        "wandb_run_id": "team/ocr/abc",
        "config_path": str(tmp_path / "run/.hydra/config.yaml"),
        "exp_name": "run",
        "claims": "best",
    }
    origin = finding.fields["architecture"].origin
    assert origin == ("legacy", "config", "../.hydra/config.yaml", "model.architecture_name", "run")
    assert params(finding.params)["seed"] == 42
    assert params(finding.params)["trainer.max_epochs"] == 30


def test_a_name_that_comes_out_twice_is_one_parameter(tmp_path: Path) -> None:
    finding = inferred(candidate(tmp_path, config={"x": {"y.0": 3, "y": [4, 5]}}))
    assert params(finding.params) == {"x.y.0": 4, "x.y.1": 5}


def test_a_header_s_epoch_is_not_the_config_s_max_epochs(tmp_path: Path) -> None:
    finding = inferred(candidate(tmp_path, "run/checkpoints/best.ckpt", config=CONFIG), header(epoch=0, global_step=0))
    assert (values(finding)["epoch"], values(finding)["global_step"], values(finding)["max_epochs"]) == (0, 0, 30)


def test_the_header_before_the_config_before_the_names(tmp_path: Path) -> None:
    about = header(
        keeper({"epoch=1-step=20.ckpt": 0.25}),
        hyper_parameters={"architecture_name": "dbnet", "encoder_name": " resnet50 ", "max_epochs": 9, "seed": 7},
    )
    found = candidate(tmp_path, "pan-resnet101/checkpoints/epoch=8-step=800.ckpt", config=CONFIG)
    finding = inferred(found, about)
    known = values(finding)
    assert (known["epoch"], known["global_step"]) == (1, 20)
    assert (known["architecture"], known["backbone"], known["max_epochs"]) == ("dbnet", "resnet50", 9)
    assert known["decoder"] == "CraftDecoder"
    assert metrics(finding) == {"val/loss": 0.25}
    assert params(finding.params)["seed"] == 7
    assert finding.fields["architecture"].origin.role == "header"


@pytest.mark.parametrize("value", ["unknown", "", None, 3, True, "${model}"])
def test_a_hyper_parameter_that_says_nothing_leaves_the_word_to_the_config(tmp_path: Path, value: Any) -> None:
    about = header(hyper_parameters={"architecture_name": value, "max_epochs": 0})
    known = values(inferred(candidate(tmp_path, config=CONFIG), about))
    assert (known["architecture"], known["max_epochs"]) == ("craft", 30)


def test_a_mode_is_that_of_its_own_monitor(tmp_path: Path) -> None:
    """The header's callback monitors something else than the config's, and its key told no mode."""
    about = header(keeper(monitor="val/f1", mode=None))
    known = values(inferred(candidate(tmp_path, config=CONFIG), about))
    assert known["monitor"] == "val/f1"
    assert "monitor_mode" not in known
    same = values(inferred(candidate(tmp_path, config=CONFIG), header(keeper(monitor="val/loss", mode=None))))
    assert same["monitor_mode"] == "min"


def test_names_are_only_asked_for_what_no_other_tier_knows(tmp_path: Path) -> None:
    found = candidate(tmp_path, "dbnet-resnet50/checkpoints/x.ckpt")
    finding = InferenceResolver().resolve(found, wanted={"epoch"}, hints=Hints(CheckpointHeader(None)))
    assert finding is not None
    assert values(finding) == {}


def test_metrics_that_the_file_states_of_itself(tmp_path: Path) -> None:
    finding = inferred(candidate(tmp_path), header(metrics={"cleval/hmean": 0.0, "cleval/recall": 0.5}))
    assert metrics(finding) == {"cleval/hmean": 0.0, "cleval/recall": 0.5}
    assert finding.metrics["cleval/hmean"].origin[1:] == ("header", "", "cleval_metrics.hmean", "checkpoint")


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "\x00", "just text"])
def test_a_broken_config_is_a_problem_and_takes_nothing_else_with_it(tmp_path: Path, text: str) -> None:
    found = candidate(tmp_path, "dbnet/checkpoints/epoch=1.ckpt", config=text)
    finding = inferred(found, header())
    assert values(finding)["architecture"] == "dbnet"
    assert values(finding)["epoch"] == 1
    assert values(finding)["config_path"] == found.sources[0].path
    assert not text or [problem.path for problem in finding.problems] == [found.sources[0].path]


def test_a_config_is_read_once_for_all_its_checkpoints(tmp_path: Path) -> None:
    resolver = InferenceResolver()
    first = candidate(tmp_path, "run/checkpoints/a.ckpt", config=CONFIG)
    hints = Hints(CheckpointHeader(None))
    assert resolver.resolve(first, wanted=FIELD_NAMES, hints=hints)
    Path(first.sources[0].path).unlink()
    second = resolver.resolve(first, wanted=FIELD_NAMES, hints=hints)
    assert second is not None
    assert values(second)["architecture"] == "craft"
    changed = first.sources[0]._replace(stamp=first.sources[0].stamp._replace(mtime_ns=1))
    third = resolver.resolve(_with(first.root, first.rel_path, changed), wanted=FIELD_NAMES, hints=hints)
    assert third is not None
    assert third.problems, "another stamp is another config"


def _with(root: str, rel_path: str, config: Source) -> Any:
    found = candidate(root, rel_path)
    return type(found)(root, rel_path, found.stamp, (config,))


@pytest.mark.parametrize(
    ("document", "field", "value"),
    [
        ({"model": {"architectures": "pan"}}, "architecture", "pan"),
        ({"model": {"architecture": "pan"}}, "architecture", "pan"),
        ({"model": {"architecture_name": "a", "architectures": "b", "architecture": "c"}}, "architecture", "a"),
        ({"model": {"architecture_name": "unknown", "architecture": "c"}}, "architecture", "c"),
        ({"model": {"architecture": {"name": "x"}}}, "architecture", None),
        ({"model": "dbnet"}, "architecture", None),
        ({"model": {"loss": {"_target_": "DBLoss"}}}, "loss", "DBLoss"),
        ({"model": {"loss": {"_target_": "a.b."}}}, "loss", None),
        ({"model": {"loss": {"name": "${loss}", "_target_": "a.L1"}}}, "loss", "L1"),
        ({"trainer": {"max_epochs": -1}}, "max_epochs", None),
        ({"trainer": {"max_epochs": True}}, "max_epochs", None),
        ({"trainer": {"max_epochs": 10**30}}, "max_epochs", None),
        ({"trainer": {"max_epochs": "${epochs}"}}, "max_epochs", None),
        ({"callbacks": {"model_checkpoint": {"mode": "max"}}}, "monitor_mode", None),
        ({"callbacks": {"model_checkpoint": {"monitor": "m", "mode": "auto"}}}, "monitor_mode", None),
        ({"logger": {"wandb": {"id": "abc"}}}, "wandb_run_id", "abc"),
        ({"logger": {"wandb": {"id": "abc", "project": "p"}}}, "wandb_run_id", "abc"),
        ({"logger": {"wandb": {"id": "${run}"}}}, "wandb_run_id", None),
    ],
)
def test_what_a_config_says(document: dict[str, Any], field: str, value: object) -> None:
    found = config_facts(document).fields.get(field)
    assert (found and found[0]) == value


# -- what the tensors prove --------------------------------------------------------------------------------------------


def test_what_the_tensors_prove_counts_more_than_config_and_names(tmp_path: Path) -> None:
    found = candidate(tmp_path, "pan-resnet50/checkpoints/last.ckpt", config=CONFIG)
    finding = inferred(found, header(model=ModelIdentity("dbnet", "resnet34", "tensors")))
    assert (values(finding)["architecture"], values(finding)["backbone"]) == ("dbnet", "resnet34")
    assert finding.fields["backbone"].origin == ("legacy", "header", "", "tensors", "checkpoint")
    only_encoder = inferred(found, header(model=ModelIdentity(None, "resnet34", "tensors")))
    assert (values(only_encoder)["architecture"], values(only_encoder)["backbone"]) == ("craft", "resnet34")


@pytest.mark.parametrize(
    ("stated", "counts"),
    [
        ({"encoder_name": "resnet18", "architecture_name": "craft"}, ("dbnet", "resnet34")),
        (
            {"encoder_name": "timm/resnet34.a1_in1k", "architecture_name": "my_dbnet"},
            ("my_dbnet", "timm/resnet34.a1_in1k"),
        ),
        ({}, ("dbnet", "resnet34")),
    ],
)
def test_a_stated_model_is_believed_unless_the_tensors_are_another_s(
    tmp_path: Path, stated: dict[str, Any], counts: tuple[str, str]
) -> None:
    about = header(hyper_parameters=stated, model=ModelIdentity("dbnet", "resnet34", "tensors"))
    known = values(inferred(candidate(tmp_path, "x.ckpt"), about))
    assert (known["architecture"], known["backbone"]) == counts
