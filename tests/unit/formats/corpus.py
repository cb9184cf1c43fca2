"""The hostile corpus: files made to run code, to take memory or time, or to lie. Harmless when read as data.

``python -m tests.unit.formats.corpus DIR`` writes it: some 470 files. None runs anything by being made.
"""

from __future__ import annotations

import json
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz.seeds import torch_tar, whole_files
from tests.fuzz.targets import MAGIC as LEGACY_HEAD
from tests.fuzz.targets import tar_of
from tests.unit.formats import support
from tests.unit.formats.support import mapping, name_ref, pickled, text

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


GADGETS: dict[str, tuple[bytes, bytes]] = {
    "system": (name_ref("os", "system"), text("touch {mark}")),
    "eval": (name_ref("builtins", "eval"), text("open('{mark}', 'w')")),
    "exec": (name_ref("builtins", "exec"), text("open('{mark}', 'w')")),
    "hub": (name_ref("torch.hub", "load"), text("{mark}")),
    "runpy": (name_ref("runpy", "run_path"), text("{mark}.py")),
}
"""Functions that do harm, with an argument."""


def ways(function: bytes, argument: bytes) -> dict[str, bytes]:
    """Every opcode that can import or call, applied to ``function(argument)``."""
    module, _, name = function[1:-1].partition(b"\n")
    stacked = text(module.decode()) + text(name.decode()) + b"\x93"
    return {
        "global": function + argument + b"\x85R",
        "stack_global": stacked + argument + b"\x85R",
        "inst": b"(" + argument + b"i" + module + b"\n" + name + b"\n",
        "obj": b"(" + function + argument + b"o",
        "newobj": function + argument + b"\x85\x81",
        "newobj_ex": function + argument + b"\x85}\x92",
        "build": name_ref("builtins", "object") + b")\x81" + mapping(__setstate__=function) + b"b" + argument + b"b",
        "build_reduce": function + b")R" + argument + b"b",
        "extension": b"\x82\x07" + argument + b"\x85R",
        "extension_2": b"\x83\x07\x01" + argument + b"\x85R",
        "extension_4": b"\x84\x07\x00\x00\x01" + argument + b"\x85R",
        "persistent": function + argument + b"\x85RQ",
        "persistent_nested": b"("
        + text("storage")
        + function
        + argument
        + b"\x85R"
        + text("0")
        + text("cpu")
        + b"K\x01tQ",
        "module": b"(" + text("module") + function + argument + argument + b"tQ" + argument + b"\x85R",
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
    for gadget, (function, argument) in GADGETS.items():
        for way, call in ways(function, argument).items():
            found[f"{gadget}-{way}"] = fill(pickled(call, protocol=4), mark)
    return found


def fill(content: bytes, mark: str) -> bytes:
    """``{mark}`` inside length-prefixed texts: the path must have as many bytes as the word."""
    assert len(mark) == len("{mark}")
    return content.replace(b"{mark}", mark.encode())


U32 = struct.Struct("<I").pack
WIDE = "\U0001f600"
"""One of these, and every character of its text takes four bytes."""


def doubling() -> bytes:
    levels = (b"0](h%ch%ceq%c" % (level, level, level + 1) for level in range(200))
    return b"]q\x00" + b"".join(levels)


def wide() -> bytes:
    return b"](" + b"K\x01" * 300_000 + b"e"


def numbers() -> bytes:
    return mapping(**{f"m{i}": support.tensor_opcodes(str(i)) for i in range(3000)})


def tensors_twice() -> bytes:
    """As many as may be read at one go, and then one at an index of the memo that is taken: all is read anew."""
    state = support.training_pickle(24_900)
    return state[:-1] + b"0" + state[2:]


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
    "persistent ids": lambda: pickled(b"N" + b"Q" * 1_400_000),
    "persistent lines": lambda: pickled(b"P\n" * 1_400_000),
    "buffers": lambda: pickled(b"\x97" * 1_400_000, protocol=5),
    "extensions": lambda: pickled(b"\x82\x01" * 1_400_000),
    "new objects": lambda: pickled(b"N" + b")\x81" * 700_000),
    "stubs": lambda: pickled(name_ref("a", "b") + b"q\x00" + b")Rh\x00" * 370_000),
    "wide text": lambda: pickled(text("a" * 30_000_000 + WIDE)),
    "wide short texts": lambda: pickled((b"\x8c\xfe" + b"a" * 250 + WIDE.encode()) * 200_000, protocol=4),
    "wide names": lambda: pickled((b"c" + b"a" * 60_000 + WIDE.encode() + b"\nb\n") * 900),
    "wide lines": lambda: pickled((b"V" + b"a" * 60_000 + b"\\U0001F600\n") * 900),
    "all at once": lambda: pickled(text("a" * 11_000_000) * 3 + b"N" + b"Q" * 490_000 + b"}" * 990_000),
    "tensors twice": tensors_twice,
    "shapes": lambda: pickled(mapping(state_dict=mapping(w=support.tensor_opcodes(shape=(2**31 - 1,) * 8)))),
}
"""Whole pickles that would take long or much."""


