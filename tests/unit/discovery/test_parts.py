"""Folders that are one checkpoint, in the walk: one candidate, whose stamp follows its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalogdb.discovery import Walk, fingerprint
from catalogdb.records import Candidate
from tests.unit.discovery.support import lay_out, names, walk

MODEL = "mp_rank_00_model_states.pt"
TRAINER = ("checkpoint-500/trainer_state.json", "checkpoint-500/model.safetensors", "checkpoint-500/optimizer.pt")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (TRAINER, ["checkpoint-500"]),
        (("checkpoint-500/model.safetensors", "checkpoint-500/rng_state.pth"), ["checkpoint-500"]),
        (("m/model.safetensors.index.json", "m/model-00001-of-00002.safetensors", "m/config.json"), ["m"]),
        (("m/pytorch_model.bin.index.json", "m/pytorch_model-00001-of-00001.bin"), ["m"]),
        (("m/model-00001-of-00002.safetensors", "m/model-00002-of-00002.safetensors"), ["m"]),
        (("x.ckpt/.metadata", "x.ckpt/__0_0.distcp", "x.ckpt/meta.pt"), ["x.ckpt"]),
        (("step-5/__0_0.distcp", "step-5/__1_0.distcp", "step-5/.metadata.tmp"), ["step-5"]),
        (
            (f"global_step5/{MODEL}", "global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt", "latest"),
            ["global_step5"],
        ),
        ((f"x.ckpt/checkpoint/{MODEL}", "x.ckpt/latest", "x.ckpt/zero_to_fp32.py"), ["x.ckpt"]),
        ((*TRAINER, f"checkpoint-500/global_step500/{MODEL}", "checkpoint-500/latest"), ["checkpoint-500"]),
        ((*TRAINER, "checkpoint-500/pytorch_model_fsdp_0/__0_0.distcp"), ["checkpoint-500"]),
    ],
)
def test_a_folder_that_is_one_checkpoint_is_one_candidate(
    tmp_path: Path, files: tuple[str, ...], found: list[str]
) -> None:
    lay_out(tmp_path, *(f"run/{file}" for file in files))
    candidates, walked = walk(tmp_path)
    assert sorted(candidates) == [f"run/{name}" for name in found]
    assert all(candidate.is_folder for candidate in candidates.values())
    assert not walked.problems


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (("run/latest", "run/checkpoint/x.ckpt"), ["run/checkpoint/x.ckpt"]),
        (("run/trainer_state.json", "run/x.pt"), ["run/x.pt"]),
        (("run/config.json", "run/model.safetensors"), ["run/model.safetensors"]),
        (("checkpoint-500/x.ckpt",), ["checkpoint-500/x.ckpt"]),
        (("run/.metadata/version.ini", "run/x.ckpt"), ["run/x.ckpt"]),
    ],
)
def test_what_only_looks_like_one(tmp_path: Path, files: tuple[str, ...], found: list[str]) -> None:
    lay_out(tmp_path, *files)
    assert names(tmp_path) == found


def test_a_trainer_s_output_folder_and_the_checkpoints_in_it(tmp_path: Path) -> None:
    """The final model beside ``checkpoint-<step>/``; a file that transformers doesn't write stays a row."""
    final = ("trainer_state.json", "model.safetensors", "training_args.bin", "swa.ckpt", "logs/x.pt")
    lay_out(tmp_path, *(f"out/{name}" for name in (*final, *TRAINER, "checkpoint-1000/model.safetensors")))
    candidates, _ = walk(tmp_path)
    assert sorted(candidates) == ["out", "out/checkpoint-1000", "out/checkpoint-500", "out/logs/x.pt", "out/swa.ckpt"]
    assert candidates["out"].stamp.size == sum(len(f"out/{name}") for name in final[:3])


