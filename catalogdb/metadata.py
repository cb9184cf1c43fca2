"""The V1 sidecar, ``X.metadata.yaml``: its model, and how it is read, salvaged and saved. And what a dropdown shows."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic import create_model as create_pydantic_model
from pydantic_core import ErrorDetails, PydanticCustomError

from catalogdb.documents import Unterminated, read_document
from catalogdb.errors import MetadataError
from catalogdb.exact import exact
from catalogdb.records import Mode, Scalar, sidecar_path
from catalogdb.sidecars import write_sidecar

logger = logging.getLogger(__name__)

_TIMESTAMP = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)

_AS_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:[+-]\d\d:\d\d)?", re.ASCII)
"""What ``datetime.isoformat`` writes, and every Python reads back."""


def parse_timestamp(text: str) -> datetime:
    """An ISO 8601 date or time, with or without offset, alike in every Python. Raises ValueError."""
    if _AS_WRITTEN.fullmatch(text):
        return datetime.fromisoformat(text)
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 time: {text!r}")
    year, month, day, hour, minute, second, fraction, zulu, sign, hours, minutes = match.groups(default="0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    zone = timezone(-offset if sign == "-" else offset) if zulu != "0" or sign != "0" else None
    micros = int(f"{fraction:0<6}"[:6])
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micros, zone)


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


UNKNOWN = "unknown"
"""What stands in a sidecar where the format wants a name and none is known."""

PLACEHOLDERS = "unknown"
"""A key that a sidecar may have beside those of V1: the dotted places of values that only stand there because V1
requires them. To V1 it is one of the keys that people add."""

DERIVED = "derived"
"""Another one: the places of headline values that repeat a metric which has its own name beside them."""

HYPER_PARAMETERS = "hyper_parameters"
"""A third one: parameters by their dotted names, as a checkpoint has them under this key."""

_BIGGEST = 2**63 - 1

Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=_BIGGEST)]
Size = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=_BIGGEST)]
Number = Annotated[float, BeforeValidator(_no_bool)]
Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1, allow_inf_nan=False)]
Loss = Annotated[float, BeforeValidator(_no_bool), Field(ge=0)]
ParamValue = Annotated[Scalar, PlainValidator(_scalar)]


class _Part(BaseModel):
    """Text is stripped, assignment validated, and what people add is passed over."""

    model_config = ConfigDict(
        str_strip_whitespace=True, validate_assignment=True, extra="ignore", protected_namespaces=()
    )


class TrainingInfo(_Part):
    """Where training stood. ``epoch`` counts from 0."""

    epoch: Count
    global_step: Count
    training_phase: Literal["training", "validation", "finetuning"] = "training"
    max_epochs: Size | None = None


class EncoderInfo(_Part):
    """The backbone."""

    model_name: str
    pretrained: bool = True
    frozen: bool = False


class DecoderInfo(_Part):
    """The decoder; channels are numbers of feature maps."""

    name: str
    in_channels: list[Annotated[int, BeforeValidator(_no_bool)]] = Field(default_factory=list)
    inner_channels: Size | None = None
    output_channels: Size | None = None
    params: dict[str, ParamValue] = Field(default_factory=dict)


class HeadInfo(_Part):
    """The head."""

    name: str
    in_channels: Size | None = None
    params: dict[str, ParamValue] = Field(default_factory=dict)


class LossInfo(_Part):
    """The loss function and its weights."""

    name: str
    params: dict[str, Number] = Field(default_factory=dict)


class ModelInfo(_Part):
    """What the weights belong to."""

    architecture: str
    encoder: EncoderInfo
    decoder: DecoderInfo
    head: HeadInfo
    loss: LossInfo


class MetricsInfo(_Part):
    """The metrics of this file at its step. ``additional_metrics`` may hold NaN and infinity."""

    precision: Share | None = None
    recall: Share | None = None
    hmean: Share | None = None
    validation_loss: Loss | None = None
    additional_metrics: dict[str, Number] = Field(default_factory=dict)


class CheckpointingConfig(_Part):
    """How the file was chosen to be saved; ``save_top_k`` of -1 keeps all."""

    monitor: str
    mode: Mode
    save_top_k: Annotated[int, BeforeValidator(_no_bool), Field(ge=-1, le=_BIGGEST)] = 1
    save_last: bool = True


class CheckpointMetadataV1(_Part):
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


def _annotated(kind: Any, constraint: Any) -> Any:
    return Annotated[kind, constraint]


def _partial(whole: type[BaseModel]) -> type[BaseModel]:
    """The same model with nothing required, and null allowed in every place: for what is left of a broken sidecar."""
    fields: dict[str, Any] = {}
    for name, info in whole.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _partial(kind)
        fields[name] = (functools.reduce(_annotated, info.metadata, kind) | None, None)
    return create_pydantic_model(f"Partial{whole.__name__}", __base__=_Part, **fields)


_PartialMetadata = _partial(CheckpointMetadataV1)
_MISSING = "is missing"

SHARED_SECTIONS = ("model", "checkpointing")
MAX_SHARED = 1024
_OwnMetadata: type[BaseModel] = create_pydantic_model(
    "OwnMetadata",
    __base__=_Part,
    **cast(
        "dict[str, Any]",
        {
            name: (info.rebuild_annotation(), info)
            for name, info in CheckpointMetadataV1.model_fields.items()
            if name not in SHARED_SECTIONS
        },
    ),
)
_EXACT = {model: exact(model) for model in (CheckpointMetadataV1, _OwnMetadata)}
_shared: dict[tuple[int, int], tuple[Any, Any, dict[str, Any]]] = {}
"""The sections that the sidecars of a run have in common, by identity (documents share equal sections), with their
validated values: they are validated once, and not to be changed."""


def parse_metadata(document: Mapping[str, Any], path: str) -> CheckpointMetadataV1:
    """The sidecar that ``document`` is; a null is an absent value. Raises MetadataError on the first field at fault."""
    try:
        return CheckpointMetadataV1.model_validate(document)
    except ValidationError:
        known, errors = _examine(document, path)
    if not errors:
        return CheckpointMetadataV1.model_validate(known)
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise MetadataError(path, f"{first.reason}{more}", field=first.field)


def salvage(document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[MetadataError]]:
    """Those values of a sidecar that are valid on their own, nested as written, and an error for each other one.

    Defaults are not filled in. A required value that isn't there is an error as well. Where a file ends in the middle
    of a line, or too early and with a list, its last value is left out. Raises MetadataError for another version.
    """
    errors: list[MetadataError] = []
    try:
        known = _valid(document)
    except ValidationError:
        known, errors = _examine(document, path)
    for error in errors:
        if error.field == "schema_version":
            raise error
    if not errors and not isinstance(document, Unterminated):
        return known, errors
    last, value = _last_value(document)
    open_ended = isinstance(document, Unterminated) and not isinstance(value, bool)
    open_ended |= isinstance(value, list) and any(error.reason == _MISSING for error in errors)
    if open_ended and _pop(known, last) is not None:
        reason = "may be half of what was to be written: the file ends here"
        errors.append(MetadataError(path, reason, field=".".join(last)))
    return known, errors


def _valid(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a sidecar without fault. Raises ValidationError."""
    model, checkpointing = (document.get(name) for name in SHARED_SECTIONS)
    shared = _shared.get((id(model), id(checkpointing)))
    if shared is not None and shared[0] is model and shared[1] is checkpointing:
        return {**_values(_OwnMetadata, document), **shared[2]}
    known = _values(CheckpointMetadataV1, document)
    if len(_shared) >= MAX_SHARED:
        _shared.clear()
    _shared[id(model), id(checkpointing)] = model, checkpointing, {name: known[name] for name in SHARED_SECTIONS}
    return known


