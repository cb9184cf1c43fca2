"""The ``model`` section of a sidecar, out of configs and hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from catalogdb.config_facts import MODEL_PARAMETERS, config_facts, is_known
from catalogdb.metadata import UNKNOWN

PARTS = ("encoder", "decoder", "head", "loss")
MAX_TEXT = 512

OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "encoder": ("pretrained", "frozen"),
    "decoder": ("in_channels", "inner_channels", "output_channels"),
    "head": ("in_channels",),
    "loss": (),
}
"""Keys of a part's section that have a place of their own in the sidecar; the other scalars are its ``params``."""

Documents = Sequence[Mapping[str, Any]]


def model_names(documents: Documents) -> dict[str, Any]:
    """Field → what the first document that names it says: ``architecture_name`` at the top, or in ``model``."""
    named: dict[str, Any] = {}
    for document in documents:
        for key, field in MODEL_PARAMETERS.items():
            if isinstance(document.get(key), str) and is_known(document[key]):
                named.setdefault(field, document[key].strip())
        for field, (value, _) in config_facts(document).fields.items():
            named.setdefault(field, value)
    return named


def model_parts(documents: Documents) -> dict[str, dict[str, Any]]:
    """For each part what the ``model`` sections say of it beside its name."""
    sections = [document["model"] for document in documents if isinstance(document.get("model"), dict)]
    return {part: _part(part, [section[part] for section in sections if part in section]) for part in PARTS}


def model_section(named: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The section as a sidecar has it. A name that isn't known is ``unknown``, as the format requires one."""
    return {
        "architecture": named.get("architecture", UNKNOWN),
        "encoder": {"model_name": named.get("backbone", UNKNOWN), **parts["encoder"]},
        **{part: {"name": named.get(part, UNKNOWN), **parts[part]} for part in PARTS[1:]},
    }


def _part(part: str, sections: Sequence[Any]) -> dict[str, Any]:
    """What one of the sections says isn't asked of the next."""
    found: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for section in sections:
        for key, value in section.items() if isinstance(section, dict) else ():
            if key in OWN_KEYS[part]:
                found.setdefault(key, value)
            elif _is_param(part, key, value):
                params.setdefault(key, value)
    if params and part != "encoder":
        found["params"] = params
    return {key: value for key, value in found.items() if value is not None}


def _is_param(part: str, key: str, value: Any) -> bool:
    if key.startswith("_") or key == "name" or not is_known(value):
        return False
    if part == "loss":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= MAX_TEXT)
