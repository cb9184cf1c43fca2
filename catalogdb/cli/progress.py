"""The progress of a scan, drawn on stderr when that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catalogdb.records import Progress


@contextmanager
def progress_bar(*, wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A callback that draws what it's told, or None where nobody would see it."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 40 ms that only a terminal needs
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    bar = Bar(
        TextColumn("scanning"),
        BarColumn(),
        TextColumn("{task.fields[found]:,} found  {task.completed:,.0f} resolved  {task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
    task = bar.add_task("scan", total=None, found=0, rate="")

    def show(progress: Progress) -> None:
        speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
        bar.update(
            task,
            total=progress.total,
            completed=progress.resolved,
            found=progress.found,
            rate=f"{speed:,.0f}/s" if speed else "",
            refresh=True,
        )

    with bar:
        yield show
