"""What a checkpoint file says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from catalogdb.records.terms import HeaderState, Mode, Scalar


class ModelIdentity(NamedTuple):
    """Which model the weights are of. ``key`` says what proved it: ``tensors``, or a key of a file beside them."""

    architecture: str | None
    encoder: str | None
    key: str


class TensorInfo(NamedTuple):
    """One tensor of the model's weights. ``dtype`` is torch's name (``float32``)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Weights:
    """The model's weights as the header describes them.

    ``num_parameters`` counts elements of the weights, tied tensors once and the bookkeeping of normalisation
    layers (``running_mean``, ``running_var``, ``num_batches_tracked``) left out; ``num_tensors`` counts names;
    ``dtypes`` maps torch's dtype names to elements; ``fingerprint`` is equal for equal weights, and null where the
    container keeps no checksums.
    """

    num_parameters: int
    num_tensors: int
    dtypes: Mapping[str, int]
    fingerprint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "num_parameters": self.num_parameters,
            "num_tensors": self.num_tensors,
            "dtypes": dict(self.dtypes),
            "fingerprint": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class MonitorState:
    """One Lightning ``ModelCheckpoint`` as it stood when the file was written.

    ``mode`` comes from the callback's key, and so does ``by_steps``: it saves between epochs as well. Scores are
    floats, null where they could not be read; the paths in ``best_k_models`` are those of the machine that trained.
    """

    monitor: str | None
    mode: Mode | None
    current_score: float | None = None
    best_model_score: float | None = None
    best_model_path: str | None = None
    last_model_path: str | None = None
    best_k_models: Mapping[str, float] = field(default_factory=dict)
    by_steps: bool = False
    dirpath: str | None = None


class LoopProgress(NamedTuple):
    """Where in Lightning's fit loop a file was written.

    ``in_epoch``: an epoch had begun and not ended; ``batch_processed`` and ``batch_completed``: nothing of the current
    batch was left to do; ``last_batch``: it was the epoch's last; ``validated``: no validation was under way.
    ``row`` is the step under which loggers have the metrics of this state, null where it isn't told.
    ``epoch_ended``: all of its batches were done; ``validated_once``: it had one validation, or none was ever run.
    """

    in_epoch: bool
    batch_processed: bool
    batch_completed: bool
    last_batch: bool
    validated: bool
    row: int | None = None
    epoch_ended: bool = False
    validated_once: bool = True


@dataclass(frozen=True, slots=True)
class CheckpointHeader:
    """What a checkpoint file says about itself, read without executing it.

    ``format`` is ``torch_zip``, ``safetensors``, ``torch_legacy``, ``torch_tar``, ``pickle``, ``tar``, ``nemo``,
    ``sharded``, ``torch_dcp``, ``deepspeed`` or ``megatron``, null where unknown; ``reason`` says in a few words why
    ``state`` isn't ``ready``; ``hyper_parameters`` are dotted scalars; ``metrics`` are those the file states of itself;
    ``bytes_read`` is how much of the file was read. ``scalars`` are those at the top of the checkpoint, as they stand.

    ``checksums`` and ``storages`` go with ``tensors``, one each: the CRC-32 of the storage and its name in the file,
    null where the container keeps none. ``weights_prefix`` is what wraps every name (``module.``). ``storage_bytes``
    are all tensors' bytes, ``weights_bytes`` those of the weights: between them is optimizer state and the like.

    ``embedded`` is what stands under EMBEDDED_KEY, as it stands: nothing in it is validated. ``whole`` is False where
    only the start of the file was looked at: what isn't there may be in the rest.
    """

    format: str | None
    state: HeaderState = "ready"
    reason: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    progress: LoopProgress | None = None
    epoch: int | None = None
    global_step: int | None = None
    monitors: tuple[MonitorState, ...] = ()
    hyper_parameters: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tensors: tuple[TensorInfo, ...] = ()
    weights: Weights | None = None
    bytes_read: int = 0
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    checksums: tuple[int | None, ...] = ()
    storages: tuple[str | None, ...] = ()
    weights_prefix: str | None = None
    weights_bytes: int | None = None
    storage_bytes: int | None = None
    model: ModelIdentity | None = None
    embedded: Mapping[str, Any] | None = None
    whole: bool = True
