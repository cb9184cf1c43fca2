"""The frozen records that travel between the stages: discovery, formats, resolve, store, query, faces."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

State = Literal["ready", "writing", "truncated", "unreadable", "missing"]
"""Of a row. ``ready`` is whole; ``writing`` was too young to be judged; ``truncated`` ends too early;
``unreadable`` is not what its name says; ``missing`` is known but no longer on disk."""

HeaderState = Literal["ready", "truncated", "unreadable", "foreign"]
"""Of a file's content. ``foreign`` is no checkpoint at all: it never becomes a row."""

Tier = Literal["yaml", "wandb", "legacy"]
Scope = Literal["checkpoint", "run"]
Mode = Literal["min", "max"]
SourceRole = Literal["sidecar", "config", "metrics", "params", "state", "wandb", "marker"]
"""What a file beside a checkpoint is to it: ``metrics`` has values by step or epoch, ``params`` are parameters beside
the config, ``state`` is what training says of its checkpoints (``last_checkpoint``), ``wandb`` is W&B's local run,
``marker`` lies there while the checkpoint is written."""

OriginRole = Literal["embedded", "sidecar", "metrics", "header", "wandb", "config", "params", "state", "name"]
"""Where a value was read. ``embedded`` is the record that the callback puts into the checkpoint itself."""

Scalar = bool | int | float | str | None
"""A parameter's value. ``None`` is a null that was written down, not an absent parameter."""

TIERS: tuple[Tier, ...] = ("yaml", "wandb", "legacy")

CHECKPOINT_SUFFIXES: tuple[str, ...] = (".ckpt", ".pt", ".pth", ".pth.tar", ".bin", ".safetensors")
"""What a checkpoint's name ends with, unless the settings say otherwise."""

EMBEDDED_KEY = "catalogdb_metadata"
"""Where in a checkpoint its own record stands: the V1 metadata of the very state that was saved, as plain values."""

DRIFT = "drift: "
"""What a problem begins with that names two values of one thing: the checkpoint's own, and its sidecar's."""


class Stamp(NamedTuple):
    """What ``stat`` says about a file: enough to tell whether it changed, and to know it again after a move."""

    size: int
    mtime_ns: int
    inode: int
    device: int


class Source(NamedTuple):
    """A file beside the checkpoint that its row depends on. ``path`` is absolute."""

    role: SourceRole
    path: str
    stamp: Stamp


class Place(NamedTuple):
    """A part of a root that is to be looked at: ``folder`` (relative, empty for the root itself) and ``depth`` levels
    of folders below it, None for all."""

    folder: str
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, or a folder, that is a checkpoint by its name, with the files its row will depend on.

    ``root`` is absolute; ``rel_path`` is relative to it, and ``.`` for a root that is itself a checkpoint;
    ``link_target`` is absolute: where a symbolic link points to, or the first name of a hard-linked file.

    ``parts`` is empty for a file. For a folder it is a digest of the names and stamps of all its files, and ``stamp``
    has the sum of their sizes, the latest of their times, and the folder's own inode: so it changes with any of them,
    and a folder that is moved keeps it.
    """

    root: str
    rel_path: str
    stamp: Stamp
    sources: tuple[Source, ...] = ()
    link_target: str | None = None
    parts: str = ""

    @property
    def path(self) -> str:
        if self.rel_path == ".":
            return self.root
        return f"{self.root}/{self.rel_path}" if self.root != "/" else f"/{self.rel_path}"

    @property
    def is_folder(self) -> bool:
        return bool(self.parts)

    def source(self, role: SourceRole) -> Source | None:
        for source in self.sources:
            if source.role == role:
                return source
        return None


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
    """

    in_epoch: bool
    batch_processed: bool
    batch_completed: bool
    last_batch: bool
    validated: bool
    row: int | None = None


