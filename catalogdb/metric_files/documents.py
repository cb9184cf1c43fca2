"""``checkpoint_metrics.json``, which MLflow writes beside each checkpoint it logs: metrics, epoch and step in one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from catalogdb.documents import read_document
from catalogdb.metric_files.table import Asked, Row

COUNTERS = frozenset({"epoch", "global_step"})


class MlflowMetrics:
    """(``mlflow/utils/checkpoint_utils.py``, ``check_and_save_checkpoint_if_needed``). ``epoch`` and ``step`` are what
    the file states."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.epoch: int | None = None
        self.step: int | None = None
        self._row: Row = {}

    def refresh(self) -> None:
        """Raises MetadataError for a document that is broken."""
        document = read_document(self.path)
        self.epoch, self.step = _count(document.get("epoch")), _count(document.get("global_step"))
        self._row = {
            name: float(value)
            for name, value in document.items()
            if name not in COUNTERS and type(value) in (int, float)
        }

    def at(self, asked: Asked) -> Row:
        """All of it, unless it is another checkpoint's, or states another step or epoch: ``latest_checkpoint`` is
        overwritten in place."""
        if not self.is_of(asked.name):
            return {}
        stated = ((self.step, asked.global_step), (self.epoch, asked.epoch))
        other = any(own is not None and asks is not None and own != asks for own, asks in stated)
        return {} if other else self._row

    @property
    def names(self) -> Collection[str]:
        return self._row.keys()

    def counters(self, name: str) -> Mapping[str, int]:
        stated = {"epoch": self.epoch, "global_step": self.step}
        return {key: value for key, value in stated.items() if value is not None} if self.is_of(name) else {}

    def is_of(self, name: str) -> bool:
        """``latest_checkpoint_metrics.json`` is about ``latest_checkpoint.pth`` and ``….weights.pth``."""
        return name.partition(".")[0] == self.path.rpartition("/")[2].removesuffix("_metrics.json")


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None
