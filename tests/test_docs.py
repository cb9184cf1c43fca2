"""The pages made from the code are up to date, and nothing that a user can set or type is undocumented."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from catalogdb.query.fields import FIELDS
from catalogdb.settings import SETTINGS, Setting
from tools import reference

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
REGENERATE = "run: make docs   (or: .venv/bin/python -m tools.reference), and commit what it writes"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    path = reference.DOCS / name
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    assert written == reference.PAGES[name](), f"docs/{name} is not what the code says; {REGENERATE}"


@pytest.mark.parametrize(("path", "command"), reference.commands(), ids=lambda value: str(value))
def test_a_command_is_described(path: str, command: click.Command) -> None:
    page = (reference.DOCS / "cli.md").read_text(encoding="utf-8")
    assert path in page, f"{path} is not in docs/cli.md; {REGENERATE}"
    assert command.help, f"{path} has no docstring: its first line is its contract"
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{path} {param.opts[-1]} has no help text"
            assert param.opts[-1] in page, f"{path} {param.opts[-1]} is not in docs/cli.md; {REGENERATE}"


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_described(name: str) -> None:
    assert FIELDS[name].description
    assert f"| `{name}` |" in (reference.DOCS / "fields.md").read_text(encoding="utf-8"), REGENERATE


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_described(setting: Setting) -> None:
    page = (reference.DOCS / "settings.md").read_text(encoding="utf-8")
    assert setting.description
    for name in (setting.name, *setting.variables):
        assert f"`{name}`" in page, REGENERATE


def test_every_page_is_found_from_the_readme_or_another_page() -> None:
    readme = (reference.DOCS.parent / "README.md").read_text(encoding="utf-8")
    linked = readme + "".join(path.read_text(encoding="utf-8") for path in reference.DOCS.glob("*.md"))
    for page in sorted(reference.DOCS.glob("*.md")):
        assert f"({page.name}" in linked or f"(docs/{page.name}" in linked, f"no page links to docs/{page.name}"


PROSE = sorted([*reference.DOCS.glob("*.md"), *reference.DOCS.parent.glob("*.md")])


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            headings = HEADING.findall(place.read_text(encoding="utf-8"))
            known = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in known, f"{page.name}: {target}#{anchor}"


def test_main_writes_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "DOCS", tmp_path)
    reference.main()
    assert {path.name for path in tmp_path.iterdir()} == set(reference.PAGES)
