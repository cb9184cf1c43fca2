"""The opcodes: what CPython's pickler writes is read as the same data, and what can call becomes a Stub."""

from __future__ import annotations

import argparse
import collections
import enum
import functools
import io
import pathlib
import pickle
import struct
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogdb.formats.pickle_reader import _Reader, as_storage, read_pickle
from catalogdb.formats.pickle_values import GlobalRef, OpaqueKey, Stub
from catalogdb.formats.source import CutShort, Refused
from catalogdb.formats.tensor_opcodes import TensorReader
from catalogdb.formats.tensors import TensorRef, describe
from catalogdb.limits import DEFAULT, Limits
from tests.unit.formats.support import name_ref, outcome, pickled, tensor_opcodes, text, training_pickle, written_out

PROTOCOLS = range(6)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-9, 9), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(value=PLAIN, protocol=st.sampled_from(list(PROTOCOLS)))
def test_plain_data_is_read_as_it_was(value: object, protocol: int) -> None:
    assert read_pickle(pickle.dumps(value, protocol=protocol)) == value


class Colour(enum.Enum):
    RED = 1


class Plain:
    def __init__(self) -> None:
        self.size = 3


class Words(dict):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (collections.OrderedDict(a=1, b=2), {"a": 1, "b": 2}),
        (collections.defaultdict(list, {"a": [1]}), {"a": [1]}),
        (collections.Counter({"a": 2}), {"a": 2}),
        ({7}, [7]),
        (pathlib.PurePosixPath("/data/runs"), "/data/runs"),
        (pathlib.PureWindowsPath(r"C:\runs"), r"C:\runs"),
        (b"\x00\xff", b"\x00\xff"),
        (2**200, 2**200),
        (-(2**31), -(2**31)),
        ("é\n\\x", "é\n\\x"),
    ],
)
def test_common_types_are_plain(value: object, expected: object, protocol: int) -> None:
    assert read_pickle(pickle.dumps(value, protocol=protocol)) == expected


@pytest.mark.parametrize("name", ["PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"])
def test_paths_that_python_3_13_wrote(name: str) -> None:
    found = read_pickle(b"\x80\x02" + name_ref("pathlib._local", name) + text("runs") + b"\x85R.")
    assert found == "runs"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_frozensets_are_sequences(protocol: int) -> None:
    found = read_pickle(pickle.dumps(frozenset({7}), protocol=protocol))
    assert found in ([7], (7,))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_keep_their_class_and_state(protocol: int) -> None:
    found: Any = read_pickle(pickle.dumps([Plain(), Words(a=1), argparse.Namespace(lr=0.1)], protocol=protocol))
    plain, words, namespace = found
    assert [type(item) for item in found] == [Stub, Stub, Stub]
    assert (plain.ref.dotted, plain.state) == (f"{__name__}.Plain", {"size": 3})
    assert (words.ref.name, words.items) == ("Words", {"a": 1})
    assert (namespace.ref.dotted, namespace.state) == ("argparse.Namespace", {"lr": 0.1})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_calls_are_described_and_not_made(protocol: int) -> None:
    value = [Colour.RED, functools.partial(int, "7"), Colour, print]
    found: Any = read_pickle(pickle.dumps(value, protocol=protocol))
    colour, partial, cls, function = found
    assert type(colour) is Stub
    assert (type(partial), partial.ref.dotted) == (Stub, "functools.partial")
    assert (type(cls), cls.name) == (GlobalRef, "Colour")
    assert (type(function), function.name) == (GlobalRef, "print")


def test_cycles_are_kept() -> None:
    loop: list[Any] = []
    loop.append(loop)
    found: Any = read_pickle(pickle.dumps(loop))
    assert found[0] is found


def test_numpy_scalars_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    values = [numpy.float64(0.1), numpy.float32(0.5), numpy.int64(-3), numpy.bool_(True), numpy.uint8(255)]
    for protocol in range(2, 6):
        assert read_pickle(pickle.dumps(values, protocol=protocol)) == [0.1, 0.5, -3, True, 255]
    found: Any = read_pickle(pickle.dumps(numpy.zeros(3), protocol=2))
    assert type(found) is Stub


