"""transformers' ``training_args.bin``: the arguments of a Trainer, an object in a pickle, read as data.

(``transformers/training_args.py``, TrainingArguments; ``transformers/trainer.py``, ``_save``). Classes that inherit it,
as TRL's, are known by its fields.
"""

from __future__ import annotations

from collections.abc import Mapping

from catalogdb.formats.pickle_values import Stub
from catalogdb.formats.plain import flatten
from catalogdb.records import Scalar

FIELDS = frozenset({"output_dir", "per_device_train_batch_size", "learning_rate", "num_train_epochs"})
SECRET = "_token"
"""Ends the names of what gives access to a hub: these are nobody's parameters."""


def read_arguments(value: object) -> Mapping[str, Scalar]:
    """The arguments by name, with the values of enums; none where it is another object."""
    state = value.state if type(value) is Stub else None
    if type(state) is not dict or not FIELDS.issubset(state):
        return {}
    shown = {
        name: _of_enum(argument)
        for name, argument in state.items()
        if type(name) is str and not name.startswith("_") and not name.endswith(SECRET)
    }
    return flatten(shown, lambda ref: None)


def _of_enum(value: object) -> object:
    """``IntervalStrategy("steps")`` is pickled as the class and its value."""
    if type(value) is Stub and value.state is None and len(value.args) == 1 and type(value.args[0]) is str:
        return value.args[0]
    return value
