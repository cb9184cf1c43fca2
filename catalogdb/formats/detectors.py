"""Text detectors, proven by the names and shapes of their necks and heads.

Each function gets the shapes by name and the prefix before ``ANCHORS``' tensor, and names the detector only where
nothing is missing and nothing stands in its neck and head that isn't its own. Facts of the tensors:

- DBNet, DBNet++: github.com/MhLiao/DB, ``decoders/seg_detector.py``, ``seg_detector_asf.py``;
  github.com/open-mmlab/mmocr, ``mmocr/models/textdet/{necks/fpn_cat.py,heads/db_head.py}``.
- CRAFT: github.com/clovaai/CRAFT-pytorch, ``craft.py``.
- PAN, PSENet: github.com/whai362/pan_pp.pytorch, ``models/{pan.py,neck/fpem_v1.py,neck/fpn.py,head/pa_head.py,
  head/psenet_head.py}``, ``config/``; mmocr, ``necks/{fpem_ffm.py,fpnf.py}``, ``heads/{pan_head.py,pse_head.py}``.

PAN++ without its recogniser has PAN's tensors, and is one to this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

PAN_CHANNELS = 6
"""Of PAN's head: text, kernel, and an embedding of four."""
PSENET_CHANNELS = 7
"""Of PSENet's head: seven kernels, the text the largest."""

_MMOCR_HEADS = ("det_head.", "bbox_head.")
_CRAFT_CLASSES: Mapping[str, Shape] = {
    "0": (32, 32, 3, 3),
    "2": (32, 32, 3, 3),
    "4": (16, 32, 3, 3),
    "6": (16, 16, 1, 1),
    "8": (2, 16, 1, 1),
}
_FPEM_WAYS = ("3_1", "2_1", "1_1", "2_2", "3_2", "4_2")
_CRAFT_UP = ((512, 256), (256, 128), (128, 64), (64, 32))
"""Middle and outer channels of ``upconv1`` to ``upconv4``."""


def dbnet(shapes: Shapes, root: str) -> str | None:
    decoder = f"{root}decoder."
    parts = _parts(shapes, decoder)
    fpn = {f"{way}{level}" for way in ("in", "out") for level in (2, 3, 4, 5)}
    if not _is_binarisation(shapes, f"{decoder}binarize.") or not _is_binarisation(shapes, f"{decoder}thresh."):
        return None
    return _with_or_without(parts, fpn | {"binarize", "thresh"}, {"concat_attention"})


def dbnet_of_mmocr(shapes: Shapes, root: str) -> str | None:
    head, neck = _mmocr_head(shapes, root), f"{root}neck."
    if _parts(shapes, head) != {"binarize", "threshold"} or not _is_binarisation(shapes, f"{head}threshold."):
        return None
    smooth = shapes.get(f"{neck}smooth_convs.0.conv.weight", ())
    into = shapes.get(f"{head}binarize.0.weight", ())
    if not _is_binarisation(shapes, f"{head}binarize.") or not smooth or smooth[0] * 4 != into[1]:
        return None
    parts = _parts(shapes, neck) - {"out_conv"}
    return _with_or_without(parts, {"lateral_convs", "smooth_convs"}, {"asf_conv", "asf_attn"})


def craft(shapes: Shapes, root: str) -> str | None:
    if any(shapes.get(f"{root}conv_cls.{place}.weight") != shape for place, shape in _CRAFT_CLASSES.items()):
        return None
    for number, (middle, outer) in enumerate(_CRAFT_UP, 1):
        block = f"{root}upconv{number}.conv"
        first = shapes.get(f"{block}.0.weight", ())
        if len(first) != 4 or first[0] != middle or first[2:] != (1, 1):
            return None
        if shapes.get(f"{block}.3.weight") != (outer, middle, 3, 3):
            return None
    return "craft"


def pan(shapes: Shapes, root: str) -> str | None:
    first = shapes.get(f"{root}fpem1.dwconv3_1.weight", ())
    if len(first) != 4 or any(name.startswith(f"{root}rec_head.") for name in shapes):
        return None
    planes, own = first[0], {f"{layer}{way}" for layer in ("dwconv", "smooth_layer") for way in _FPEM_WAYS}
    fused = all(_parts(shapes, f"{root}fpem{number}.") == own for number in (1, 2))
    layers = [f"{root}reduce_layer{number}." for number in (1, 2, 3, 4)]
    reduced = all(
        _parts(shapes, layer) == {"conv", "bn"} and _channels(shapes, f"{layer}conv.weight") == planes
        for layer in layers
    )
    if not fused or not reduced or not _is_head(shapes, f"{root}det_head.", 4 * planes, PAN_CHANNELS):
        return None
    return "pan"


