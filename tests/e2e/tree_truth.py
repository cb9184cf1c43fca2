"""What the catalog may say about a generated tree, and what it has to: each value right, or null; never wrong."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from catalogdb.records import FIELD_NAMES, Checkpoint
from tests.e2e.tree_files import size_of
from tests.e2e.tree_training import Keeper, KeeperState, Written
from tests.e2e.trees import Entry, Sidecar, Tree, telling_parts, told_by_name

HEADLINES = {
    "precision": "val/precision",
    "recall": "val/recall",
    "hmean": "val/hmean",
    "validation_loss": "val/loss",
}
SIDECAR_PLACES = {
    "architecture": "model.architecture",
    "backbone": "model.encoder.model_name",
    "decoder": "model.decoder.name",
    "head": "model.head.name",
    "loss": "model.loss.name",
    "exp_name": "exp_name",
    "max_epochs": "training.max_epochs",
    "training_phase": "training.training_phase",
    "monitor": "checkpointing.monitor",
    "monitor_mode": "checkpointing.mode",
    "wandb_run_id": "wandb_run_id",
    "epoch": "training.epoch",
    "global_step": "training.global_step",
    "created_at": "created_at",
    **{name: f"metrics.{name}" for name in HEADLINES},
}
OF_THE_STEP = ("epoch", "global_step", "created_at", *HEADLINES)
OWN_CONFIGS = (".config.json", ".config.yaml", ".config.yml", ".resolved.config.json")
SAVED_IN = {"checkpoints", "checkpoint", "ckpts", "ckpt", "weights"}

_ABSENT = object()


def expected_rows(tree: Tree) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """The names that have to have a row, and those whose row has to be ``missing``."""
    live = {path: entry for path, entry in tree.entries.items() if tree.target(path) is not None}
    dangling = {path: entry for path, entry in tree.entries.items() if path not in live and entry.seen}
    return live, {**tree.missing, **dangling}


def check(tree: Tree, rows: Iterable[Checkpoint], *, full: bool) -> None:
    """Raises AssertionError with everything that is wrong. ``full`` is for rows of a scan that read every header."""
    by_path = {row.rel_path: row for row in rows}
    live, missing = expected_rows(tree)
    complaints = [f"{path}: no row" for path in sorted((live.keys() | missing.keys()) - by_path.keys())]
    for path, row in sorted(by_path.items()):
        assert row.path == str(tree.disk(path))
        if path in live:
            complaints += [f"{path}: {complaint}" for complaint in check_row(tree, path, live[path], row, full)]
        elif path in missing:
            complaints += [] if row.state == "missing" else [f"{path}: {row.state}, but it's gone"]
        else:
            complaints.append(f"{path}: a row for something that is no checkpoint")
    assert not complaints, "\n".join(complaints)
    for path, entry in live.items():
        entry.seen = True
        assert by_path[path].state != "missing"


def check_tags(tree: Tree, tags: Mapping[str, frozenset[str]]) -> None:
    """``tags`` by relative path, of rows that have any."""
    live, missing = expected_rows(tree)
    expected = {path: entry.tags for path, entry in {**live, **missing}.items() if entry.tags}
    wrong = sorted(path for path in tags.keys() | expected.keys() if tags.get(path) != expected.get(path))
    assert not wrong, [(path, tags.get(path), expected.get(path)) for path in wrong]


def check_row(tree: Tree, path: str, entry: Entry, row: Checkpoint, full: bool) -> Iterator[str]:
    target = tree.target(path)
    assert target is not None
    there = tree.entries[target]
    written = there.content
    assert written is not None
    entry = replace(entry, sidecar=tree.sidecar_of(path))
    truth = Truth(tree, path, entry, written, there.whole, row.link_target)
    if not full and truth.sidecar_suffices():
        truth.forgo_header()
    state = "ready" if there.whole else "writing" if there.young else "truncated"
    if row.state != state:
        yield f"state is {row.state}, should be {state}"
    if row.size_bytes != tree.disk(path).stat().st_size:
        yield f"size is {row.size_bytes}"
    if row.stale != (entry.sidecar is not None and entry.sidecar.broken):
        yield f"stale is {row.stale}"
    if truth.sidecar is not None and row.source != "yaml":
        yield f"source is {row.source} beside a sidecar"
    if entry.sidecar is None and row.source != "legacy":
        yield f"source is {row.source} without a sidecar"
    yield from truth.check_link(row)
    yield from truth.check_fields(row)
    yield from truth.check_metrics(row)
    yield from truth.check_params(row)
    yield from truth.check_weights(row)


class Truth:
    """About one name of a checkpoint. ``sidecar`` is its document as far as it's valid, if it can be read."""

    def __init__(
        self, tree: Tree, path: str, entry: Entry, written: Written, whole: bool, link_target: str | None
    ) -> None:
        self.tree = tree
        self.path = path
        self.first_name = link_target or path
        self.entry = entry
        self.written = written
        self.save = written.save
        self.run = written.run
        self.header = written if whole else None
        self.sidecar: dict[str, Any] | None = None
        self.believed = False
        if entry.sidecar is not None and not entry.sidecar.broken:
            document = entry.sidecar.document(self.run)
            self.sidecar = {place: _at(document, place) for place in SIDECAR_PLACES.values()}
            for place in entry.sidecar.invalid:
                self.sidecar[place] = _ABSENT
            self.believed = entry.sidecar.save is written.save
            if not self.believed and not self._names_its_run(entry.sidecar):
                self.sidecar = None
        self.config_path = expected_config(tree, path)
        self.config = tree.configs[self.config_path] if self.config_path is not None else None
        self.hyper_parameters: Mapping[str, object] = {}
        if whole and written.kind in ("lightning", "weights"):
            self.hyper_parameters = self.run.hyper_parameters
        elif whole and written.kind == "safetensors":
            self.hyper_parameters = {"format": "pt"}
        self.needs_weights = self.needs_hyper_parameters = whole

    def _names_its_run(self, sidecar: Sidecar) -> bool:
        """One of another save that isn't even known to be of this run is no one's."""
        folders, name = str(self.tree.disk(self.path)).split("/")[:-1], self.run.exp_name
        return (name in folders and "exp_name" not in sidecar.invalid) or folders[-2:] == [name, "checkpoints"]

    def sidecar_suffices(self) -> bool:
        """Whether a scan may take a Lightning file's epoch and step alone, and all else from beside it."""
        sidecar, header = self.entry.sidecar, self.header
        if sidecar is None or header is None or header.kind not in ("lightning", "weights"):
            return False
        has_monitor = {of for name, of in HEADLINES.items() if not math.isnan(self.save.metrics[of])} | sidecar.named
        return self.believed and not sidecar.invalid and sidecar.monitor[0] in has_monitor

    def forgo_header(self) -> None:
        """What only the whole header tells may be null."""
        assert self.header is not None
        self.header = replace(self.header, kind="dict", states=())
        self.needs_weights = False
        self.needs_hyper_parameters = False

    def check_link(self, row: Checkpoint) -> Iterator[str]:
        place = self.tree.disk(self.path)
        if place.is_symlink():
            if row.link_target != os.path.realpath(place):
                yield f"link_target is {row.link_target}"
        elif place.stat().st_nlink == 1:
            if row.link_target is not None:
                yield f"link_target is {row.link_target}, but it's no link"
        elif row.link_target is not None and (row.link_target == str(place) or not place.samefile(row.link_target)):
            yield f"link_target is {row.link_target}, another file"

    def check_fields(self, row: Checkpoint) -> Iterator[str]:
        right = self.right_fields(row)
        needed = self.needed_fields()
        for name in FIELD_NAMES:
            value = getattr(row, name)
            if value is None:
                if name in needed:
                    yield f"{name} is null, should be {right[name]}"
            elif value not in right[name]:
                yield f"{name} is {value!r}, should be one of {right[name]}"
            elif name not in row.provenance:
                yield f"{name} has no provenance"
            elif row.provenance[name]["tier"] != "legacy" and self.entry.sidecar is None:
                yield f"{name} comes from a sidecar that isn't there"

    def right_fields(self, row: Checkpoint) -> dict[str, set[Any]]:
        """For each field the values that it may have."""
        run, save = self.run, self.save
        keepers = {scope: self._keepers_for(row, scope) for scope in ("monitor", "monitor_mode")}
        cleval = {name: f"cleval/{name}" for name, of in HEADLINES.items() if of not in row.metrics}
        return {
            **{name: {run.fields[name]} for name in ("architecture", "backbone", "decoder", "head", "loss")},
            "exp_name": {run.exp_name, experiment(self.path)},
            "epoch": {save.epoch},
            "global_step": {save.step},
            "max_epochs": {run.fields["max_epochs"]},
            "training_phase": {"finetuning"} if run.with_phase else {"training"},
            "monitor": {keeper.monitor for keeper in keepers["monitor"]},
            "monitor_mode": {keeper.mode for keeper in keepers["monitor_mode"] if keeper.monitor == row.monitor},
            "created_at": {save.created_at},
            "config_path": {str(self.tree.disk(self.config_path))} if self.config_path else set(),
            "wandb_run_id": {"abc123de"} if run.with_phase else set(),
            "claims": {label for label in ("best", "last") if Path(self.path).name.startswith(label)},
            "stated_epoch": {save.epoch} if self._may_count_epochs_done() else set(),
            **{
                name: {save.metrics.get(of), save.metrics.get(cleval.get(name, ""))} - {None}
                | ({row.metrics.get(of), row.metrics.get(of.replace("/", "_"))} if _is_by_name(row, name) else set())
                for name, of in HEADLINES.items()
            },
        }

    def _keepers_for(self, row: Checkpoint, field: str) -> set[Keeper]:
        """The callbacks that a value may be of: the file's own, and where it's said of the whole run, the run's."""
        own = self.written.keeper or self.run.keepers[0]
        of_the_run = row.provenance.get(field, {}).get("scope") == "run"
        return {own, self.run.keepers[0]} if of_the_run else {own}

    def needed_fields(self) -> set[str]:
        """The fields that the files beside it, its header or its name do tell."""
        needed = {"exp_name"}
        if self.sidecar is not None:
            told = {name for name, place in SIDECAR_PLACES.items() if self.sidecar[place] is not _ABSENT}
            needed |= told if self.believed else told - set(OF_THE_STEP)
        if self.header is not None:
            needed |= self.header.tells - ({"epoch"} if self._may_count_epochs_done() else set())
            if self.header.kind == "lightning" and self._keeper_is_clear():
                needed |= {"monitor"} | ({"monitor_mode"} if self.sidecar is None else set())
            if self.run.cleval and self.header.kind in ("lightning", "weights"):
                shares = ("precision", "recall", "hmean")
                needed |= {name for name in shares if not math.isnan(self.save.metrics[HEADLINES[name]])}
        needed |= told_by_name(self.path).keys()
        if self.config_path is not None:
            needed.add("config_path")
        if self.config is not None:
            needed |= {"architecture", "backbone", "decoder", "head", "loss", "max_epochs", "monitor"}
            needed |= {"monitor_mode"} if self.sidecar is None and not self._keeper_in_header() else set()
        if "architecture_name" in self.hyper_parameters and self.needs_hyper_parameters:
            needed.add("architecture")
        told_by_path = telling_parts(self.path)
        return needed | {name for name in ("architecture", "backbone") if self.run.fields[name] in told_by_path}

    def _may_count_epochs_done(self) -> bool:
        """A name with a number that is one lower than the header's epoch: which of the two it is isn't told."""
        number = re.fullmatch(r"(?:model_|checkpoint)(\d+)", self.first_name.rpartition("/")[2].partition(".")[0])
        return number is not None and int(number[1]) == self.save.epoch - 1

    def _keeper_in_header(self) -> bool:
        return self.header is not None and self.header.kind == "lightning"

    def _keeper_is_clear(self) -> bool:
        """One callback, or the one whose file this still is: by its place, or by a name that states a step."""
        paths = [path for state in self.written.states for path in (*state.kept, state.last_path) if path]
        length = 1 if "global_step" in told_by_name(self.first_name) else 2
        ends = [path.rsplit("/", length)[1:] for path in paths]
        own = self.first_name.rsplit("/", length)[-length:]
        return len(self.written.states) == 1 or (
            self.written.stored.rsplit("/", length)[1:] == own and ends.count(own) == 1
        )

    def check_metrics(self, row: Checkpoint) -> Iterator[str]:
        metrics = {**self.save.metrics, **{name: self.save.metrics[of] for name, of in HEADLINES.items()}}
        for name, value in row.metrics.items():
            stated = row.provenance.get(f"metrics.{name}", {}).get("key", "")
            if _is_by_name(row, f"metrics.{name}"):
                right = metrics.get(name, metrics.get(name.replace("_", "/", 1), math.nan))
                if round(right, len(stated.rpartition(".")[2])) != value:
                    yield f"metric {name} is {stated} by the file's name, should be {right}"
            elif name not in metrics:
                yield f"metric {name} is {value}, and there is no such metric"
            elif value != metrics[name] and not (math.isnan(value) and math.isnan(metrics[name])):
                yield f"metric {name} is {value}, should be {metrics[name]}"
            elif row.provenance.get(f"metrics.{name}", {}).get("scope") != "checkpoint":
                yield f"metric {name} comes from {row.provenance.get(f'metrics.{name}')}"
        for name in self.needed_metrics():
            if name not in row.metrics and not math.isnan(metrics[name]):
                yield f"metric {name} isn't known, should be {metrics[name]}"

    def needed_metrics(self) -> set[str]:
        needed: set[str] = set()
        if self.sidecar is not None and self.believed and self.entry.sidecar is not None:
            needed |= self.entry.sidecar.named
            known = {of for name, of in HEADLINES.items() if self.sidecar[SIDECAR_PLACES[name]] is not _ABSENT}
            needed |= {self.sidecar["checkpointing.monitor"]} & known
        if self.header is not None and self.header.kind in ("lightning", "weights") and self.run.cleval:
            needed |= {"cleval/precision", "cleval/recall", "cleval/hmean"}
        if self.header is not None:
            needed |= {state.keeper.monitor for state in self.header.states if self._is_listed(state)}
        return needed

    def _is_listed(self, state: KeeperState) -> bool:
        """Whether the state has the file's own score where it can be told: by the step, or by the file's name."""
        written = self.written
        for kept in state.kept:
            if told_by_name(kept).get("global_step") == self.save.step:
                return True
        if written.stored not in state.kept:
            return False
        own = self.first_name.rsplit("/", 2)[-2:]
        if len(written.states) == 1:
            return [kept for kept in state.kept if kept.rpartition("/")[2] == own[-1]] == [written.stored]
        listed = [kept for each in written.states for kept in each.kept if kept.rsplit("/", 2)[1:] == own]
        return listed == [written.stored]

    def check_params(self, row: Checkpoint) -> Iterator[str]:
        """A sidecar's first, then the header's, then the config's."""
        right: dict[str, list[object]] = {}
        needed: set[str] = set()
        documents: list[Mapping[str, object]] = [self.hyper_parameters, self.config or {}]
        for document in documents:
            for name, value in flat(document):
                right.setdefault(name, [value])
                if document is not self.hyper_parameters or self.needs_hyper_parameters:
                    needed.add(name)
        if self.entry.sidecar is not None:
            document = self.entry.sidecar.document(self.run)
            for name, value in flat({part: document[part] for part in ("model", "checkpointing")}):
                if name not in self.entry.sidecar.invalid:
                    right.setdefault(name, []).append(value)
        for name, value in row.params.items():
            if not any(value == each and type(value) is type(each) for each in right.get(name, [])):
                yield f"param {name} is {value!r}, should be one of {right.get(name)}"
        for name in sorted(needed - row.params.keys()):
            yield f"param {name} isn't known, should be {right[name]}"
        if self.sidecar is not None and row.params.get("model.encoder.frozen") is not True:
            yield "param model.encoder.frozen isn't known"

    def check_weights(self, row: Checkpoint) -> Iterator[str]:
        if self.header is None:
            if row.weights is not None:
                yield f"weights are {row.weights} of half a file"
            return
        size = size_of(self.header)
        if row.weights is None:
            if self.needs_weights:
                yield "weights aren't known"
        elif (row.weights.num_parameters, row.weights.num_tensors, dict(row.weights.dtypes)) != (*size[:2], size[2]):
            yield f"weights are {row.weights}, should be {size}"
        if row.format != ("safetensors" if self.header.kind == "safetensors" else "torch_zip"):
            yield f"format is {row.format}"


