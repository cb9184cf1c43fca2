"""Curves as text for a terminal, and as a PNG or SVG file."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from catalogdb.cli.render import visible
from catalogdb.errors import UsageError
from catalogdb.records import Curve, Curves, Point

COLORS = ("blue", "orange", "green", "red", "magenta", "cyan", "yellow", "gray")
"""plotext's names; with more groups than colours they come again, with another mark."""
MARKS = ("•", "o", "x", "+", "*", "#", "%", "@")
BEST = "★"
MOST_LABELS = 16
"""Groups that a legend names; it would cover the curves."""
WIDTH, HEIGHT = 100, 30
"""Of a plot that goes into a pipe, in cells; a terminal is filled."""
LABEL_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Group:
    """What shares a colour: its lines, and the best point of them all."""

    label: str
    curves: tuple[Curve, ...]
    best: Point


def grouped(found: Curves) -> list[Group]:
    """The groups, that with the best point first."""
    members: dict[object, list[Curve]] = {}
    for curve in found.curves:
        members.setdefault(curve.group, []).append(curve)
    sign = 1 if found.mode == "max" else -1

    def best(curves: list[Curve]) -> Point:
        return max((curve.best for curve in curves), key=lambda point: (sign * point.value, point.x))

    labels = _labels(found)
    groups = [Group(_label(labels.get(value, value)), tuple(curves), best(curves)) for value, curves in members.items()]
    return sorted(groups, key=lambda group: -sign * group.best.value)


def _labels(found: Curves) -> dict[object, str]:
    """Where every group is a run: what to call one that is the only run of its experiment."""
    experiments = Counter(curve.exp_name for curve in found.curves)
    return {
        curve.group: curve.exp_name
        for curve in found.curves
        if curve.group == curve.run and curve.exp_name is not None and experiments[curve.exp_name] == 1
    }


def _label(value: object) -> str:
    text = "(none)" if value is None else visible(str(value))
    if text.startswith("_"):  # matplotlib's legend leaves such labels out
        text = f" {text}"
    if len(text) <= LABEL_WIDTH:
        return text
    is_path = text.startswith("/")  # its end tells runs apart
    return f"…{text[1 - LABEL_WIDTH :]}" if is_path else f"{text[: LABEL_WIDTH - 1]}…"


def draw_text(found: Curves, by: str | None) -> str:
    """The plot, and a line for each group with its best point; colours on a terminal alone."""
    import plotext  # noqa: PLC0415  # 60 ms that no other command needs

    terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size((WIDTH, HEIGHT)) if terminal else os.terminal_size((WIDTH, HEIGHT))
    groups = grouped(found)
    shown = groups[:MOST_LABELS]
    height = max(10, size.lines - len(shown) - 4) if terminal else HEIGHT
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(size.columns, height)
    plotext.theme("clear")
    plotext.title(f"{visible(found.metric)} ({found.mode} is best)")
    plotext.xlabel(found.x)
    for place, group in enumerate(groups):
        mark, color = _look(place)
        for curve in group.curves:
            xs, values = [point.x for point in curve.points], [point.value for point in curve.points]
            plotext.plot(xs, values, marker="braille", color=color)
            plotext.scatter(xs, values, marker=mark, color=color)
    for place, group in enumerate(groups):
        plotext.scatter([group.best.x], [group.best.value], marker=BEST, color=_look(place)[1])
    plotext.xticks(_ticks(found))
    text = plotext.build().rstrip("\n")
    legend = [by or "run"]
    for place, group in enumerate(shown):
        mark, color = _look(place)
        legend.append(_legend_line(group, found.x, plotext.colorize(mark, color)))
    if len(groups) > len(shown):
        legend.append(f"  and {len(groups) - len(shown)} more")
    text = "\n".join([text, *legend])
    return text if terminal and not os.environ.get("NO_COLOR") else plotext.uncolorize(text)


def _look(place: int) -> tuple[str, str]:
    """The mark and the colour of a group."""
    return MARKS[place % len(MARKS)], COLORS[place % len(COLORS)]


def _legend_line(group: Group, x: str, look: str) -> str:
    return f"  {look} {group.label}: {BEST} {group.best.value:.6g} at {x} {group.best.x}"


def _ticks(found: Curves, most: int = 7) -> list[int]:
    """Whole steps alone: few of them as they are, else at a round distance."""
    xs = sorted({point.x for curve in found.curves for point in curve.points})
    if len(xs) <= most:
        return xs
    distance = max(1, -(-(xs[-1] - xs[0]) // (most - 1)))
    unit = 10 ** (len(str(distance)) - 1)
    distance = next(step * unit for step in (1, 2, 5, 10) if step * unit >= distance)
    return list(range(-(-xs[0] // distance) * distance, xs[-1] + 1, distance))


def draw_file(found: Curves, by: str | None, path: Path) -> None:
    """A PNG or SVG, by the name's end. Raises UsageError without matplotlib, OSError for a place that can't be had."""
    try:
        from matplotlib import rc_context  # noqa: PLC0415  # optional, and heavy
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("-o needs matplotlib; install catalogdb[plot]") from error
    # parse_math: a metric's name may hold a $; a fixed salt and no date: the same plot is the same file.
    with rc_context({"svg.hashsalt": "catalogdb", "text.parse_math": False, "font.size": 10}):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        groups = grouped(found)
        for place, group in enumerate(groups):
            color = f"C{place % 10}"
            label = f"{group.label}: {group.best.value:.6g} at {group.best.x}" if place < MOST_LABELS else None
            for curve in group.curves:
                xs, values = [point.x for point in curve.points], [point.value for point in curve.points]
                axes.plot(xs, values, color=color, marker="o", markersize=4, linewidth=1.5)
            best = group.best
            axes.plot(
                [best.x], [best.value], color=color, marker="*", markersize=15, linestyle="", markeredgecolor="black",
                label=label, zorder=3,
            )  # fmt: skip
        axes.set_xticks(_ticks(found))
        axes.set_xlabel(found.x)
        axes.set_ylabel(found.metric)
        axes.set_title(f"{found.metric} ({found.mode} is best)")
        axes.grid(alpha=0.3)
        title = by or "run"
        if len(groups) > MOST_LABELS:
            title += f" (the best {MOST_LABELS} of {len(groups)})"
        figure.legend(loc="outside right upper", title=title, frameon=False)
        suffix = path.suffix.lower().lstrip(".")
        figure.savefig(path, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
