"""docs/layouts.md says what the registry holds."""

from __future__ import annotations

from catalogdb.layouts import BUILT_IN
from tools.layouts_page import PAGE, page


def test_the_table_is_the_registry_s() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: .venv/bin/python -m tools.layouts_page"


def test_every_layout_has_its_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(BUILT_IN) == len({layout.name for layout in BUILT_IN}) == 14
    for layout in BUILT_IN:
        assert text.count(f"| {layout.guide.title} | ") == 1