def zips_that_lie() -> dict[str, bytes]:
    """Torch zips whose directory, headers and contents contradict one another."""
    data = pickled(mapping(epoch=b"K\x01"))
    whole = support.torch_zip(data)
    start = struct.unpack_from("<I", whole, len(whole) - 6)[0]
    second = start + 46 + len("archive/data.pkl")

    def patched(at: int, value: bytes) -> bytes:
        return whole[:at] + value + whole[at + len(value) :]

    bomb = support.torch_zip(bytes(80_000_000), compression=zipfile.ZIP_DEFLATED)
    bomb_start = struct.unpack_from("<I", bomb, len(bomb) - 6)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = support.torch_zip(data, more={"archive/data.pkl": b"N."})
    return {
        "overlap": patched(second + 42, struct.pack("<I", 10)),
        "same-place": patched(second + 42, struct.pack("<I", 0)),
        "size": patched(start + 24, struct.pack("<I", 1 << 30)),
        "both-sizes": patched(start + 20, struct.pack("<II", 1 << 30, 1 << 30)),
        "place": patched(start + 42, struct.pack("<I", 1 << 30)),
        "crc": patched(start + 16, b"\x01\x02\x03\x04"),
        "method": patched(start + 10, b"\x08\x00"),
        "encrypted": patched(start + 8, b"\x01\x00"),
        "name-length": patched(start + 28, b"\xff\xff"),
        "local-name": patched(30, b"../../x"),
        "climbing": support.torch_zip(data, more={"archive/../../../tmp/x": b"x"}),
        "absolute": support.torch_zip(data, more={"/tmp/x": b"x"}),
        "two-pickles": support.torch_zip(data, more={"other/data.pkl": b"N.", "other/version": b"3"}),
        "two-of-one-name": twice,
        "bomb": bomb,
        "bomb-that-lies": bomb[: bomb_start + 24] + struct.pack("<I", 100) + bomb[bomb_start + 28 :],
        "million-entries": million_entries(),
        "million-said": support.torch_zip(data) + end_records(10**6, 46 * 10**6, 0, len(whole)),
        "end-of-2-64": support.torch_zip(data) + end_records(2**64 - 1, 2**64 - 1, 2**64 - 1, len(whole)),
    }


def end_records(count: int, size: int, start: int, at: int) -> bytes:
    """A zip64 end record, its locator and an end record that refers to them."""
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    return end64 + locator + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)


def million_entries() -> bytes:
    """A real directory of a million entries, all of one file."""
    local = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * 1_000_000
    return local + table + end_records(1_000_000, len(table), len(local), len(local) + len(table))


