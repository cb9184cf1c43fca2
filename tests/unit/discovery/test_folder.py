"""Which sidecar and which config belong to a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogdb.discovery import Walk, fingerprint, state_of
from catalogdb.records import Candidate, HeaderState, Source, Stamp, State
from tests.unit.discovery.support import lay_out, walk

NAME = "run/checkpoints/epoch=1.ckpt"

IN_ORDER = (
    "run/checkpoints/epoch=1.config.json",
    "run/checkpoints/epoch=1.config.yaml",
    "run/checkpoints/epoch=1.config.yml",
    "run/checkpoints/epoch=1.resolved.config.json",
    "run/.hydra/config.yaml",
    ".hydra/config.yaml",
    "run/checkpoints/config.yaml",
    "run/checkpoints/hparams.yaml",
    "run/config.yaml",
    "run/hparams.yaml",
)
"""As facts/metadata_v1.md has it."""


def config_of(root: Path, name: str = NAME) -> str | None:
    source = walk(root)[0][name].source("config")
    return source and source.path.removeprefix(f"{root}/")


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_the_first_config_that_is_there_counts(tmp_path: Path, first: int) -> None:
    lay_out(tmp_path, NAME, *IN_ORDER[first:])
    assert config_of(tmp_path) == IN_ORDER[first]


@pytest.mark.parametrize(
    "other",
    [
        "config.yaml",
        "hparams.yaml",
        "run/checkpoints/.hydra/config.yaml",
        "run/.hydra/hydra.yaml",
        "run/checkpoints/epoch=2.config.yaml",
        "run/checkpoints/epoch=1.yaml",
        "run/checkpoints/sub/config.yaml",
        "other/config.yaml",
        "run/config.yaml/x",
        "run/checkpoints/epoch=1.config.json/x",
    ],
)
def test_no_other_place_counts(tmp_path: Path, other: str) -> None:
    lay_out(tmp_path, NAME, other)
    assert config_of(tmp_path) is None


@pytest.mark.parametrize("above", ["config.yaml", "hparams.yaml", ".hydra/config.yaml"])
def test_a_root_inside_a_run_has_the_config_above_it(tmp_path: Path, above: str) -> None:
    lay_out(tmp_path, NAME, f"run/{above}")
    candidate = walk(tmp_path / "run" / "checkpoints")[0]["epoch=1.ckpt"]
    source = candidate.source("config")
    assert source is not None
    assert source.path == str(tmp_path / "run" / above)


def test_hydra_two_levels_above_the_root(tmp_path: Path) -> None:
    lay_out(tmp_path, NAME, ".hydra/config.yaml")
    candidate = walk(tmp_path / "run" / "checkpoints")[0]["epoch=1.ckpt"]
    source = candidate.source("config")
    assert source is not None
    assert source.path == str(tmp_path / ".hydra" / "config.yaml")


def test_a_part_of_a_root_sees_the_same_as_the_whole(tmp_path: Path) -> None:
    lay_out(tmp_path, NAME, *IN_ORDER[4:], "run/checkpoints/epoch=1.metadata.yaml")
    whole, part = walk(tmp_path)[0], walk(tmp_path, below="run/checkpoints")[0]
    assert part == whole


def test_each_name_has_its_own_config_before_the_shared_one(tmp_path: Path) -> None:
    lay_out(tmp_path, "run/a.ckpt", "run/b.ckpt", "run/a.config.yaml", "run/config.yaml")
    assert config_of(tmp_path, "run/a.ckpt") == "run/a.config.yaml"
    assert config_of(tmp_path, "run/b.ckpt") == "run/config.yaml"


def test_other_plain_names_by_request(tmp_path: Path) -> None:
    lay_out(tmp_path, "run/a.ckpt", "run/config.yaml", "run/args.yaml")
    (candidate,) = Walk(str(tmp_path), config_names=("args.yaml",))
    source = candidate.source("config")
    assert source is not None
    assert source.path == str(tmp_path / "run" / "args.yaml")


@pytest.mark.parametrize(
    ("checkpoint", "sidecar"),
    [
        ("epoch=10.ckpt", "epoch=10.metadata.yaml"),
        ("model_best.pth.tar", "model_best.pth.metadata.yaml"),
        ("v1.2.safetensors", "v1.2.metadata.yaml"),
        (".ckpt", ".ckpt.metadata.yaml"),
    ],
)
def test_the_sidecar_is_the_name_with_its_last_suffix_replaced(tmp_path: Path, checkpoint: str, sidecar: str) -> None:
    lay_out(tmp_path, checkpoint, sidecar, "metadata.yaml", "other.metadata.yaml")
    source = walk(tmp_path)[0][checkpoint].source("sidecar")
    assert source is not None
    status = (tmp_path / sidecar).stat()
    assert source == Source(
        "sidecar",
        str(tmp_path / sidecar),
        Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev),
    )


def test_a_link_has_its_own_sidecar_not_its_target_s(tmp_path: Path) -> None:
    lay_out(tmp_path, "a/epoch=1.ckpt", "a/epoch=1.metadata.yaml", "b/last.metadata.yaml")
    (tmp_path / "b" / "last.ckpt").symlink_to("../a/epoch=1.ckpt")
    source = walk(tmp_path)[0]["b/last.ckpt"].source("sidecar")
    assert source is not None
    assert source.path == str(tmp_path / "b" / "last.metadata.yaml")


def test_a_sidecar_that_is_a_link_to_nothing_is_none(tmp_path: Path) -> None:
    lay_out(tmp_path, "a.ckpt")
    (tmp_path / "a.metadata.yaml").symlink_to("gone")
    (tmp_path / "config.yaml").symlink_to("gone")
    assert walk(tmp_path)[0]["a.ckpt"].sources == ()


# -- identity, and whether a write is finished -----------------------------------------------------------------------

STAMP = Stamp(100, 10**18, 7, 1)
SIDECAR = Source("sidecar", "/r/a.metadata.yaml", Stamp(10, 10**18, 8, 1))
BASE = Candidate("/r", "a.ckpt", STAMP, (SIDECAR,))


def _with(**stamp: int) -> Candidate:
    return Candidate("/r", "a.ckpt", STAMP._replace(**stamp), (SIDECAR,))


@pytest.mark.parametrize(
    "other",
    [
        _with(size=101),
        _with(mtime_ns=10**18 + 1),
        _with(inode=9),
        Candidate("/r", "a.ckpt", STAMP, ()),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR._replace(stamp=SIDECAR.stamp._replace(mtime_ns=1)),)),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR._replace(stamp=SIDECAR.stamp._replace(inode=1)),)),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR._replace(role="config"),)),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR._replace(path="/r/b.metadata.yaml"),)),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR, Source("config", "/r/config.yaml", STAMP))),
        Candidate("/r", "a.ckpt", STAMP, (SIDECAR,), "/r/b.ckpt"),
    ],
)
def test_whatever_a_row_depends_on_is_in_its_fingerprint(other: Candidate) -> None:
    assert fingerprint(other) != fingerprint(BASE)


def test_a_fingerprint_is_a_signed_64_bit_number_and_leaves_the_device_out() -> None:
    """A remount changes the device's number, and nothing else."""
    assert fingerprint(_with(device=2)) == fingerprint(BASE)
    assert -(2**63) <= fingerprint(BASE) < 2**63


@pytest.mark.parametrize(
    ("header", "age", "state"),
    [
        ("ready", 0, "ready"),
        ("ready", 1000, "ready"),
        ("truncated", 0, "writing"),
        ("truncated", 29, "writing"),
        ("truncated", 31, "truncated"),
        ("truncated", -3600, "writing"),
        ("unreadable", 5, "writing"),
        ("unreadable", 31, "unreadable"),
        ("foreign", 31, "unreadable"),
    ],
)
def test_a_file_that_ends_too_early_is_being_written_as_long_as_it_is_young(
    header: HeaderState, age: int, state: State
) -> None:
    assert state_of(header, STAMP, now=1e9 + age) == state
