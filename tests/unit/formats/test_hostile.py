"""Files made to run code, to take memory or time, or simply broken: nothing runs, nothing raises, nothing lasts."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import catalogdb
from catalogdb.formats import read_header
from catalogdb.formats.pickle_reader import read_pickle
from catalogdb.formats.pickle_values import GlobalRef, Stub
from catalogdb.formats.source import Refused
from tests.unit.formats import support
from tests.unit.formats.support import mapping, name_ref, pickled, text

SECONDS = 2.0

SYSTEM = name_ref("os", "system")
TOUCH = text("touch {mark}")
CALLS: dict[str, bytes] = {
    "reduce": SYSTEM + b"(" + TOUCH + b"tR",
    "posix": name_ref("posix", "system") + TOUCH + b"\x85R",
    "eval": name_ref("builtins", "eval") + text("open('{mark}', 'w')") + b"\x85R",
    "exec": name_ref("__builtin__", "exec") + text("open('{mark}', 'w')") + b"\x85R",
    "stack_global": text("os") + text("system") + b"\x93" + TOUCH + b"\x85R",
    "inst": b"(" + TOUCH + b"ios\nsystem\n",
    "obj": b"(" + SYSTEM + TOUCH + b"o",
    "newobj": name_ref("subprocess", "Popen") + text("touch {mark}") + b"\x85\x81",
    "newobj_ex": name_ref("subprocess", "Popen") + text("touch {mark}") + b"\x85}" + text("shell") + b"\x88s\x92",
    "build_setstate": name_ref("torch.hub", "load") + b")\x81" + mapping(__setstate__=SYSTEM) + b"b" + TOUCH + b"b",
    "build_dict": name_ref("builtins", "object") + b")\x81}(" + text("__class__") + SYSTEM + b"ub",
    "getattr": name_ref("builtins", "getattr") + name_ref("os", "sys") + text("modules") + b"\x86R",
    "import": name_ref("builtins", "__import__") + text("antigravity") + b"\x85R",
    "runpy": name_ref("runpy", "run_path") + text("{mark}.py") + b"\x85R",
    "open": name_ref("io", "open") + text("{mark}") + text("w") + b"\x86R",
    "persistent_id": SYSTEM + TOUCH + b"\x85RQ",
    "persid": b"Pos.system('touch {mark}')\n",
    "extension": b"\x82\x01)R",
    "nested_globals": name_ref("os", "path.os.system") + TOUCH + b"\x85R",
    "hooks": name_ref("torch._utils", "_rebuild_from_type_v2") + b"(" + SYSTEM + b"N" + TOUCH + b"\x85NtR",
    "newobj_function": name_ref("copyreg", "__newobj__") + SYSTEM + TOUCH + b"\x86R",
    "reconstructor": name_ref("copyreg", "_reconstructor") + SYSTEM + name_ref("builtins", "str") + TOUCH + b"\x87R",
    "ordered_dict_of_calls": name_ref("collections", "OrderedDict")
    + b"]("
    + SYSTEM
    + TOUCH
    + b"\x85R"
    + b"K\x01\x86e\x85R",
    "default_factory": name_ref("collections", "defaultdict") + SYSTEM + b"\x85R",
    "partial": name_ref("functools", "partial") + SYSTEM + b"\x85R",
    "key": b"}" + SYSTEM + TOUCH + b"\x85RK\x01s",
    "codecs": name_ref("_codecs", "decode") + text("x") + text("zlib") + b"\x86R",
    "codecs_encode": name_ref("_codecs", "encode") + text("x") + text("rot13") + b"\x86R",
    "path": name_ref("pathlib", "PosixPath") + SYSTEM + TOUCH + b"\x85R\x85R",
    "numpy": name_ref("numpy.core.multiarray", "scalar") + SYSTEM + TOUCH + b"\x86R",
}


def places(call: bytes) -> Iterator[bytes]:
    """The call as the whole checkpoint, and at every place that the reader looks at."""
    monitors = b"}" + text("ModelCheckpoint{'monitor': 'a', 'mode': 'min'}") + mapping(
        monitor=call, current_score=call, best_k_models=b"}" + text("p") + call + b"s"
    ) + b"s"  # fmt: skip
    yield pickled(call)
    yield pickled(
        mapping(
            **{"pytorch-lightning_version": call},
            epoch=call,
            global_step=call,
            state_dict=b"}" + text("w") + call + b"s",
            callbacks=monitors,
            hyper_parameters=mapping(a=call, b=b"](" + call + b"e", c=mapping(d=call)),
            cleval_metrics=mapping(precision=call),
        )
    )


def hostile_pickles(mark: str) -> dict[str, bytes]:
    found = {}
    for name, call in CALLS.items():
        for index, content in enumerate(places(call)):
            found[f"{name}-{index}"] = fill(content, mark)
    return found


def fill(content: bytes, mark: str) -> bytes:
    """``{mark}`` inside length-prefixed texts: the path must have as many bytes as the word."""
    assert len(mark) == len("{mark}")
    return content.replace(b"{mark}", mark.encode())


def test_the_calls_are_real() -> None:
    """Were they unpickled, most would call: at least the reference unpickler accepts them as whole pickles."""
    from_reference = 0
    for content in hostile_pickles("/tmp/z").values():
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
    assert from_reference > 35


@pytest.mark.parametrize("name", CALLS)
def test_calls_become_data(name: str) -> None:
    found = read_pickle(pickled(CALLS[name]))
    assert type(found) in (Stub, dict, GlobalRef)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, started where ``catalogdb`` can be imported from."""
    root = Path(catalogdb.__file__).parents[1]
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)