def pan_of_mmocr(shapes: Shapes, root: str) -> str | None:
    neck = f"{root}neck."
    first = shapes.get(f"{neck}fpems.0.up_add1.depthwise_conv.weight", ())
    own = {"fpems", "reduce_conv_c2", "reduce_conv_c3", "reduce_conv_c4", "reduce_conv_c5"}
    if len(first) != 4 or first[1:] != (1, 3, 3) or _parts(shapes, neck) != own:
        return None
    return "pan" if _is_head(shapes, _mmocr_head(shapes, root), 4 * first[0], PAN_CHANNELS) else None


def psenet(shapes: Shapes, root: str) -> str | None:
    own = {"toplayer_", *(f"{layer}{number}_" for layer in ("smooth", "latlayer") for number in (1, 2, 3))}
    top = _channels(shapes, f"{root}fpn.toplayer_.conv.weight")
    if _parts(shapes, f"{root}fpn.") != own or top is None:
        return None
    return "psenet" if _is_head(shapes, f"{root}det_head.", 4 * top, PSENET_CHANNELS) else None


def psenet_of_mmocr(shapes: Shapes, root: str) -> str | None:
    neck = f"{root}neck."
    out = _channels(shapes, f"{neck}output_convs.conv.weight")
    if _parts(shapes, neck) != {"lateral_convs", "fpn_convs", "output_convs"} or out is None:
        return None
    return "psenet" if _is_head(shapes, _mmocr_head(shapes, root), out, PSENET_CHANNELS) else None


ANCHORS: Mapping[str, Callable[[Shapes, str], str | None]] = {
    "decoder.binarize.0.weight": dbnet,
    "neck.smooth_convs.0.conv.weight": dbnet_of_mmocr,
    "conv_cls.0.weight": craft,
    "fpem1.dwconv3_1.weight": pan,
    "neck.fpems.0.up_add1.depthwise_conv.weight": pan_of_mmocr,
    "fpn.toplayer_.conv.weight": psenet,
    "neck.output_convs.conv.weight": psenet_of_mmocr,
}
"""A tensor that each of them has → what proves it."""


DETECTORS = frozenset({"dbnet", "dbnetpp", "craft", "pan", "psenet"})


def _is_binarisation(shapes: Shapes, branch: str) -> bool:
    """A convolution to a quarter of the channels, and twice a transposed one, to one channel at last."""
    first = shapes.get(f"{branch}0.weight", ())
    if len(first) != 4 or first[2:] != (3, 3) or first[0] != first[1] // 4:
        return False
    inner = first[0]
    expected: Mapping[str, Shape] = {
        "1.weight": (inner,),
        "3.weight": (inner, inner, 2, 2),
        "4.weight": (inner,),
        "6.weight": (inner, 1, 2, 2),
    }
    return all(shapes.get(branch + name) == shape for name, shape in expected.items())


def _is_head(shapes: Shapes, head: str, channels: int, classes: int) -> bool:
    """A convolution and one to ``classes`` maps, or that alone; and nothing else."""
    parts = _parts(shapes, head)
    if parts == {"conv1", "bn1", "conv2"}:
        first, last = shapes.get(f"{head}conv1.weight", ()), shapes.get(f"{head}conv2.weight", ())
        return first[1:] == (channels, 3, 3) and last == (classes, first[0], 1, 1)
    return parts == {"out_conv"} and shapes.get(f"{head}out_conv.weight") == (classes, channels, 1, 1)


def _with_or_without(parts: set[str], plain: set[str], attention: set[str]) -> str | None:
    """DBNet++ is DBNet with adaptive scale fusion."""
    return "dbnet" if parts == plain else "dbnetpp" if parts == plain | attention else None


def _mmocr_head(shapes: Shapes, root: str) -> str:
    """``bbox_head.`` before MMOCR 1.0."""
    old, new = f"{root}{_MMOCR_HEADS[1]}", f"{root}{_MMOCR_HEADS[0]}"
    return old if any(name.startswith(old) for name in shapes) else new


def _parts(shapes: Shapes, prefix: str) -> set[str]:
    """The first part of all names below ``prefix``."""
    start = len(prefix)
    return {name[start:].partition(".")[0] for name in shapes if name.startswith(prefix)}


def _channels(shapes: Shapes, name: str) -> int | None:
    shape = shapes.get(name, ())
    return shape[0] if len(shape) == 4 else None