@dataclass(frozen=True, slots=True)
class CheckpointHeader:
    """What a checkpoint file says about itself, read without executing it.

    ``format`` is ``torch_zip``, ``safetensors``, ``torch_legacy``, ``torch_tar``, ``pickle``, ``tar``, ``nemo``,
    ``sharded``, ``torch_dcp`` or ``deepspeed``, null where unknown; ``reason`` says in a few words why ``state`` isn't
    ``ready``; ``hyper_parameters`` are dotted scalars; ``metrics`` are those the file states of itself; ``bytes_read``
    is how much of the file was read. ``scalars`` are those at the top of the checkpoint, as they stand.

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


class Origin(NamedTuple):
    """Where a value comes from.

    ``path`` is relative to the checkpoint's folder for a file beside it, the run for W&B, and empty where the
    checkpoint's own name says which file it is (embedded, header, sidecar, name); ``key`` is the place inside it.
    """

    tier: Tier
    role: OriginRole
    path: str
    key: str
    scope: Scope

    def describe(self, file_name: str, sidecar_name: str) -> dict[str, str]:
        """As users see it: ``{"tier", "source", "scope", "key"}``."""
        named = {"embedded": file_name, "header": file_name, "name": file_name, "sidecar": sidecar_name}
        source = named.get(self.role, self.path)
        return {"tier": self.tier, "source": source, "scope": self.scope, "key": self.key}


class Value(NamedTuple):
    """A value with its origin."""

    value: Any
    origin: Origin


class Param(NamedTuple):
    """A typed parameter with its origin. ``name`` is dotted."""

    name: str
    value: Scalar
    origin: Origin


class Shape:
    """The names of some values, and where each of them comes from: what many checkpoints have in common.

    Shapes are told apart by identity, which costs nothing; two that are equal may be one or not.
    """

    __slots__ = ("names", "origins", "places")

    def __init__(self, names: tuple[str, ...], origins: tuple[Origin, ...]) -> None:
        self.names = names
        self.origins = origins
        self.places = {name: place for place, name in enumerate(names)}


class Values(Mapping[str, Value]):
    """Values by name, as a shape and what fills it."""

    __slots__ = ("content", "shape")

    def __init__(self, shape: Shape, content: tuple[Any, ...]) -> None:
        self.shape = shape
        self.content = content

    @classmethod
    def of(cls, known: Mapping[str, Value]) -> Values:
        """The same values. Those with the same names and the very same origins get one shape."""
        if isinstance(known, Values):
            return known
        names = tuple(known)
        origins = [value[1] for value in known.values()]
        key = names, tuple(map(id, origins))
        shape = _shapes.get(key)
        if shape is None:
            if len(_shapes) >= MAX_SHAPES:
                _shapes.clear()
            shape = _shapes[key] = Shape(names, tuple(origins))
        return cls(shape, tuple([value[0] for value in known.values()]))

    def __getitem__(self, name: str) -> Value:
        place = self.shape.places[name]
        return Value(self.content[place], self.shape.origins[place])

    def __iter__(self) -> Iterator[str]:
        return iter(self.shape.names)

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"Values({dict(self)!r})"


MAX_SHAPES = 4096
_shapes: dict[tuple[tuple[str, ...], tuple[int, ...]], Shape] = {}
"""Shapes by names and identities of origins, which they keep alive."""


class ParamGroup:
    """Parameters that belong together, a section of a config say: groups of equal digest are stored once.

    A group that many checkpoints share is one object, so that it costs each of them next to nothing: groups are told
    apart by identity, and the digest is made when first needed.
    """

    __slots__ = ("_digest", "params")

    def __init__(self, params: tuple[Param, ...], digest: str | None = None) -> None:
        self.params = params
        self._digest = digest

    @property
    def digest(self) -> str:
        """Equal for equal names, values with their types, and origins."""
        if self._digest is None:
            content = sorted([(name, value, *origin) for name, value, origin in self.params])
            self._digest = blake2b(json.dumps(content).encode("ascii"), digest_size=16).hexdigest()
        return self._digest

    def __repr__(self) -> str:
        return f"ParamGroup({self.params!r})"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept a file, or a part of it, from being used. One line for the user.

    ``path`` is absolute; ``tier`` is null where no tier was at work (walking, reading the checkpoint itself).
    """

    path: str
    tier: str | None
    reason: str

    def to_dict(self) -> dict[str, str | None]:
        return {"path": self.path, "tier": self.tier, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one tier knows about one checkpoint. Values are known ones only: a field it doesn't know is absent."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, Value] = field(default_factory=dict)
    params: tuple[ParamGroup, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """One checkpoint, resolved: what the writer makes a row of.

    ``failed`` names the tiers that could not be asked; ``recheck`` asks for another look at the next scan,
    whether or not a file has changed, ``recheck_at`` (ISO 8601, UTC) for one after that moment.
    """

    candidate: Candidate
    state: State
    format: str | None
    source: Tier
    fields: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, Value] = field(default_factory=dict)
    params: tuple[ParamGroup, ...] = ()
    weights: Weights | None = None
    problems: tuple[Problem, ...] = ()
    failed: frozenset[Tier] = frozenset()
    recheck: bool = False
    recheck_at: str | None = None


FIELD_NAMES: tuple[str, ...] = (
    "exp_name",
    "architecture",
    "backbone",
    "decoder",
    "head",
    "loss",
    "epoch",
    "global_step",
    "max_epochs",
    "training_phase",
    "monitor",
    "monitor_mode",
    "created_at",
    "config_path",
    "wandb_run_id",
    "precision",
    "recall",
    "hmean",
    "validation_loss",
    "claims",
    "stated_epoch",
)
"""The resolved fields: each has a column, a value or null, and an origin."""


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Weights):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of the catalog as users see it. Unknown is None.

    ``path`` and ``link_target`` are absolute; ``mtime`` and ``created_at`` are ISO 8601, ``size_bytes`` is bytes;
    ``provenance`` maps each known field, ``metrics.<name>`` and ``params.<name>`` to
    ``{"tier", "source", "scope", "key"}``; ``tags`` maps plain tags to None.
    """

    id: int
    path: str
    root: str
    rel_path: str
    format: str | None
    size_bytes: int
    mtime: str
    state: State
    source: Tier | None
    stale: bool
    exp_name: str | None = None
    architecture: str | None = None
    backbone: str | None = None
    decoder: str | None = None
    head: str | None = None
    loss: str | None = None
    epoch: int | float | None = None
    global_step: int | None = None
    max_epochs: int | None = None
    training_phase: str | None = None
    monitor: str | None = None
    monitor_mode: Mode | None = None
    created_at: str | None = None
    config_path: str | None = None
    wandb_run_id: str | None = None
    precision: float | None = None
    recall: float | None = None
    hmean: float | None = None
    validation_loss: float | None = None
    claims: str | None = None
    stated_epoch: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    weights: Weights | None = None
    link_target: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str | None = None
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: NaN and infinity become None."""
        return {item.name: _json_value(getattr(self, item.name)) for item in fields(self)}


