"""The walk: what is a candidate, what is passed over, what links and unreadable folders do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from catalogdb.discovery import Walk, check_root
from catalogdb.errors import RootError
from tests.unit.discovery.support import lay_out, names, walk


def test_a_name_makes_a_candidate(tmp_path: Path) -> None:
    wanted = ["a/x.ckpt", "a/x.pt", "b.c/x.pth", "x.pth.tar", "pytorch_model.bin", "m.safetensors", ".x.ckpt"]
    lay_out(tmp_path, *wanted, "x.ckpt.part", "x.tar", "ckpt", "x.CKPT", "notes.txt", "a/x.metadata.yaml")
    assert names(tmp_path) == sorted(wanted)


def test_a_folder_with_a_checkpoint_s_name_is_walked_not_listed(tmp_path: Path) -> None:
    lay_out(tmp_path, "epoch=1-val.ckpt/mp_rank_00.pt", "empty.ckpt/")
    assert names(tmp_path) == ["epoch=1-val.ckpt/mp_rank_00.pt"]


def test_other_suffixes_by_settings(tmp_path: Path) -> None:
    lay_out(tmp_path, "x.ckpt", "x.nemo")
    assert [candidate.rel_path for candidate in Walk(str(tmp_path), suffixes=(".nemo",))] == ["x.nemo"]


@pytest.mark.parametrize(
    "folder",
    [
        ".git",
        ".hydra",
        ".cache",
        ".venv",
        "__pycache__",
        "node_modules",
        "wandb/run-20251018_143215-abc123de/files",
        "wandb/offline-run-20251018_143215-abc123de/files",
        "lost+found",
    ],
)
def test_folders_that_hold_no_outputs_are_passed_over(tmp_path: Path, folder: str) -> None:
    lay_out(tmp_path, f"{folder}/x.ckpt", f"run/{folder}/deep/er/x.ckpt", "run/x.ckpt")
    assert names(tmp_path) == ["run/x.ckpt"]


@pytest.mark.parametrize(
    "folder", ["wandb", "run-1", "run-20251018", "myrun-20251018_143215-abc", "cache", "git", ".x"]
)
def test_folders_that_only_look_like_it_are_walked(tmp_path: Path, folder: str) -> None:
    lay_out(tmp_path, f"{folder}/x.ckpt")
    assert names(tmp_path) == [f"{folder}/x.ckpt"]


def test_a_root_that_is_itself_passed_over_elsewhere_is_scanned(tmp_path: Path) -> None:
    assert names(lay_out(tmp_path / ".cache", "hub/model.safetensors")) == ["hub/model.safetensors"]


def test_below_only_that_folder_with_paths_from_the_root(tmp_path: Path) -> None:
    lay_out(tmp_path, "a/b/x.ckpt", "a/y.ckpt", "ab/z.ckpt")
    assert names(tmp_path, below="a") == ["a/b/x.ckpt", "a/y.ckpt"]


def test_order_is_that_of_folders_and_the_same_each_time(tmp_path: Path) -> None:
    lay_out(tmp_path, *(f"{folder}/{name}.ckpt" for folder in ("b", "a/z", "a") for name in ("2", "1", "last")))
    order = [candidate.rel_path for candidate in Walk(str(tmp_path))]
    assert order == [f"{folder}/{name}.ckpt" for folder in ("a", "a/z", "b") for name in ("1", "2", "last")]


def test_chunks_are_the_same_in_parts(tmp_path: Path) -> None:
    lay_out(tmp_path, *(f"{number}.ckpt" for number in range(7)))
    chunks = [list(chunk) for chunk in Walk(str(tmp_path)).chunks(3)]
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert [each for chunk in chunks for each in chunk] == list(Walk(str(tmp_path)))


def test_a_candidate_has_its_stamp(tmp_path: Path) -> None:
    lay_out(tmp_path, "x.ckpt")
    status = (tmp_path / "x.ckpt").stat()
    candidate = walk(tmp_path)[0]["x.ckpt"]
    assert candidate.stamp == (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
    assert candidate.path == str(tmp_path / "x.ckpt")
    assert candidate.link_target is None


@pytest.mark.parametrize("seconds", [2**34, -(2**34), -5])
def test_a_time_that_was_set_to_anything_fits_into_64_bits(tmp_path: Path, seconds: int) -> None:
    lay_out(tmp_path, "x.ckpt")
    try:
        os.utime(tmp_path / "x.ckpt", (seconds, seconds))
    except OSError:
        pytest.skip("this filesystem has no such times")
    assert -(2**63) <= walk(tmp_path)[0]["x.ckpt"].stamp.mtime_ns < 2**63


def test_what_is_no_regular_file_is_no_candidate(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    found, walked = walk(tmp_path)
    assert not found
    assert not walked.problems


# -- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absolute", [True, False])
def test_a_symbolic_link_is_a_candidate_that_knows_its_target(tmp_path: Path, absolute: bool) -> None:
    lay_out(tmp_path, "run/epoch=1.ckpt")
    target = tmp_path / "run" / "epoch=1.ckpt"
    link = tmp_path / "run" / "last.ckpt"
    link.symlink_to(target if absolute else target.name)
    candidate = walk(tmp_path)[0]["run/last.ckpt"]
    assert candidate.link_target == str(target)
    assert candidate.stamp.size == target.stat().st_size
    assert candidate.stamp.mtime_ns == target.stat().st_mtime_ns
    assert candidate.stamp.inode == link.lstat().st_ino, "the link moves on its own"


def test_a_link_to_a_link_leads_to_the_end(tmp_path: Path) -> None:
    lay_out(tmp_path, "a.ckpt")
    (tmp_path / "b.ckpt").symlink_to("a.ckpt")
    (tmp_path / "c.ckpt").symlink_to("b.ckpt")
    assert walk(tmp_path)[0]["c.ckpt"].link_target == str(tmp_path / "a.ckpt")


def test_a_link_out_of_the_root(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "root", "run/")
    lay_out(tmp_path, "store/weights-0001")
    (root / "run" / "model.ckpt").symlink_to(tmp_path / "store" / "weights-0001")
    assert walk(root)[0]["run/model.ckpt"].link_target == str(tmp_path / "store" / "weights-0001")


def test_a_link_to_nothing_is_a_problem_and_no_candidate(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").symlink_to("gone.ckpt")
    found, walked = walk(tmp_path)
    assert not found
    assert [(problem.path, problem.reason) for problem in walked.problems] == [
        (str(tmp_path / "last.ckpt"), "is a symbolic link to nothing")
    ]


def test_links_in_a_circle_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").symlink_to("b.ckpt")
    (tmp_path / "b.ckpt").symlink_to("a.ckpt")
    found, walked = walk(tmp_path)
    assert not found
    assert len(walked.problems) == 2


@pytest.mark.parametrize("label", ["last.ckpt", "best.ckpt", "model_best.pth.tar", "latest.pt"])
def test_of_hard_links_the_label_is_the_link(tmp_path: Path, label: str) -> None:
    lay_out(tmp_path, "zz-epoch=3.ckpt")
    os.link(tmp_path / "zz-epoch=3.ckpt", tmp_path / label)
    found, _ = walk(tmp_path)
    assert found["zz-epoch=3.ckpt"].link_target is None
    assert found[label].link_target == str(tmp_path / "zz-epoch=3.ckpt")
    assert found[label].stamp == found["zz-epoch=3.ckpt"].stamp


def test_hard_links_across_folders_and_out_of_the_root(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "root", "a/x.ckpt", "b/")
    os.link(root / "a" / "x.ckpt", root / "b" / "y.ckpt")
    os.link(root / "a" / "x.ckpt", tmp_path / "outside.ckpt")
    found, _ = walk(root)
    assert found["a/x.ckpt"].link_target is None
    assert found["b/y.ckpt"].link_target == str(root / "a" / "x.ckpt")


def test_symbolic_links_to_folders_are_walked_once_and_end(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "root", "a/x.ckpt", "b/")
    lay_out(tmp_path, "store/deep/y.ckpt")
    (root / "a" / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    (root / "b" / "a").symlink_to("../a")
    (root / "b" / "store").symlink_to(tmp_path / "store")
    (root / "second").symlink_to(tmp_path / "store")
    (root / "part").symlink_to(tmp_path / "store" / "deep")
    found = names(root)
    assert "a/x.ckpt" in found
    assert len([name for name in found if name.endswith("y.ckpt")]) == 1
    assert len(found) == 2


def test_two_linked_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    lay_out(tmp_path, "one/x.ckpt", "two/y.ckpt", "root/")
    (tmp_path / "one" / "two").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "one").symlink_to(tmp_path / "one")
    (tmp_path / "root" / "one").symlink_to(tmp_path / "one")
    assert names(tmp_path / "root") == ["one/two/y.ckpt", "one/x.ckpt"]


def test_a_linked_folder_above_what_was_walked_gives_no_file_twice(tmp_path: Path) -> None:
    """The link leads to a folder that holds the root."""
    root = lay_out(tmp_path / "outer" / "root", "x.ckpt")
    lay_out(tmp_path / "outer", "sibling/y.ckpt")
    (root / "outer").symlink_to(tmp_path / "outer")
    real = [os.path.realpath(root / name) for name in names(root)]
    assert len(real) == len(set(real))


def test_a_linked_folder_passed_over_by_name_stays_so(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "root", "run/")
    lay_out(tmp_path, "store/x.ckpt")
    (root / "run" / ".cache").symlink_to(tmp_path / "store")
    assert names(root) == []


# -- names that are no text, folders that can't be read --------------------------------------------------------------


def test_a_name_that_is_no_utf8_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    lay_out(tmp_path, "good.ckpt")
    lay_out(tmp_path, os.fsdecode(b"bad-\xff.ckpt"), os.fsdecode(b"folder-\xfe/x.ckpt"))
    found, walked = walk(tmp_path)
    assert list(found) == ["good.ckpt"]
    assert len(walked.problems) == 2
    assert all("UTF-8" in problem.reason for problem in walked.problems)


def test_a_document_whose_name_is_no_utf8_is_no_source(tmp_path: Path) -> None:
    lay_out(tmp_path, "run/x.ckpt", "run/events.out.tfevents.1", os.fsdecode(b"run/events.out.tfevents.2.\xff"))
    found, walked = walk(tmp_path)
    assert [source.path for source in found["run/x.ckpt"].sources] == [str(tmp_path / "run/events.out.tfevents.1")]
    assert not walked.problems


ENDLESS = "self", "z" * 300
"""Where a link leads that the disk can't follow: in a circle, and to a name that is too long."""


