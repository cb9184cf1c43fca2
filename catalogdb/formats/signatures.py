"""Which model a set of weights is of, by its tensors alone: proven, or null."""

from __future__ import annotations

from collections.abc import Sequence

from catalogdb.formats import detectors, encoders
from catalogdb.records import ModelIdentity, TensorInfo

KEY = "tensors"
"""Where an identity comes from, as provenance has it."""

_ANCHORS = (*detectors.ANCHORS, *(layout.anchor for layout in encoders.LAYOUTS))


def identify(tensors: Sequence[TensorInfo]) -> ModelIdentity | None:
    """The detector and the encoder in it, or the encoder that is the whole model; None where nothing is proven.

    A model that holds two different ones (teacher and student, say) is neither.
    """
    telling = [tensor.name for tensor in tensors if tensor.name.endswith(_ANCHORS)]
    if not telling:
        return None
    detector = _find_detector(telling, tensors)
    encoder = encoders.find_encoder(telling, tensors)
    if detector is None and encoder is None:
        return None
    whole = encoder.name if encoder is not None and encoder.whole else None
    return ModelIdentity(detector or whole, encoder.name if encoder is not None else None, KEY)


def _find_detector(telling: Sequence[str], tensors: Sequence[TensorInfo]) -> str | None:
    shapes: dict[str, tuple[int, ...]] = {}
    found: set[str | None] = set()
    for name in telling:
        for anchor, prove in detectors.ANCHORS.items():
            root = name.removesuffix(anchor)
            if root != name and (not root or root.endswith(".")):
                shapes = shapes or {tensor.name: tensor.shape for tensor in tensors}
                found.add(prove(shapes, root))
    found.discard(None)
    return found.pop() if len(found) == 1 else None
