"""What the tensors prove about a model, beside what the checkpoint states of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from catalogdb.formats.detectors import DETECTORS
from catalogdb.formats.encoders import NAMES
from catalogdb.records import ModelIdentity, Value


def proven_fields(model: ModelIdentity, stated: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    """``architecture`` and ``backbone``, where nothing is stated, or where what is stated is proven wrong.

    A stated name is only wrong where it names another model that would have been proven: a resnet18 that has a
    resnet34's tensors. Any other name is the user's own, and says more than the tensors do.
    """
    for field, name, provable in (
        ("architecture", model.architecture, DETECTORS | NAMES),
        ("backbone", model.encoder, NAMES),
    ):
        if name is not None and (field not in stated or stated[field].value in provable):
            yield field, name
