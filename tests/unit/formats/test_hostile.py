"""Files made to run code, to take memory or time, or simply broken: nothing runs, nothing raises, nothing lasts."""

from __future__ import annotations

import io
import json
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import catalogdb
from catalogdb import Catalog
from catalogdb.formats import read_header
from catalogdb.formats.pickle_reader import read_pickle
from catalogdb.formats.pickle_values import GlobalRef, Stub
from catalogdb.formats.source import Refused
from tests.fuzz.seeds import STORAGES, lightning_pickle, whole_files
from tests.fuzz.targets import SECONDS, check_header
from tests.unit.formats import corpus, support
from tests.unit.formats.corpus import CALLS, SYSTEM
from tests.unit.formats.support import name_ref, pickled, text

MARK = "MARKED"
MEGABYTES = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus")
    assert len(corpus.write_corpus(path, MARK)) > 400
    return path


def test_the_calls_are_real() -> None:
    """Were they unpickled, most would call: at least the reference unpickler accepts them as whole pickles."""
    from_reference = 0
    for content in corpus.hostile_pickles("/tmp/z").values():
        names: list[str] = []

        class Watcher(pickle.Unpickler):
            def find_class(self, module: str, name: str, names: list[str] = names) -> Any:
                names.append(name)
                return lambda *args, **options: None

            def persistent_load(self, pid: Any) -> Any:
                return None

        try:
            Watcher(io.BytesIO(content)).load()
        except (pickle.UnpicklingError, TypeError, AttributeError, ValueError):
            continue
        from_reference += bool(names)
    assert from_reference > 70


@pytest.mark.parametrize("name", CALLS)
def test_calls_become_data(name: str) -> None:
    found = read_pickle(pickled(CALLS[name]))
    assert type(found) in (Stub, dict, GlobalRef)


def run_python(code: str, *arguments: str) -> str:
    """In a process of its own, started where ``catalogdb`` can be imported from; what it printed."""
    root = Path(catalogdb.__file__).parents[1]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


