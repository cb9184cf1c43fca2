"""A run's config as a source: its facts, and its parameters in groups that configs share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from catalogdb.config_facts import ConfigFacts, config_facts
from catalogdb.errors import ResolverError
from catalogdb.layouts.hydra import OVERRIDES
from catalogdb.records import Origin, OriginRole, ParamGroup, Problem, Shape, Source, Values
from catalogdb.resolve.documents import PerSource, read_list, read_source
from catalogdb.resolve.interpolation import interpolated
from catalogdb.resolve.overrides import overridden
from catalogdb.resolve.params import flatten, mappings, merge_params

Groups = tuple[ParamGroup, ...]


def read_config(source: Source) -> ConfigFacts:
    """Raises ResolverError."""
    return config_facts(interpolated(read_source("legacy", source)))


class ConfigParams:
    """The parameters of configs, a group for each mapping: configs of a project differ in few of them.

    Documents share the values of equal sections, so that a section is known again by its identity: it is gone
    through once for all the configs that have it.
    """

    def __init__(self, *, keep: int = 2048) -> None:
        self._keep = keep
        self._sections: dict[tuple[int, str, str], tuple[object, tuple[ParamGroup, ...]]] = {}
        self._groups: dict[tuple[str, str, str], ParamGroup] = {}

    def groups(self, document: Mapping[str, object], path: str, role: OriginRole = "config") -> tuple[ParamGroup, ...]:
        """``path`` is the config's, as seen from the checkpoint's folder: it stands in every origin."""
        found: list[ParamGroup] = []
        top: dict[str, object] = {}
        for name, value in document.items():
            if isinstance(value, dict):
                found.extend(self._section(name, value, path, role))
            else:
                top[name] = value
        self._add(found, "", top, path, role)
        return tuple(found)

    def _section(self, name: str, value: dict[str, object], path: str, role: OriginRole) -> tuple[ParamGroup, ...]:
        key = (id(value), name, path)
        known = self._sections.get(key)
        if known is not None and known[0] is value:
            return known[1]
        found: list[ParamGroup] = []
        for prefix, direct in mappings(name, value):
            self._add(found, prefix, direct, path, role)
        groups = tuple(found)
        if len(self._sections) >= self._keep:
            self._sections.clear()
        self._sections[key] = value, groups
        return groups

    def _add(
        self, found: list[ParamGroup], prefix: str, direct: Mapping[str, object], path: str, role: OriginRole
    ) -> None:
        key = (path, prefix, repr(direct))
        group = self._groups.get(key)
        if group is None:
            flat = dict(flatten(direct))
            group = ParamGroup(Values(_shape(path, role, prefix, tuple(flat)), tuple(flat.values())))
            if len(self._groups) >= self._keep:
                self._groups.clear()
            self._groups[key] = group
        if group.values:
            found.append(group)


class RunParams:
    """The parameters of the documents beside a run's config: arguments, hyperparameters, what was overridden."""

    def __init__(self, params: ConfigParams) -> None:
        self._params = params
        self._documents: PerSource[Mapping[str, object]] = PerSource(
            lambda source: interpolated(read_source("legacy", source))
        )
        self._overrides: PerSource[list[str]] = PerSource(lambda source: read_list("legacy", source))

    def groups(
        self, sources: Iterable[tuple[Source, str]], config: Mapping[str, object]
    ) -> tuple[Groups, Groups, tuple[Problem, ...]]:
        """What was overridden, which counts before the config; the other documents, after it; and what can't be read.

        ``sources`` come with their paths as seen from the checkpoint's folder."""
        first: Groups = ()
        rest: Groups = ()
        problems: list[Problem] = []
        for source, relative in sources:
            try:
                if source.path.endswith(OVERRIDES):
                    first = merge_params(first, self._overridden(source, relative, config))
                else:
                    rest = merge_params(rest, self._params.groups(self._documents.get(source), relative, "params"))
            except ResolverError as error:
                problems.append(Problem(error.path, "legacy", error.reason, error.retryable))
        return first, rest, tuple(problems)

    def _overridden(self, source: Source, relative: str, config: Mapping[str, object]) -> Groups:
        changed = dict(overridden(self._overrides.get(source), config))
        shape = _shape(relative, "params", "", tuple(changed))
        return (ParamGroup(Values(shape, tuple(changed.values()))),) if changed else ()


@lru_cache(maxsize=4096)
def _shape(path: str, role: OriginRole, prefix: str, names: tuple[str, ...]) -> Shape:
    """That of a mapping's parameters: configs of a project have the same names, with other values."""
    dotted = tuple([f"{prefix}{name}" for name in names])
    return Shape(dotted, tuple([Origin("legacy", role, path, name, "run") for name in dotted]))
