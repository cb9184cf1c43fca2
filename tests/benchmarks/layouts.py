"""A scan that joins metrics files to checkpoints, against pandas and the headers alone. Registered in ``__main__``.

Each measurement runs in a process of its own: ``python -m tests.benchmarks.layouts CASE PATH`` prints a line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import catalogdb.ingest
import catalogdb.runs  # noqa: F401  # imports aren't timed: a scan's modules are there when the clock starts
from catalogdb.catalog import Catalog
from catalogdb.formats import read_header
from tests.benchmarks.run import REPOSITORY, TIMES, Result, Row, Sizes, in_turn, run_case, seconds

RUNS = 10
CHECKPOINTS = 1_000
"""Of each run, one to an epoch."""
ROWS = 50
"""Of ``metrics.csv`` to an epoch, one of them with the validation's values."""

SHAPES = {"weight": (4, 4), "bias": (4,)}
"""Of a layer's parameters."""

COLUMNS = ("epoch", "lr-AdamW", "step", "train/loss", "val/hmean", "val/loss", "val/precision", "val/recall")
HPARAMS = "architecture_name: dbnet\nencoder_name: resnet18\nlr: 0.001\nseed: 42\n"


def checkpoint(epoch: int) -> bytes:
    """A Lightning checkpoint of 8 parameters with Adam's state, as a callback saves it that monitors nothing."""
    import torch  # noqa: PLC0415  # takes two seconds, and only the tree needs it

    shapes = {f"model.layers.{layer}.{name}": shape for layer in range(4) for name, shape in SHAPES.items()}
    weights = {name: torch.full(shape, float(epoch)) for name, shape in shapes.items()}
    moments = {
        number: {"step": torch.tensor(float(epoch)), "exp_avg": value.clone(), "exp_avg_sq": value.clone()}
        for number, value in enumerate(weights.values())
    }
    step = (epoch + 1) * ROWS
    counts = {"total": {"ready": step, "completed": step}, "current": {"ready": step, "completed": step}}
    content = io.BytesIO()
    torch.save(
        {
            "epoch": epoch,
            "global_step": step,
            "pytorch-lightning_version": "2.6.6",
            "state_dict": weights,
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": counts, "epoch_loop.batch_progress": counts}},
            "callbacks": {"ModelCheckpoint{'monitor': None, 'mode': 'min'}": {"monitor": None, "best_k_models": {}}},
            "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.001, "params": [*range(8)]}]}],
            "lr_schedulers": [],
            "hparams_name": "kwargs",
            "hyper_parameters": {"architecture_name": "dbnet", "encoder_name": "resnet18", "lr": 0.001, "seed": 42},
        },
        content,
    )
    return content.getvalue()


def score(run: int, epoch: int) -> float:
    """``val/hmean`` of a checkpoint."""
    return random.Random(run * CHECKPOINTS + epoch).random()


def metrics(run: int, checkpoints: int) -> Iterator[str]:
    """The lines of a run's ``metrics.csv``: training's rows, sparse, and the validation's at the epoch's last step."""
    yield ",".join(COLUMNS) + "\n"
    rng = random.Random(run)
    for epoch in range(checkpoints):
        first = epoch * ROWS
        for step in range(first, first + ROWS - 1):
            yield f"{epoch},{rng.random() / 1000},{step},{rng.random()},,,,\n"
        values = ",".join(str(value) for value in (score(run, epoch), *(rng.random() for _ in range(3))))
        yield f"{epoch},,{first + ROWS - 1},,{values}\n"


def write_runs(root: Path, *, runs: int = RUNS, checkpoints: int = CHECKPOINTS) -> None:
    """``<run>/lightning_logs/version_0/`` with ``metrics.csv``, ``hparams.yaml`` and its checkpoints."""
    folders = [root / f"run-{run:02}" / "lightning_logs" / "version_0" for run in range(runs)]
    for run, folder in enumerate(folders):
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "metrics.csv").write_text("".join(metrics(run, checkpoints)), encoding="utf-8")
        (folder / "hparams.yaml").write_text(HPARAMS, encoding="utf-8")
    for epoch in range(checkpoints):
        content = checkpoint(epoch)
        for folder in folders:
            (folder / "checkpoints" / f"epoch={epoch}-step={(epoch + 1) * ROWS}.ckpt").write_bytes(content)


def _check(catalog: Catalog, checkpoints: int) -> None:
    """That the catalog has what the tree says, of a checkpoint of each run."""
    best = catalog.best("val/hmean", mode="max", per="exp_name", limit=None)
    for row in best:
        run = int(row.exp_name[-2:]) if row.exp_name is not None else -1
        truth = max((score(run, epoch), epoch) for epoch in range(checkpoints))
        if (row.metrics["val/hmean"], row.epoch) != truth:
            raise SystemExit(f"{row.path}: has {row.metrics['val/hmean']}, epoch {row.epoch}, and not {truth}")


