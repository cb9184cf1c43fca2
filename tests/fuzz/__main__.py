"""Fuzzes the parsers, guided by coverage: ``python -m tests.fuzz [--minutes 20] [--corpus DIR] [TARGET…]``.

Needs atheris (Python 3.11 to 3.13, Linux). Each target runs in a process of its own for its share of the time, with at
most 2 s and 1 GB an input; a finding is left in the corpus' folder as ``crash-…``, ``timeout-…`` or ``oom-…``, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = (
    "whole_file", "opcodes", "tensors", "torch_zip", "zip_directory", "torch_legacy", "torch_tar", "nemo",
    "safetensors", "index", "distributed", "trainer",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--minutes", type=float, default=20.0, help="in all")
    parser.add_argument("--corpus", type=Path, help="kept between runs; a new folder by default")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    targets = options.targets or list(NAMES)
    if unknown := set(targets) - set(NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="catalogdb-fuzz-"))
    seconds = max(1, int(options.minutes * 60 / len(targets)))
    if options.inside:
        fuzz(targets[0], corpus, seconds)
    share = str(seconds / 60)
    failed = [
        name
        for name in targets
        if subprocess.call(
            [sys.executable, "-m", "tests.fuzz", name, "--minutes", share, "--corpus", str(corpus), "--inside"]
        )
    ]
    sys.stderr.write(f"{len(targets)} targets, {seconds} s each, corpus in {corpus}; failed: {failed or 'none'}\n")
    return 1 if failed else 0


def fuzz(name: str, corpus: Path, seconds: int) -> None:
    """Doesn't return: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["catalogdb.formats"]):
        targets = importlib.import_module("tests.fuzz.targets")
        seeds = importlib.import_module("tests.fuzz.seeds")
    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds.seeds_of(name)):
        (folder / f"seed-{number}").write_bytes(content)
    atheris.Setup(
        [
            name,
            str(folder),
            f"-max_total_time={seconds}",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-max_len=65536",
            f"-artifact_prefix={corpus}/",
            "-verbosity=0",
            "-print_final_stats=1",
        ],
        lambda data: targets.run_timed(targets.TARGETS[name], data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
