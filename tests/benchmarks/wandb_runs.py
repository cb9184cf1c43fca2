"""Scans that W&B tells about, against its own SDK, against sidecars, and against no W&B. Registered in ``__main__``.

The server is a stand-in on loopback, in a process of its own. So is each measurement:
``python -m tests.benchmarks.wandb_runs CASE PATH`` prints a line of JSON.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.run import REPOSITORY, TIMES, Result, Row, Sizes, in_turn, run_case, seconds
from tests.wandb_server import KEY

RUNS = 500
EPOCHS = 10
SAVED = (3, 7)
"""The epochs of a run that have a checkpoint."""

LATENCY = 0.05
MOST_REQUESTS = RUNS // 100 + 2
SAMPLE = 50
"""Runs that the SDK is asked for, one after the other; the rest is scaled."""

TIMEOUT = 2.0
"""``wandb_timeout`` where the server gives no answer."""

ROWS = 50_000
KEYS = 11
"""Values in a row of the record log."""


def run_id(number: int) -> str:
    return f"run{number:05d}"


def score(number: int, epoch: int) -> float:
    return random.Random(number * EPOCHS + epoch).random()


def served(number: int) -> dict[str, Any]:
    """A run as the server has it: 38 entries in the config, 28 in the summary, a row of an epoch's validation each."""
    rows = [
        {
            "_step": 3 * epoch + 2,
            "_timestamp": 1_760_000_000 + epoch,
            "trainer/global_step": 50 * epoch + 49,
            "epoch": epoch,
            "val/hmean": score(number, epoch),
            **{f"val/metric_{index}": epoch / (index + 10) for index in range(20)},
        }
        for epoch in range(EPOCHS)
    ]
    config = {"lr": 0.001, "seed": number, **{f"option_{index}": index for index in range(36)}}
    return {"run_id": run_id(number), "config": config, "summary": rows[-1], "history": rows}


