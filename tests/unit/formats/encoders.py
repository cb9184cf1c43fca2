"""Models as torchvision 0.28 and timm 1.0.31 build them: the truth that the table of encoders is held against.

``encoders.txt.xz`` holds their tensors' names and shapes, as ``python -m tools.list_encoders --truth`` wrote them.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path

from catalogdb.records import TensorInfo

TRUTH = Path(__file__).with_name("encoders.txt.xz")

MODELS: dict[str, tuple[str, ...]] = {
    **{f"resnet{depth}": (f"torchvision:resnet{depth}", f"timm:resnet{depth}") for depth in (18, 34, 50, 101, 152)},
    **{f"mobilenetv3_small_{width}": (f"timm:mobilenetv3_small_{width}",) for width in ("050", "075")},
    "mobilenetv3_small_100": ("timm:mobilenetv3_small_100", "torchvision:mobilenet_v3_small"),
    "mobilenetv3_large_075": ("timm:mobilenetv3_large_075",),
    "mobilenetv3_large_100": ("timm:mobilenetv3_large_100", "torchvision:mobilenet_v3_large"),
    **{
        f"efficientnet_b{size}": (f"torchvision:efficientnet_b{size}", f"timm:efficientnet_b{size}")
        for size in range(8)
    },
    "efficientnet_v2_s": ("torchvision:efficientnet_v2_s", "timm:tf_efficientnetv2_s", "timm:efficientnetv2_s"),
    "efficientnet_v2_m": ("torchvision:efficientnet_v2_m", "timm:tf_efficientnetv2_m"),
    **{f"vgg{depth}_bn": (f"torchvision:vgg{depth}_bn", f"timm:vgg{depth}_bn") for depth in (11, 13, 16, 19)},
    **{
        f"convnext_{size}": (f"torchvision:convnext_{size}", f"timm:convnext_{size}")
        for size in ("tiny", "small", "base", "large")
    },
    "swin_t": ("torchvision:swin_t", "timm:swin_tiny_patch4_window7_224"),
    "swin_s": ("torchvision:swin_s", "timm:swin_small_patch4_window7_224"),
    "swin_b": ("torchvision:swin_b", "timm:swin_base_patch4_window7_224", "timm:swin_base_patch4_window12_384"),
    "swin_l": ("timm:swin_large_patch4_window7_224", "timm:swin_large_patch4_window12_384"),
    "vit_ti_16": ("timm:vit_tiny_patch16_224",),
    "vit_s_16": ("timm:vit_small_patch16_224",),
    "vit_s_32": ("timm:vit_small_patch32_224",),
    "vit_b_16": ("torchvision:vit_b_16", "timm:vit_base_patch16_224"),
    "vit_b_32": ("torchvision:vit_b_32", "timm:vit_base_patch32_224"),
    "vit_l_16": ("torchvision:vit_l_16", "timm:vit_large_patch16_224"),
    "vit_l_32": ("torchvision:vit_l_32", "timm:vit_large_patch32_224"),
    "vit_h_14": ("torchvision:vit_h_14", "timm:vit_huge_patch14_224"),
}
"""The names of the table → the models, each with its library, whose tensors it is made of."""

OPTIONS = ("in_chans=1 num_classes=7", "features_only=1", "num_classes=0")
VARIANTS: dict[str, str] = {
    **{
        f"timm:{model} {options}": name
        for model, name in (
            ("resnet34", "resnet34"),
            ("mobilenetv3_small_050", "mobilenetv3_small_050"),
            ("efficientnet_b0", "efficientnet_b0"),
            ("tf_efficientnetv2_s", "efficientnet_v2_s"),
        )
        for options in OPTIONS
    },
    "timm:vit_tiny_patch16_224 img_size=384": "vit_ti_16",
    "timm:deit_base_patch16_224": "vit_b_16",
    "timm:resnetblur50": "resnet50",
    "timm:tf_efficientnet_b0": "efficientnet_b0",
    "torchvision:fasterrcnn_resnet50_fpn_v2": "resnet50",
}
"""Models with an encoder of the table in them → its name."""

LOOKALIKES: tuple[str, ...] = (
    "timm:resnet18d",
    "timm:resnet50d",
    "timm:resnet26",
    "timm:resnet50_gn",
    "timm:seresnet50",
    "timm:ecaresnet50t",
    "timm:wide_resnet50_2",
    "timm:resnext50_32x4d",
    "timm:resnetv2_50",
    "timm:mobilenetv2_100",
    "timm:mobilenetv3_rw",
    "timm:tf_mobilenetv3_small_minimal_100",
    "timm:efficientnet_lite0",
    "timm:efficientnet_es",
    "timm:efficientnet_b0_gn",
    "timm:efficientnet_b1_pruned",
    "timm:efficientnetv2_rw_s",
    "timm:mnasnet_100",
    "timm:convnext_atto",
    "timm:convnextv2_tiny",
    "timm:swinv2_tiny_window8_256",
    "timm:swin_s3_tiny_224",
    "timm:vit_base_patch8_224",
    "timm:vit_base_r50_s16_224",
    "timm:deit3_base_patch16_224",
    "timm:deit_tiny_distilled_patch16_224",
    "timm:beit_base_patch16_224",
    "timm:vgg16",
    "torchvision:vgg13",
    "torchvision:densenet121",
    "torchvision:mobilenet_v2",
    "torchvision:wide_resnet50_2",
)
"""Models that resemble one of the table and aren't."""


def as_text(models: Mapping[str, tuple[TensorInfo, ...]]) -> str:
    """A line for each tensor: the model, the tensor's name, its sizes."""
    return "".join(
        f"{source}\t{tensor.name}\t{' '.join(map(str, tensor.shape))}\n"
        for source, tensors in models.items()
        for tensor in tensors
    )


@cache
def built() -> dict[str, tuple[TensorInfo, ...]]:
    lines = (line.split("\t") for line in lzma.decompress(TRUTH.read_bytes()).decode("ascii").splitlines())
    return {
        source: tuple(TensorInfo(name, tuple(map(int, shape.split())), "float32") for _, name, shape in group)
        for source, group in groupby(lines, key=lambda line: line[0])
    }
