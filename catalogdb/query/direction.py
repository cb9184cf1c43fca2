"""Which way is better: up or down?"""

from __future__ import annotations

import re
from collections.abc import Collection

from catalogdb.errors import QueryError
from catalogdb.records import Mode

_MIN = (
    "loss losses logloss nll error errors err perplexity ppl wer cer mer ter eer bpb bpc mae mse rmse rmsle mape smape "
    "msle fid lpips kl kld divergence brier ece regret"
)
_MAX = (
    "acc accuracy f1 f2 fbeta auc auroc auprc aucpr iou miou giou map ap mar hmean precision recall sensitivity "
    "specificity bleu rouge rougel meteor chrf dice jaccard psnr ssim mcc kappa ndcg mrr r2 top1 top5 reward "
    "pearson spearman em"
)
_QUALIFIERS = (
    "train training val valid validation test eval evaluation dev epoch step score rate mean avg average macro micro "
    "weighted total sum best ema at k overall all exact match dataloader idx small medium large s m l "
    "classes class per top ratio value"
)
"""Words that may follow the telling one: ``f1_score``, ``loss/val``, ``recall@10``, ``val_loss/dataloader_idx_0``."""
LOSSES = frozenset({"loss", "losses"})
"""A loss stays one, whatever it is of: ``test_loss_dice``."""

ERRORS = frozenset({"err", "error", "errors"})
NEGATIVE = frozenset({"neg", "negative"})
MIN_WORDS, MAX_WORDS, QUALIFIERS = (frozenset(words.split()) for words in (_MIN, _MAX, _QUALIFIERS))


def resolve_mode(metric: str, *, mode: str | None = None, recorded: Collection[str] = ()) -> Mode:
    """``mode`` > what training recorded with this metric > what its name says.

    Raises QueryError where none of them tells, or where both modes were recorded.
    """
    if mode is not None:
        if mode == "min":
            return "min"
        if mode == "max":
            return "max"
        raise QueryError(f"mode is 'min' or 'max', not {mode!r}")
    modes = {item for item in recorded if item in ("min", "max")}
    if len(modes) > 1:
        raise QueryError(f"both min and max are recorded for metric {metric!r}; say which with --mode min|max")
    found = known_mode(metric)
    if modes:
        found = "min" if "min" in modes else "max"
    if found is None:
        raise QueryError(f"nothing says whether a small or a large {metric!r} is better; say it with --mode min|max")
    return found


def known_mode(metric: str) -> Mode | None:
    """The mode that the name's last telling word stands for, as a whole word. ``val/loss_scale`` tells nothing, nor do
    ``error_f1`` and what was made negative (``neg_mse``)."""
    words = _words(metric)
    if not NEGATIVE.isdisjoint(words):
        return None
    for word in reversed(words):
        stem = word.rstrip("0123456789")
        if word in MIN_WORDS or stem in MIN_WORDS:
            return "min"
        if word in MAX_WORDS or stem in MAX_WORDS:
            if not LOSSES.isdisjoint(words):
                return "min"
            return "max" if ERRORS.isdisjoint(words) else None
        if stem and stem not in QUALIFIERS:
            return None
    return None


def _words(metric: str) -> list[str]:
    """Lower-case words; ``valLoss`` is two, ``bbox_mAP`` and ``mIoU`` keep theirs whole."""
    words: list[str] = []
    for word in re.split(r"[^A-Za-z0-9]+", metric):
        if not word:
            continue
        lowered = word.lower()
        if lowered.rstrip("0123456789") in MIN_WORDS | MAX_WORDS | QUALIFIERS or lowered in MAX_WORDS:
            words.append(lowered)
        else:
            words.extend(part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", word))
    return words