WATCH = """
import json, sys
folder = sys.argv[1]
from catalogdb.formats import read_header
from pathlib import Path
paths = sorted(str(path) for path in Path(folder).iterdir())
read_header(paths[0])
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
states = {path: read_header(path).state for path in paths}
found = {"seen": list(seen), "states": states, "imported": sorted(set(sys.modules) - modules)}
import colorsys
print(json.dumps(found | {"awake": len(seen) > len(found["seen"])}))
"""


def test_nothing_is_imported_called_or_written(tmp_path: Path) -> None:
    """An audit hook, in a process that has neither torch nor anything else of this test, sees reading alone."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    pickles = hostile_pickles("MARKED")
    for name, content in pickles.items():
        (corpus / f"{name}.ckpt").write_bytes(support.torch_zip(content))
        (corpus / f"{name}.pkl").write_bytes(content)
    found = json.loads((done := run_python(WATCH, str(corpus))).stdout)
    assert (found["seen"], found["imported"], done.stderr) == ([], [], "")
    assert found["awake"]
    assert len(found["states"]) == 2 * len(pickles) > 100
    assert set(found["states"].values()) == {"ready"}
    assert len(list(corpus.iterdir())) == 2 * len(pickles)


U32 = struct.Struct("<I").pack


def doubling() -> bytes:
    levels = (b"0](h%ch%ceq%c" % (level, level, level + 1) for level in range(200))
    return b"]q\x00" + b"".join(levels)


def wide() -> bytes:
    return b"](" + b"K\x01" * 300_000 + b"e"


def numbers() -> bytes:
    return mapping(**{f"m{i}": support.tensor_opcodes(str(i)) for i in range(3000)})


def params(value: bytes) -> bytes:
    return pickled(mapping(hyper_parameters=value))


BOMBS: dict[str, Callable[[], bytes]] = {
    "deep lists": lambda: pickled(b"]" * 300_000 + b"a" * 299_999),
    "deep dicts": lambda: params(b"}" + (text("a") + b"}") * 100_000 + b"s" * 100_000),
    "deep tuples": lambda: params(b"N" + b"\x85" * 300_000),
    "doubling lists": lambda: params(mapping(a=doubling())),
    "wide lists": lambda: params(mapping(a=wide(), b=wide())),
    "many tensors": lambda: params(numbers()),
    "long names": lambda: params(b"}" + text("k" * 9_000_000) + b"K\x01s"),
    "memo index": lambda: pickled(b"Nr\xff\xff\xff\x7f"),
    "memo puts": lambda: pickled(b"N" + b"".join(b"r" + U32(256 + i) for i in range(900_000))),
    "memoize": lambda: pickled(b"N" + b"\x94" * 1_500_000, protocol=4),
    "dup": lambda: pickled(b"N" + b"2" * 5_000_000),
    "sets": lambda: pickled(b"\x8f" * 3_000_000, protocol=4),
    "frame": lambda: pickled(b"\x95" + b"\xff" * 8 + b"N", protocol=4),
    "digits": lambda: pickled(b"L" + b"9" * 60_000 + b"\n"),
    "long4": lambda: pickled(b"\x8b\xff\xff\xff\x7f"),
    "bytes8": lambda: pickled(b"\x8e" + b"\xff" * 8, protocol=4),
    "lists of one": lambda: pickled(b"(" + b"(l" * 700_000 + b"l"),
    "quotes": lambda: pickled(b"S'" + b"\\x41" * 16_000 + b"'\n"),
    "keys": lambda: pickled(b"}" + (b"N" + b"2\x86" * 1000 + b"Ns") * 300),
    "shapes": lambda: pickled(mapping(state_dict=mapping(w=support.tensor_opcodes(shape=(2**31 - 1,) * 8)))),
}
"""Whole pickles that would take long or much."""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_soon(tmp_path: Path, name: str) -> None:
    content = support.torch_zip(BOMBS[name]())
    started = time.process_time()
    header = support.read_bytes(tmp_path, content)
    assert time.process_time() - started < SECONDS
    assert header.state in ("ready", "unreadable")
    assert len(header.hyper_parameters) <= 10_000


MEMORY = """
import resource, sys
from catalogdb.formats import read_header
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    read_header(path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_bombs_take_little_memory(tmp_path: Path) -> None:
    paths = []
    for number, content in enumerate(BOMBS.values()):
        path = tmp_path / f"{number}.ckpt"
        path.write_bytes(support.torch_zip(content()))
        paths.append(str(path))
    done = run_python(MEMORY, *paths)
    assert int(done.stdout) < 300


def seeds() -> list[bytes]:
    """Small whole files, one of each sort, for flipping."""
    options = mapping(lr=b"G" + struct.pack(">d", 0.1), sizes=b"](K\x01K\x02e", name=text("net"))
    state = mapping(w=support.tensor_opcodes("0", shape=(2, 2), numel=4), b=support.tensor_opcodes("1"))
    monitor = mapping(monitor=text("v"), current_score=support.tensor_opcodes("1"), best_k_models=mapping(p=b"K\x01"))
    callbacks = b"}" + text("ModelCheckpoint{'monitor': 'v', 'mode': 'min'}") + monitor + b"s"
    whole = pickled(
        mapping(
            **{"pytorch-lightning_version": text("2.6.0")},
            epoch=b"K\x03",
            global_step=b"M\x00\x01",
            state_dict=state,
            callbacks=callbacks,
            hyper_parameters=options,
        )
    )
    storages = {"0": bytes(16), "1": struct.pack("<f", 0.5)}
    tensors = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"epoch": "3"}}
    return [
        support.torch_zip(whole, storages=storages),
        support.torch_zip(whole, storages=storages, compression=zipfile.ZIP_DEFLATED),
        support.safetensors(tensors, bytes(8)),
        whole,
        pickle.dumps(support.LEGACY_MAGIC, protocol=2) + whole,
    ]


