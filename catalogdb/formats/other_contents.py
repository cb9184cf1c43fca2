"""What torch.save wrote that is no checkpoint, told by what it holds. Anything that may be one is one.

Sources: ``torch/optim/optimizer.py`` (state_dict); ``transformers/trainer.py`` (``_save_rng_state``).
"""

from __future__ import annotations

from catalogdb.formats.frameworks import Facts
from catalogdb.formats.modules import is_module
from catalogdb.formats.plain import as_mapping, is_plain
from catalogdb.formats.tensors import TensorRef
from catalogdb.records import EMBEDDED_KEY

OPTIMIZER = frozenset({"state", "param_groups"})
RANDOM_STATES = frozenset({"python", "numpy", "cpu"})


def why_no_checkpoint(contents: object, facts: Facts) -> str | None:
    """Of contents in which no weights were found: what they are; None where they may be a checkpoint's all the same."""
    mapping = as_mapping(contents)
    if mapping is None or is_module(contents):
        if type(contents) is TensorRef:
            return "a tensor by itself"
        if facts.framework == "transformers":
            return "a Trainer's arguments"
        return "no mapping, and no tensor in it" if is_plain(contents) else _of_tensors(contents)
    if facts.framework or EMBEDDED_KEY in mapping:
        return None
    if mapping.keys() == OPTIMIZER and type(mapping["param_groups"]) is list:
        return "an optimizer's state"
    if mapping.keys() >= RANDOM_STATES:
        return "the state of random generators"
    if facts.epoch is None and facts.global_step is None and is_plain(mapping):
        return "a mapping without a tensor in it"
    return None


def _of_tensors(contents: object) -> str | None:
    """A list of tensors and scalars; one that holds mappings or objects may be a checkpoint."""
    if type(contents) not in (list, tuple):
        return None
    return "a list of tensors" if all(type(item) is TensorRef or is_plain(item) for item in contents) else None  # type: ignore[attr-defined]
