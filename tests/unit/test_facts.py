"""Tags, notes and aliases: written through the Python API, kept through all that happens to a file and a catalog."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogdb import Catalog, Facts
from catalogdb.demo import lay_out
from catalogdb.errors import DatabaseError, NotFound, UsageError

MODEL = "run_042/checkpoints/model.ckpt"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``outputs/`` and its ``catalog.db``, which no test changes."""
    folder = tmp_path_factory.mktemp("original")
    outputs = lay_out(folder)
    with Catalog.open(folder / "catalog.db") as catalog:
        catalog.scan(outputs, workers=1)
    return folder


@pytest.fixture
def url(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original / "catalog.db", tmp_path / "catalog.db"))


@pytest.fixture
def catalog(url: Path) -> Iterator[Catalog]:
    with Catalog.open(url) as catalog:
        yield catalog


@pytest.fixture
def outputs(original: Path) -> Path:
    return original / "outputs"


@pytest.fixture
def own_outputs(tmp_path: Path) -> Path:
    """A tree that the test may change."""
    return lay_out(tmp_path)


def scanned(outputs: Path) -> Catalog:
    catalog = Catalog.open("sqlite://")
    catalog.scan(outputs, workers=1)
    return catalog


def lines(catalog: Catalog) -> list[str]:
    return [json.dumps(facts.to_dict()) for facts in catalog.export_facts()]


def test_tags_are_put_on_and_taken_off(catalog: Catalog, outputs: Path) -> None:
    assert catalog.tag(outputs / MODEL, "good", "+stage=prod", "bad").tags == {
        "good": None, "stage": "prod", "bad": None,
    }  # fmt: skip
    row = catalog.tag(outputs / MODEL, "-bad", "-never", "stage=dev", "+empty=", "+a=b=c")
    assert row.tags == {"good": None, "stage": "dev", "empty": "", "a": "b=c"}
    assert [found.path for found in catalog.search("'good' IN tags AND tags.stage = 'dev'")] == [row.path]
    assert catalog.tag(row.id, "+x", "-x", "-good", "+good").tags == row.tags
    assert catalog.tag(row.id) == catalog.get(row.id)


@pytest.mark.parametrize("change", ["", "+", "-", "=x", "+=x", "-stage=prod", " a", "a\nb", "a\0", "x" * 251, "\udcff"])
def test_what_cannot_be_a_tag(catalog: Catalog, change: str) -> None:
    with pytest.raises(UsageError):
        catalog.tag(1, "+fine", change)
    assert catalog.get(1).tags == {}


def test_a_tag_with_a_value_that_is_no_text(catalog: Catalog) -> None:
    for value in ("\0", "\udcff"):
        with pytest.raises(UsageError, match="the tag stage"):
            catalog.tag(1, f"stage={value}")


def test_a_note(catalog: Catalog) -> None:
    assert catalog.note(1, "first\nsecond ü🤖").note == "first\nsecond ü🤖"
    assert [row.id for row in catalog.search("note LIKE '%second%'")] == [1]
    assert catalog.note(1, "third").note == "third"
    assert catalog.note(1, "  ").note is None
    assert catalog.note(1, None).note is None
    with pytest.raises(UsageError, match="a note"):
        catalog.note(1, "a\0b")


def test_an_alias_means_one_checkpoint(catalog: Catalog) -> None:
    assert catalog.alias(1, "production").aliases == ("production",)
    assert catalog.get("@production").id == 1
    assert catalog.alias(2, "@production").aliases == ("production",)
    assert catalog.get(1).aliases == ()
    assert catalog.tag("@production", "good").id == 2
    assert [row.id for row in catalog.search("'production' IN aliases")] == [2]
    catalog.remove_alias("@production")
    for attempt in (lambda: catalog.remove_alias("production"), lambda: catalog.get("@production")):
        with pytest.raises(NotFound):
            attempt()


