"""What is timed, one case in each process: fresh imports, a fresh heap. Prints one line of JSON.

    python -m tests.benchmarks.cases CASE FOLDER [--url sqlite:///…]

Imports aren't timed, on neither side: a scan's modules and the baselines' are there when the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

import catalogdb.ingest  # noqa: F401  # a catalog imports it when it first scans
from catalogdb.catalog import Catalog
from catalogdb.formats import read_header
from catalogdb.metadata import CheckpointMetadataV1
from tests.memory import peak_bytes

Result = dict[str, float]


def _files(root: Path, suffix: str) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(suffix):
                yield Path(folder, name)


def _bytes_handed_over() -> int:
    """What ``read`` calls of this process gave it so far, from disk or cache."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(lines[0].split()[1])


def scan(root: Path, url: str) -> Result:
    """One scan into the catalog at ``url``, from its first call to its last commit."""
    with Catalog.open(url) as catalog:
        handed_over = _bytes_handed_over()
        start = time.perf_counter()
        report = catalog.scan(root, use_wandb=False)
        seconds = time.perf_counter() - start
        handed_over = _bytes_handed_over() - handed_over
    if report.problems or report.missing or report.unreadable:
        raise SystemExit(f"not what was laid out: {report.to_dict()}")
    return {
        "seconds": seconds,
        "checkpoints": report.total,
        "yaml": report.yaml,
        "unchanged": report.unchanged,
        "bytes": handed_over,
    }


def yaml_loop(root: Path, url: str) -> Result:
    """What a loop of ``yaml.safe_load`` and ``model_validate`` takes over the same sidecars."""
    del url
    paths = sorted(_files(root, ".metadata.yaml"))
    start = time.perf_counter()
    for path in paths:
        with path.open(encoding="utf-8") as file:
            CheckpointMetadataV1.model_validate(yaml.safe_load(file))
    return {"seconds": time.perf_counter() - start, "checkpoints": len(paths)}


def bare_walk(root: Path, url: str) -> Result:
    """``os.scandir`` and ``stat`` of every file, nothing else."""
    del url

    def walk(folder: str) -> int:
        count = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    count += walk(entry.path)
                else:
                    entry.stat()
                    count += 1
        return count

    start = time.perf_counter()
    files = walk(str(root))
    return {"seconds": time.perf_counter() - start, "files": files}


def torch_load(root: Path, url: str) -> Result:
    """``torch.load(weights_only=False)`` of each, its result dropped; the second pass, which finds all in the cache."""
    del url
    import torch  # noqa: PLC0415  # 200 MB that no other case may carry

    paths = sorted(_files(root, ".ckpt"))
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for path in paths:
            torch.load(path, weights_only=False)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "checkpoints": len(paths)}


def headers(root: Path, url: str) -> Result:
    """The most that ``read_header`` read of any one file."""
    del url
    read = [read_header(str(path)) for path in _files(root, ".ckpt")]
    unread = [header for header in read if header.state != "ready" or header.weights is None or header.epoch is None]
    if unread:
        raise SystemExit(f"not what was laid out: {unread[0].state}, {unread[0].reason}")
    return {"bytes": max(header.bytes_read for header in read), "checkpoints": len(read)}


CASES: dict[str, Callable[[Path, str], Result]] = {
    case.__name__: case for case in (scan, yaml_loop, bare_walk, torch_load, headers)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("root", type=Path)
    parser.add_argument("--url", default="sqlite:///:memory:")
    options = parser.parse_args()
    result = CASES[options.case](options.root, options.url)
    result["peak_mb"] = peak_bytes() / 2**20
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
