"""MLflow's autologged checkpoints: ``checkpoints/latest_checkpoint.pth``, or one in each ``checkpoints/epoch_E/`` or
``global_step_S/``, each with all its metrics in JSON beside it (``mlflow/utils/checkpoint_utils.py``)."""

from __future__ import annotations

from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing
from catalogdb.metric_files.forms import MLFLOW

FILES = (MLFLOW, f"latest_{MLFLOW}")


class Mlflow(Habits):
    name = "mlflow"
    guide = Guide(
        "MLflow (autologged)",
        "`checkpoints/latest_checkpoint.pth`, `checkpoints/epoch_E/checkpoint.pth`, `…/global_step_S/checkpoint.pth`",
        "`checkpoint_metrics.json`: metrics, epoch and step; the file",
        "0",
    )
    marks = frozenset(FILES)

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        for name in FILES:
            if name in folder.files:
                yield Dependency("metrics", folder, name)
