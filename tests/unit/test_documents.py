from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
import yaml12
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogdb.documents import (
    MAX_BYTES,
    Unterminated,
    composer,
    format_document,
    parse_document,
    read_document,
    simple_yaml,
)
from catalogdb.errors import MetadataError

# fmt: off
SCALARS: list[tuple[str, Any]] = [
    ("", None), ("~", None), ("null", None), ("NULL", None), ("true", True), ("False", False), ("yes", True),
    ("No", False), ("on", True), ("OFF", False), ("0", 0), ("-0", 0), ("+1", 1), ("-17", -17), ("0123", 83),
    ("-010", -8), ("0b11", 3), ("0x1F", 31), ("-0x1f", -31), ("1_000", 1000), ("20251018_1432", 202510181432),
    ("99999999999999999999", 99999999999999999999), ("9" * 5000, "9" * 5000), ("1e-3", 0.001), ("1E5", 100000.0),
    ("1e+5", 100000.0), ("-1e-3", -0.001), (".5", 0.5), ("-.5", -0.5), ("1.", 1.0), ("1.e3", 1000.0), ("08.5", 8.5),
    ("1_0.5", 10.5), ("1e400", math.inf), ("4.9e-324", 5e-324), ("0.1000000000000000055511151231257827", 0.1),
    (".inf", math.inf), ("-.Inf", -math.inf),
    ("x#y # z", "x#y"),
    ('"yes"', "yes"),
    ("'1e-3'", "1e-3"),
    ("'it''s'", "it's"),
    ('"a\\tb\\u00e9"', "a\tbé"),
    ("[1, 2.5, x y, 'z', true,]", [1, 2.5, "x y", "z", True]),
    ("{a: 1, 'b': [x], c: {d: ~}}", {"a": 1, "b": ["x"], "c": {"d": None}}),
    ("{b:1}", {"b:1": None}),
    ("[a:1, b: 2]", ["a:1", {"b": 2}]),
    ("[[[[1]]]]", [[[[1]]]]),
    ("|\n  x\n  y", "x\ny\n"),
    (">-\n  x\n  y", "x y"),
    ("b\n  c", "b c"),
    ("!!str 12", "12"),
    ("!!int '12'", 12),
    ("! 12", "12"),
    ("!foo 12", "12"),
    ("!!timestamp 2025-10-18", "2025-10-18"),
    ("!!binary aGk=", "aGk="),
    ("!!set {a, b}", {"a": None, "b": None}),
    ("!!python/tuple [1, 2]", [1, 2]),
    ("!!python/object/apply:os.system ['touch /tmp/x']", ["touch /tmp/x"]),
    ("!!python/name:os.system ''", ""),
    ("&x", None),
    ("no way", "no way"),
    ("2025-10-18 14:32:15.5+02:00", "2025-10-18 14:32:15.5+02:00"),
    ("a, b]", "a, b]"),
    ("say \"hi\" 'there'", "say \"hi\" 'there'"),
    ("a b  c", "a b  c"),
]
# fmt: on
AS_WRITTEN = """
    nULL tRUE y N on-policy nothing 08 0o17 0x 0x_ .iNF inf nan 1e e5 1.2.3 1.5. . .. + --1 -a 12:30 12:30:45
    190:20:30.15 2025-10-18 2025-10-18T14:32:15 val/hmean .hydra/config.yaml ${now:%Y-%m-%d}
    epoch=10-step=5420.ckpt a:b a*b&c!d|e>f é = <<
"""
SCALARS += [(text, text) for text in AS_WRITTEN.split()]


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, and NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def parse(text: str) -> dict[str, Any]:
    return parse_document(text.encode(), "x.yaml")


def composed(text: str) -> Any:
    return composer.Composer(text, "x.yaml").compose()


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar_reads_alike_wherever_it_stands(text: str, value: Any) -> None:
    forms = [(f"k: {text}\n", {"k": value}), (f"k:\n- {text}\n", {"k": [value]})]
    if not any(mark in text for mark in ",]}[{\n:|>&=<") and text not in ("", "-") and "#" not in text:
        forms += [(f"k: [{text}, {text}]\n", {"k": [value, value]}), (f"k: {{a: {text}}}\n", {"k": {"a": value}})]
    for form, expected in forms:
        assert same(dict(parse(form)), expected), form
        assert same(composed(form), expected), form


