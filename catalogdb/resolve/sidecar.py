"""The V1 sidecar beside a checkpoint, believed as far as the checkpoint itself agrees."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from catalogdb.config_facts import MODEL_PARAMETERS, is_known
from catalogdb.errors import MetadataError, ResolverError
from catalogdb.formats import read_header
from catalogdb.limits import DEFAULT, Limits
from catalogdb.metadata import DERIVED, HYPER_PARAMETERS, PLACEHOLDERS, salvage, without_placeholders
from catalogdb.records import DRIFT, Candidate, CheckpointHeader, Finding, Origin, Problem, Tier, Value, sidecar_path
from catalogdb.resolve.base import Hints
from catalogdb.resolve.documents import read_source
from catalogdb.resolve.embedded import EmbeddedResolver
from catalogdb.resolve.headline import monitored_headline
from catalogdb.resolve.names import counters
from catalogdb.resolve.own_score import own_scores
from catalogdb.resolve.params import merge_params
from catalogdb.resolve.record import FIELDS, OF_THE_STEP, RecordReader, Said, contradiction, in_one_line
from catalogdb.resolve.trust import agree, difference, disagreements

NOT_USED = "its metrics are not used"
NOTHING_USED = "nothing of it is used"
TEXTS = FIELDS.keys() - set(OF_THE_STEP)
_SCORE = Origin("legacy", "header", "", "callbacks.ModelCheckpoint.best_k_models", "checkpoint")


class Drift(NamedTuple):
    """Why a sidecar isn't believed. ``passing``: another file is why, and it may go."""

    reason: str
    passing: bool = False


class SidecarResolver:
    """Reads ``X.metadata.yaml``; for a symbolic link, that of the file beside it which it leads to.

    Values that aren't valid are left out one by one, each with a problem.
    What is of another step than the file, or states another number for what the file states itself, is ``drift``: then
    nothing in it counts that belongs to a step, and nothing at all unless it names the file's own run.
    ``limits`` are of reading another checkpoint that it names.
    """

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits
        self._reader = RecordReader("sidecar")
        self._embedded = EmbeddedResolver()

    @property
    def name(self) -> Tier:
        return "yaml"

    def resolve(self, candidate: Candidate, *, wanted: Collection[str], hints: Hints) -> Finding | None:
        del wanted
        source = candidate.source("sidecar")
        if source is None:
            return None
        document = read_source("yaml", source)
        try:
            known, errors = salvage(document, source.path)
        except MetadataError as error:
            raise ResolverError("yaml", source.path, str(error.reason)) from error
        if PLACEHOLDERS in document or DERIVED in document:
            known = without_placeholders(known, document)
        problems = [Problem(source.path, "yaml", in_one_line(errors))] if errors else []
        scores = own_scores(hints.header, candidate.link_target or candidate.path)
        is_own = source.path == sidecar_path(candidate.path)
        reader = self._reader if is_own else RecordReader("sidecar", source.path.rpartition("/")[2])
        said = reader.read(known, proven=scores)
        added = document.get(HYPER_PARAMETERS)
        if isinstance(added, dict):
            said = said._replace(params=merge_params(said.params, reader.added(added)))
        stated = known.get("checkpoint_path")
        place = stated if isinstance(stated, str) else ""
        drift = self._drift(candidate, hints.header, said, scores)
        is_named = _names(place, candidate.path if is_own else candidate.link_target or "")
        is_strange = not is_named and not _same_run(said, place, candidate)
        if drift is None and not is_named:
            drift = self._of_another(candidate, hints.header, said, scores, place, is_strange=is_strange)
            is_strange |= drift is not None
        if drift is not None:
            said = Said({}, {}, ()) if is_strange else said
            used = NOTHING_USED if is_strange else NOT_USED
            reason = f"{DRIFT}{drift.reason}; {used}"
            problems.append(Problem(source.path, "yaml", reason, passing=drift.passing))
            said.forget_step()
        else:
            problems += self._differing_texts(candidate, hints.header, said)
        return Finding(said.fields, said.metrics, said.params, tuple(problems))

    def _drift(
        self, candidate: Candidate, header: CheckpointHeader, said: Said, scores: Mapping[str, float]
    ) -> Drift | None:
        """In which number the checkpoint itself and the sidecar differ, with both values."""
        other = contradiction(said.fields, stated_counters(candidate, header))
        if other is not None:
            return Drift(other_model(said.fields, header) or other)
        found = disagreements(self._stated(candidate, header, scores), said.metrics)
        return Drift(difference(*found[0])) if found else None

    def _of_another(
        self,
        candidate: Candidate,
        header: CheckpointHeader,
        said: Said,
        scores: Mapping[str, float],
        place: str,
        *,
        is_strange: bool,
    ) -> Drift | None:
        """Why a sidecar whose numbers agree is another file's all the same: it names one, and nothing confirms it.

        Where only the start of the file was looked at, that is as good as a reason to look at the rest.
        """
        stated = self._stated(candidate, header, scores)
        other = (other_model(said.fields, header) or _other_score(said, stated)) if is_strange else None
        if other is not None or not said.metrics.keys().isdisjoint(stated):
            return Drift(other) if other is not None else None
        named = _other_file(place, candidate)
        if named is not None and not _is_copy(candidate, header, named, self._limits):
            return Drift(f"is the sidecar of {place}, which is another file", passing=True)
        if is_strange and not header.whole:
            return Drift(f"may be the sidecar of another file, {place}")
        return None

    def _differing_texts(self, candidate: Candidate, header: CheckpointHeader, said: Said) -> Iterator[Problem]:
        """What isn't a number of the step, and other than in the record in the file: that counts, and both are told."""
        embedded = self._embedded.finding(candidate, header)
        if embedded is None:
            return
        for field in sorted(TEXTS & embedded.fields.keys() & said.fields.keys()):
            one, other = embedded.fields[field], said.fields[field]
            if str(one.value).rpartition("/")[2] != str(other.value).rpartition("/")[2]:  # W&B's id may stand alone
                reason = f"{DRIFT}{difference(field, one, other)}; the first counts"
                yield Problem(candidate.path, "yaml", reason)

    def _stated(
        self, candidate: Candidate, header: CheckpointHeader, scores: Mapping[str, float]
    ) -> Mapping[str, Value]:
        """The metrics that the checkpoint itself states."""
        stated = {name: Value(score, _SCORE) for name, score in scores.items()}
        embedded = self._embedded.finding(candidate, header)
        return {**stated, **embedded.metrics} if embedded is not None else stated


