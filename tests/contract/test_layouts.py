"""What every layout keeps to: it reads listings and no disk, invents nothing, and remembers nothing."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogdb.layouts import BUILT_IN, Layout, Listing, Position, Seen
from catalogdb.layouts.foreign import MEMBERS, Foreign
from catalogdb.records import CheckpointHeader, Stamp

NAMES = sorted({mark.rstrip("*") + ("1" if mark.endswith("*") else "") for each in BUILT_IN for mark in each.marks})
OTHERS = ["notes.txt", "version_0", "20251018_143215", "global_step7", "checkpoint-12", "a=b", "épreuve", ""]


class Listed:
    """A folder in memory. Its files aren't there to be asked for."""

    def __init__(self, name: str, files: Collection[str], folders: Collection[str], parent: Listing | None) -> None:
        self.name = name
        self.files = files
        self.folders = folders
        self.parent = parent

    @property
    def path(self) -> str:
        return f"{self.parent.path if self.parent is not None else ''}/{self.name}"

    def inside(self, name: str) -> Listing | None:
        assert name in self.folders, "only what was listed is looked into"
        return Listed(name, self.files, (), self)

    def stamp(self, name: str) -> Stamp | None:
        raise AssertionError(f"the disk was asked for {name}")


FOLDERS = st.builds(
    Listed,
    st.sampled_from(["checkpoints", "weights", "dbnet", "version_0", "checkpoint-12"]),
    st.sets(st.sampled_from(NAMES + OTHERS), max_size=12),
    st.sets(st.sampled_from(NAMES + OTHERS), max_size=12),
    st.none()
    | st.builds(
        Listed,
        st.just("above"),
        st.sets(st.sampled_from(NAMES)),
        st.sets(st.sampled_from(NAMES)),
        st.none(),
    ),
)
COUNT = st.none() | st.integers(0, 2**53)
HEADERS = st.builds(
    CheckpointHeader,
    format=st.just("torch_zip"),
    epoch=COUNT,
    global_step=COUNT,
    hyper_parameters=st.dictionaries(
        st.sampled_from(["eval_metric", "metric_for_best_model", "best_checkpoint_metric", "greater_is_better"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    ),
    scalars=st.dictionaries(st.just("epoch"), st.none() | st.booleans() | st.floats() | st.text(max_size=5)),
)
STATES = ["last_checkpoint", "latest", "latest_checkpointed_iteration.txt", "trainer_state.json"]
SEEN = st.builds(
    Seen,
    name=st.text(max_size=20) | st.sampled_from(["epoch_3.pth", "iter_0000005", "checkpoint-12", "model_0004999.pth"]),
    own_name=st.text(max_size=20) | st.sampled_from(["best.pt", "last.ckpt", "checkpoint-12"]),
    header=HEADERS,
    texts=st.dictionaries(st.sampled_from(STATES), st.text(max_size=30) | st.just('{"best_model_checkpoint": "a/b"}')),
    above=st.lists(st.sampled_from(["iter_0000005", "mp_rank_00", "x"]), max_size=3).map(tuple),
)


@pytest.mark.parametrize("layout", BUILT_IN, ids=lambda layout: layout.name)
def test_it_is_one(layout: Layout) -> None:
    assert Foreign(layout).name == layout.name
    assert all(getattr(layout, name) is not None for name in MEMBERS)
    assert layout.tells <= layout.marks | {"scalars.json"}, "what tells it is a file that it depends on"


@pytest.mark.parametrize("layout", BUILT_IN, ids=lambda layout: layout.name)
@given(folder=FOLDERS)
def test_it_reads_listings_alone(layout: Layout, folder: Listing) -> None:
    found = [(each.role, each.folder.path, each.name) for each in layout.depends(folder)]
    assert found == [(each.role, each.folder.path, each.name) for each in layout.depends(folder)]
    assert {role for role, _, _ in found} <= {"metrics", "params", "state"}
    assert len(set(found)) == len(found)
    top = folder.parent.path if folder.parent is not None else folder.path
    assert all(f"{path}/".startswith(f"{top}/") for _, path, _ in found), "in this folder, those above, or those below"


@pytest.mark.parametrize("layout", BUILT_IN, ids=lambda layout: layout.name)
@given(seen=SEEN)
def test_whatever_a_checkpoint_is_like_it_has_a_place_or_none(layout: Layout, seen: Seen) -> None:
    position = layout.position(seen)
    assert position == layout.position(seen)
    for count in (position.epoch, position.global_step, position.row, position.row_epoch):
        assert count is None or (type(count) is int and count >= 0)
    assert layout.claims(seen) <= {"best", "last"}
    monitor = layout.monitor(seen)
    assert monitor is None or (monitor.metric != "" and monitor.mode in ("min", "max", None))


@pytest.mark.parametrize("layout", BUILT_IN, ids=lambda layout: layout.name)
def test_of_nothing_it_says_nothing(layout: Layout) -> None:
    seen = Seen("x.pt", "x.pt", CheckpointHeader("torch_zip"))
    assert layout.position(seen)._replace(key="epoch", whole=True) == Position()
    assert (layout.claims(seen), layout.monitor(seen)) == (frozenset(), None)
    assert [*layout.depends(Listed("x", (), (), None))] == []