SEEDS = seeds()


def test_the_seeds_are_whole(tmp_path: Path) -> None:
    assert [support.read_bytes(tmp_path, seed).state for seed in SEEDS] == ["ready"] * len(SEEDS)


def check_any(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    header = read_header(str(path))
    assert header.state in ("ready", "truncated", "unreadable", "foreign")
    assert (header.reason is None) == (header.state == "ready")
    assert header.reason is None or "\n" not in header.reason
    json.dumps([header.reason, *header.hyper_parameters.items()]).encode()
    for name, value in header.hyper_parameters.items():
        f"{name}{value}".encode()


@settings(derandomize=True, max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 10**6) | st.none(),
)
def test_flipped_bytes_never_raise(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, flips: list[tuple[int, int]], cut: int | None
) -> None:
    content = bytearray(seed)
    for at, value in flips:
        content[at % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "flipped.ckpt"
    check_any(path, bytes(content if cut is None else content[: cut % (len(content) + 1)]))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
def test_flipped_opcodes_never_raise(tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]) -> None:
    """Inside a zip whose checksum is right, so that the flips reach the interpreter."""
    content = bytearray(SEEDS[3])
    for at, value in flips:
        content[at % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "flipped.ckpt"
    check_any(path, support.torch_zip(bytes(content), storages={"0": bytes(16), "1": bytes(4)}))


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


@pytest.mark.parametrize("index", range(3))
def test_every_cut_of_every_format(tmp_path: Path, index: int) -> None:
    whole = SEEDS[index]
    for length in range(9, len(whole), 5):
        header = support.read_bytes(tmp_path, whole[:length])
        assert header.state == "truncated", length