def _at(document: Mapping[str, Any], place: str) -> Any:
    value: Any = document
    for part in place.split("."):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value


def experiment(path: str) -> str | None:
    """The folder above ``checkpoints``, else the file's own; None for a file in the root itself."""
    folders = path.split("/")[:-1]
    saved_in = [index for index, folder in enumerate(folders) if folder in SAVED_IN and index]
    if saved_in:
        return folders[saved_in[-1] - 1]
    return folders[-1] if folders else None


def _is_by_name(row: Checkpoint, name: str) -> bool:
    """Whether a value is the one that the file's name states, rounded: ``val_loss=0.8``."""
    return "=" in row.provenance.get(name, {}).get("key", "")


def expected_config(tree: Tree, path: str) -> str | None:
    """The first that exists, in the order that the documentation of the sidecar's format has."""
    folder, _, name = path.rpartition("/")
    above = folder.rpartition("/")[0]
    stems = [f"{folder}/{each.rpartition('.')[0]}" for each in (tree.leads_to(path), name) if each]
    places = [stem + suffix for stem in stems for suffix in OWN_CONFIGS]
    run = next((up.rpartition("/")[0] for up in (folder, above) if up.rpartition("/")[2].lower() in SAVED_IN), folder)
    higher = run.rpartition("/")[0]
    places += [f"{up}/.hydra/config.yaml" for up in (run, higher, higher.rpartition("/")[0])]
    places += [f"{where}/{plain}" for where in (folder, above, run) for plain in ("config.yaml", "hparams.yaml")]
    return next((place.lstrip("/") for place in places if place.lstrip("/") in tree.configs), None)


def flat(document: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted scalars; what OmegaConf would have to fill in is no value."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from flat(value, f"{prefix}.{index}")
    elif not (isinstance(document, str) and (document == "???" or "${" in document)):
        yield prefix, document
