"""The callback."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from catalogdb.lightning.files import Sidecars, embed, follow
from catalogdb.lightning.framework import callback_class
from catalogdb.lightning.logged import Logged
from catalogdb.lightning.model import plain
from catalogdb.lightning.record import Options, complete, make_record

logger = logging.getLogger(__name__)
_Callback: Any = callback_class()


class MetadataCallback(_Callback):  # type: ignore[misc]
    """Writes what is true of each checkpoint at its save into it, under ``catalogdb_metadata``, and beside it.

    ``exp_name`` is by default the config's, else the name of the folder above ``checkpoints/``; ``outputs_dir`` is what
    paths in the record are relative to, by default the folder that holds the experiment's; ``config`` is the run's
    config, a mapping or the path of a file, by default the Hydra job's, or the one above the checkpoint's folder;
    ``sidecars=False`` embeds only. Whatever fails in here is one warning of this module's logger, and the training goes
    on.
    """

    def __init__(
        self,
        *,
        exp_name: str | None = None,
        outputs_dir: str | os.PathLike[str] | None = None,
        training_phase: Literal["training", "validation", "finetuning"] = "training",
        config: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        sidecars: bool = True,
    ) -> None:
        super().__init__()
        path = Path(config).absolute() if isinstance(config, (str, os.PathLike)) else None
        self._options = Options(
            exp_name=exp_name,
            outputs_dir=Path(outputs_dir).resolve() if outputs_dir is not None else None,
            training_phase=training_phase,
            config=plain(config) if path is None else None,
            config_path=path,
        )
        self._writes_sidecars = sidecars
        self._sidecars: Sidecars | None = None
        self._logged = Logged()
        self._warned: set[tuple[str, type]] = set()

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        del pl_module, stage
        with self._guarded("following the checkpoints"):
            if self._writes_sidecars and self._sidecars is None:
                self._sidecars = Sidecars(self._guarded)
            follow(
                trainer.strategy,
                self._sidecars,
                complete=lambda checkpoint, path: self._embed(
                    trainer, checkpoint, None if "://" in path else Path(path).absolute()
                ),
                done=lambda: self._follow_links(trainer),
            )

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Embeds what doesn't depend on the file. Lightning doesn't call this for a file of weights only."""
        del pl_module
        self._embed(trainer, checkpoint, None)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        del trainer, pl_module
        self._logged.has_more = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        del trainer, pl_module
        self._logged.has_more = True

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        del args
        if self._logged.has_more:
            with self._guarded("looking at metrics"):
                self._logged.note(trainer)
        self._follow_links(trainer)

    def _embed(self, trainer: Any, checkpoint: Any, path: Path | None) -> None:
        with self._guarded("describing a checkpoint"):
            record = make_record(trainer, self._options, self._logged)
            if trainer.is_global_zero:
                embed(checkpoint, complete(record, trainer, trainer.lightning_module, self._options, path))

    def _follow_links(self, trainer: Any) -> None:
        if self._sidecars is not None and self._sidecars.links_may_have_moved:
            with self._guarded("following links"):
                self._sidecars.follow_links(trainer.checkpoint_callbacks)

    @contextlib.contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        """One warning for each kind of failure. It is logged: a warning of Python's may be set to raise."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the training is worth more
            kind = (doing.partition(" of ")[0], type(error))
            if kind not in self._warned:
                self._warned.add(kind)
                logger.warning("catalogdb: %s: %s: %s; the training goes on", doing, type(error).__name__, error)
