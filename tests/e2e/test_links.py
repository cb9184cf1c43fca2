"""A symbolic link beside its file is that file by another name: what is known of the one is known of the other."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from catalogdb import Catalog, Checkpoint, MetadataValidator
from catalogdb.demo import lay_out

FILE = "dbnet-resnet18/checkpoints/epoch=7-step=80.ckpt"
OTHER = "dbnet-resnet18/checkpoints/epoch=6-step=70.ckpt"
LINK = "dbnet-resnet18/checkpoints/best.ckpt"
OF_THE_NAME = {"id", "path", "rel_path", "link_target", "claims", "provenance", "weights", "problems"}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    outputs = lay_out(tmp_path)
    (outputs / LINK).symlink_to("epoch=7-step=80.ckpt")
    return outputs


def rows(outputs: Path, *paths: str) -> list[Checkpoint]:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(outputs, use_wandb=False)
        return [catalog.get(outputs / path) for path in paths]


def facts(row: Checkpoint) -> dict[str, object]:
    return {field.name: getattr(row, field.name) for field in fields(row) if field.name not in OF_THE_NAME}


@pytest.mark.parametrize("how", ["relative", "absolute", "chain"])
def test_a_link_has_what_the_sidecar_of_its_file_says(outputs: Path, how: str) -> None:
    if how != "relative":
        (outputs / LINK).unlink()
        (outputs / LINK).symlink_to(outputs / FILE)
    name = LINK
    if how == "chain":
        name = LINK.replace("best", "champion")
        (outputs / name).symlink_to("best.ckpt")
    link, file = rows(outputs, name, FILE)
    assert facts(link) == facts(file)
    assert link.source == "yaml"
    assert link.provenance["hmean"]["source"] == "epoch=7-step=80.metadata.yaml"
    assert not link.problems


def test_a_sidecar_under_the_link_s_name_counts_where_its_file_has_none(outputs: Path) -> None:
    """Beside that of the file it may be an old one: the link led elsewhere when it was written."""
    sidecar, own = (path.with_suffix(".metadata.yaml") for path in (outputs / FILE, outputs / LINK))
    stale = (outputs / OTHER).with_suffix(".metadata.yaml")
    own.write_text(stale.read_text(encoding="utf-8"), encoding="utf-8")
    link, file = rows(outputs, LINK, FILE)
    assert facts(link) == facts(file)
    assert not link.problems
    sidecar.replace(own)
    link, file = rows(outputs, LINK, FILE)
    assert (link.provenance["hmean"]["source"], link.source, file.source) == ("best.metadata.yaml", "yaml", "legacy")


def test_a_link_into_another_folder_has_no_sidecar_from_there(outputs: Path) -> None:
    """What it depends on lies in its own folder, so that a look at that is enough to know it."""
    (outputs / "best.ckpt").symlink_to(outputs / FILE)
    link, file = rows(outputs, "best.ckpt", FILE)
    assert (link.source, link.epoch, link.link_target) == ("legacy", file.epoch, file.path)


def test_a_link_to_another_run_s_checkpoint_has_nothing_of_the_run_that_it_lies_in(tmp_path: Path) -> None:
    """What a training began with, say. Its file's epoch and step are also those of a row there."""
    for name, loss in (("old", 0.25), ("new", 0.75)):
        run = tmp_path / name
        content = {"epoch": 3, "global_step": 40, "pytorch-lightning_version": "2.4.0", "state_dict": {}}
        (run / "checkpoints").mkdir(parents=True)
        torch.save(content, run / "checkpoints" / "epoch=3-step=40.ckpt")
        (run / "metrics.csv").write_text(f"epoch,step,val/loss\n3,39,{loss}\n", encoding="utf-8")
        (run / "config.yaml").write_text(f"exp_name: {name}\nlr: {loss}\n", encoding="utf-8")
    (tmp_path / "new" / "last.ckpt").symlink_to("checkpoints/epoch=3-step=40.ckpt")
    (tmp_path / "new" / "checkpoints" / "init.ckpt").symlink_to("../../old/checkpoints/epoch=3-step=40.ckpt")
    store = tmp_path / ".dvc" / "cache"
    store.mkdir(parents=True)
    shutil.copy(tmp_path / "new" / "checkpoints" / "epoch=3-step=40.ckpt", store / "d41d8cd9")
    (tmp_path / "new" / "checkpoints" / "kept.ckpt").symlink_to(store / "d41d8cd9")
    init, last, kept, old = rows(
        tmp_path,
        "new/checkpoints/init.ckpt",
        "new/last.ckpt",
        "new/checkpoints/kept.ckpt",
        "old/checkpoints/epoch=3-step=40.ckpt",
    )
    assert (init.epoch, init.global_step, init.metrics, init.params, init.config_path) == (3, 40, {}, {}, None)
    assert init.exp_name == "old"
    for row in (last, kept):
        assert (row.exp_name, row.metrics, row.params["lr"]) == ("new", {"val/loss": 0.75}, 0.75)
    assert (old.exp_name, old.metrics) == ("old", {"val/loss": 0.25})


def test_it_follows_its_file_and_that_file_s_sidecar(outputs: Path) -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(outputs, use_wandb=False)
        (outputs / LINK).unlink()
        (outputs / LINK).symlink_to("epoch=6-step=70.ckpt")
        catalog.ingest(outputs / LINK, use_wandb=False)
        assert facts(catalog.get(outputs / LINK)) == facts(catalog.get(outputs / OTHER))
        sidecar = (outputs / OTHER).with_suffix(".metadata.yaml")
        written = sidecar.read_text(encoding="utf-8")
        sidecar.unlink()
        catalog.ingest(sidecar, use_wandb=False)
        assert catalog.get(outputs / LINK).source == "legacy"
        sidecar.write_text(written, encoding="utf-8")
        catalog.ingest(sidecar, use_wandb=False)
        assert facts(catalog.get(outputs / LINK)) == facts(catalog.get(outputs / OTHER))


def test_what_is_wrong_with_the_sidecar_is_a_fault_of_its_file_alone(outputs: Path) -> None:
    (outputs / FILE).with_suffix(".metadata.yaml").write_text("training: {epoch: [\n", encoding="utf-8")
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(outputs, use_wandb=False)
        faults = [fault.path for fault in catalog.verify() if fault.kind == "sidecar"]
    assert faults == [str(outputs / FILE)]


def test_a_link_is_validated_by_what_counts_for_it(outputs: Path) -> None:
    validator = MetadataValidator()
    assert validator.validate_checkpoint_file(outputs / LINK).is_valid
    assert validator.validate_directory(outputs / "dbnet-resnet18").missing == 0
