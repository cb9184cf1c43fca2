"""Training loops of one's own: a file that states what it states, TensorBoard's events, arguments as YAML or JSON.

``log.txt`` is DETR's, and that of those who took it over: a JSON object for each epoch, counted from 0 (``main.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, Position, Seen, event_files, of_a_loop, run_of
from catalogdb.metric_files.forms import EVENTS, OWN_LOGS

ARGUMENTS = ("args.yaml", "opt.yaml", "args.json", "opt.json", "params.json", "config.json")
EVENT_FOLDERS = ("tensorboard", "tb", "runs", "logs", "summary", "events")
LOGS = ("log.txt", *OWN_LOGS)


class Plain(Habits):
    name = "plain"
    guide = Guide(
        "Plain PyTorch",
        "any file that is a checkpoint by its name and its content",
        "the file; TensorBoard's events at the step; `log.txt` with a JSON object for each epoch; `log.csv`, "
        "`history.csv`, `metrics.jsonl` at the step or the epoch; `args.yaml`, `opt.yaml`, `config.json` and the like",
        "as in the file; nnU-Net counts epochs done: 1000 is epoch 999",
    )
    marks = frozenset({f"{EVENTS}*", *LOGS, *ARGUMENTS, *EVENT_FOLDERS})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        run = run_of(folder)
        places = [folder] if run is folder else [folder, run]
        for place in places:
            for name in LOGS:
                if name in place.files:
                    yield Dependency("metrics", place, name)
            for name in ARGUMENTS:
                if name in place.files:
                    yield Dependency("params", place, name)
        if not any("metrics.csv" in place.files for place in places):
            for place in (*places, *_event_folders(run)):
                for name in event_files(place):
                    yield Dependency("metrics", place, name)

    def position(self, seen: Seen) -> Position:
        done = seen.header.epoch
        if seen.header.framework == "nnunet" and done:
            return Position(done - 1, seen.header.global_step, stated_epoch=done, key="current_epoch")
        return of_a_loop(seen)


def _event_folders(run: Listing) -> Iterator[Listing]:
    for name in EVENT_FOLDERS:
        inner = run.inside(name) if name in run.folders else None
        if inner is not None:
            yield inner
