"""The benchmarks: each lays out its tree, runs its cases and their baselines in turn, and gives rows of a table."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

TIMES = "\N{MULTIPLICATION SIGN}"
REPOSITORY = Path(__file__).resolve().parents[2]

Result = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ok`` is None where nothing is asked of the number."""

    name: str
    ours: str
    baseline: str
    ratio: str
    needed: str
    ok: bool | None


@dataclass(frozen=True)
class Sizes:
    checkpoints: int = 10_000
    large: int = 20
    megabytes: int = 500
    crowd: int = 100_000
    rows: int = 1_000_000
    runs: int = 100_000
    repeats: int = 3


def python_module(module: str, *arguments: object) -> str:
    """Runs a module in a process of its own, and returns what it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}{done.stdout}")
    return done.stdout


def run_case(cases: Mapping[str, Callable[[Path], Result]], description: str | None) -> None:
    """The main function of a module of cases: runs the one that the command line names, and prints its result."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("case", choices=sorted(cases))
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    print(json.dumps(cases[options.case](options.path)))


def case(name: str, root: Path, *, url: str | None = None) -> Result:
    """Runs a case in a process of its own."""
    result: Result = json.loads(python_module("tests.benchmarks.cases", name, root, *(("--url", url) if url else ())))
    return result


@contextmanager
def tree(kind: str, folder: Path, checkpoints: int, *arguments: object) -> Iterator[Path]:
    """A tree while it is needed."""
    print(f"writing {checkpoints:,} checkpoints ({kind}) …", file=sys.stderr)
    root = folder / kind
    root.mkdir()
    try:
        python_module("tests.benchmarks.trees", kind, root, "--checkpoints", checkpoints, *arguments)
        yield root
    finally:
        shutil.rmtree(root)


def fresh(folder: Path) -> str:
    """The URL of a catalog that isn't there yet."""
    for left in folder.glob("fresh.db*"):
        left.unlink()
    return f"sqlite:///{folder / 'fresh.db'}"


def in_turn(repeats: int, *runs: Callable[[], Result]) -> list[list[Result]]:
    """Each of ``runs`` once, then each again: what else the machine does falls on all of them."""
    rounds = [[run() for run in runs] for _ in range(repeats)]
    return [list(results) for results in zip(*rounds, strict=True)]


def seconds(results: list[Result]) -> float:
    return median(result["seconds"] for result in results)


def _time(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"


def scans(folder: Path, sizes: Sizes) -> Iterator[Row]:
    with tree("family", folder, sizes.checkpoints) as root:
        print("scanning …", file=sys.stderr)
        case("bare_walk", root)
        ours, loop = in_turn(
            sizes.repeats, lambda: case("scan", root, url=fresh(folder)), lambda: case("yaml_loop", root)
        )
        assert all(result["yaml"] == sizes.checkpoints for result in ours)
        ratio = seconds(loop) / seconds(ours)
        yield Row(
            f"a. first scan of {sizes.checkpoints:,} checkpoints with sidecars, against a loop of `yaml.safe_load` + "
            "`model_validate`",
            _time(seconds(ours)),
            _time(seconds(loop)),
            f"{ratio:.1f}{TIMES} faster",
            f"at least 10{TIMES} (goal 20{TIMES})",
            ratio >= 10,
        )
        kept = f"sqlite:///{folder / 'fresh.db'}"
        again, bare = in_turn(
            2 * sizes.repeats + 1, lambda: case("scan", root, url=kept), lambda: case("bare_walk", root)
        )
        assert all(result["unchanged"] == sizes.checkpoints for result in again)
        ratio = seconds(again) / seconds(bare)
        yield Row(
            "b. scan of the same tree, unchanged, against a bare `os.scandir` + `stat` walk",
            _time(seconds(again)),
            _time(seconds(bare)),
            f"{ratio:.2f}{TIMES} its time",
            f"at most 3{TIMES}",
            ratio <= 3,
        )


def large_files(folder: Path, sizes: Sizes) -> Iterator[Row]:
    with tree("large", folder, sizes.large, "--megabytes", sizes.megabytes) as root:
        print("reading large files …", file=sys.stderr)
        loads, ours = in_turn(
            max(1, sizes.repeats - 1), lambda: case("torch_load", root), lambda: case("scan", root, url=fresh(folder))
        )
        ratio = seconds(loads) / seconds(ours)
        yield Row(
            f"c. scan of {sizes.large} checkpoints of {sizes.megabytes} MB and 600 tensors without metadata, against "
            "`torch.load(weights_only=False)` of each, both warm",
            _time(seconds(ours)),
            _time(seconds(loads)),
            f"{ratio:.0f}{TIMES} faster",
            f"at least 30{TIMES} (goal 100{TIMES})",
            ratio >= 30,
        )
        most = case("headers", root)["bytes"]
        all_reads = median(result["bytes"] for result in ours) / sizes.large
        yield Row(
            "c. read of one of them: the most by the header's reader, and all reads of the scan per checkpoint",
            f"{most / 1e3:.0f} kB, {all_reads / 1e3:.0f} kB",
            "",
            "",
            "under 1 MB",
            max(most, all_reads) < 1e6,
        )


def memory(folder: Path, sizes: Sizes) -> Iterator[Row]:
    with tree("small", folder, sizes.crowd) as root:
        print("scanning for memory …", file=sys.stderr)
        empty = folder / "empty"
        empty.mkdir()
        nothing = case("scan", empty, url=fresh(folder))
        ours = case("scan", root, url=fresh(folder))
        again = case("scan", root, url=f"sqlite:///{folder / 'fresh.db'}")
        for name, result in (("", ours), (", unchanged", again)):
            more = result["peak_mb"] - nothing["peak_mb"]
            yield Row(
                f"d. peak memory of a scan of {sizes.crowd:,} checkpoints{name}, over that of an empty one",
                f"{result['peak_mb']:.0f} MB",
                f"{nothing['peak_mb']:.0f} MB",
                f"{more:.0f} MB more",
                "at most 150 MB",
                more <= 150,
            )


BENCHMARKS: dict[str, Callable[[Path, Sizes], Iterator[Row]]] = {"scans": scans, "large": large_files, "memory": memory}


def table(rows: list[Row]) -> str:
    lines = ["| | catalogdb | baseline | ratio | needed | |", "|---|---|---|---|---|---|"]
    for row in rows:
        verdict = {True: "✓", False: "**missed**", None: ""}[row.ok]
        lines.append(f"| {row.name} | {row.ours} | {row.baseline} | {row.ratio} | {row.needed} | {verdict} |")
    return "\n".join(lines)
