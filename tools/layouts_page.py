"""The table of docs/layouts.md, out of the registry: ``python -m tools.layouts_page``. A test holds the page to it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from catalogdb.layouts import BUILT_IN

PAGE = Path(__file__).resolve().parent.parent / "docs" / "layouts.md"
BETWEEN = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)


def table() -> str:
    """Of every layout: its name, its files, what is read and from where, and with what number its epochs begin."""
    lines = ["| layout | checkpoints | what is read, from where | first epoch |", "|---|---|---|---|"]
    lines += [
        f"| {' | '.join(layout.guide)} |" for layout in sorted(BUILT_IN, key=lambda each: each.guide.title.lower())
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it should be."""
    return BETWEEN.sub(lambda _: table(), PAGE.read_text(encoding="utf-8"))


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