@pytest.mark.parametrize(
    ("opcodes", "expected"),
    [
        (b"I01\n", True),
        (b"I00\n", False),
        (b"I42\n", 42),
        (b"L42L\n", 42),
        (b"F1.5\n", 1.5),
        (b"S'a\\x41\\n\\\\'\n", "aA\n\\"),
        (b"Va\\u00e9\n", "aé"),
        (b"T\x02\x00\x00\x00a\xe9", "aé"),
        (b"U\x02a\xe9", "aé"),
        (b"\x8d\x01" + b"\x00" * 7 + b"a", "a"),
        (b"\x8e\x01" + b"\x00" * 7 + b"a", b"a"),
        (b"\x96\x01" + b"\x00" * 7 + b"a", b"a"),
        (b"\x8b\x02\x00\x00\x00\x00\x80", -32768),
        (b"(K\x01K\x02l", [1, 2]),
        (b"(K\x01K\x02d", {1: 2}),
        (b"K\x012\x86", (1, 1)),
        (b"K\x01(K\x021", 1),
        (b"K\x01(0", 1),
        (b"K\x01K\x020", 1),
        (b"(K\x01\x91", (1,)),
        (b"\x8f(K\x01\x90", [1]),
        (b"K\x05p300\n0g300\n", 5),
        (b"K\x05r\x05\x00\x00\x000h\x05", 5),
        (b"K\x05q\x050j\x05\x00\x00\x00", 5),
        (b"K\x05\x940h\x00", 5),
        (b"X\x03\x00\x00\x00\xed\xa0\x80", "\ufffd" * 3),
    ],
)
def test_rare_opcodes(opcodes: bytes, expected: object) -> None:
    assert read_pickle(pickled(opcodes, protocol=5)) == expected


@pytest.mark.parametrize(
    "opcodes",
    [
        b"",
        b"0",
        b"(",
        b"K\x01t",
        b"h\x00",
        b"\xff",
        b"X\xff\xff\xff\x7fabc",
        b"\x8d" + b"\xff" * 8,
        b"\x8b\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\xff",
        b"N" + b"r\xff\xff\xff\x7f",
        b"Np2147483647\n",
        b"Np-1\n",
        b"NK\x01a",
        b"]K\x01K\x02s",
        b"}(K\x01u",
        b"K\x01R",
        b"K\x01K\x01b",
        b"NN\x93",
        b"Iabc\n",
        b"Sabc\n",
        b"c",
        b"cos\n",
        b"\x80\x06",
        b"I" + b"9" * 5000 + b"\n",
    ],
)
def test_malformed_opcodes_are_refused(opcodes: bytes) -> None:
    with pytest.raises(Refused):
        read_pickle(b"\x80\x02" + opcodes + b".")


