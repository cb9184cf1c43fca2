"""What MetadataCallback adds to a save, and its record to the read of a header. Registered in ``__main__``.

Each measurement has a process of its own: ``python -m tests.benchmarks.callback CASE FOLDER`` prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.run import REPOSITORY, Result, Row, Sizes

PARAMETERS = 50_000_000 // 4 // 3
"""With Adam's two moments, 50 MB."""

PAIRS = 61
READS = 300
MOST_SECONDS = 5e-3
MOST_SHARE = 0.02


def _trained(folder: Path, callbacks: list[Any]) -> Any:
    """A trainer that has taken a step, with a ModelCheckpoint and metrics, as they are in the middle of a training."""
    import torch  # noqa: PLC0415  # with Lightning, ten seconds that only these cases need
    from lightning.pytorch import LightningModule, Trainer  # noqa: PLC0415
    from lightning.pytorch.callbacks import ModelCheckpoint  # noqa: PLC0415

    class Model(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Linear(1, 64)
            self.head = torch.nn.Linear(64, PARAMETERS // 64)

        def training_step(self, batch: Any, _: int) -> Any:
            for name in ("precision", "recall", "hmean", "loss", "iou"):
                self.log(f"val/{name}", 0.5)
            return self.head(self.encoder(batch[0])).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(1, 1)))
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(folder / "checkpoints", monitor="val/hmean", mode="max"), *callbacks],
    )
    trainer.fit(Model(), data)
    return trainer


def _saved(trainer: Any, path: Path) -> float:
    start = time.perf_counter()
    trainer.save_checkpoint(path)
    return time.perf_counter() - start


def save(folder: Path) -> Result:
    """Saves with and without the callback, in pairs, the order of which changes: what else goes on falls on both."""
    from catalogdb.lightning import MetadataCallback  # noqa: PLC0415

    ours = _trained(folder / "ours", [MetadataCallback()]), folder / "ours" / "checkpoints" / "at-will.ckpt"
    bare = _trained(folder / "bare", []), folder / "bare" / "checkpoints" / "at-will.ckpt"
    for trainer, path in (ours, bare, ours, bare):
        _saved(trainer, path)
    pairs = []
    for number in range(PAIRS):
        first, second = (ours, bare) if number % 2 else (bare, ours)
        taken = _saved(*first), _saved(*second)
        pairs.append(taken if number % 2 else taken[::-1])
    assert ours[1].with_suffix(".metadata.yaml").exists()
    return {
        "added": median(one - other for one, other in pairs),
        "bare": median(other for _, other in pairs),
        "megabytes": ours[1].stat().st_size / 1e6,
    }


def read(folder: Path) -> Result:
    """Headers of the files that ``save`` left, and looks at their start, each in turn."""
    from catalogdb.formats import OpenedCheckpoint, read_header  # noqa: PLC0415

    paths = {name: str(folder / name / "checkpoints" / "at-will.ckpt") for name in ("ours", "bare")}
    assert read_header(paths["ours"]).embedded is not None
    taken: dict[str, list[float]] = {"ours": [], "bare": [], "glance": []}
    for _ in range(READS):
        for name, path in paths.items():
            start = time.perf_counter()
            read_header(path)
            taken[name].append(time.perf_counter() - start)
        start = time.perf_counter()
        with OpenedCheckpoint(paths["ours"]) as opened:
            opened.glance()
        taken["glance"].append(time.perf_counter() - start)
    return {name: median(each) for name, each in taken.items()}


def _case(name: str, folder: Path) -> Result:
    command = [sys.executable, "-m", "tests.benchmarks.callback", name, str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def callback(folder: Path, sizes: Sizes) -> Iterator[Row]:
    rounds = [_case("save", folder) for _ in range(sizes.repeats)]
    added, bare = (median(result[name] for result in rounds) for name in ("added", "bare"))
    yield Row(
        f"f. what MetadataCallback adds to a save of {rounds[0]['megabytes']:.0f} MB, and that save without it",
        f"{added * 1e3:.2f} ms",
        f"{bare * 1e3:.1f} ms",
        f"{added / bare:.1%} of its time",
        f"at most 5 ms, and {MOST_SHARE:.0%}",
        added <= MOST_SECONDS and added / bare <= MOST_SHARE,
    )
    rounds = [_case("read", folder) for _ in range(sizes.repeats)]
    ours, bare, start = (median(result[name] for result in rounds) for name in ("ours", "bare", "glance"))
    yield Row(
        "f. header of that file, with the record in it and without; a scan's look at its start, which has the record",
        f"{ours * 1e3:.2f} ms; {start * 1e3:.2f} ms",
        f"{bare * 1e3:.2f} ms",
        f"{(ours - bare) * 1e3:+.2f} ms; {start / bare:.2f} of its time",
        "less for the look than for the header without a record",
        start < bare,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=("save", "read"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(json.dumps({"save": save, "read": read}[options.case](options.folder)))


if __name__ == "__main__":
    main()