def _scan(root: Path, workers: int | None = None) -> tuple[float, int]:
    with Catalog.open(f"sqlite:///{root.parent / 'layouts.db'}") as catalog:
        start = time.perf_counter()
        report = catalog.scan(root, use_wandb=False, workers=workers)
        taken = time.perf_counter() - start
        checkpoints = sum(1 for _ in root.glob("run-00/*/*/checkpoints/*"))
        if report.new != sum(1 for _ in root.glob("*/*/*/checkpoints/*")) or report.problems:
            raise SystemExit(f"not what was laid out: {report.to_dict()}")
        _check(catalog, checkpoints)
    for left in root.parent.glob("layouts.db*"):
        left.unlink()
    return taken, report.new


def scan(root: Path) -> Result:
    """One scan into a new catalog, from the call to its last commit."""
    taken, found = _scan(root)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"seconds": taken, "checkpoints": found, "cpu": sum(each.ru_utime + each.ru_stime for each in usage)}


def baseline(root: Path) -> Result:
    """``pandas.read_csv`` of each metrics file, then the header of each checkpoint."""
    import pandas  # noqa: PLC0415  # takes half a second, and only this case needs it

    tables = sorted(root.glob("*/*/*/metrics.csv"))
    paths = sorted(str(path) for path in root.glob("*/*/*/checkpoints/*"))
    start = time.perf_counter()
    for table in tables:
        pandas.read_csv(table)
    read = time.perf_counter()
    for path in paths:
        read_header(path)
    return {"seconds": time.perf_counter() - start, "tables": read - start, "checkpoints": len(paths)}


def opened(root: Path) -> Result:
    """How often the scan opens a checkpoint and a metrics file, in all its processes: the most for any one. Needs more
    than 2,000 checkpoints, so that there are several processes."""
    log = os.open(root.parent / "opened.txt", os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_APPEND)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(f"{root}/"):
            os.write(log, f"{os.getpid()} {arguments[0]}\n".encode())

    sys.addaudithook(note)
    _scan(root, workers=2)
    lines = [line.split(" ", 1) for line in os.pread(log, os.fstat(log).st_size, 0).decode().splitlines()]
    os.close(log)
    counted = Counter(path for _, path in lines)
    of_tables = [count for path, count in counted.items() if path.endswith(".csv")]
    of_checkpoints = [count for path, count in counted.items() if path.endswith(".ckpt")]
    return {
        "tables": len(of_tables),
        "checkpoints": len(of_checkpoints),
        "processes": len({pid for pid, path in lines if path.endswith(".ckpt")}),
        "most_of_tables": max(of_tables),
        "most_of_checkpoints": max(of_checkpoints),
    }


CASES: dict[str, Callable[[Path], Result]] = {case.__name__: case for case in (scan, baseline, opened)}


def case(name: str, root: Path) -> Result:
    command = [sys.executable, "-m", "tests.benchmarks.layouts", name, str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout)
    return result


def layouts(folder: Path, sizes: Sizes) -> Iterator[Row]:
    root = folder / "layouts" / "runs"
    root.mkdir(parents=True)
    print(f"writing {RUNS * CHECKPOINTS:,} checkpoints (runs) …", file=sys.stderr)
    write_runs(root)
    ours, bare = in_turn(sizes.repeats, lambda: case("scan", root), lambda: case("baseline", root))
    ratio = seconds(ours) / seconds(bare)
    what = f"{RUNS} runs of {CHECKPOINTS:,} checkpoints, each with a `metrics.csv` of {CHECKPOINTS * ROWS:,} rows"
    yield Row(
        f"h. scan of {what}, against `pandas.read_csv` of these and the headers alone",
        f"{seconds(ours):.2f} s",
        f"{seconds(bare):.2f} s",
        f"{ratio:.2f}{TIMES} its time",
        f"at most 2{TIMES}",
        ratio <= 2,
    )
    counted = case("opened", root)
    once = counted["most_of_tables"] == counted["most_of_checkpoints"] == 1
    yield Row(
        "h. how often that scan opens a checkpoint, and a metrics file",
        f"{counted['most_of_checkpoints']:.0f}; {counted['most_of_tables']:.0f}",
        "",
        "",
        "once",
        once
        and counted["tables"] == RUNS
        and counted["checkpoints"] == RUNS * CHECKPOINTS
        and counted["processes"] == 2,
    )


if __name__ == "__main__":
    run_case(CASES, __doc__)