def test_every_cut_is_refused() -> None:
    whole = pickle.dumps({"a": [1, 2.5, "x" * 300, (1, 2, 3, 4)], "b": {b"c": 2**99}}, protocol=2)
    for length in range(len(whole)):
        with pytest.raises(Refused):
            read_pickle(whole[:length])


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (b"\x80\x02" + b"}" * 3_000_000, "limits_pickle_opcodes"),
        (b"\x80\x02" + b"(" * 10_000, "limits_pickle_depth"),
        (b"\x80\x02X" + struct.pack("<I", 34_000_000) + b"a" * 34_000_000 + b".", "limits_pickle_string"),
        (b"\x80\x02" + b"".join(b"c%x\nx\n" % i for i in range(25_000)), "names"),
        (
            b"\x80\x02ccollections\nOrderedDict\nq\x00](" + b"K\x01K\x02\x86" * 50_000 + b"eq\x01"
            b"" + b"h\x00h\x01\x85R" * 50_000,
            "limits_pickle_containers",
        ),
        (
            b"\x80\x02c_codecs\nencode\nq\x00"
            + text("a" * 99_999)
            + text("latin1")
            + b"\x86q\x01"
            + b"h\x00h\x01R" * 999,
            "limits_pickle_text",
        ),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo index 2147483647"),
    ],
    ids=["opcodes", "marks", "text", "names", "copies", "encode", "memo"],
)
def test_bombs_are_refused(bomb: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_pickle(bomb)


def test_tuple_keys_are_not_hashed() -> None:
    doubling = b"N" + b"2\x86" * 200  # as a key, it would be hashed 2**200 times
    found: Any = read_pickle(pickled(b"}", doubling, b"K\x01s"))
    assert [type(key) for key in found] == [OpaqueKey]


def test_colliding_integer_keys_are_not_hashed() -> None:
    keys = b"".join(b"\x8a\x10" + ((2**61 - 1) * i).to_bytes(16, "little") + b"N" for i in range(100_000))
    assert len(read_pickle(pickled(b"}(", keys, b"u"))) == 100_000  # type: ignore[arg-type]


def test_deep_nesting_is_no_recursion() -> None:
    found: Any = read_pickle(pickled(b"N" + b"\x85" * 500_000))
    for _ in range(500_000):
        (found,) = found
    assert found is None


def test_builders_do_not_recurse() -> None:
    newobj = name_ref("copyreg", "__newobj__")
    found: Any = read_pickle(pickled(newobj, b"q\x00(" + b"h\x00" * 5000 + b"tR"))
    assert type(found) is Stub
    from_type = name_ref("torch._tensor", "_rebuild_from_type_v2")
    found = read_pickle(pickled(from_type, b"q\x00", b"(h\x00N" * 900 + b")" + b"Nt" * 900 + b"R"))
    assert type(found) is Stub


def test_tensors_read_at_one_go_equal_those_read_by_the_loop() -> None:
    torch = pytest.importorskip("torch")
    shared = torch.arange(12.0)
    tensors = {
        "scalar": torch.tensor(1.5),
        "one": torch.zeros(300),
        "two": torch.zeros(70000, 2, dtype=torch.bfloat16),
        "three": torch.zeros(2, 3, 4).permute(2, 0, 1),
        "five": torch.zeros(1, 2, 3, 1, 2, dtype=torch.int64),
        "empty": torch.zeros(0, 4),
        "tied": shared,
        "view": shared[3:9].view(2, 3),
        "again": shared,
        "trained": torch.nn.Parameter(torch.ones(3)),
        "wanting": torch.ones(4, requires_grad=True),
        "eight": torch.zeros(3).to(torch.float8_e4m3fn),
        "eights": torch.zeros(3).to(torch.float8_e4m3fn),
        "unsigned": torch.zeros(3, dtype=torch.uint16),
    } | {f"layer.{i}": torch.zeros(i + 1, 2) for i in range(60)}
    data = save_pickle(torch, tensors)
    whole = read_tensors(read_pickle(data))
    assert outcome(data) == outcome(data, at_one_go=False)
    assert whole.keys() == tensors.keys()
    for name, (dtype, shape, stride, offset) in whole.items():
        tensor = tensors[name]
        expected = (str(tensor.dtype), tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
        assert (f"torch.{dtype}", shape, stride, offset) == expected


def save_pickle(torch: Any, value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return zipfile.ZipFile(buffer).read("archive/data.pkl")


def read_tensors(found: Any) -> dict[str, tuple[str, tuple[int, ...], tuple[int, ...], int]]:
    tensors = {}
    for name, ref in found.items():
        tensor = describe(ref)
        assert tensor is not None
        tensors[name] = (tensor.dtype, tensor.shape, tensor.stride, tensor.offset)
    return tensors


def training_state(torch: Any, layers: int) -> dict[str, Any]:
    weights = {f"layers.{number}.weight": torch.zeros(2, 3) for number in range(layers)}
    moments = {
        number: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2, 3), "exp_avg_sq": torch.zeros(6)}
        for number in range(layers)
    }
    return {"epoch": 1, "model": weights, "optimizer": {"state": moments, "param_groups": [{"lr": 0.1}]}}


@pytest.mark.parametrize("layers", [3, 40])
def test_an_optimizer_read_at_one_go_equals_one_read_by_the_loop(layers: int) -> None:
    torch = pytest.importorskip("torch")
    data = save_pickle(torch, training_state(torch, layers))
    assert outcome(data) == outcome(data, at_one_go=False)


def test_nearly_all_tensors_are_read_at_one_go() -> None:
    torch = pytest.importorskip("torch")
    for data in (save_pickle(torch, training_state(torch, 40)), training_pickle(40)):
        tensors = TensorReader(None, DEFAULT)
        _Reader(data, as_storage, DEFAULT).run(0, tensors)
        assert 4 * 40 - 4 <= tensors.count <= 4 * 40


def test_a_files_first_tensor_is_read_at_one_go_too() -> None:
    tensors = TensorReader(None, DEFAULT)
    _Reader(training_pickle(1), as_storage, DEFAULT).run(0, tensors)
    assert tensors.count == 4


def test_a_key_that_comes_twice_in_an_optimizers_dict() -> None:
    data = training_pickle(3)
    twice = data.replace(b"X\x07\x00\x00\x00exp_avgq", b"X\x04\x00\x00\x00stepq")
    assert twice != data
    assert outcome(twice) == outcome(twice, at_one_go=False)


def test_a_pickle_that_is_cut_anywhere_is_told_as_cut() -> None:
    data = training_pickle(2)
    for end in range(2, len(data)):
        assert outcome(data[:end]) is outcome(data[:end], at_one_go=False) is CutShort


def test_tensors_read_at_one_go_count_as_opcodes() -> None:
    limits = Limits(pickle_opcodes=75_000)
    idle = b"K\x01\x85" * 33_500 + b"."  # two opcodes each
    read_pickle(training_pickle(100)[:-1] + idle, limits)
    with pytest.raises(Refused, match="limits_pickle_opcodes"):
        read_pickle(training_pickle(300)[:-1] + idle, limits)


def test_what_is_read_twice_counts_twice() -> None:
    data = training_pickle(40)
    rewritten = data[:-1] + b"0" + data[2:]
    opcodes = 11_500
    assert isinstance(read_pickle(rewritten, Limits(pickle_opcodes=opcodes)), dict)
    with pytest.raises(Refused, match="limits_pickle_opcodes"):
        read_pickle(rewritten, Limits(pickle_opcodes=opcodes - 1_000))


def test_pickles_of_a_few_tensors_and_of_many_are_read_alike() -> None:
    for layers in (1, 2, 5, 6, 7, 8, 12):
        data = training_pickle(layers)
        assert written_out(read_pickle(data)) == outcome(data, at_one_go=True) == outcome(data, at_one_go=False)


@pytest.mark.parametrize(("layers", "step"), [(2, 3), (40, 97)])
def test_whatever_is_changed_in_tensors_the_loop_has_the_same_outcome(layers: int, step: int) -> None:
    """Indexes of the memo above all: used twice, not there yet, or standing for a part of an earlier tensor."""
    data = training_pickle(layers)
    for at in range(2, len(data), step):
        for new in {0, 9, 13, 19, 0x68, (data[at] + 1) % 256, (data[at] - 1) % 256}:
            changed = data[:at] + bytes((new,)) + data[at + 1 :]
            assert outcome(changed) == outcome(changed, at_one_go=False), (at, new)


def test_parts_of_a_tensor_that_is_read_later_are_in_the_memo() -> None:
    data = training_pickle(2)[:-1] + b"(" + b"".join(b"h" + bytes((index,)) for index in range(5, 27)) + b"t."
    found = read_pickle(data)
    assert isinstance(found, tuple)
    assert (2, 3) in found
    assert outcome(data) == outcome(data, at_one_go=False)


@pytest.mark.parametrize("shape", [(2**31 - 1,) * 3, (-1,), (1,) * 65])
def test_impossible_tensors_are_not_described(shape: tuple[int, ...]) -> None:
    ref = TensorRef((None, 0, shape, shape), GlobalRef("torch", "float32", lambda *_: None))
    assert describe(ref) is None


def test_tensor_opcodes_by_hand() -> None:
    found: Any = read_pickle(pickled(tensor_opcodes("7", shape=(2, 3), numel=6)))
    assert describe(found) == ("float32", (2, 3), (3, 1), 0, "7", 6, 6)