def test_a_root_that_is_itself_a_checkpoint(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "out", "trainer_state.json", "model.safetensors", *TRAINER)
    candidates, _ = walk(root)
    assert sorted(candidates) == [".", "checkpoint-500"]
    assert candidates["."].path == str(root)
    assert names(root, below="checkpoint-500") == ["checkpoint-500"]


@pytest.mark.parametrize("folder", ["tmp-checkpoint-500", "checkpoint-500.tmp", "x.ckpt.tmp"])
def test_folders_that_are_being_written_are_passed_over(tmp_path: Path, folder: str) -> None:
    lay_out(tmp_path, f"{folder}/model.safetensors", f"{folder}/trainer_state.json")
    assert names(tmp_path) == []


def of_trainer(tmp_path: Path) -> Candidate:
    return walk(tmp_path)[0]["checkpoint-500"]


def test_its_stamp_is_the_sum_of_sizes_and_the_latest_time(tmp_path: Path) -> None:
    lay_out(tmp_path, *TRAINER, "checkpoint-500/global_step500/x.pt")
    os.utime(tmp_path / TRAINER[1], (3e9, 3e9))
    status = (tmp_path / "checkpoint-500").stat()
    stamp = of_trainer(tmp_path).stamp
    assert stamp.size == sum(map(len, TRAINER)) + len("checkpoint-500/global_step500/x.pt")
    assert (stamp.mtime_ns, stamp.inode, stamp.device) == (3 * 10**18, status.st_ino, status.st_dev)


def test_any_change_of_any_file_is_a_change(tmp_path: Path) -> None:
    lay_out(tmp_path, *TRAINER, "checkpoint-500/global_step500/x.pt")
    marks = [fingerprint(of_trainer(tmp_path))]
    assert fingerprint(of_trainer(tmp_path)) == marks[0]
    inner = tmp_path / "checkpoint-500" / "global_step500" / "x.pt"
    os.utime(inner, (5, 5))  # older than the latest: sum and maximum stay
    marks.append(fingerprint(of_trainer(tmp_path)))
    (tmp_path / TRAINER[0]).rename(tmp_path / "checkpoint-500" / "renamed.json")
    marks.append(fingerprint(of_trainer(tmp_path)))
    inner.unlink()
    marks.append(fingerprint(of_trainer(tmp_path)))
    lay_out(tmp_path, "checkpoint-500/added.txt")
    marks.append(fingerprint(of_trainer(tmp_path)))
    assert len(set(marks)) == 5


def test_a_folder_that_moves_keeps_its_stamp(tmp_path: Path) -> None:
    lay_out(tmp_path, *TRAINER)
    before = of_trainer(tmp_path)
    (tmp_path / "checkpoint-500").rename(tmp_path / "checkpoint-501")
    after = walk(tmp_path)[0]["checkpoint-501"]
    assert (after.stamp, after.parts) == (before.stamp, before.parts)


def test_sources_lie_beside_the_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, "x.ckpt/__0_0.distcp", "x.metadata.yaml", "config.yaml", "x.ckpt/config.yaml")
    sources = walk(tmp_path)[0]["x.ckpt"].sources
    assert [(role, path) for role, path, _ in sources] == [
        ("sidecar", str(tmp_path / "x.metadata.yaml")),
        ("config", str(tmp_path / "config.yaml")),
    ]


