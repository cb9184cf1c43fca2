"""What is true of a trainer's state at the moment it is saved, as V1 metadata."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from catalogdb.config_facts import config_facts
from catalogdb.documents import read_document
from catalogdb.headlines import HEADLINES, in_range
from catalogdb.lightning.logged import Logged
from catalogdb.lightning.model import model_part, plain
from catalogdb.metadata import UNKNOWN, parse_metadata, salvage
from catalogdb.timestamps import iso

CHECKPOINT_FOLDERS = ("checkpoints", "checkpoint", "ckpts", "ckpt", "weights")
HYDRA_CONFIG = ".hydra/config.yaml"


@dataclass(frozen=True)
class Options:
    """What the user said. ``config`` is plain, ``config_path`` where it stands, both null for whatever is found."""

    exp_name: str | None
    outputs_dir: Path | None
    training_phase: Literal["training", "validation", "finetuning"]
    config: Mapping[str, Any] | None
    config_path: Path | None


def make_record(trainer: Any, options: Options, logged: Logged) -> dict[str, Any]:
    """The metadata of the state that is being saved, but for what depends on the file: ``complete`` adds that.

    Metrics that ``logged`` knows from an earlier step are left out.
    Asks for ``callback_metrics``, which may have to be reduced over all ranks: every rank has to call this.
    """
    metrics = known_metrics(logged.of_this_step(trainer))
    max_epochs = trainer.max_epochs
    return {
        "schema_version": "1.0",
        "checkpoint_path": UNKNOWN,
        "exp_name": UNKNOWN,
        "created_at": iso(datetime.now(timezone.utc)),
        "training": {
            "epoch": trainer.current_epoch,
            "global_step": trainer.global_step,
            "training_phase": options.training_phase,
            "max_epochs": max_epochs if max_epochs and max_epochs > 0 else None,
        },
        "model": {},
        "metrics": {**headlines(metrics), "additional_metrics": metrics},
        "checkpointing": checkpointing(trainer.checkpoint_callbacks, None),
        "wandb_run_id": wandb_run(trainer.loggers),
    }


def complete(record: dict[str, Any], trainer: Any, module: Any, options: Options, path: Path | None) -> dict[str, Any]:
    """The record of the file at ``path``: whole, and valid. Raises MetadataError where it can't be made so."""
    found = find_config(path, options)
    config = options.config if options.config is not None else read_document(str(found)) if found else {}
    hyper_parameters = plain(getattr(module, "hparams", None)) or {}
    whole = {**record, "model": model_part(module, (hyper_parameters, config))}
    whole["exp_name"] = options.exp_name or _text(config_facts(config).fields.get("exp_name")) or UNKNOWN
    if path is not None:
        experiment = experiment_folder(path)
        outputs = options.outputs_dir or experiment.parent
        whole["checkpoint_path"] = _relative(path, outputs)
        whole["hydra_config_path"] = _relative(found, outputs) if found else None
        whole["checkpointing"] = checkpointing(trainer.checkpoint_callbacks, path)
        if whole["exp_name"] == UNKNOWN and experiment.name:
            whole["exp_name"] = experiment.name
    place = str(path or "checkpoint")
    known, _ = salvage(whole, place)
    return parse_metadata(known, place).model_dump(exclude_unset=True, exclude_none=True)


def known_metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Every metric that is one number, by its name. What wasn't logged yet isn't there."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if getattr(value, "numel", lambda: 1)() == 1:
            found[str(name)] = float(value)
    return found


def headlines(metrics: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for field, names in HEADLINES.items():
        value = next((metrics[name] for name in names if name in metrics), None)
        if value is not None and in_range(field, value):
            found[field] = value
    return found


def checkpointing(callbacks: Iterable[Any], path: Path | None) -> dict[str, Any]:
    """How the file came to be saved: by the one callback that claims it, else by the only one that monitors anything.

    A ModelCheckpoint enters a file into its lists before it is written (``model_checkpoint.py``: _update_best_and_save,
    _save_last_checkpoint). Without a monitor there is no mode either: the format wants one, and ``min`` says nothing.
    """
    monitoring = [callback for callback in callbacks if getattr(callback, "monitor", None)]
    claims: tuple[list[Any], ...] = (monitoring,)
    if path is not None:
        in_folder = [each for each in monitoring if _same(getattr(each, "dirpath", None), path.parent)]
        claims = ([each for each in monitoring if _claims(each, path)], in_folder, monitoring)
    for claiming in claims:
        if len({(each.monitor, each.mode) for each in claiming}) == 1:
            callback = claiming[0]
            return {
                "monitor": callback.monitor,
                "mode": callback.mode,
                "save_top_k": callback.save_top_k,
                "save_last": bool(callback.save_last),
            }
    return {"monitor": UNKNOWN, "mode": "min"}


def _claims(callback: Any, path: Path) -> bool:
    listed = (*callback.best_k_models, callback.best_model_path, callback.last_model_path)
    return any(_same(kept, path) for kept in listed)


def _same(kept: Any, path: Path) -> bool:
    return bool(kept) and Path(kept).absolute() == path


def wandb_run(loggers: Iterable[Any]) -> str | None:
    """``entity/project/id`` of the first WandbLogger's run, or its id alone where the run has no entity (offline).

    A disabled run is none: its names are made up.
    """
    for logger in loggers:
        if any(kind.__name__ == "WandbLogger" for kind in type(logger).__mro__):
            run = logger.experiment
            if getattr(run, "disabled", False):
                return None
            given = [getattr(run, name, None) for name in ("entity", "project", "id")]
            parts = [part for part in given if isinstance(part, str) and part]
            return "/".join(parts) if len(parts) == len(given) else (given[-1] or logger.version)
    return None


def find_config(path: Path | None, options: Options) -> Path | None:
    """The Hydra config: the one that was named, that of the running Hydra job, or the one above the file's folder."""
    if options.config_path is not None or options.config is not None:
        return options.config_path
    hydra = sys.modules.get("hydra.core.hydra_config")
    places = [] if path is None else [path.parent.parent, path.parent.parent.parent]
    if hydra is not None and hydra.HydraConfig.initialized():
        places.insert(0, Path(hydra.HydraConfig.get().runtime.output_dir))
    return next((place / HYDRA_CONFIG for place in places if (place / HYDRA_CONFIG).is_file()), None)


def experiment_folder(path: Path) -> Path:
    """The folder above ``checkpoints``, else the file's own."""
    for folder in (path.parent, path.parent.parent):  # a name such as {epoch}-{val/loss} makes one more folder
        if folder.name.lower() in CHECKPOINT_FOLDERS:
            return folder.parent
    return path.parent


def _relative(path: Path, folder: Path) -> str:
    """Absolute where it lies elsewhere."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _text(found: tuple[object, str] | None) -> str | None:
    return found[0] if found is not None and isinstance(found[0], str) else None