def test_nan() -> None:
    assert all(math.isnan(parse(f"k: {text}\n")["k"]) for text in (".nan", ".NaN", ".NAN"))


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("---\n...\n", {}),
        ("null\n", {}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.1\n---\na: 1\n", {"a": 1}),
        ("a: 1\nb: 2\na: 3\n", {"a": 3, "b": 2}),
        ("1: x\nnull: y\ntrue: z\n1e-3: w\nyes: v\n'q q': u\n", dict(zip(
            ("1", "null", "true", "1e-3", "yes", "q q"), "xyzwvu", strict=True))),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("b:\n  <<: [{x: 1}, {x: 2, y: 2}]\n", {"b": {"x": 1, "y": 2}}),
        ("b: {'<<': 1}\n", {"b": {"<<": 1}}),
        ("a: &a 1e-3\n*a : b\n&k c: *k\n", {"a": 0.001, "1e-3": "b", "c": "c"}),
        ("a: 1\r\nb:\r\n- 2\r\n", {"a": 1, "b": [2]}),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a:\tb\n", {"a": "b"}),
        (" a: 1\n b: 2\n", {"a": 1, "b": 2}),
        ("a: [\n1,\n2\n]\nb: 1\n", {"a": [1, 2], "b": 1}),
    ],
)  # fmt: skip
def test_documents(text: str, document: dict[str, Any]) -> None:
    assert same(dict(parse(text)), document)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n", "no mapping"),
        ("text\n", "no mapping"),
        ("a: 1\n b: 2\n", "line 2"),
        (" a: 1\nb: 2\n", "line 2"),
        ("{a: 1} b\n", "no valid YAML"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document"),
        ("a: *x\n", "*x stands for nothing"),
        ("a: &a [*a]\n", "*a holds itself"),
        ("? [a]\n: b\n", "a key is a list or a mapping"),
        ("a: &a {}\n*a : b\n", "a key is a list or a mapping"),
        ("<<: 5\n", "<< needs a mapping"),
        ("a: \x07\n", "control characters"),
        ("a: [1\n", "no valid YAML"),
    ],
)
def test_refused_documents(text: str, reason: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert caught.value.path == "x.yaml"
    assert "\n" not in str(caught.value)


def test_merge_does_not_change_what_it_merges() -> None:
    document = parse("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: {<<: *a}\n")
    assert document == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}}


def test_unfinished_last_value_is_marked() -> None:
    assert isinstance(parse("a: 1\nb: 0.8"), Unterminated)
    assert not any(isinstance(parse(text), Unterminated) for text in ("a: 1\n", "a: [1]", "a: {b: 1}", "a: 'x'", ""))


LINE = st.sampled_from(
    [
        "KEY: VALUE",
        "KEY: VALUE VALUE",
        "KEY: x: VALUE",
        "KEY: 'x: VALUE",
        "KEY: [VALUE, 1]",
        "KEY: VALUE # x: VALUE",
        "# x: VALUE\nKEY: 1%s",
        "KEY:\n  KEY: VALUE",
        "KEY:\n- VALUE\n- a: VALUE",
        "KEY:\n  a: VALUE\n  b:\n    c: VALUE",
    ]
)
VALUES = [text for text, _ in SCALARS] + ["5", "0.25", "-1.5e-07", "word", "a/b=1.ckpt", "'quoted: %s'", '"10 %"']


