"""What names say, by tables."""

from __future__ import annotations

import pytest

from catalogdb.resolve.names import counters, experiment, path_patterns


@pytest.mark.parametrize(
    ("name", "epoch", "step"),
    [
        ("epoch=10-step=5420.ckpt", 10, 5420),
        ("epoch=0-step=0.ckpt", 0, 0),
        ("epoch=3-step=100-v1.ckpt", 3, 100),
        ("step=100.ckpt", None, 100),
        ("epoch=007.ckpt", 7, None),
        ("epoch=3-val_loss=0.32.ckpt", 3, None),
        ("val_loss=0.32-epoch=3.ckpt", 3, None),
        ("run_epoch=3_step=4.pt", 3, 4),
        ("epoch=3-global_step=40.pt", 3, 40),
        ("last-epoch=2.ckpt", 2, None),
        ("epoch=2-step=58.pth.tar", 2, 58),
        ("epoch=2-step=58.safetensors", 2, 58),
        ("last-v1.ckpt", None, None),
        ("best.ckpt", None, None),
        ("epoch02-val_loss0.32.ckpt", None, None),
        ("epoch=1.5.ckpt", None, None),
        ("epoch=-1.ckpt", None, None),
        ("myepoch=3.ckpt", None, None),
        ("xstep=3.ckpt", None, None),
        ("epoch=3-epoch=4.ckpt", None, None),
        ("epoch=3-epoch=3.ckpt", 3, None),
        ("epoch=3.ckpt.ckpt", None, None),
        ("epoch=3-step=1,000.ckpt", 3, None),
        ("epoch=9999999999999.ckpt", None, None),
        ("epoch=.ckpt", None, None),
        ("epoch=three.ckpt", None, None),
        ("checkpoint-500.pt", None, None),
        ("epoch=٣.ckpt", None, None),
    ],
)
def test_counters(name: str, epoch: int | None, step: int | None) -> None:
    expected = {"epoch": epoch, "global_step": step}
    assert counters(name) == {field: value for field, value in expected.items() if value is not None}


@pytest.mark.parametrize(
    ("path", "architecture", "backbone"),
    [
        ("dbnet-resnet50-20251018/checkpoints/x.ckpt", "dbnet", "resnet50"),
        ("DBNet_ResNet18/x.ckpt", "dbnet", "resnet18"),
        ("dbnetpp/x.ckpt", "dbnetpp", None),
        ("company/x.ckpt", None, None),
        ("japan-2025/expand/x.ckpt", None, None),
        ("pan/x.ckpt", "pan", None),
        ("aircraft/crafts/x.ckpt", None, None),
        ("resnet1012/x.ckpt", None, None),
        ("a/craft_mobilenetv3_small_050/x.ckpt", "craft", "mobilenetv3_small_050"),
        ("efficientnet_v2_s/x.ckpt", None, "efficientnet_v2_s"),
        ("efficientnet_b0/x.ckpt", None, "efficientnet_b0"),
        ("efficientnet_b01/x.ckpt", None, None),
        ("dbnet/craft/x.ckpt", "craft", None),
        ("dbnet-vs-craft/x.ckpt", None, None),
        ("pan/dbnet-vs-craft/x.ckpt", None, None),
        ("pan/x-dbnet.ckpt", "dbnet", None),
        ("dbnet-dbnet/x.ckpt", "dbnet", None),
        ("x.ckpt", None, None),
    ],
)
def test_path_patterns_are_whole_words_and_the_nearest_part_decides(
    path: str, architecture: str | None, backbone: str | None
) -> None:
    expected = {"architecture": architecture, "backbone": backbone}
    assert path_patterns(path) == {field: value for field, value in expected.items() if value is not None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/exp/checkpoints/x.ckpt", "exp"),
        ("/data/exp/Checkpoints/x.ckpt", "exp"),
        ("/data/a/exp/weights/x.pt", "exp"),
        ("/data/exp/x.ckpt", "exp"),
        ("/data/exp/checkpoints/epoch=1-val/loss=0.1.ckpt", "exp"),
        ("/data/checkpoints/x.ckpt", "data"),
        ("/data/checkpoints/a/x.ckpt", "data"),
        ("/data/x.ckpt", None),
        ("/data/checkpoints/exp/checkpoints/x.ckpt", "exp"),
        ("/data/outputs/2025-10-18/14-32-15/checkpoints/x.ckpt", "2025-10-18/14-32-15"),
        ("/data/outputs/2025-10-18/14-32-15/lightning_logs/version_0/checkpoints/x.ckpt", "2025-10-18/14-32-15"),
        ("/data/multirun/2025-10-18/14-32-15/3/model.pth", "2025-10-18/14-32-15"),
        ("/data/logs/train/runs/2025-10-18_14-32-15/checkpoints/x.ckpt", "2025-10-18_14-32-15"),
        ("/data/logs/dbnet/version_3/checkpoints/x.ckpt", "dbnet"),
        ("/data/ocr/lightning_logs/version_0/checkpoints/x.ckpt", "ocr"),
        ("/data/lightning_logs/version_0/checkpoints/x.ckpt", "data"),
        ("/data/a/exp/2025-10-18_14-32-15/x.pt", "exp"),
        ("/data/runs/detect/train3/weights/best.pt", "train3"),
        ("/data/work_dirs/dbnet_r18/epoch_12.pth", "dbnet_r18"),
        ("/data/gpt/iter_0000500/mp_rank_00/model_optim_rng.pt", "gpt"),
        ("/data/gpt/iter_0000500/mp_rank_00_001/model_optim_rng.pt", "gpt"),
        ("/data/ocr/ab12cd34/checkpoints/x.ckpt", "ocr"),
        ("/data/ocr/resnet18/checkpoints/x.ckpt", "resnet18"),
        ("/data/ocr/exp00012/checkpoints/x.ckpt", "exp00012"),
        ("/data/ocr/20251018/checkpoints/x.ckpt", "20251018"),
    ],
)
def test_the_experiment_is_the_folder_above_checkpoints_else_the_file_s_own(path: str, expected: str | None) -> None:
    assert experiment(path, "/data") == expected


def test_mlflow_s_folders_name_no_experiment() -> None:
    run = "/data/mlruns/0/0544d8a1dbd2462d833553f41c7fb948/artifacts"
    assert experiment(f"{run}/checkpoints/latest_checkpoint.pth", "/data/mlruns") is None
    assert experiment(f"{run}/checkpoints/latest_checkpoint.pth", "/data") == "data"


def test_a_root_named_like_a_checkpoint_folder_is_one() -> None:
    assert experiment("/exp/checkpoints/x.ckpt", "/exp/checkpoints") == "exp"
