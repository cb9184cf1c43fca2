"""What other tools rely on: the names that catalogdb promises, and the ways in which a root may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

import catalogdb
from catalogdb import Catalog, MetadataValidator, UsageError, build_catalog
from catalogdb.demo import lay_out
from catalogdb.settings import load_settings

PROMISED = [
    "Catalog",
    "Checkpoint",
    "ScanReport",
    "CatalogError",
    "NotFound",
    "QueryError",
    "UsageError",
    "RootError",
    "DatabaseError",
    "SchemaOutdated",
    "SchemaTooNew",
    "MetadataError",
    "build_catalog",
    "CheckpointCatalogBuilder",
    "CheckpointCatalog",
    "CheckpointCatalogEntry",
    "CheckpointMetadataV1",
    "TrainingInfo",
    "ModelInfo",
    "EncoderInfo",
    "DecoderInfo",
    "HeadInfo",
    "LossInfo",
    "MetricsInfo",
    "CheckpointingConfig",
    "load_metadata",
    "load_metadata_batch",
    "save_metadata",
    "MetadataValidator",
    "WandbClient",
    "get_wandb_client",
    "resolve_config_path",
    "load_config",
    "extract_run_id_from_checkpoint",
]


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_name_is_there(name: str) -> None:
    assert name in catalogdb.__all__
    assert callable(getattr(catalogdb, name))


def test_every_exported_name_can_be_imported() -> None:
    assert all(getattr(catalogdb, name) is not None for name in catalogdb.__all__)
    assert set(catalogdb.__all__) <= set(dir(catalogdb))  # before they're used, too: a shell completes them
    with pytest.raises(AttributeError, match="Catalogue"):
        _ = catalogdb.Catalogue


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the demo's outputs in it, and a link to them; it's the working directory as well."""
    lay_out(tmp_path)
    (tmp_path / "link").symlink_to("outputs")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


WAYS = ("outputs", "outputs/", "./outputs/../outputs", "~/outputs", "~/outputs/", "link", "link/")


@pytest.mark.parametrize("written", WAYS)
def test_a_root_is_one_root_however_it_is_written(home: Path, written: str) -> None:
    with Catalog.open("sqlite://", settings=load_settings(environ={})) as catalog:
        assert catalog.scan(home / "outputs").new == 20
        report = catalog.scan(written)
        assert (report.roots, report.unchanged, report.new) == ((str(home / "outputs"),), 20, 0)
        path = "run_042/checkpoints/model.ckpt"
        assert catalog.get(f"{written}/{path}").path == str(home / "outputs" / path)
        assert catalog.ingest(f"{written}/{path}").total >= 1
    assert build_catalog(written, use_cache=False).total_count == 20
    assert MetadataValidator().validate_directory(written).valid == 4


def test_a_name_that_only_begins_with_a_tilde_is_a_name(home: Path) -> None:
    (home / "~nobody").symlink_to("outputs")
    assert build_catalog("~nobody", use_cache=False).total_count == 20


def test_best_takes_no_negative_limit(home: Path) -> None:
    with Catalog.open("sqlite://") as catalog:
        catalog.scan(home / "outputs")
        assert catalog.best("val/hmean", limit=0) == []
        with pytest.raises(UsageError, match="limit"):
            catalog.best("val/hmean", limit=-1)
