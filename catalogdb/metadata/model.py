"""The V1 sidecar, ``X.metadata.yaml``, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from catalogdb.records import Mode, Scalar
from catalogdb.timestamps import parse_timestamp


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


def _scalar(value: object) -> Scalar:
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise PydanticCustomError("scalar_type", "Input should be a single number, text, true, false or null")


def _timestamp(value: str) -> str:
    try:
        parse_timestamp(value)
    except ValueError as error:
        raise PydanticCustomError("timestamp", "Input should be an ISO 8601 time") from error
    return value


def _version(value: object) -> object:
    """Unquoted, ``1.0`` is a number."""
    return str(value) if isinstance(value, float) else value


_BIGGEST = 2**63 - 1

Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=_BIGGEST)]
Size = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=_BIGGEST)]
Number = Annotated[float, BeforeValidator(_no_bool)]
Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1, allow_inf_nan=False)]
Loss = Annotated[float, BeforeValidator(_no_bool), Field(ge=0)]
ParamValue = Annotated[Scalar, PlainValidator(_scalar)]


class Part(BaseModel):
    """Text is stripped, assignment validated, and what people add is passed over."""

    model_config = ConfigDict(
        str_strip_whitespace=True, validate_assignment=True, extra="ignore", protected_namespaces=()
    )


class TrainingInfo(Part):
    """Where training stood. ``epoch`` counts from 0."""

    epoch: Count
    global_step: Count
    training_phase: Literal["training", "validation", "finetuning"] = "training"
    max_epochs: Size | None = None


class EncoderInfo(Part):
    """The backbone."""

    model_name: str
    pretrained: bool = True
    frozen: bool = False


class DecoderInfo(Part):
    """The decoder; channels are numbers of feature maps."""

    name: str
    in_channels: list[Annotated[int, BeforeValidator(_no_bool)]] = Field(default_factory=list)
    inner_channels: Size | None = None
    output_channels: Size | None = None
    params: dict[str, ParamValue] = Field(default_factory=dict)


class HeadInfo(Part):
    """The head."""

    name: str
    in_channels: Size | None = None
    params: dict[str, ParamValue] = Field(default_factory=dict)


class LossInfo(Part):
    """The loss function and its weights."""

    name: str
    params: dict[str, Number] = Field(default_factory=dict)


class ModelInfo(Part):
    """What the weights belong to."""

    architecture: str
    encoder: EncoderInfo
    decoder: DecoderInfo
    head: HeadInfo
    loss: LossInfo


class MetricsInfo(Part):
    """The metrics of this file at its step. ``additional_metrics`` may hold NaN and infinity."""

    precision: Share | None = None
    recall: Share | None = None
    hmean: Share | None = None
    validation_loss: Loss | None = None
    additional_metrics: dict[str, Number] = Field(default_factory=dict)


class CheckpointingConfig(Part):
    """How the file was chosen to be saved; ``save_top_k`` of -1 keeps all."""

    monitor: str
    mode: Mode
    save_top_k: Annotated[int, BeforeValidator(_no_bool), Field(ge=-1, le=_BIGGEST)] = 1
    save_last: bool = True


class CheckpointMetadataV1(Part):
    """A whole sidecar. Paths are relative to the outputs directory; ``created_at`` is ISO 8601, as it was written."""

    schema_version: Annotated[Literal["1.0"], BeforeValidator(_version)] = "1.0"
    checkpoint_path: str
    exp_name: str
    created_at: Annotated[str, AfterValidator(_timestamp)]
    training: TrainingInfo
    model: ModelInfo
    metrics: MetricsInfo
    checkpointing: CheckpointingConfig
    hydra_config_path: str | None = None
    wandb_run_id: str | None = None
