"""Which reader a metrics file has, by its name."""

from __future__ import annotations

from collections.abc import Callable

from catalogdb.metric_files.csv_file import CsvFile
from catalogdb.metric_files.documents import MlflowMetrics
from catalogdb.metric_files.events import EventFile
from catalogdb.metric_files.forms import MLFLOW, is_event_file
from catalogdb.metric_files.json_lines import DetectronMetrics, JsonLines, MmengineScalars
from catalogdb.metric_files.table import MetricFile

FORMATS: dict[str, Callable[[str], MetricFile]] = {
    "metrics.csv": CsvFile,
    "summary.csv": CsvFile,
    "results.csv": CsvFile.one_based,
    "scalars.json": MmengineScalars,
    "metrics.json": DetectronMetrics,
    "log.txt": JsonLines,
    "log.csv": CsvFile,
    "history.csv": CsvFile,
    "metrics.jsonl": JsonLines,
}
"""By the file's name. Names of event files and of MLflow's are forms."""


def open_metric_file(path: str) -> MetricFile | None:
    """Reads nothing yet. None for a name that none of the formats has."""
    name = path.rpartition("/")[2]
    if is_event_file(name):
        return EventFile(path)
    if name.endswith(MLFLOW):
        return MlflowMetrics(path)
    return FORMATS[name](path) if name in FORMATS else None
