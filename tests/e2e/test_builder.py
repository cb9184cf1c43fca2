"""``build_catalog``: the seed's list of entries for a dropdown, over the persistent catalog."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from catalogdb import Catalog, CheckpointCatalogBuilder, build_catalog
from catalogdb.demo import lay_out
from catalogdb.settings import Settings, load_settings


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CATALOGDB_OFFLINE", "1")
    monkeypatch.delenv("CATALOGDB_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path)


def test_entries_are_sorted_and_read_well(outputs: Path) -> None:
    catalog = build_catalog(outputs, use_cache=False)
    order = [(each.architecture, each.backbone, each.epochs, each.checkpoint_path.name) for each in catalog.entries]
    assert order == sorted(order)
    assert {each.architecture for each in catalog.entries} == {"craft", "dbnet", "pan"}
    assert all(each.checkpoint_path.is_absolute() and each.checkpoint_path.is_file() for each in catalog.entries)
    options = [re.sub(r" • \d{8}_\d{4}\)$", ")", each.to_display_option()) for each in catalog.entries]
    assert options[2] == "craft · resnet18 · craft-resnet18 (ep7 • hmean 0.742 • prec 0.837 • rec 0.666)"
    assert options[4].startswith("dbnet · mobilenetv3_small_050 · dbnet-mobilenetv3_sm... (ep3 • hmean 0.746")
    entry = catalog.entries[10]
    assert (entry.display_name, entry.exp_name) == ("epoch=7-step=80", "dbnet-resnet18")
    assert entry.config_path == outputs / "dbnet-resnet18/.hydra/config.yaml"
    assert (entry.monitor, entry.monitor_mode, entry.has_metadata) == ("val/hmean", "max", True)
    assert entry.hmean == pytest.approx(0.747885525)


def test_coverage_counts_sidecars_and_runs(outputs: Path) -> None:
    catalog = build_catalog(outputs, use_cache=False)
    assert (catalog.total_count, catalog.metadata_available_count) == (20, 20)
    assert catalog.metadata_coverage_percent == 100.0
    assert catalog.outputs_dir == outputs
    assert catalog.catalog_build_time_seconds > 0
    without = build_catalog(outputs, use_cache=False, use_wandb_fallback=False)
    assert (without.metadata_available_count, without.metadata_coverage_percent) == (4, 20.0)


def test_the_counts_are_logged(outputs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="catalogdb.builder")
    build_catalog(outputs, use_cache=False)
    (line,) = caplog.messages
    assert re.fullmatch(r"Catalog built: 20 entries \(4 YAML, 16 Wandb, 0 legacy\) in \d+\.\d{3}s", line)


def test_the_cache_is_the_catalog_that_settings_name(outputs: Path, tmp_path: Path) -> None:
    database = tmp_path / "data" / "catalogdb" / "catalog.db"
    assert build_catalog(outputs, use_cache=False).total_count == 20
    assert not database.exists()
    first = build_catalog(outputs)
    assert database.is_file()
    with Catalog.open(database) as catalog:
        catalog.tag(first.entries[0].checkpoint_path, "kept")
    assert build_catalog(outputs).entries == first.entries
    with Catalog.open(database) as catalog:
        assert catalog.get(first.entries[0].checkpoint_path).tags == {"kept": None}


def test_only_what_is_below_the_folder_is_listed(outputs: Path, tmp_path: Path) -> None:
    settings = Settings(url=f"sqlite:///{tmp_path / 'other.db'}")
    assert CheckpointCatalogBuilder(outputs, settings=settings).build_catalog().total_count == 20
    below = CheckpointCatalogBuilder(outputs / "dbnet-resnet18", settings=settings).build_catalog()
    assert {each.exp_name for each in below.entries} == {"dbnet-resnet18"}
    assert below.total_count == 4
    (outputs / "dbnet-resnet18x").mkdir()
    assert CheckpointCatalogBuilder(outputs / "dbnet-resnet18x", settings=settings).build_catalog().entries == []


def test_plain_configs_have_the_names_that_are_given(outputs: Path) -> None:
    folder = outputs / "run_042"
    (folder / "training.yaml").write_text("model: {architecture: craft}\n", encoding="utf-8")

    def config_of(*names: str) -> Path | None:
        catalog = build_catalog(folder, use_cache=False, config_filenames=names)
        return catalog.entries[0].config_path

    assert config_of("config.yaml", "hparams.yaml") is None
    assert config_of("training.yaml") == folder / "training.yaml"


def test_a_folder_that_is_not_there_gives_nothing(outputs: Path) -> None:
    catalog = build_catalog(outputs / "nowhere")
    assert (catalog.entries, catalog.total_count, catalog.metadata_coverage_percent) == ([], 0, 0.0)
    assert not Path(load_settings().url.removeprefix("sqlite:///")).exists()
