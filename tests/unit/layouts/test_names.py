"""What names state of metrics."""

from __future__ import annotations

import pytest

from catalogdb.layouts.names import is_average, metrics_in, numbers_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("epoch=3-val_loss=0.31.ckpt", {"val_loss": 0.31}),
        ("epoch=3,val_loss=0.31,acc=0.5.ckpt", {"val_loss": 0.31, "acc": 0.5}),
        ("epoch=6-val_loss=1,31.ckpt", {}),
        ("epoch=6-val_loss=1,310.ckpt", {}),
        ("epoch=6-acc=93,15.ckpt", {}),
        ("epoch=7-lr=0.001-seed=42-bs=32-acc=0.5.pt", {"acc": 0.5}),
    ],
)
def test_metrics(name: str, found: dict[str, float]) -> None:
    assert {metric: value for metric, (value, _) in metrics_in(name).items()} == found


def test_a_setting_that_training_logs_is_a_metric() -> None:
    assert metrics_in("epoch=7-lr=0.001.ckpt", ["lr"]) == {"lr": (0.001, "lr=0.001")}


@pytest.mark.parametrize(
    ("name", "steps", "others"),
    [
        ("checkpoint0003.pth", set(), {3}),
        ("checkpoint-3.pth.tar", set(), {3}),
        ("model-3-v1.ckpt", set(), {3}),
        ("e3_it500.pt", {500}, {3}),
        ("step_3000.pt", {3000}, set()),
        ("resnet50.pth", set(), set()),
        ("resnet50_3.pth", set(), {3}),
        ("epoch_3_acc_0.81.pth", set(), {3}),
    ],
)
def test_numbers(name: str, steps: set[int], others: set[int]) -> None:
    found = numbers_of(name)
    assert (set(found.steps), set(found.others)) == (steps, others)


@pytest.mark.parametrize("name", ["checkpoint_avg5.pt", "swa_model.pt", "model-averaged.ckpt", "soup.safetensors"])
def test_averages(name: str) -> None:
    assert is_average(name)


@pytest.mark.parametrize("name", ["best_avg_f1.pt", "epoch=3-avg_loss=0.31.ckpt", "swan.pt", "checkpoint5.pt"])
def test_no_averages(name: str) -> None:
    assert not is_average(name)
