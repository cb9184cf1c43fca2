"""What a layout is: which files training leaves beside its checkpoints, and where a checkpoint stands among them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from catalogdb.layouts.names import STEPS, Claim, claims_of, epoch_named, numbers_of
from catalogdb.metric_files.forms import is_event_file
from catalogdb.records import CheckpointHeader, Mode, SourceRole, Stamp
from catalogdb.run_folders import CHECKPOINT_FOLDERS

MAX_EVENT_FILES = 32

EPOCHS = frozenset({"epochs", "max_epochs", "num_epochs", "n_epochs", "total_epochs", "num_train_epochs"})
"""Names of the parameter that says how many epochs there are."""


class Listing(Protocol):
    """A folder of a walk, as it was listed. Only ``inside`` and ``stamp`` ask the disk, and that once for each name."""

    @property
    def path(self) -> str:
        """Absolute."""

    @property
    def name(self) -> str: ...

    @property
    def parent(self) -> Listing | None:
        """The folder above; None beyond what the walk knows."""

    @property
    def files(self) -> Collection[str]:
        """Names of the files: documents, event files and all that some layout has among its ``marks``."""

    @property
    def folders(self) -> Collection[str]:
        """Names of the folders in it."""

    def inside(self, name: str) -> Listing | None:
        """A folder in it, listed; None where it can't be."""

    def stamp(self, name: str) -> Stamp | None:
        """Of a file in it, by its name or its path from here; None where there is none."""


class Dependency(NamedTuple):
    """A file that the rows of all checkpoints in a folder depend on, by its name or its path from ``folder``. One that
    isn't there is no dependency."""

    role: SourceRole
    folder: Listing
    name: str


class Position(NamedTuple):
    """Where in its run a checkpoint was written, as its framework counts; None is unknown.

    ``epoch`` is 0-based: the epoch that the weights were last trained in. ``stated_epoch`` is what the file states
    where that is another number, and ``key`` the place where it does. ``row`` and ``row_epoch`` are the step and the
    0-based epoch under which training logged the metrics of this state.

    Rows of the epoch that state no step are those of its end. ``whole`` is False where the checkpoint may have been
    written before; ``from_zero`` says that nothing but its own number tells how it counts: such rows count only in a
    file that counts from 0 as well. ``beyond_epochs``: the step is more than training has epochs, so that what is
    logged under such a number isn't logged by epochs.
    """

    epoch: int | None = None
    global_step: int | None = None
    stated_epoch: float | None = None
    key: str = "epoch"
    row: int | None = None
    row_epoch: int | None = None
    whole: bool = True
    from_zero: bool = False
    beyond_epochs: bool = False


class Monitor(NamedTuple):
    """The metric that training chose its best checkpoint by, and where that is stated. ``mode`` may be unknown."""

    metric: str
    mode: Mode | None
    key: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint as a layout sees it. ``name`` is the file's (for a link: its target's), ``own_name`` the path's."""

    name: str
    own_name: str
    header: CheckpointHeader
    texts: Mapping[str, str] = field(default_factory=dict)
    """What small files with the role ``state`` hold, by their names."""
    above: tuple[str, ...] = ()
    """Names of the folders above, the nearest first."""


class Guide(NamedTuple):
    """A row of the table in docs/layouts.md."""

    title: str
    names: str
    reads: str
    epochs: str