@pytest.mark.parametrize("target", ENDLESS)
def test_a_link_that_cannot_be_followed_hides_nothing(tmp_path: Path, target: str) -> None:
    lay_out(tmp_path, "a.ckpt", "m.safetensors", "b/c.ckpt")
    (tmp_path / "self").symlink_to(target)
    found, walked = walk(tmp_path)
    assert sorted(found) == ["a.ckpt", "b/c.ckpt", "m.safetensors"]
    assert not walked.problems


def test_a_checkpoint_that_is_a_link_in_a_circle_is_a_problem(tmp_path: Path) -> None:
    lay_out(tmp_path, "a.ckpt")
    (tmp_path / "last.ckpt").symlink_to("last.ckpt")
    found, walked = walk(tmp_path)
    assert list(found) == ["a.ckpt"]
    assert [problem.path for problem in walked.problems] == [str(tmp_path / "last.ckpt")]


def test_a_link_to_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    """The target can't be written down; the link itself has a good name."""
    name = os.fsdecode(b"bad-\xff")
    lay_out(tmp_path, name)
    (tmp_path / "last.ckpt").symlink_to(name)
    found, _ = walk(tmp_path)
    assert found["last.ckpt"].link_target is None


def test_names_in_other_scripts_are_fine(tmp_path: Path) -> None:
    lay_out(tmp_path, "実験/モデル.ckpt", "müller/ü.pt")
    assert names(tmp_path) == ["müller/ü.pt", "実験/モデル.ckpt"]