@pytest.mark.parametrize("name", ["", "@", "-x", "a b", "@@x", "a,b", "\udcff", "x" * 251])
def test_what_cannot_be_an_alias(catalog: Catalog, name: str) -> None:
    with pytest.raises(UsageError, match="can't be an alias"):
        catalog.alias(1, name)


@pytest.mark.parametrize("name", ["production", "v1.2", "1", "team/best", "größte", "a_b-c"])
def test_what_can_be_an_alias(catalog: Catalog, name: str) -> None:
    assert catalog.alias(1, name).aliases == (name,)
    assert catalog.get(f"@{name}").id == 1


def test_what_is_not_there(catalog: Catalog) -> None:
    for ref in (999, "999", "nope.ckpt", "@nope"):
        for change in (catalog.tag, catalog.note, catalog.alias):
            with pytest.raises(NotFound):
                change(ref, "a")


def say(catalog: Catalog, ref: Any) -> None:
    catalog.tag(ref, "good", "stage=prod")
    catalog.note(ref, "in the paper")
    catalog.alias(ref, "production")


def said(catalog: Catalog, path: Path) -> bool:
    row = catalog.get(path)
    about = (dict(row.tags), row.note, row.aliases)
    assert about in (({"good": None, "stage": "prod"}, "in the paper", ("production",)), ({}, None, ()))
    return row.note is not None


def test_they_survive_a_move_a_new_scan_new_content_and_a_loss(own_outputs: Path) -> None:
    with scanned(own_outputs) as catalog:
        survive(catalog, own_outputs)


def survive(catalog: Catalog, outputs: Path) -> None:
    path, moved = outputs / MODEL, outputs / "best" / "kept.ckpt"
    say(catalog, path)
    catalog.scan(outputs, workers=1, full=True)
    assert said(catalog, path)
    moved.parent.mkdir()
    path.rename(moved)
    catalog.scan(outputs, workers=1)
    assert said(catalog, moved)
    moved.write_bytes((outputs / "run_042/checkpoints/model-v1.ckpt").read_bytes())
    catalog.scan(outputs, workers=1)
    assert said(catalog, moved)
    content = moved.read_bytes()
    moved.unlink()
    catalog.scan(outputs, workers=1)
    assert catalog.get("@production").state == "missing"
    moved.write_bytes(content)
    catalog.scan(outputs, workers=1)
    assert catalog.get("@production").state == "ready"
    assert said(catalog, moved)


def test_they_survive_a_rebuilt_catalog(catalog: Catalog, outputs: Path) -> None:
    say(catalog, outputs / MODEL)
    catalog.tag(1, "other")
    with scanned(outputs) as rebuilt:
        records = [Facts.from_dict(json.loads(line)) for line in lines(catalog)]
        report = rebuilt.import_facts(records)
        assert (report.by_path, report.by_fingerprint, report.problems) == (2, 0, ())
        assert said(rebuilt, outputs / MODEL)
        assert lines(rebuilt) == lines(catalog)
        assert rebuilt.import_facts(records) == report
        assert lines(rebuilt) == lines(catalog)


def test_they_find_a_tree_that_moved_by_its_weights(catalog: Catalog, outputs: Path, own_outputs: Path) -> None:
    say(catalog, outputs / MODEL)
    last, twin = outputs / "run_042/checkpoints/last.ckpt", outputs / "run_042/checkpoints/model-v2.ckpt"
    assert catalog.get(last).weights == catalog.get(twin).weights
    catalog.note(last, "the last one, whose weights another file has as well")
    elsewhere = own_outputs.rename(own_outputs.with_name("archive"))
    with scanned(elsewhere) as rebuilt:
        report = rebuilt.import_facts(catalog.export_facts())
        assert (report.by_path, report.by_fingerprint, report.problems) == (0, 2, ())
        assert said(rebuilt, elsewhere / MODEL)
        assert rebuilt.get(elsewhere / "run_042/checkpoints/last.ckpt").note is not None
        assert rebuilt.get(elsewhere / "run_042/checkpoints/model-v2.ckpt").note is None