FaultKind = Literal["missing", "truncated", "unreadable", "corrupt", "duplicate", "sidecar"]
"""What ``verify`` finds: gone; ends too early or lacks a part; can't be read; bytes that have changed since they were
written; the weights of another file; a sidecar that is broken or about another state."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a checkpoint. ``path`` is absolute, ``reason`` one line."""

    path: str
    kind: FaultKind
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"path": self.path, "kind": self.kind, "reason": self.reason}


SidecarAction = Literal["write", "replace", "written", "replaced", "kept", "skipped", "failed"]
"""What becomes of a sidecar: ``write`` and ``replace`` are what would be done; ``kept`` was there before."""


@dataclass(frozen=True, slots=True)
class SidecarWrite:
    """What came of one checkpoint's sidecar. ``values`` are the names of what it states; ``reason`` says why not."""

    path: str
    sidecar: str
    action: SidecarAction
    values: tuple[str, ...] = ()
    reason: str | None = None


DifferenceKind = Literal["field", "metric", "param", "weights", "tensor"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two checkpoints don't have in common. None stands for what one of them hasn't got.

    A tensor's value is ``float32 [64, 3, 7, 7] 1a2b3c4d``: dtype, shape, and the CRC-32 of its storage where known.
    """

    kind: DifferenceKind
    name: str
    first: Scalar
    second: Scalar

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "first": _json_value(self.first),
            "second": _json_value(self.second),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two checkpoints side by side. ``unknown`` counts tensors of equal shape whose contents couldn't be compared."""

    differences: tuple[Difference, ...]
    tensors: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is: candidates found and resolved; ``total`` is known once the walk is through."""

    found: int
    resolved: int
    total: int | None
    problems: int


ChangeKind = Literal["new", "updated", "moved", "missing"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one row. ``path`` is absolute; ``resolution`` is None for a row that is ``missing``."""

    kind: ChangeKind
    path: str
    resolution: Resolution | None = None


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan did. ``total`` counts the rows of its roots that are on disk, by the tier that carried them.

    ``foreign`` counts files with a checkpoint's name that hold none: they have no row.
    """

    roots: tuple[str, ...]
    total: int = 0
    yaml: int = 0
    wandb: int = 0
    legacy: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    writing: int = 0
    unreadable: int = 0
    foreign: int = 0
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of_all(cls, reports: Iterable[ScanReport]) -> ScanReport:
        """Several as one: their sum."""
        values: dict[str, Any] = {}
        for report in reports:
            for item in fields(cls):
                value = getattr(report, item.name)
                values[item.name] = values[item.name] + value if item.name in values else value
        return cls(**values) if values else cls(())

    def summary(self) -> str:
        """The line that ends a scan."""
        noun = "entry" if self.total == 1 else "entries"
        return (
            f"Catalog built: {self.total} {noun} "
            f"({self.yaml} YAML, {self.wandb} Wandb, {self.legacy} legacy) in {self.seconds:.3f}s"
        )

    def to_dict(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "foreign"}
        return {**values, "roots": list(self.roots), "problems": [problem.to_dict() for problem in self.problems]}


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best checkpoints by a metric, best first.

    ``left_out`` counts checkpoints that match the filter but have no finite value of the metric.
    """

    checkpoints: tuple[Checkpoint, ...]
    mode: Mode
    left_out: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """What the checkpoints of one ``value`` of a field take on disk. Missing ones take nothing, and aren't counted.

    ``checkpoints`` counts rows, ``files`` what lies behind them: hard and symbolic links to one file are one.
    ``twin_bytes`` are those of files whose weights another file, at least as large, has as well.
    """

    value: Any
    checkpoints: int
    files: int
    size_bytes: int
    twin_bytes: int


class Point(NamedTuple):
    """A checkpoint in a plot: ``x`` is its step or epoch."""

    x: int
    value: float
    path: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one experiment by ``x``. ``group`` is what its checkpoints have in the field of the question."""

    group: Any
    exp_name: str | None
    points: tuple[Point, ...]
    best: Point


@dataclass(frozen=True, slots=True)
class Curves:
    """A metric over ``x``, ``global_step`` or ``epoch``.

    ``left_out`` counts checkpoints that match the filter but have no place in it: no finite value that was measured at
    this checkpoint (one that is only known of the run belongs to no step), or no ``x``.
    """

    metric: str
    mode: Mode
    x: str
    curves: tuple[Curve, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a user said about one checkpoint, with what it's known by in another catalog.

    ``path`` is absolute; ``rel_path`` is its place inside its root; ``fingerprint`` is that of its weights, None where
    it isn't known. ``tags`` maps plain tags to None.
    """

    path: str
    rel_path: str | None = None
    fingerprint: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """One line of an export."""
        return {item.name: _json_value(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_dict(cls, values: Any) -> Facts:
        """The inverse. Raises ValueError, which names the field and what it should be."""
        if not isinstance(values, Mapping):
            raise ValueError('isn\'t a record; each line is an object such as {"path": …, "tags": {…}}')
        path, tags, aliases = values.get("path"), values.get("tags") or {}, values.get("aliases") or []
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError("path: write an absolute path")
        for name in ("rel_path", "fingerprint", "note"):
            if not isinstance(values.get(name), str | None):
                raise ValueError(f"{name}: write a text or null")
        if not isinstance(tags, Mapping) or not all(isinstance(value, str | None) for value in tags.values()):
            raise ValueError("tags: write an object of texts and nulls")
        if not isinstance(aliases, list | tuple) or not all(isinstance(name, str) for name in aliases):
            raise ValueError("aliases: write a list of texts")
        rest = {name: values.get(name) for name in ("rel_path", "fingerprint", "note")}
        return cls(path=path, tags=dict(tags), aliases=tuple(aliases), **rest)


@dataclass(frozen=True, slots=True)
class FactsReport:
    """What an import of facts did: how many records found their checkpoint, and how; ``problems`` tells of the rest.

    A problem's ``path`` is the record's.
    """

    by_path: int
    by_fingerprint: int
    problems: tuple[Problem, ...] = ()


class RunKey(NamedTuple):
    """Which W&B run. ``base_url`` is the server's, empty for a run known from its folder alone; ``entity`` and
    ``project`` are empty where nobody wrote them down."""

    base_url: str
    entity: str
    project: str
    run_id: str

    @property
    def path(self) -> str:
        """``entity/project/id``, or the bare id where it isn't known whose."""
        return "/".join(self[1:]) if self.entity and self.project else self.run_id


class HistoryNeed(NamedTuple):
    """Which history row a checkpoint needs: the last one that has ``key``, at or before the trainer's step ``at``.

    ``at`` counts as Lightning logs it, under ``trainer/global_step``; W&B's own ``_step`` counts calls of ``log``.
    """

    key: str
    at: int


class HistoryRow(NamedTuple):
    """One row of a run's history: W&B's ``_step``, the trainer's step, and all that was logged with it."""

    step: int
    at: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedRun:
    """A W&B run as it was last fetched.

    ``found`` is False for one that W&B doesn't know, or keeps to itself (``forbidden``). ``history`` maps what was
    asked for to the rows that answer it: none, one, or several of one trainer's step (a run that was resumed).
    ``attributes`` are display name, tags, dates and the like. Times are ISO 8601 with offset; ``expires_at`` is None
    for a run that has ended and can't change.
    """

    key: RunKey
    found: bool
    fetched_at: str
    expires_at: str | None = None
    forbidden: bool = False
    state: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[HistoryNeed, tuple[HistoryRow, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFile:
    """How far a run's ``.wandb`` file was read, and what it said up to there.

    ``read_to`` is the offset behind the last whole record; ``content`` is plain JSON, its reader's own.
    """

    path: str
    stamp: Stamp
    read_to: int
    content: Mapping[str, Any]


RunSource = Literal["sidecar", "config", "hyper_parameters", "path", "dirpath", "run folder"]


class RunRef(NamedTuple):
    """A run that a checkpoint may be of, and who says so. ``entity`` and ``project`` are empty where nobody does."""

    run_id: str
    entity: str
    project: str
    source: RunSource

    @property
    def stated(self) -> bool:
        """Somebody wrote it down. Anything else is a guess, which the run itself has to confirm."""
        return self.source in ("sidecar", "config", "hyper_parameters")


class RunScore(NamedTuple):
    """A monitored metric as the checkpoint has it: ``own`` is proven to be this file's, ``last`` may be an earlier
    one's."""

    monitor: str
    own: float | None
    last: float | None


class RunQuestion(NamedTuple):
    """What W&B is asked about one checkpoint: of which run, best reference first, and which row of its history.

    ``folder`` is the checkpoint's; ``at`` the trainer's step under which its validation was logged, None where the file
    doesn't say; ``sure`` is False where that is only likely; ``params`` are there where a guess has to be confirmed.
    """

    refs: tuple[RunRef, ...]
    folder: str
    epoch: int | None = None
    at: int | None = None
    sure: bool = True
    scores: tuple[RunScore, ...] = ()
    params: Mapping[str, Scalar] = {}


class RunUse(NamedTuple):
    """What the run cache has of one project: runs, how many were found, were absent or forbidden, have expired; when
    they were fetched; their bytes; how often a run was served from it (``hits``) and had to be asked for (``misses``).
    """

    base_url: str
    entity: str
    project: str
    runs: int
    found: int
    absent: int
    expired: int
    oldest: str | None
    newest: str | None
    size_bytes: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """``before`` is None for a file that was new; ``backup`` is where the old file was copied to."""

    before: str | None
    after: str
    backup: Path | None


@dataclass(frozen=True, slots=True)
class RevisionReport:
    """``current`` is None for a file that holds no catalog yet; ``head`` is what this version writes."""

    current: str | None
    head: str


def sidecar_path(checkpoint_path: str) -> str:
    """``X.ckpt`` → ``X.metadata.yaml``: the last suffix replaced, as the sidecar's format has it."""
    folder, slash, name = checkpoint_path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else name}.metadata.yaml"