def write_checkpoints(root: Path) -> None:
    """``<run>/checkpoints/epoch=…ckpt`` as Lightning saves it, the run's config above, and no sidecar."""
    import torch  # noqa: PLC0415  # takes two seconds, and only the tree needs it

    for number in range(RUNS):
        folder = root / f"experiment-{number:03}" / "checkpoints"
        folder.mkdir(parents=True)
        named = {"id": run_id(number), "entity": "team", "project": "ocr"}
        config = {"exp_name": f"experiment-{number:03}", "logger": {"wandb": named}}
        (folder.parent / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        for epoch in SAVED:
            content = io.BytesIO()
            torch.save(_checkpoint(torch, number, epoch), content)
            (folder / f"epoch={epoch}-step={50 * epoch + 50}.ckpt").write_bytes(content.getvalue())


def _checkpoint(torch: Any, number: int, epoch: int) -> dict[str, Any]:
    """Of 8 parameters, with Adam's state and the callback's."""
    weights = {f"layer.{index}.weight": torch.full((4, 4), float(index)) for index in range(8)}
    state = {
        index: {"exp_avg": value.clone(), "exp_avg_sq": value.clone()} for index, value in enumerate(weights.values())
    }
    name = f"/trained/{run_id(number)}/checkpoints/epoch={epoch}-step={50 * epoch + 50}.ckpt"
    kept = torch.tensor(score(number, epoch))
    key = "ModelCheckpoint{'monitor': 'val/hmean', 'mode': 'max', 'every_n_train_steps': 0, 'every_n_epochs': 1}"
    callback = {"monitor": "val/hmean", "current_score": kept, "best_k_models": {name: kept}, "best_model_path": name}
    return {
        "epoch": epoch,
        "global_step": 50 * epoch + 50,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": weights,
        "callbacks": {key: callback},
        "optimizer_states": [{"state": state, "param_groups": [{"lr": 0.001, "params": [*range(8)]}]}],
        "hyper_parameters": {"lr": 0.001, "seed": number},
    }


def _scan(root: Path, *, use_wandb: bool) -> Result:
    from catalogdb.catalog import Catalog  # noqa: PLC0415

    for name in ("httpx", "httpcore", "catalogdb.ingest", "catalogdb.resolve.wandb"):
        importlib.import_module(name)  # when first needed, and imports aren't timed
    with Catalog.open() as catalog:
        start = time.perf_counter()
        report = catalog.scan(root, use_wandb=use_wandb)
        taken = time.perf_counter() - start
        found = catalog.search(f"path LIKE '{root}/%'", max_results=None)
    whole = sum(
        row.provenance["metrics.val/metric_0"]["scope"] == "checkpoint"
        and abs(row.metrics["val/hmean"] - score(int(str(row.exp_name)[-3:]), int(row.epoch or 0))) < 1e-6
        for row in found
        if "val/metric_0" in row.metrics
    )
    return {"seconds": taken, "found": len(found), "whole": whole, "problems": len(report.problems)}


def scan(root: Path) -> Result:
    """Into the catalog that the environment names, from the call to its last commit."""
    return _scan(root, use_wandb=True)


def scan_without(root: Path) -> Result:
    return _scan(root, use_wandb=False)


def sdk(root: Path) -> Result:
    """``api.run`` of some runs, one after the other, with their configs and summaries; for all of them as long each."""
    import wandb  # noqa: PLC0415  # half a second that isn't timed

    del root
    api = wandb.Api(api_key=KEY, timeout=60)
    api.run(f"team/ocr/{run_id(RUNS - 1)}")  # the first call asks one thing more
    start = time.perf_counter()
    for number in range(SAMPLE):
        run = api.run(f"team/ocr/{run_id(number)}")
        assert dict(run.config)["seed"] == number
        assert run.summary["val/hmean"] == score(number, EPOCHS - 1)
    return {"seconds": (time.perf_counter() - start) / SAMPLE * RUNS}


def write_sidecars(root: Path) -> Result:
    """Of what the catalog knows."""
    from catalogdb.catalog import Catalog  # noqa: PLC0415

    with Catalog.open() as catalog:
        written = sum(each.action == "written" for each in catalog.write_sidecars(f"path LIKE '{root}/%'"))
    return {"written": written}


def log(root: Path) -> Result:
    """A whole record log with the rows that ten checkpoints need."""
    from catalogdb.records import HistoryNeed  # noqa: PLC0415
    from catalogdb.resolve.wandb.run_file import read_run_file  # noqa: PLC0415

    path = str(root / "wandb" / "offline-run-20261018_143215-abc123de" / "run-abc123de.wandb")
    needs = [HistoryNeed("val/metric_0", at) for at in range(ROWS // 10 - 1, ROWS, ROWS // 10)]
    read_run_file(path, known=None, needs=needs)
    start = time.perf_counter()
    file, answers = read_run_file(path, known=None, needs=needs)
    taken = time.perf_counter() - start
    assert [rows[0].at for rows in answers.values()] == [need.at for need in needs]
    return {"seconds": taken, "bytes": file.read_to}


CASES: dict[str, Callable[[Path], Result]] = {
    case.__name__: case for case in (scan, scan_without, sdk, write_sidecars, log)
}


def write_log(folder: Path) -> None:
    """As the SDK writes it: a history and two summaries for each call of ``log``."""
    from tests import wandb_log  # noqa: PLC0415  # imports the SDK, whose thread keeps a scan from splitting its process

    def records() -> Iterator[bytes]:
        yield wandb_log.run("abc123de", config={"lr": 0.1}, project="ocr", entity="team")
        for step in range(ROWS):
            values = {f"val/metric_{index}": step / (index + 3) for index in range(KEYS - 2)}
            values = {**values, "trainer/global_step": step, "epoch": step // 100}
            yield wandb_log.history(step, values)
            yield wandb_log.summary(values)
            yield wandb_log.summary({"_step": step, "_runtime": step / 10})
        yield wandb_log.ended()

    wandb_log.write_run(folder, "abc123de", records())


class Served:
    """The stand-in server in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url = self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def requests(self) -> int:
        """Since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return int(self._said())


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    runs = folder / "served.json"
    runs.write_text(json.dumps([("team", "ocr", served(number)) for number in range(RUNS)]), encoding="utf-8")
    command = [sys.executable, "-m", "tests.wandb_server", str(runs), str(LATENCY)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Served(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


@contextmanager
def hanging() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class Cases:
    """Runs cases, each in a process of its own with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, root: Path, url: str, catalog: str, *, timeout: float = 60.0) -> Result:
        """``catalog`` is the name of a file."""
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("CATALOGDB_", "WANDB_"))},
            "HOME": str(self._folder),
            "CATALOGDB_URL": str(self._folder / catalog),
            "CATALOGDB_WANDB_TIMEOUT": str(timeout),
            "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": url,
            "WANDB_ENTITY": "team",
            "WANDB_DIR": str(self._folder),
            "WANDB_CACHE_DIR": str(self._folder),
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
        }
        command = [sys.executable, "-m", "tests.benchmarks.wandb_runs", name, str(root)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=environ)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        result: Result = json.loads(done.stdout.splitlines()[-1])
        return result

    def forget(self, catalog: str) -> None:
        for left in self._folder.glob(f"{catalog}*"):
            left.unlink()

    def afresh(self, name: str, root: Path, url: str, *, timeout: float = 60.0) -> Result:
        """Into a new catalog."""
        self.forget("fresh.db")
        return self(name, root, url, "fresh.db", timeout=timeout)


def _told(results: list[Result]) -> None:
    """That each checkpoint has the row of its own step."""
    expected: Mapping[str, float] = {"found": RUNS * len(SAVED), "whole": RUNS * len(SAVED), "problems": 0}
    for result in results:
        if {name: result[name] for name in expected} != expected:
            raise SystemExit(f"not what was laid out: {result}")


def wandb_runs(folder: Path, sizes: Sizes) -> Iterator[Row]:
    folder = folder / "wandb-runs"
    root = folder / "outputs"
    root.mkdir(parents=True)
    print(f"writing {RUNS * len(SAVED):,} checkpoints ({RUNS} runs) …", file=sys.stderr)
    write_checkpoints(root)
    cases = Cases(folder)
    with serving(folder) as server:
        yield from _against_the_sdk(cases, root, server, sizes)
        yield from _from_the_cache(cases, root, folder, server, sizes)
    yield from _without_answers(cases, root, sizes)
    print(f"writing a record log of {ROWS:,} rows …", file=sys.stderr)
    write_log(folder)
    read = [cases("log", folder, "http://127.0.0.1:9", "fresh.db") for _ in range(sizes.repeats)]
    rate = ROWS / seconds(read)
    yield Row(
        f"w. reading a `.wandb` file of {ROWS:,} rows of {KEYS} values, {read[0]['bytes'] / 1e6:.0f} MB",
        f"{rate:,.0f} rows a second",
        "",
        "",
        "at least 25,000 rows a second",
        rate >= 25_000,
    )
    shutil.rmtree(folder)


def _against_the_sdk(cases: Cases, root: Path, server: Served, sizes: Sizes) -> Iterator[Row]:
    requests: list[int] = []

    def ours() -> Result:
        server.requests()
        result = cases.afresh("scan", root, server.url)
        requests.append(server.requests())
        return result

    asked, unasked, one_by_one = in_turn(
        sizes.repeats,
        ours,
        lambda: cases.afresh("scan_without", root, server.url),
        lambda: cases("sdk", root, server.url, "fresh.db"),
    )
    _told(asked)
    added = seconds(asked) - seconds(unasked)
    ratio = seconds(one_by_one) / seconds(asked)
    yield Row(
        f"w. scan of {RUNS * len(SAVED):,} checkpoints of {RUNS} W&B runs, no sidecars, a server with "
        f"{LATENCY * 1e3:.0f} ms latency, against `api.run` for each run ({SAMPLE} measured, scaled)",
        f"{seconds(asked):.2f} s, {added:.2f} s of it for W&B, {max(requests)} requests",
        f"{seconds(one_by_one):.1f} s, {RUNS} requests",
        f"{ratio:.0f}{TIMES} faster, {seconds(one_by_one) / added:.0f}{TIMES} by W&B's part",
        f"at least 30{TIMES}, at most {MOST_REQUESTS} requests",
        ratio >= 30 and max(requests) <= MOST_REQUESTS,
    )


def _from_the_cache(cases: Cases, root: Path, folder: Path, server: Served, sizes: Sizes) -> Iterator[Row]:
    """Second processes, which have the runs from the first: one scans the same files, one a copy, and reads it all."""
    copy, with_sidecars = folder / "copy", folder / "with-sidecars"
    shutil.copytree(root, copy)
    shutil.copytree(root, with_sidecars)
    cases.forget("cached.db")
    _told([cases("scan", root, server.url, "cached.db"), cases.afresh("scan", with_sidecars, server.url)])
    cases("write_sidecars", with_sidecars, server.url, "fresh.db")
    _told([cases.afresh("scan", with_sidecars, server.url)])
    requests: list[int] = []

    def second_scan() -> Result:
        server.requests()
        result = cases("scan", root, server.url, "cached.db")
        requests.append(server.requests())
        return result

    second, sidecars = in_turn(
        2 * sizes.repeats + 1, second_scan, lambda: cases("scan", with_sidecars, server.url, "fresh.db")
    )
    _told([*second, *sidecars])
    ratio = seconds(second) / seconds(sidecars)
    yield Row(
        "w. scan of these by a second process, against the second scan of a copy with sidecars",
        f"{seconds(second) * 1e3:.0f} ms, {max(requests)} requests",
        f"{seconds(sidecars) * 1e3:.0f} ms",
        f"{ratio:.2f}{TIMES} its time",
        f"at most 1.5{TIMES}, no request",
        ratio <= 1.5 and max(requests) == 0,
    )
    requests.clear()

    def again() -> Result:
        for left in folder.glob("cached.db*"):
            shutil.copy(left, folder / left.name.replace("cached", "again"))
        server.requests()
        result = cases("scan", copy, server.url, "again.db")
        requests.append(server.requests())
        return result

    second, sidecars = in_turn(sizes.repeats, again, lambda: cases.afresh("scan", with_sidecars, server.url))
    _told([*second, *sidecars])
    ratio = seconds(second) / seconds(sidecars)
    yield Row(
        "w. scan of a copy of these by a second process, every file read, the runs cached, against a first scan of one "
        "with sidecars",
        f"{seconds(second) * 1e3:.0f} ms, {max(requests)} requests",
        f"{seconds(sidecars) * 1e3:.0f} ms",
        f"{ratio:.2f}{TIMES} its time",
        "no request",
        max(requests) == 0,
    )


def _without_answers(cases: Cases, root: Path, sizes: Sizes) -> Iterator[Row]:
    for what, place in (("is down", nobody), ("hangs", hanging)):
        with place() as url:
            asked, unasked = in_turn(
                sizes.repeats,
                lambda url=url: cases.afresh("scan", root, url, timeout=TIMEOUT),  # type: ignore[misc]
                lambda url=url: cases.afresh("scan_without", root, url),  # type: ignore[misc]
            )
        longer = seconds(asked) - seconds(unasked)
        yield Row(
            f"w. scan of these while the server {what}, `wandb_timeout` {TIMEOUT:.0f} s, against `--no-wandb`",
            f"{seconds(asked):.2f} s",
            f"{seconds(unasked):.2f} s",
            f"{longer:.2f} s longer",
            f"at most {TIMEOUT + 1:.0f} s longer",
            longer <= TIMEOUT + 1,
        )


if __name__ == "__main__":
    run_case(CASES, __doc__)