class TestBothParsers:
    """What the fast parser is given, it reads as the careful one does."""

    def test_usual_documents_take_the_fast_way(self) -> None:
        text = "# c\nmodel:  # c\n  lr: 1e-3\n  layers:\n  - {a: [1, 2], b: 'x'}\n  - name: y\n    at: 2025-10-18\n\n"
        assert simple_yaml.parse_simple(text) == composed(text)

    def test_our_own_sidecars_take_the_fast_way(self) -> None:
        text = format_document({"a": {"b/c": [1, -2.5e-9], "d": {}, "e": "yes", "f": "a b", "g": True, "h": []}})
        assert simple_yaml.parse_simple(text) == composed(text)

    @given(
        st.dictionaries(
            st.text(max_size=8),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
                | st.sampled_from([text for text, _ in SCALARS]),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a/_1-", max_size=4), inner),
                max_leaves=8,
            ),
        ),
        st.sampled_from([None, True, False]),
    )  # fmt: skip
    @settings(max_examples=300, deadline=None)
    def test_dumped_documents(self, document: dict[str, Any], flow: bool | None) -> None:
        text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True, width=200)
        simple = simple_yaml.parse_simple(text)
        assert simple is None or same(simple, composed(text))

    @given(
        st.lists(
            st.sampled_from(
                ["k: ", "a:\n", "\n", "\n  ", "\n- ", "- ", " ", ": ", ":", "[", "]", "{", "}", ", ", ",", '"', "'"]
                + ["#", " # ", "$", "${x}", "?", "*", "&", "!", "|", ">", "%", "@", "`", "=", "-", "1", ".", "e", "0"]
                + [text for text, _ in SCALARS]
            ),
            max_size=12,
        )
    )
    @settings(max_examples=1500, deadline=None)
    def test_hand_made_documents(self, pieces: list[str]) -> None:
        text = "k: " + "".join(pieces) + "\n"
        simple = simple_yaml.parse_simple(text)
        assert simple is None or same(simple, composed(text))

    @given(st.lists(LINE, min_size=1, max_size=6), st.data())
    @settings(max_examples=300, deadline=None)
    def test_the_same_keys_with_other_values(self, lines: list[str], data: st.DataObject) -> None:
        """Texts that differ in their values alone: the second is put together from what the first left behind."""
        keyed = [line.replace("KEY", f"k{number}") for number, line in enumerate(lines)]
        for _ in range(3):
            filled = [line.replace("VALUE", data.draw(st.sampled_from(VALUES))) for line in keyed]
            text = "\n".join(filled) + "\n"
            simple = simple_yaml.parse_simple(text)
            assert simple is None or same(simple, composed(text)), text

    def test_a_nul_is_no_seam(self) -> None:
        simple_yaml._templates.clear()
        assert parse("alpha: 1\nbeta: 2\n") == {"alpha": 1, "beta": 2}
        with pytest.raises(MetadataError):
            parse("alpha\0\nbeta: 2\n")

    def test_values_are_put_into_what_is_known(self) -> None:
        simple_yaml._templates.clear()
        for epoch, path in (("3", "a/b.ckpt"), ("-0.5e3", "'x: y %s'"), ("null", '"100%"'), ("5", "/y=1")):
            text = f"training:\n  epoch: {epoch}\n  at: {path}\n  done: full%\n"
            assert same(simple_yaml.parse_simple(text), composed(text))
        assert len([template for template in simple_yaml._templates.values() if template]) == 2

    def test_without_libyaml(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(composer, "_EventLoader", yaml.SafeLoader)
        assert composed("a: &a {x: 1e-3}\nb: {<<: *a, y: yes}\n") == {"a": {"x": 0.001}, "b": {"x": 0.001, "y": True}}
        for text in ("a: [1\n", "a: \x07\n", "[" * 100):
            with pytest.raises(MetadataError):
                composed(text)


INT64 = st.integers(-(2**63), 2**63 - 1)


class TestWriting:
    @given(
        st.dictionaries(
            st.text(max_size=8),
            st.recursive(
                st.booleans() | INT64 | st.floats(allow_nan=False) | st.text() | st.sampled_from(
                    [text for text, _ in SCALARS]),
                lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=3),
                max_leaves=8,
            )
            | st.lists(INT64 | st.text()),
        )
    )  # fmt: skip
    @settings(max_examples=300, deadline=None)
    def test_every_reader_reads_the_same(self, document: dict[str, Any]) -> None:
        text = format_document(document)
        assert same(dict(parse(text)), document)
        assert same(yaml.safe_load(text) or {}, document)
        assert same(yaml12.parse_yaml(text) or {}, document)

    def test_form(self) -> None:
        text = format_document({"a": {"x": None, "y": "no", "z": [1, 2]}, "b": 1e-05, "c": math.nan, "d": -math.inf})
        assert text == 'a:\n  "y": "no"\n  z: [1, 2]\nb: 1.0e-05\nc: .nan\nd: -.inf\n'


