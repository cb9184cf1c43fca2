"""NeMo: ``<exp_dir>/<name>/<version>/checkpoints/<name>--val_loss=0.12-epoch=3.ckpt``, ``…-last.ckpt``, ``.nemo``.

Its checkpoints are Lightning's, and so are its loggers (``nemo/utils/exp_manager.py``,
``nemo/utils/callbacks/nemo_model_checkpoint.py``).
"""

from __future__ import annotations

from catalogdb.layouts.base import Guide
from catalogdb.layouts.lightning import Lightning


class Nemo(Lightning):
    name = "nemo"
    guide = Guide(
        "NeMo",
        "`<name>/<version>/checkpoints/<name>--val_loss=0.12-epoch=3.ckpt`, `…-last.ckpt`, `.nemo`",
        "as Lightning; what a `.nemo` says of itself",
        "0, as in the file",
    )
    frameworks = frozenset({"nemo"})