def safetensors_that_lie() -> dict[str, bytes]:
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    entry = json.dumps(one).encode()
    return {
        "length-2-63": struct.pack("<Q", 2**63) + b"{}" + bytes(64),
        "length-2-64": struct.pack("<Q", 2**64 - 1) + b"{}" + bytes(64),
        "length-of-100-mb": struct.pack("<Q", 99_999_999) + b"{" + b" " * 1000,
        "negative": support.safetensors({"w": one | {"data_offsets": [-8, 0]}}, bytes(8)),
        "backwards": support.safetensors({"w": one | {"data_offsets": [8, 0]}}, bytes(8)),
        "overlapping": support.safetensors({"a": one, "b": one}, bytes(8)),
        "gap": support.safetensors({"a": one, "b": one | {"data_offsets": [16, 24]}}, bytes(24)),
        "huge-shape": support.safetensors({"w": one | {"shape": [2**63, 2**63]}}, bytes(8)),
        "many-dims": support.safetensors({"w": one | {"shape": [1] * 100_000}}, bytes(8)),
        "duplicate": support.safetensors(b'{"w":%b,"w":%b}' % (entry, entry), bytes(8)),
        "deep": support.safetensors(b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "wide": support.safetensors(b"{" + b'"w":{},' * 300_000 + b'"w":1}'),
        "digits": support.safetensors(b'{"w":' + b"9" * 1_000_000 + b"}"),
        "metadata": support.safetensors({"__metadata__": {"a": {"b": [1]}}}),
    }


def legacy_and_tar_that_lie() -> dict[str, bytes]:
    """Streams and tars whose sizes, counts and keys are impossible."""
    head = LEGACY_HEAD
    kind = name_ref("torch", "FloatStorage")

    def keys_after(value: bytes, keys: object) -> bytes:
        return head + pickled(mapping(w=value)) + pickle.dumps(keys, protocol=2) + bytes(64)

    def storage(count: bytes) -> bytes:
        return b"(" + text("storage") + kind + text("0") + text("cpu") + count + b"NtQ"

    def tar(**members: bytes) -> bytes:
        usual = {"storages": pickled(b"K\x00") + pickled(b"]"), "tensors": pickled(b"K\x00"), "pickle": pickled(b"}")}
        return tar_of((usual | members).items())

    return {
        "count-2-60": keys_after(storage(b"\x8a\x08" + struct.pack("<q", 2**60)), ["0"]),
        "count-negative": keys_after(storage(b"J\xff\xff\xff\xff"), ["0"]),
        "count-text": keys_after(storage(text("9")), ["0"]),
        "keys-twice": keys_after(storage(b"K\x01"), ["0", "0"]),
        "keys-unknown": keys_after(storage(b"K\x01"), ["1"]),
        "keys-missing": keys_after(storage(b"K\x01"), None),
        "protocol": pickle.dumps(support.LEGACY_MAGIC, protocol=2) + pickle.dumps(1002, protocol=2) + bytes(64),
        "call-as-protocol": pickle.dumps(support.LEGACY_MAGIC, protocol=2) + pickled(CALLS["persid"]),
        "call-as-keys": head + pickled(b"}") + pickled(CALLS["persid"]),
        "tar-count-2-31": tar(storages=pickled(b"J\xff\xff\xff\x7f")),
        "tar-storage-2-62": tar(
            storages=pickled(b"K\x01") + pickled(b"(K\x07Nc" + kind[1:] + b"t") + struct.pack("<q", 2**62)
        ),
        "tar-dims": tar(
            storages=pickled(b"K\x01") + pickled(b"(K\x07N" + kind + b"t") + bytes(8) + pickled(b"]"),
            tensors=pickled(b"K\x01") + pickled(b"(K\x08K\x07Nt") + struct.pack("<ii", 2**30, 0),
        ),
        "tar-call": tar(pickle=pickled(mapping(a=CALLS["persid"]))),
        "tar-class": tar(pickle=pickled(b"(" + SYSTEM + text("f") + text("s") + b"tQ" + TOUCH + b"\x85R")),
        "tar-size": torch_tar()[:124] + b"7" * 11 + torch_tar()[135:],
        "tar-many": b"".join(tar_of([(f"m{i}", b"")])[:512] for i in range(21_000)),
    }


def hostile_files(mark: str) -> dict[str, bytes]:
    """The whole corpus by file name; ``mark`` is the file that a call would make."""
    found: dict[str, bytes] = {}
    for name, content in hostile_pickles(mark).items():
        found[f"call-{name}.ckpt"] = support.torch_zip(content)
        found[f"call-{name}.bin"] = content
        found[f"call-{name}.pt"] = LEGACY_HEAD + content + pickle.dumps([], protocol=2)
    for name, make in BOMBS.items():
        found[f"bomb-{name.replace(' ', '-')}.ckpt"] = support.torch_zip(make())
    empty = {str(number): b"" for number in range(199_000)}
    found["bomb-entries.ckpt"] = support.torch_zip(pickled(mapping(epoch=b"K\x01")), storages=empty)
    groups = (
        ("zip", "ckpt", zips_that_lie()),
        ("st", "safetensors", safetensors_that_lie()),
        ("old", "pth", legacy_and_tar_that_lie()),
    )
    for group, suffix, files in groups:
        found.update({f"{group}-{name}.{suffix}": fill_any(content, mark) for name, content in files.items()})
    return found


def fill_any(content: bytes, mark: str) -> bytes:
    return fill(content, mark) if b"{mark}" in content else content


def truncations() -> Iterator[tuple[str, int, bytes]]:
    """(format, length, content): each format cut at every 97th byte, its length 0 left out."""
    for name, content in whole_files().items():
        for length in range(97, len(content), 97):
            yield name, length, content[:length]


def write_corpus(folder: Path, mark: str) -> list[str]:
    """Writes the corpus; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in hostile_files(mark).items():
        (folder / name).write_bytes(content)
        paths.append(str(folder / name))
    return paths


def write_folders(folder: Path) -> list[str]:
    """Writes folders whose files are each within bounds, by links to one of them; the paths."""
    index, ranks, nested = folder / "many-shards", folder / "many-ranks.ckpt", folder / "checkpoint-1"
    for each in (index, ranks, nested):
        each.mkdir(parents=True)
    tensor = mapping(w=support.tensor_opcodes(shape=(1,), numel=1))
    (index / "one").write_bytes(
        support.torch_zip(pickled(b"N" + b"\x85" * 1_000_000 + tensor), storages={"0": bytes(4)})
    )
    for number in range(4000):
        (index / f"{number}.bin").symlink_to("one")
    weight_map = {f"w{number}": f"{number}.bin" for number in range(4000)}
    (index / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    empty = {str(number): b"" for number in range(100_000)}
    (ranks / "one").write_bytes(support.torch_zip(pickled(mapping(module=tensor)), storages={"0": bytes(4)} | empty))
    for number in range(4000):
        (ranks / f"mp_rank_{number:05}_model_states.pt").symlink_to("one")
    inner = nested
    for _ in range(280):
        inner.mkdir(exist_ok=True)
        (inner / "trainer_state.json").write_text("{}")
        (inner / "model-00001-of-00002.bin").touch()
        inner = inner / "global_step1"
    return [str(index), str(ranks), str(nested)]


if __name__ == "__main__":
    sys.stdout.write(f"{len(write_corpus(Path(sys.argv[1]), 'MARKED'))} files\n")
