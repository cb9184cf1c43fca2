from __future__ import annotations

import copy
import logging
import math
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
import yaml12
from pydantic import ValidationError

from catalogdb.documents import parse_document
from catalogdb.errors import MetadataError
from catalogdb.metadata import (
    CheckpointCatalog,
    CheckpointCatalogEntry,
    CheckpointMetadataV1,
    load_metadata,
    load_metadata_batch,
    parse_metadata,
    salvage,
    save_metadata,
)

EXAMPLE = """\
schema_version: "1.0"
checkpoint_path: dbnet-resnet50-20251018/checkpoints/epoch=10-step=5420.ckpt
exp_name: dbnet-resnet50-20251018
created_at: "2025-10-18T14:32:15"
training: {epoch: 10, global_step: 5420, training_phase: training, max_epochs: 50}
model:
  architecture: dbnet
  encoder: {model_name: resnet50, pretrained: true, frozen: false}
  decoder: {name: pan_decoder, in_channels: [256, 512, 1024, 2048], inner_channels: 256, output_channels: 128}
  head: {name: db_head, in_channels: 128, params: {box_thresh: 0.3, max_candidates: 300}}
  loss: {name: db_loss, params: {alpha: 1.0, beta: 10.0}}
metrics:
  precision: 0.8542
  recall: 0.8321
  hmean: 0.8430
  validation_loss: 0.0234
  additional_metrics: {val/iou: 0.7234, cleval/hmean: 0.8430}
checkpointing: {monitor: val/hmean, mode: max, save_top_k: 3, save_last: true}
hydra_config_path: dbnet-resnet50-20251018/.hydra/config.yaml
wandb_run_id: abc123def456
"""
DOCUMENT = parse_document(EXAMPLE.encode(), "x.metadata.yaml")
GONE = object()


def example() -> CheckpointMetadataV1:
    return parse_metadata(DOCUMENT, "x.metadata.yaml")