def _values(model: type[BaseModel], document: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _EXACT[model].validate_python(document)
    except ValidationError:
        return model.model_validate(document).model_dump(exclude_unset=True, exclude_none=True)


def without_placeholders(known: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """``known`` without the values that ``document`` lists as unknown, or as derived from others."""
    rest = _unshared(known)
    lists = (document.get(key) for key in (PLACEHOLDERS, DERIVED))
    for place in (place for listed in lists if isinstance(listed, list) for place in listed):
        *above, name = str(place).split(".")
        holder: Any = rest
        for key in above:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(name, None)
    return cast("dict[str, Any]", rest)


def _examine(document: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[MetadataError]]:
    """The values that are valid, and an error for each that isn't and each required one that is missing."""
    rest = _unshared({name: document[name] for name in _PartialMetadata.model_fields if name in document})
    faults: dict[tuple[str, ...], str] = {}
    try:
        _PartialMetadata.model_validate(rest)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            place = _place(rest, detail["loc"])
            if _pop(rest, place) is not None:
                faults[place] = _reason(detail)
    known = _PartialMetadata.model_validate(rest).model_dump(exclude_unset=True, exclude_none=True)
    try:
        CheckpointMetadataV1.model_validate(known)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            faults.setdefault(tuple(str(part) for part in detail["loc"]), _MISSING)
    return known, [MetadataError(path, reason, field=".".join(place)) for place, reason in faults.items()]


def _unshared(value: Any) -> Any:
    """A copy in which no two places share a mapping (aliases do), with text for keys."""
    return {str(key): _unshared(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _place(document: Mapping[str, Any], location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys down to the value at fault. A list counts as a whole: without one of its items it would be another."""
    keys: list[str] = []
    value: Any = document
    for key in map(str, location):
        if not isinstance(value, Mapping) or key not in value:
            break
        keys.append(key)
        value = value[key]
    return tuple(keys)


def _pop(document: dict[str, Any], place: tuple[str, ...]) -> Any:
    """Removes the value at ``place`` and returns it; None where it is no longer there."""
    holder: Any = document
    for key in place[:-1]:
        holder = holder.get(key, {})
    return holder.pop(place[-1], None)


def _last_value(document: Mapping[str, Any]) -> tuple[tuple[str, ...], Any]:
    """Where the text of a document ends, and the value there: the last one of the last mapping."""
    place: list[str] = []
    value: Any = document
    while isinstance(value, Mapping) and value:
        place.append(str(list(value)[-1]))
        value = list(value.values())[-1]
    return tuple(place), value


_PLAIN_WORDS = {
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "string_type": "should be text",
    "int_from_float": "should be a whole number",
}


def _reason(detail: ErrorDetails) -> str:
    """What is wrong, as part of a sentence, with the value that was found."""
    message = _PLAIN_WORDS.get(detail["type"]) or detail["msg"].removeprefix("Input ")
    found = repr(detail["input"])
    hint = ": put it in quotes" if detail["type"] == "string_type" and isinstance(detail["input"], (int, float)) else ""
    return f"{message}, not {found if len(found) <= 60 else found[:57] + '...'}{hint}"


def load_metadata(checkpoint_path: str | Path) -> CheckpointMetadataV1 | None:
    """The sidecar beside a checkpoint. None where there is none, or where it can't be used: a warning says why."""
    path = sidecar_path(os.fspath(checkpoint_path))
    try:
        return parse_metadata(read_document(path), path)
    except FileNotFoundError:
        return None
    except MetadataError as error:
        logger.warning("%s; the sidecar is passed over until it is corrected or deleted", error)
    except OSError as error:
        logger.warning("%s: can't be read: %s; the sidecar is passed over", path, error.strerror or error)
    return None


def load_metadata_batch(paths: Iterable[str | Path]) -> dict[Path, CheckpointMetadataV1 | None]:
    """The sidecar of each checkpoint, as ``load_metadata`` has it."""
    return {Path(path): load_metadata(path) for path in paths}


def save_metadata(metadata: CheckpointMetadataV1, checkpoint_path: str | Path) -> Path:
    """Writes the sidecar beside a checkpoint and returns its path. A reader sees the old one or the new one, whole.

    An existing file keeps its mode. Raises MetadataError, before anything is written, for values that aren't valid
    (maps can be changed behind the model's back), and OSError, with the old sidecar untouched and nothing left behind.
    """
    target = sidecar_path(os.fspath(checkpoint_path))
    checked = parse_metadata(metadata.model_dump(warnings=False), target)
    return write_sidecar(checked.model_dump(exclude_none=True), checkpoint_path)


class CheckpointCatalogEntry(BaseModel):
    """A checkpoint as a dropdown shows it: the one place where unknown is ``unknown``, 0 or empty."""

    model_config = ConfigDict(frozen=True)

    checkpoint_path: Path
    config_path: Path | None = None
    display_name: str
    architecture: str
    backbone: str
    exp_name: str
    epochs: int = Field(ge=0)
    created_timestamp: str = ""
    hmean: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    monitor: str | None = None
    monitor_mode: str | None = None
    has_metadata: bool = False

    def to_display_option(self) -> str:
        """``dbnet · resnet50 · exp_name (ep10 • hmean 0.843 • prec 0.854 • rec 0.832 • 20251018_1432)``."""
        names = [self.architecture, self.backbone]
        if self.exp_name not in names:
            names.append(self.exp_name if len(self.exp_name) <= 23 else f"{self.exp_name[:20]}...")
        metrics = (("hmean", self.hmean), ("prec", self.precision), ("rec", self.recall))
        facts = [f"ep{self.epochs}", *(f"{name} {value:.3f}" for name, value in metrics if value is not None)]
        facts.append(self.created_timestamp)
        return f"{' · '.join(filter(None, names))} ({' • '.join(filter(None, facts))})"


class CheckpointCatalog(BaseModel):
    """The entries, sorted by architecture, backbone, epochs and file name, and how long it took to list them."""

    entries: list[CheckpointCatalogEntry] = Field(default_factory=list)
    total_count: int = Field(default=0, ge=0)
    metadata_available_count: int = Field(default=0, ge=0)
    catalog_build_time_seconds: float = Field(default=0.0, ge=0)
    outputs_dir: Path

    @property
    def metadata_coverage_percent(self) -> float:
        """How many of 100 entries have metadata, by a sidecar or W&B."""
        return 100.0 * self.metadata_available_count / self.total_count if self.total_count else 0.0