BARRED = """
import json, os, sys
from catalogdb.discovery import Walk, check_root
from catalogdb.errors import RootError
root = sys.argv[1]
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
walk = Walk(root)
found = sorted(candidate.rel_path for candidate in walk)
try:
    check_root(root + "/barred")
    refused = None
except RootError as error:
    refused = str(error)
print(json.dumps([found, walk.unlisted, [problem.path for problem in walk.problems], refused]))
"""


def test_a_folder_that_may_not_be_read_is_a_problem_and_its_content_unknown(tmp_path: Path) -> None:
    """In a process of its own, as nobody: root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        root = lay_out(Path(folder) / "root", "open/x.ckpt", "barred/y.ckpt", "z/w.ckpt")
        Path(folder).chmod(0o755)
        (root / "barred").chmod(0o000)
        try:
            done = subprocess.run(
                [sys.executable, "-c", BARRED, str(root)],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        finally:
            (root / "barred").chmod(0o755)
    assert done.returncode == 0, done.stderr
    found, unlisted, problems, refused = json.loads(done.stdout)
    assert found == ["open/x.ckpt", "z/w.ckpt"]
    assert unlisted == ["barred"]
    assert problems == [f"{root}/barred"]
    assert "permissions" in refused


def test_a_folder_that_is_no_utf8_and_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = os.fsdecode(b"barred-\xff")
    lay_out(tmp_path, f"{name}/x.ckpt", "y.ckpt")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found, walked = walk(tmp_path)
    assert (list(found), walked.unlisted, len(walked.problems)) == (["y.ckpt"], [], 1)


@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "no such folder"), ("file.ckpt", "is a file"), ("file.ckpt/below", "is a file")]
)
def test_a_root_that_can_t_be_scanned_is_one_clear_line(tmp_path: Path, name: str, reason: str) -> None:
    lay_out(tmp_path, "file.ckpt")
    with pytest.raises(RootError, match=reason) as error:
        check_root(str(tmp_path / name))
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_a_root_whose_name_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(RootError, match="UTF-8"):
        check_root(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
