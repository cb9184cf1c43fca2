from __future__ import annotations

import pytest

from catalogdb.errors import QueryError
from catalogdb.query.direction import known_mode, resolve_mode

MIN = (
    "val_loss val/loss eval_loss loss loss/val validation_loss train_loss_epoch perplexity eval/perplexity wer "
    "test_wer cer val/cer error word_error_rate mae val_mae mse rmse val/rmse error_mean log_loss valLoss "
    "val_loss/dataloader_idx_0 val/precision_loss LOSS bpb fid test_loss_dice loss_map"
)
MAX = (
    "val_acc val/acc accuracy eval_accuracy top1_acc acc@1 acc_top5 f1 f1_score val/F1-macro macro_f1 auc val_auc "
    "roc_auc AUROC iou val/iou mIoU mean_iou map mAP coco/bbox_mAP mAP50 mAP_50 bbox_mAP_75 coco/bbox_mAP_s hmean "
    "val/hmean precision det/recall recall@10 bleu rougeL rouge1 dice val_dice_score R2 accuracyTop1 precision_at_5"
)
NEITHER = [
    "lr",
    "epoch",
    "loss_scale",
    "mapping",
    "lossless",
    "map_time",
    "x",
    "",
    "/",
    "glossary",
    "val",
    "score",
    "acceptance",
    "neg_mse",
    "neg_mean_squared_error",
    "negative_loss",
    "error_detection_f1",
]


@pytest.mark.parametrize("name", MIN.split())
def test_small_is_better(name: str) -> None:
    assert known_mode(name) == "min"


@pytest.mark.parametrize("name", MAX.split())
def test_large_is_better(name: str) -> None:
    assert known_mode(name) == "max"


@pytest.mark.parametrize("name", NEITHER)
def test_nothing_is_known(name: str) -> None:
    assert known_mode(name) is None


def test_what_is_said_wins_over_what_is_recorded_and_that_over_the_name() -> None:
    assert resolve_mode("val/loss", mode="max", recorded={"min"}) == "max"
    assert resolve_mode("val/loss", recorded={"max"}) == "max"
    assert resolve_mode("val/loss") == "min"
    assert resolve_mode("odd", recorded=["min"]) == "min"


@pytest.mark.parametrize(
    ("metric", "mode", "recorded", "message"),
    [
        ("odd", None, (), "nothing says whether"),
        ("val/loss", None, ("min", "max"), "both min and max are recorded"),
        ("val/loss", "up", (), "'min' or 'max'"),
    ],
)
def test_errors_ask_for_the_mode(metric: str, mode: str | None, recorded: tuple[str, ...], message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        resolve_mode(metric, mode=mode, recorded=recorded)
    assert caught.value.exit_code == 2