class Layout(Protocol):
    """One framework's habits. Implementations are stateless, and may be called from several threads and processes."""

    @property
    def name(self) -> str: ...

    @property
    def guide(self) -> Guide: ...

    @property
    def marks(self) -> frozenset[str]:
        """Names of files and folders without which it has nothing to say about a folder; ``checkpoint-*`` is the
        beginning of one."""

    @property
    def tells(self) -> frozenset[str]:
        """Marks that tell it where a checkpoint doesn't say what wrote it."""

    @property
    def frameworks(self) -> frozenset[str]:
        """What ``CheckpointHeader.framework`` says of its checkpoints."""

    def depends(self, folder: Listing) -> Iterable[Dependency]:
        """The files that checkpoints in ``folder`` depend on. Asked once for a folder, where one of its marks is in it
        or in one of the three above."""

    def position(self, seen: Seen) -> Position:
        """Asked for checkpoints of its frameworks, and for those that have one of its files."""

    def claims(self, seen: Seen) -> frozenset[Claim]:
        """What the checkpoint is said to be, by its name or by a file beside it. Hints, no more."""

    def monitor(self, seen: Seen) -> Monitor | None:
        """By which metric the best was chosen, where the checkpoint or its name states that."""


class Habits:
    """What most layouts have in common: nothing beside the checkpoint, and counters as the file states them."""

    marks: frozenset[str] = frozenset()
    tells: frozenset[str] = frozenset()
    frameworks: frozenset[str] = frozenset()

    def depends(self, folder: Listing) -> Iterable[Dependency]:
        return ()

    def position(self, seen: Seen) -> Position:
        return of_header(seen)

    def claims(self, seen: Seen) -> frozenset[Claim]:
        return claims_of(seen.own_name)

    def monitor(self, seen: Seen) -> Monitor | None:
        return None


def run_of(folder: Listing) -> Listing:
    """The run's folder: the one above ``checkpoints``; a metric's name with ``/`` makes one more folder below that,
    and two such names two."""
    inner = folder.parent
    holders = (folder, inner, inner.parent if inner is not None and "=" in folder.name and "=" in inner.name else None)
    for holder in holders:
        if holder is not None and holder.name.lower() in CHECKPOINT_FOLDERS and holder.parent is not None:
            return holder.parent
    return folder


def above_checkpoints(folder: str) -> str:
    """The folder above, where this one is called ``checkpoints`` or the like, else this one: by the path alone."""
    upper, _, name = folder.rpartition("/")
    return upper if name.lower() in CHECKPOINT_FOLDERS else folder


def event_files(folder: Listing) -> list[str]:
    """The newest of them: their names begin with the time, and a training that goes on begins another one."""
    return sorted(filter(is_event_file, folder.files))[-MAX_EVENT_FILES:]


def of_header(seen: Seen) -> Position:
    """The counters as the file states them, for frameworks that count epochs from 0 and log under the same step."""
    epoch, step = seen.header.epoch, seen.header.global_step
    return Position(epoch, step, row=step, row_epoch=epoch, whole=step is None)


def of_a_loop(seen: Seen) -> Position:
    """The same for a training loop of one's own, whose habits only the file and its name tell.

    Many store the number of epochs done, and call the file by the epoch's index (``github.com/facebookresearch/dino``,
    ``main_dino.py``: 1 in ``checkpoint0000.pth``): then the epoch isn't proven, and what is stated is kept as that. A
    step, or a name with another number than the epoch's, tells that it may have been saved within its epoch.
    """
    header, named = seen.header, numbers_of(seen.name)
    stated, step = header.epoch, header.global_step
    beyond = step is not None and step > _epochs(header) > 0
    if stated is None:
        return of_header(seen)._replace(stated_epoch=epoch_named(seen.name), beyond_epochs=beyond)
    if named.others == {stated - 1}:
        return Position(None, step, stated_epoch=stated, row=step, beyond_epochs=beyond)
    by_steps = step is not None or not STEPS.isdisjoint(header.scalars)
    is_named = named.others == {stated} if by_steps else not named.others or stated in named.others
    whole = is_named and not named.steps
    return Position(stated, step, row=step, row_epoch=stated, whole=whole, from_zero=True, beyond_epochs=beyond)


def _epochs(header: CheckpointHeader) -> int:
    """How many epochs training may have, at most, by the checkpoint's own parameters; 0 is unknown."""
    named = (value for name, value in header.hyper_parameters.items() if name.rpartition(".")[2] in EPOCHS)
    return max((value for value in named if type(value) is int), default=0)
