"""The model part of a record: what hyperparameters, the config and the module itself say about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from catalogdb.config_facts import MODEL_PARAMETERS, is_known
from catalogdb.model_sections import model_names, model_parts, model_section

MAX_DEPTH = 16
MAX_NODES = 20_000

LOSS_ATTRIBUTES = ("loss", "loss_fn", "criterion")
CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"})
"""Classes that say nothing of what a part is."""


def plain(value: Any) -> Any:
    """A copy out of dicts, lists and scalars, bounded; what is neither is null. OmegaConf's containers are resolved."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and omegaconf.OmegaConf.is_config(value):
        value = omegaconf.OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
    return _plain(value, MAX_DEPTH, iter(range(MAX_NODES)))


def _plain(value: Any, depth: int, left: Iterator[int]) -> Any:
    if next(left, None) is None or depth == 0:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1, left) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1, left) for item in value]
    if isinstance(value, (bool, int, float, str)):
        kind = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
        return kind(value)
    return None


def model_part(module: Any, documents: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """The ``model`` section. ``documents`` are plain: the module's hyperparameters, then the config, if there is one.

    A name that none of them has is ``unknown``, as the format requires one.
    """
    named = model_names(documents)
    holders = [holder for holder in (module, getattr(module, "model", None)) if holder is not None]
    for field, name in _own_names(holders):
        named.setdefault(field, name)
    found = model_parts(documents)
    encoder = _part_of(holders, "encoder")
    if "frozen" not in found["encoder"] and encoder is not None:
        trained = [parameter.requires_grad for parameter in encoder.parameters()]
        found["encoder"].update({"frozen": not any(trained)} if trained else {})
    return model_section(named, found)


def _own_names(holders: list[Any]) -> Iterator[tuple[str, str]]:
    """Names that attributes of the module give, and the classes of the parts that it is made of."""
    for holder in holders:
        for key, field in (*MODEL_PARAMETERS.items(), ("architecture", "architecture")):
            name = getattr(holder, key, None)
            if isinstance(name, str) and is_known(name):
                yield field, name.strip()
    name = getattr(_part_of(holders, "encoder"), "model_name", None)
    if isinstance(name, str) and is_known(name):
        yield "backbone", name.strip()
    for part, attributes in (("decoder", ("decoder",)), ("head", ("head",)), ("loss", LOSS_ATTRIBUTES)):
        kind = type(_part_of(holders, *attributes))
        if kind is not type(None) and kind.__name__ not in CONTAINERS:
            yield part, kind.__name__


def _part_of(holders: list[Any], *names: str) -> Any:
    """The first attribute of these names that is itself a module."""
    found = (getattr(holder, name, None) for holder in holders for name in names)
    return next((part for part in found if hasattr(part, "parameters")), None)