def other_model(fields: Mapping[str, Value], header: CheckpointHeader) -> str | None:
    """Why a sidecar of another state is one of another run altogether: the checkpoint was made with another model."""
    for key, field in MODEL_PARAMETERS.items():
        stated = header.hyper_parameters.get(key)
        if field in fields and isinstance(stated, str) and is_known(stated) and fields[field].value != stated.strip():
            return f"is about another checkpoint: its {field} is {fields[field].value}, the checkpoint's {stated}"
    return None


def _other_score(said: Said, stated: Mapping[str, Value]) -> str | None:
    """Why a sidecar of elsewhere is another file's: what it gives as headline for the metric it monitors."""
    monitor = str(said.fields["monitor"].value) if "monitor" in said.fields else ""
    headline = said.fields.get(monitored_headline(monitor) or "")
    if headline is None or monitor not in stated or monitor in said.metrics or agree(stated[monitor], headline):
        return None
    return difference(monitor, stated[monitor], headline)


def stated_counters(candidate: Candidate, header: CheckpointHeader) -> Mapping[str, int]:
    """``epoch`` and ``global_step`` as the file itself states them: in its header, else in a name of its own."""
    in_header = {"epoch": header.epoch, "global_step": header.global_step}
    return {
        **counters((candidate.link_target or "").rpartition("/")[2]),
        **counters(candidate.path.rpartition("/")[2]),
        **{field: value for field, value in in_header.items() if value is not None},
    }


def _names(place: str, path: str) -> bool:
    """Whether a sidecar's ``checkpoint_path`` is this path, as far as it goes."""
    return path.endswith(f"/{place}") or place == path


def _other_file(place: str, candidate: Candidate) -> str | None:
    """The other checkpoint, still there, that ``checkpoint_path`` leads to.

    A file that has moved leaves nothing behind; one that was copied, or whose sidecar was mixed up, does.
    """
    if not place:
        return None
    above = candidate.path.rsplit("/", place.count("/") + 1)[0]
    for named in (place,) if place.startswith("/") else (f"{above}/{place}", f"{candidate.root}/{place}"):
        try:
            if not Path(named).samefile(candidate.path):
                elsewhere = named.rpartition("/")[0] != candidate.path.rpartition("/")[0]
                return named if elsewhere or sidecar_path(named) == sidecar_path(candidate.path) else None
        except (OSError, ValueError):
            continue
    return None


def _is_copy(candidate: Candidate, header: CheckpointHeader, named: str, limits: Limits) -> bool:
    """Whether one of the two files is a copy of the other: of one size, and all that headers tell is equal, with
    checksums of the weights. Then what is said of one is true of both."""
    if header.weights is None or header.weights.fingerprint is None:
        return False
    try:
        if Path(named).stat().st_size != candidate.stamp.size:
            return False
        other = read_header(named, limits=limits)
    except OSError:
        return False
    return replace(other, bytes_read=header.bytes_read) == header


def _same_run(said: Said, place: str, candidate: Candidate) -> bool:
    """Whether a sidecar of another step is at least of the file's own run: it names its folder."""
    folders = candidate.path.split("/")[:-1]
    named = place.split("/")[:-1][-2:]
    name = said.fields.get("exp_name")
    return (len(named) == 2 and folders[-2:] == named) or (name is not None and name.value in folders)