def changed(place: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    *sections, key = place.split(".")
    holder = document
    for section in sections:
        holder = holder.setdefault(section, {})
    if value is GONE:
        del holder[key]
    else:
        holder[key] = value
    return document


def value_at(document: Any, place: str) -> Any:
    for key in place.split("."):
        document = document.get(key, GONE)
        if document is GONE:
            break
    return document


class TestModel:
    def test_example(self) -> None:
        metadata = example()
        assert metadata.training.epoch == 10
        assert metadata.model.encoder.model_name == "resnet50"
        assert metadata.model.decoder.in_channels == [256, 512, 1024, 2048]
        assert metadata.model.decoder.params == {}
        assert metadata.metrics.additional_metrics == {"val/iou": 0.7234, "cleval/hmean": 0.843}
        assert metadata.checkpointing.mode == "max"

    def test_defaults(self) -> None:
        document = changed("schema_version", GONE)
        document["training"] = {"epoch": 0, "global_step": 0}
        document["model"]["encoder"] = {"model_name": "vit"}
        document["metrics"] = {}
        document["checkpointing"] = {"monitor": "loss", "mode": "min"}
        metadata = parse_metadata(document, "x")
        assert metadata.schema_version == "1.0"
        assert metadata.training.training_phase == "training"
        assert (metadata.model.encoder.pretrained, metadata.model.encoder.frozen) == (True, False)
        assert (metadata.checkpointing.save_top_k, metadata.checkpointing.save_last) == (1, True)
        assert metadata.metrics.hmean is None

    def test_text_is_stripped_and_additions_are_passed_over(self) -> None:
        document = changed("model.decoder.params", {"act": " relu "})
        document |= {"exp_name": "  x ", "added": {"by": "hand"}}
        metadata = parse_metadata(document, "x")
        assert metadata.exp_name == "x"
        assert metadata.model.decoder.params == {"act": "relu"}
        assert not hasattr(metadata, "added")

    def test_assignment_is_validated(self) -> None:
        metadata = example()
        metadata.metrics.hmean = 0.0
        with pytest.raises(ValidationError):
            metadata.metrics.hmean = 84.3
        with pytest.raises(ValidationError):
            metadata.created_at = "yesterday"
        assert metadata.metrics.hmean == 0.0

    @pytest.mark.parametrize(
        ("place", "value", "read"),
        [
            ("training.epoch", 10.0, 10),
            ("training.epoch", "10", 10),
            ("metrics.hmean", "0.84", 0.84),
            ("metrics.hmean", 0.0, 0.0),
            ("metrics.validation_loss", math.inf, math.inf),
            ("metrics.additional_metrics", {"a": math.inf, "b": "1e-3"}, {"a": math.inf, "b": 0.001}),
            ("model.head.params", {"a": True, "b": None, "c": 1}, {"a": True, "b": None, "c": 1}),
            ("checkpointing.save_top_k", -1, -1),
            ("schema_version", 1.0, "1.0"),
            ("created_at", "2025-10-18 14:32:15.123456+02:00", "2025-10-18 14:32:15.123456+02:00"),
            ("model.encoder.pretrained", None, True),
            ("model.loss.params", None, {}),
        ],
    )
    def test_accepted(self, place: str, value: Any, read: Any) -> None:
        metadata = parse_metadata(changed(place, value), "x")
        assert value_at(metadata.model_dump(), place) == read

    @pytest.mark.parametrize(
        ("place", "value", "reason"),
        [
            ("schema_version", "2.0", "should be '1.0', not '2.0'"),
            ("exp_name", GONE, "is missing"),
            ("training", None, "is missing"),
            ("training", 5, "should be a mapping, not 5"),
            ("training.epoch", -1, "greater than or equal to 0, not -1"),
            ("training.epoch", 10.5, "should be a whole number, not 10.5"),
            ("training.epoch", True, "should be a number, not True"),
            ("training.global_step", 2**63, "less than or equal to"),
            ("training.training_phase", "testing", "should be 'training', 'validation' or 'finetuning'"),
            ("training.max_epochs", 0, "greater than or equal to 1"),
            ("exp_name", 20251018, "should be text, not 20251018: put it in quotes"),
            ("created_at", "2025-13-01", "should be an ISO 8601 time"),
            ("model.decoder.in_channels", [1, True], "should be a number"),
            ("model.decoder.in_channels", [1, None], "should be a valid integer, not None"),
            ("model.decoder.params.dilation", [1, 2], "should be a single number, text, true, false or null"),
            ("model.loss.params.alpha", "much", "should be a valid number"),
            ("metrics.hmean", 84.3, "less than or equal to 1, not 84.3"),
            ("metrics.hmean", True, "should be a number"),
            ("metrics.hmean", math.nan, "not nan"),
            ("metrics.validation_loss", math.nan, "not nan"),
            ("metrics.additional_metrics.val/iou", "x" * 99, "xxx..."),
            ("checkpointing.mode", "best", "should be 'min' or 'max'"),
            ("checkpointing.save_top_k", -2, "greater than or equal to -1"),
        ],
    )
    def test_refused_and_salvaged(self, place: str, value: Any, reason: str) -> None:
        document = changed(place, value)
        with pytest.raises(MetadataError) as caught:
            parse_metadata(document, "dir/x.metadata.yaml")
        assert (caught.value.path, caught.value.field) == ("dir/x.metadata.yaml", place)
        assert reason in caught.value.reason
        if place == "schema_version":
            with pytest.raises(MetadataError, match="schema_version"):
                salvage(document, "x")
            return
        before = copy.deepcopy(document)
        known, errors = salvage(document, "x")
        assert [error.field for error in errors] == [place]
        assert value_at(known, place) is GONE
        assert str(document) == str(before)
        for other in ("training.global_step", "metrics.recall", "wandb_run_id"):
            assert other.startswith(place) or value_at(known, other) == value_at(DOCUMENT, other)

    def test_several_faults(self) -> None:
        document = changed("metrics.hmean", 84.3) | {"exp_name": 5}
        del document["checkpointing"]
        with pytest.raises(MetadataError, match=r"exp_name: .* \(and 2 more\)"):
            parse_metadata(document, "x")


class TestSalvage:
    def test_of_a_valid_document_is_what_was_written(self) -> None:
        known, errors = salvage(DOCUMENT, "x")
        assert (known, errors) == (DOCUMENT, [])

    def test_fills_nothing_in(self) -> None:
        known, errors = salvage({"training": {"epoch": 0}, "metrics": {"hmean": 0, "recall": None}}, "x")
        assert known == {"training": {"epoch": 0}, "metrics": {"hmean": 0.0}}
        assert {error.reason for error in errors} == {"is missing"}
        assert "training.global_step" in {error.field for error in errors}

    def test_shared_parts_are_told_apart(self) -> None:
        text = "training: &t {epoch: x, global_step: 3}\nmetrics: {additional_metrics: *t}\n"
        known, _ = salvage(parse_document(text.encode(), "x"), "x")
        assert known == {"training": {"global_step": 3}, "metrics": {"additional_metrics": {"global_step": 3.0}}}

    def test_a_file_cut_off_anywhere_never_gives_a_wrong_value(self) -> None:
        block = yaml.safe_dump(DOCUMENT, sort_keys=False)
        for text in (EXAMPLE, block, yaml.safe_dump(DOCUMENT)):
            for end in range(len(text)):
                try:
                    known, _ = salvage(parse_document(text[:end].encode(), "x"), "x")
                except MetadataError:
                    continue
                _assert_within(known, DOCUMENT)

    def test_a_whole_last_line_is_believed(self) -> None:
        known, _ = salvage(parse_document(b"training:\n  epoch: 10\n", "x"), "x")
        assert known == {"training": {"epoch": 10}}
        known, errors = salvage(parse_document(b"training:\n  epoch: 10", "x"), "x")
        assert known == {"training": {}}
        assert "the file ends here" in errors[-1].reason


def _assert_within(known: dict[str, Any], truth: dict[str, Any]) -> None:
    for key, value in known.items():
        if isinstance(value, dict):
            _assert_within(value, truth[key])
        else:
            assert value == truth[key], key


class TestLoad:
    def test_beside_the_checkpoint(self, tmp_path: Path) -> None:
        (tmp_path / "model_best.pth.metadata.yaml").write_text(EXAMPLE)
        assert load_metadata(tmp_path / "model_best.pth.tar") == example()
        assert load_metadata(str(tmp_path / "model_best.pth.tar")) == example()

    def test_none_without_a_word(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert load_metadata(tmp_path / "x.ckpt") is None
        assert caplog.records == []

    @pytest.mark.parametrize(
        ("text", "word"),
        [("a: [", "valid YAML"), ("", "is missing"), (EXAMPLE.replace("0.8430\n", "84.3\n", 1), "metrics.hmean")],
    )
    def test_none_and_one_warning(self, text: str, word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "x.metadata.yaml").write_text(text)
        assert load_metadata(tmp_path / "x.ckpt") is None
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert str(tmp_path / "x.metadata.yaml") in record.getMessage()
        assert word in record.getMessage()

    def test_no_access(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "file").write_text("")
        assert load_metadata(tmp_path / "file" / "x.ckpt") is None
        assert "can't be read" in caplog.text

    def test_batch(self, tmp_path: Path) -> None:
        (tmp_path / "a.metadata.yaml").write_text(EXAMPLE)
        batch = load_metadata_batch([tmp_path / "a.ckpt", str(tmp_path / "b.ckpt")])
        assert batch == {tmp_path / "a.ckpt": example(), tmp_path / "b.ckpt": None}


class TestSave:
    def test_comes_back(self, tmp_path: Path) -> None:
        metadata = example()
        metadata.metrics.additional_metrics = {"a": 1e-05, "b": 0.1 + 0.2, "c": -math.inf, "1e-3": 5e-324}
        metadata.wandb_run_id = None
        metadata.exp_name = "1e-3"
        metadata.model.head.params = {"a": "yes", "b": "2025-10-18", "c": 1, "d": True, "e": 'ü\u2028"\n.'}
        path = save_metadata(metadata, tmp_path / "x.ckpt")
        assert path == tmp_path / "x.metadata.yaml"
        assert load_metadata(tmp_path / "x.ckpt") == metadata
        text = path.read_text(encoding="utf-8")
        documents: tuple[Any, Any] = (yaml.safe_load(text), yaml12.parse_yaml(text))
        for document in documents:
            assert CheckpointMetadataV1.model_validate(document) == metadata
            assert "wandb_run_id" not in document
            assert list(document) == [name for name in CheckpointMetadataV1.model_fields if name != "wandb_run_id"]

    def test_mode_is_the_usual_one_or_kept(self, tmp_path: Path) -> None:
        old = os.umask(0o027)
        try:
            path = save_metadata(example(), tmp_path / "x.ckpt")
        finally:
            os.umask(old)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        save_metadata(example(), tmp_path / "x.ckpt")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
        assert os.listdir(tmp_path) == ["x.metadata.yaml"]  # noqa: PTH208  (the hidden ones as well)

    def test_nothing_invalid_is_written(self, tmp_path: Path) -> None:
        metadata = example()
        metadata.metrics.additional_metrics["a"] = "x"  # type: ignore[assignment]
        with pytest.raises(MetadataError, match=r"additional_metrics\.a"):
            save_metadata(metadata, tmp_path / "x.ckpt")
        metadata = example()
        metadata.model.head.params = {"a": "\udcff"}
        with pytest.raises(MetadataError, match="no valid Unicode"):
            save_metadata(metadata, tmp_path / "x.ckpt")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_none_is_told_by_the_sidecar_s_own_name(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for folder, kind in (("gone", FileNotFoundError), ("file", NotADirectoryError)):
            with pytest.raises(kind) as caught:
                save_metadata(example(), tmp_path / folder / "x.ckpt")
            assert caught.value.filename == str(tmp_path / folder / "x.metadata.yaml")

    def test_full_disk_leaves_the_old_sidecar_and_nothing_else(self, tmp_path: Path) -> None:
        path = save_metadata(example(), tmp_path / "x.ckpt")
        before = path.read_bytes()
        program = (
            "import resource, signal, sys\n"
            "from catalogdb.metadata import load_metadata, save_metadata\n"
            "metadata = load_metadata(sys.argv[1])\n"
            "metadata.exp_name = 'other'\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "try:\n"
            "    save_metadata(metadata, sys.argv[1])\n"
            "except OSError as error:\n"
            "    sys.stdout.write('OSError')\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "x.ckpt")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "OSError"), done.stderr
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


class TestDisplay:
    ENTRY = CheckpointCatalogEntry(
        checkpoint_path=Path("/o/x/checkpoints/epoch=10.ckpt"), display_name="epoch=10", architecture="dbnet",
        backbone="resnet50", exp_name="exp_name", epochs=10, created_timestamp="20251018_1432", hmean=0.843,
        precision=0.8542, recall=0.8321,
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("update", "shown"),
        [
            ({}, "dbnet · resnet50 · exp_name (ep10 • hmean 0.843 • prec 0.854 • rec 0.832 • 20251018_1432)"),
            (
                {"exp_name": "dbnet", "hmean": 0.0, "precision": None, "recall": None, "epochs": 0},
                "dbnet · resnet50 (ep0 • hmean 0.000 • 20251018_1432)",
            ),
            ({"exp_name": "e" * 23, "hmean": None, "precision": None, "recall": None, "created_timestamp": ""},
             f"dbnet · resnet50 · {'e' * 23} (ep10)"),
            ({"exp_name": "e" * 24, "backbone": "", "hmean": None, "precision": None, "recall": None},
             f"dbnet · {'e' * 20}... (ep10 • 20251018_1432)"),
        ],
    )  # fmt: skip
    def test_option(self, update: dict[str, Any], shown: str) -> None:
        assert self.ENTRY.model_copy(update=update).to_display_option() == shown

    def test_bounds(self) -> None:
        with pytest.raises(ValidationError):
            CheckpointCatalogEntry.model_validate({**self.ENTRY.model_dump(), "hmean": 1.1})

    def test_coverage(self) -> None:
        catalog = CheckpointCatalog(total_count=3, metadata_available_count=1, outputs_dir=Path("/o"))
        assert catalog.metadata_coverage_percent == pytest.approx(100 / 3)
        assert CheckpointCatalog(outputs_dir=Path("/o")).metadata_coverage_percent == 0
