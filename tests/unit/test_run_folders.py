"""The folder of a run, by the names of folders."""

from __future__ import annotations

import pytest

from catalogdb.run_folders import run_folder


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/d/out/a/checkpoints/x.ckpt", "/d/out", "/d/out/a"),
        ("/d/out/a/Checkpoints/epoch=1-val/loss=0.5.ckpt", "/d/out", "/d/out/a"),
        ("/d/out/lightning_logs/version_3/checkpoints/x.ckpt", "/d/out", "/d/out/lightning_logs/version_3"),
        ("/d/out/a/x.pt", "/d/out", "/d/out/a"),
        ("/d/out/a/checkpoint-500", "/d/out", "/d/out/a"),
        ("/d/out/x.pt", "/d/out", "/d/out"),
        ("/d/out/checkpoints/x.pt", "/d/out", "/d/out"),
        ("/d/a/checkpoints/x.pt", "/d/a/checkpoints", "/d/a"),
        ("/d/ckpts/a/x.pt", "/d/ckpts/a", "/d/ckpts/a"),
        ("/d/ckpts/a/x.pt", "/d/ckpts", "/d"),
        ("/d/a/checkpoint-500", "/d/a/checkpoint-500", "/d/a"),
        ("/checkpoints/x.pt", "/", "/"),
        ("/x.pt", "/", "/"),
    ],
)
def test_run_folder(path: str, root: str, expected: str) -> None:
    assert run_folder(path, root) == expected
