"""A run's config as a source: its facts, and its parameters in groups that configs share."""

from __future__ import annotations

from collections.abc import Mapping

from catalogdb.config_facts import ConfigFacts, config_facts
from catalogdb.records import Origin, Param, ParamGroup, Source
from catalogdb.resolve.documents import read_source
from catalogdb.resolve.params import flatten

MAX_MAPPINGS = 1024


def read_config(source: Source) -> ConfigFacts:
    """Raises ResolverError."""
    return config_facts(read_source("legacy", source))


class ConfigParams:
    """The parameters of configs, a group for each mapping: configs of a project differ in few of them.

    Documents share the values of equal sections, so that a section is known again by its identity: it is gone
    through once for all the configs that have it.
    """

    def __init__(self, *, keep: int = 2048) -> None:
        self._keep = keep
        self._sections: dict[tuple[int, str, str], tuple[object, tuple[ParamGroup, ...]]] = {}
        self._groups: dict[tuple[str, str, str], ParamGroup] = {}

    def groups(self, document: Mapping[str, object], path: str) -> tuple[ParamGroup, ...]:
        """``path`` is the config's, as seen from the checkpoint's folder: it stands in every origin."""
        found: list[ParamGroup] = []
        top: dict[str, object] = {}
        for name, value in document.items():
            if isinstance(value, dict):
                found.extend(self._section(name, value, path))
            else:
                top[name] = value
        self._add(found, "", top, path)
        return tuple(found)

    def _section(self, name: str, value: dict[str, object], path: str) -> tuple[ParamGroup, ...]:
        key = (id(value), name, path)
        known = self._sections.get(key)
        if known is not None and known[0] is value:
            return known[1]
        found: list[ParamGroup] = []
        stack: list[tuple[str, dict[str, object]]] = [(f"{name}.", value)]
        while stack:
            prefix, mapping = stack.pop()
            direct: dict[str, object] = {}
            for inner, item in mapping.items():
                if isinstance(item, dict) and len(stack) < MAX_MAPPINGS:
                    stack.append((f"{prefix}{inner}.", item))
                else:
                    direct[inner] = item
            self._add(found, prefix, direct, path)
        groups = tuple(found)
        if len(self._sections) >= self._keep:
            self._sections.clear()
        self._sections[key] = value, groups
        return groups

    def _add(self, found: list[ParamGroup], prefix: str, direct: Mapping[str, object], path: str) -> None:
        key = (path, prefix, repr(direct))
        group = self._groups.get(key)
        if group is None:
            names = ((f"{prefix}{name}", value) for name, value in flatten(direct))
            group = ParamGroup(
                tuple(Param(name, value, Origin("legacy", "config", path, name, "run")) for name, value in names)
            )
            if len(self._groups) >= self._keep:
                self._groups.clear()
            self._groups[key] = group
        if group.params:
            found.append(group)