@pytest.mark.parametrize(
    ("checkpoint", "marker"),
    [
        ("x.ckpt", "x-unfinished"),
        ("x.ckpt", "x.ckpt-unfinished"),
        ("x.ckpt/__0_0.distcp", "x-unfinished"),
        ("e=0.1/__0_0.distcp", "e=0.1-unfinished"),
    ],
)
def test_a_marker_beside_it_is_a_source(tmp_path: Path, checkpoint: str, marker: str) -> None:
    lay_out(tmp_path, checkpoint, "y.ckpt", marker)
    candidates, _ = walk(tmp_path)
    source = candidates[checkpoint.partition("/")[0]].source("marker")
    assert source is not None
    assert source.path == str(tmp_path / marker)
    assert candidates["y.ckpt"].source("marker") is None


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["latest", "last.ckpt"])
def test_a_link_to_a_checkpoint_is_a_candidate_that_knows_its_target(tmp_path: Path, name: str) -> None:
    lay_out(tmp_path, *TRAINER)
    (tmp_path / name).symlink_to("checkpoint-500")
    candidates, _ = walk(tmp_path)
    assert sorted(candidates) == sorted(["checkpoint-500", name])
    assert candidates[name].link_target == str(tmp_path / "checkpoint-500")
    assert candidates[name].stamp.size == candidates["checkpoint-500"].stamp.size
    assert candidates[name].stamp.inode == (tmp_path / name).lstat().st_ino


def test_a_link_to_an_output_folder_elsewhere(tmp_path: Path) -> None:
    out = lay_out(tmp_path / "out", "trainer_state.json", "model.safetensors", *TRAINER)
    root = lay_out(tmp_path / "root", "x.ckpt")
    (root / "run").symlink_to(out)
    candidates, _ = walk(root)
    assert sorted(candidates) == ["run", "run/checkpoint-500", "x.ckpt"]
    assert candidates["run"].link_target == str(out)
    assert candidates["run/checkpoint-500"].link_target is None


def test_a_link_with_a_checkpoint_s_name_to_an_ordinary_folder_is_walked(tmp_path: Path) -> None:
    lay_out(tmp_path / "elsewhere", "y.ckpt")
    root = lay_out(tmp_path / "root", "x.ckpt")
    (root / "z.ckpt").symlink_to(tmp_path / "elsewhere")
    assert names(root) == ["x.ckpt", "z.ckpt/y.ckpt"]


def test_linked_parts_count_with_their_size(tmp_path: Path) -> None:
    """As in the Hugging Face hub's cache."""
    lay_out(tmp_path, "m/config.json", "m/model.safetensors.index.json", "blobs/abc")
    (tmp_path / "m" / "model-00001-of-00001.safetensors").symlink_to("../blobs/abc")
    (tmp_path / "m" / "model-00002-of-00002.safetensors").symlink_to("../blobs/gone")
    candidates, walked = walk(tmp_path)
    assert candidates["m"].stamp.size == len("m/config.json" + "m/model.safetensors.index.json" + "blobs/abc")
    assert not walked.problems


@pytest.mark.parametrize("target", ["self", "z" * 300])
def test_a_link_that_cannot_be_followed_is_no_part(tmp_path: Path, target: str) -> None:
    lay_out(tmp_path, *TRAINER)
    whole, _ = walk(tmp_path)
    (tmp_path / "checkpoint-500" / "self").symlink_to(target)
    candidates, walked = walk(tmp_path)
    assert candidates["checkpoint-500"].parts == whole["checkpoint-500"].parts
    assert not walked.problems


def test_parts_that_may_not_be_read_leave_the_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, *TRAINER, f"checkpoint-500/global_step500/{MODEL}", "x.ckpt")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("global_step500"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    candidates, walked = walk(tmp_path)
    assert sorted(candidates) == ["x.ckpt"]
    assert walked.unlisted == ["checkpoint-500"]
    assert [problem.reason for problem in walked.problems] == ["folder can't be read: Permission denied"]


def test_ordinary_folders_cost_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, *(f"run{number}/checkpoints/{name}" for number in range(3) for name in ("a.ckpt", "last.ckpt")))
    called: list[object] = []
    monkeypatch.setattr(os, "stat", lambda *args, **more: called.append(args))
    monkeypatch.setattr(os, "lstat", lambda *args, **more: called.append(args))
    listed: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))  # type: ignore[func-returns-value]
    walked = Walk(str(tmp_path))
    assert len(list(walked._walk(str(tmp_path), "", None))) == 6
    assert not called
    assert len(listed) == 7