def test_what_is_ambiguous_is_not_guessed(catalog: Catalog, outputs: Path, tmp_path: Path) -> None:
    catalog.tag(outputs / "run_042/checkpoints/last.ckpt", "mine")
    elsewhere = tmp_path / "flat"
    elsewhere.mkdir()
    for name in ("last.ckpt", "model-v2.ckpt"):
        shutil.copy(outputs / "run_042/checkpoints" / name, elsewhere)
    with scanned(elsewhere) as rebuilt:
        report = rebuilt.import_facts(catalog.export_facts())
        assert (report.by_path, report.by_fingerprint) == (0, 0)
        (problem,) = report.problems
        assert problem.path == str(outputs / "run_042/checkpoints/last.ckpt")
        assert problem.reason.startswith("ambiguous: the same weights are in ")
        assert str(elsewhere / "last.ckpt") in problem.reason
        assert rebuilt.export_facts() == []


def test_what_finds_nothing_says_what_to_do(catalog: Catalog) -> None:
    report = catalog.import_facts(
        [Facts("/gone/a.ckpt", tags={"a": None}), Facts("/gone/b.ckpt", fingerprint="0" * 32, note="x")]
    )
    assert [problem.path for problem in report.problems] == ["/gone/a.ckpt", "/gone/b.ckpt"]
    assert all("scan" in problem.reason for problem in report.problems)


def test_what_is_said_here_stays(catalog: Catalog) -> None:
    catalog.tag(1, "stage=prod", "good")
    catalog.note(1, "mine")
    catalog.alias(2, "production")
    path = catalog.get(1).path
    report = catalog.import_facts(
        [Facts(path, tags={"stage": "dev", "good": None, "new": "1"}, aliases=("production", "a"), note="theirs")]
    )
    row = catalog.get(1)
    assert (row.tags, row.note, row.aliases) == ({"good": None, "stage": "prod", "new": "1"}, "mine", ("a",))
    assert catalog.get("@production").id == 2
    assert [problem.reason.split(";")[0] for problem in report.problems] == [
        "the tag stage is 'prod' here and 'dev' there",
        "@production names checkpoint 2 here",
        "has another note here",
    ]


def test_a_record_that_cannot_be_keeps_all_out(catalog: Catalog) -> None:
    path = catalog.get(1).path
    for wrong in (Facts(path, tags={"a b\n": None}), Facts(path, aliases=("a b",)), Facts(path, note="\0")):
        with pytest.raises(UsageError, match=path):
            catalog.import_facts([Facts(path, tags={"fine": None}), wrong])
    assert catalog.export_facts() == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "isn't a record"),
        ({}, "path: write an absolute path"),
        ({"path": "x"}, "path: write an absolute path"),
        ({"path": "/x", "note": 3}, "note: write a text or null"),
        ({"path": "/x", "fingerprint": []}, "fingerprint: write a text or null"),
        ({"path": "/x", "tags": ["a"]}, "tags: write an object of texts and nulls"),
        ({"path": "/x", "tags": {"a": 1}}, "tags: write an object of texts and nulls"),
        ({"path": "/x", "aliases": "a"}, "aliases: write a list of texts"),
        ({"path": "/x", "aliases": [1]}, "aliases: write a list of texts"),
    ],
)
def test_a_record_that_is_none(record: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Facts.from_dict(record)


def test_many_write_at_once(url: Path) -> None:
    """Each its own connection, on one file: an alias ends at one of them, and no tag is lost."""
    failures: list[Exception] = []

    def write(number: int) -> None:
        try:
            with Catalog.open(url) as own:
                for turn in range(10):
                    own.tag(1, f"t{number}-{turn}")
                    own.alias(number + 1, "production")
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Catalog.open(url) as catalog:
        assert len(catalog.get(1).tags) == 60
        assert catalog.get("@production").id in range(1, 7)


def test_a_catalog_that_may_not_be_written_says_so(url: Path) -> None:
    with (
        Catalog.open(f"sqlite:///file:{url}?mode=ro&uri=true") as reading,
        pytest.raises(DatabaseError, match="may not be written"),
    ):
        reading.tag(1, "good")