class TestJson:
    def test_is_not_read_as_yaml(self) -> None:
        assert parse_document(b'{"lr": "1e-3", "on": "off"}', "x.json") == {"lr": "1e-3", "on": "off"}

    @pytest.mark.parametrize(
        ("text", "document"),
        [
            ("", {}),
            (" \n", {}),
            ('{"a": 1, "a": 2}', {"a": 2}),
            ('{"a": [1e-3, -Infinity, null]}', {"a": [0.001, -math.inf, None]}),
            ('\ufeff{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
            ('{"a": "[[[[' + "[" * 100 + '"}', {"a": "[[[[" + "[" * 100}),
        ],
    )
    def test_documents(self, text: str, document: dict[str, Any]) -> None:
        assert parse_document(text.encode(), "X.JSON") == document

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[1]", "no mapping"),
            ("{\n'a': 1}", "line 2"),
            ('{"a": "\\ud800"}', "half a character"),
            ('{"a": ' + "1" * 5000 + "}", "too many digits"),
            ('{"a": ' + "[" * 65 + "]" * 65 + "}", "deeper than 64"),
            ('{"a": [' + "1," * 100_000 + "1]}", "more than 100,000 values"),
        ],
    )
    def test_refused(self, text: str, reason: str) -> None:
        with pytest.raises(MetadataError, match=reason):
            parse_document(text.encode(), "x.json")


class TestBounds:
    def test_depth(self) -> None:
        deepest = "a: " + "[" * 63 + "]" * 63 + "\n"
        assert len(parse(deepest)) == 1
        with pytest.raises(MetadataError, match="deeper than 64"):
            parse(deepest.replace("[]", "[[]]"))

    def test_depth_through_aliases(self) -> None:
        chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))
        with pytest.raises(MetadataError, match="line 64: nests deeper than 64"):
            parse(chain)

    def test_read_refuses_more_than_max_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "x.yaml"
        path.write_text("a: 12345\n")
        assert read_document(str(path), max_bytes=9) == {"a": 12345}
        with pytest.raises(MetadataError, match="has 9 bytes"):
            read_document(str(path), max_bytes=8)

    def test_read_refuses_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.yaml")
        for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero")):
            with pytest.raises(MetadataError, match="not a regular file"):
                read_document(str(path))

    def test_read_lets_os_errors_pass(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_document(str(tmp_path / "x.yaml"))

    def test_not_utf8(self) -> None:
        with pytest.raises(MetadataError, match="not UTF-8"):
            parse_document("a: ä\n".encode("latin-1"), "x")


def _fill(unit: str) -> str:
    return (unit * (MAX_BYTES // len(unit.encode()) + 1))[: MAX_BYTES // max(1, len(unit.encode()) // len(unit))]


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 20)
)
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)
)
BOMBS = {
    "open_quotes.json": '["' + '\\"' * (MAX_BYTES // 2 - 64) + "[" * 65,
    "half_a_quote.json": '["' + '\\"' * (MAX_BYTES // 2 - 64) + "[" * 65 + "\\",
    "brackets.yaml": _fill("["),
    "braces.yaml": _fill("{a: "),
    "dashes.yaml": _fill("- "),
    "dashes_below.yaml": "a:\n" + _fill("- ")[:-4],
    "questions.yaml": _fill("? "),
    "indents.yaml": "".join(f"{' ' * level}a:\n" for level in range(1400)),
    "laughs.yaml": LAUGHS,
    "merged_laughs.yaml": MERGED_LAUGHS,
    "merges.yaml": _fill("<<: {}\n"),
    "directives.yaml": _fill("%TAG !a! b\n"),
    "pairs.yaml": _fill("a: 1\n"),
    "items.yaml": "a: [" + _fill("1,")[:-4],
    "anchors.yaml": _fill("&a ")[:-4],
    "spaces.yaml": "a: b" + " " * 60_000 + "!\x01\n",
    "lines.yaml": "a: b\n" * 13_000 + "!\n",
    "flows.yaml": "a: [" + "[b, c], " * 8000 + "!]\n",
    "brackets.json": _fill("["),
    "braces.json": _fill('{"a":'),
    "quotes.json": '"' + _fill('\\"')[:-2],
    "items.json": "[" + _fill("[],")[:-4],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(BOMBS[name])
    assert path.stat().st_size <= MAX_BYTES
    _refused_within_limits(path)


def test_sidecar_of_100_megabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.metadata.yaml"
    line = b"exp_name: x\n" * 87_382
    with path.open("wb") as file:
        for _ in range(100):
            file.write(line)
    assert path.stat().st_size > 100_000_000
    _refused_within_limits(path)


PROBE = """
import resource, sys, time
from catalogdb.documents import read_document
from catalogdb.errors import MetadataError
from tests.memory import peak_bytes
here = peak_bytes()
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 100_000_000, pages + 100_000_000))
started = time.perf_counter()
try:
    read_document(sys.argv[1])
except MetadataError:
    print(time.perf_counter() - started, (peak_bytes() - here) // 1024)
"""


def _refused_within_limits(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout, "was not refused"
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 1
    assert kilobytes < 100_000