WATCH = """
import json, sys, time
folder = sys.argv[1]
from tests.memory import peak_bytes
from catalogdb.formats import read_header
from pathlib import Path
paths = sorted(str(path) for path in Path(folder).iterdir())
read_header(paths[0])
before = peak_bytes()
modules = set(sys.modules)
seen = []
KINDS = set("os subprocess import exec compile socket ctypes pickle marshal shutil tempfile code".split())
def hook(event, args):
    if event == "open":
        if not isinstance(args[0], str) or not args[0].startswith(folder) or (args[2] or 0) & 0o3:
            seen.append([event, str(args)])
    elif event.split(".")[0] in KINDS:
        seen.append([event, str(args)])
sys.addaudithook(hook)
states, seconds = {}, {}
for path in paths:
    started = time.process_time()
    states[path] = read_header(path).state
    seconds[path] = time.process_time() - started
kept, imported = list(seen), sorted(set(sys.modules) - modules)
megabytes = (peak_bytes() - before) // 2**20
found = {"seen": kept, "states": states, "imported": imported}
found |= {"slowest": max(seconds.values()), "megabytes": megabytes}
import colorsys
print(json.dumps(found | {"awake": len(seen) > len(found["seen"])}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process took is read from /proc")
def test_nothing_is_imported_called_or_written(folder: Path) -> None:
    """An audit hook, in a process that has neither torch nor anything else of this test, sees reading alone."""
    before = sorted(path.name for path in folder.iterdir())
    found = json.loads(run_python(WATCH, str(folder)))
    assert (found["seen"], found["imported"]) == ([], [])
    assert found["awake"]
    assert len(found["states"]) == len(before)
    assert set(found["states"].values()) <= {"ready", "unreadable", "truncated", "foreign"}
    assert {state for path, state in found["states"].items() if Path(path).name.startswith("zip-")} == {"unreadable"}
    assert found["slowest"] < SECONDS
    assert found["megabytes"] < MEGABYTES
    assert sorted(path.name for path in folder.iterdir()) == before


BOUNDS = """
import json, sys
from pathlib import Path
from tests.unit.formats.bounds import take_all
print(json.dumps(take_all(sorted(str(path) for path in Path(sys.argv[1]).iterdir()))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory aren't kept elsewhere")
def test_no_file_needs_a_process_that_is_killed(folder: Path, tmp_path: Path) -> None:
    """Each is read in a process that the system kills at 2 s of CPU and gives no more than 300 MB: none dies."""
    taken = json.loads(run_python(BOUNDS, str(folder)))
    assert len(taken) > 400
    assert [name for name, state, *_ in taken if state is None] == []
    corpus.write_folders(tmp_path)
    taken = json.loads(run_python(BOUNDS, str(tmp_path)))
    assert {name: state for name, state, *_ in taken} == {
        "many-shards": "unreadable",
        "many-ranks.ckpt": "ready",
        "checkpoint-1": "truncated",
    }


def test_none_stops_a_scan(folder: Path) -> None:
    with Catalog.open("sqlite://") as catalog:
        report = catalog.scan(folder, use_wandb=False)
        states = {checkpoint.state for checkpoint in catalog.iter_search()}
    refused = [problem for problem in report.problems if problem.reason]
    assert report.total > 300
    assert report.seconds < 60
    assert states <= {"ready", "unreadable", "truncated", "writing"}
    assert any("memo index 2147483647" in problem.reason for problem in refused)


@pytest.mark.parametrize("name", corpus.BOMBS)
def test_bombs_are_read_or_refused(tmp_path: Path, name: str) -> None:
    header = support.read_bytes(tmp_path, support.torch_zip(corpus.BOMBS[name]()))
    assert header.state in ("ready", "unreadable", "foreign")
    assert len(header.hyper_parameters) <= 10_000
    check_header(header)


def test_every_97th_cut_of_every_format_is_truncated(tmp_path: Path) -> None:
    """But for tars cut inside the zeros that end them (whole) or inside their first header (unknown bytes)."""
    cuts = list(corpus.truncations())
    assert len(cuts) > 100
    wholes = whole_files()
    for name, length, content in cuts:
        header = support.read_bytes(tmp_path, content)
        check_header(header)
        if name in ("torch_tar", "nemo") and (length < 512 or not any(wholes[name][length:])):
            assert header.state in ("foreign" if length < 512 else "ready", "truncated"), (name, length, header)
        else:
            assert header.state == "truncated", (name, length, header)


SEEDS = list(whole_files().values())
PICKLE = lightning_pickle()


def test_the_seeds_are_whole(tmp_path: Path) -> None:
    assert [support.read_bytes(tmp_path, seed).state for seed in SEEDS] == ["ready"] * len(SEEDS)


FLIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(seed=st.sampled_from(SEEDS), flips=FLIPS, cut=st.integers(0, 10**6) | st.none())
def test_flipped_bytes_never_raise(seed: bytes, flips: list[tuple[int, int]], cut: int | None) -> None:
    content = flipped(seed, flips)
    check_header(read_header(io.BytesIO(content if cut is None else content[: cut % (len(content) + 1)])))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(flips=FLIPS)
def test_flipped_opcodes_never_raise(flips: list[tuple[int, int]]) -> None:
    """Inside a zip whose checksum is right, so that the flips reach the interpreter."""
    check_header(read_header(io.BytesIO(support.torch_zip(flipped(PICKLE, flips), storages=STORAGES))))


def flipped(seed: bytes, flips: list[tuple[int, int]]) -> bytes:
    content = bytearray(seed)
    for at, value in flips:
        content[at % len(content)] = value
    return bytes(content)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(opcodes=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(opcodes: bytes) -> None:
    try:
        read_pickle(b"\x80\x04" + opcodes)
    except Refused:
        return


def test_random_opcodes_are_read_or_refused() -> None:
    """Opcodes that pickle knows, in random order on a stack of plausible things."""
    dice = random.Random(3)
    known = [bytes((code,)) for code in b"(.012FIJKLMNPQRSTUVXabcde}gh]ijlopqrstu)" + bytes(range(0x80, 0x99))]
    stuff = [
        b"K\x01",
        text("a"),
        b")",
        b"}",
        b"]",
        b"N",
        SYSTEM,
        b"(",
        name_ref("collections", "OrderedDict"),
        b"h\x00",
    ]
    for _ in range(15_000):
        parts = [dice.choice(stuff) if dice.random() < 0.6 else dice.choice(known) for _ in range(dice.randint(1, 25))]
        try:
            read_pickle(b"\x80\x04Nq\x00" + b"".join(parts) + b".")
        except Refused:
            continue
