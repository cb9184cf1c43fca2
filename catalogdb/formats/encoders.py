"""Which encoder a set of weights holds, proven by the name and shape of every tensor of its body.

The table maps a digest over all of them to the encoder's name. It was made from the models themselves, built by
torchvision 0.28 and timm 1.0.31 (``tools/list_encoders.py`` prints it, and a test builds them again): a resnet34 has
tensors that a resnet18 hasn't, so no digest fits both. What is one tensor more, fewer or wider than a known body is
null. Free are what a user changes without changing the encoder: the channels of the images, the classes, the size of a
ViT's images. Names are torchvision's where it has the model and is alone with its widths, else timm's.

Models whose tensors are the same are one to this table: DeiT is a ViT, ``resnetblur50`` a resnet50.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from catalogdb.records import TensorInfo


class Layout(NamedTuple):
    """How a library names the tensors of a kind of encoder, below any prefix.

    Each has the tensor ``anchor``. Its body are the tensors whose names begin with one of ``body``, ``head`` is what
    else a whole model has; ``stem`` is the first convolution; what ends with one of ``free`` proves nothing.
    """

    anchor: str
    body: tuple[str, ...]
    head: tuple[str, ...]
    stem: str
    free: tuple[str, ...] = ("num_batches_tracked",)


class Encoder(NamedTuple):
    """``prefix`` stands before each of its tensors' names; ``whole`` says that there are none beside it."""

    name: str
    prefix: str
    whole: bool


LAYOUTS = (
    Layout(  # ResNet: torchvision/models/resnet.py, timm/models/resnet.py
        "layer1.0.conv1.weight",
        ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."),
        ("fc.",),
        "conv1.weight",
    ),
    Layout(  # MobileNetV3, EfficientNet: timm/models/mobilenetv3.py, efficientnet.py
        "conv_stem.weight",
        ("conv_stem.", "bn1.", "blocks."),
        ("conv_head.", "bn2.", "norm_head.", "classifier."),
        "conv_stem.weight",
    ),
    Layout(  # MobileNetV3, EfficientNet, ConvNeXt, Swin: torchvision/models/…
        "features.0.0.weight",
        ("features.",),
        ("classifier.", "norm.", "head."),
        "features.0.0.weight",
        ("num_batches_tracked", "relative_position_index"),
    ),
    Layout(  # VGG: torchvision/models/vgg.py, timm/models/vgg.py
        "features.0.weight",
        ("features.",),
        ("classifier.", "pre_logits.", "head."),
        "features.0.weight",
    ),
    Layout(  # VGG16 in CRAFT: github.com/clovaai/CRAFT-pytorch, basenet/vgg16_bn.py
        "slice1.0.weight",
        ("slice1.", "slice2.", "slice3.", "slice4."),
        ("slice5.",),
        "slice1.0.weight",
    ),
    Layout(  # ConvNeXt: timm/models/convnext.py
        "stem.0.weight",
        ("stem.", "stages."),
        ("head.", "norm_pre."),
        "stem.0.weight",
    ),
    Layout(  # Swin: timm/models/swin_transformer.py
        "layers.0.blocks.0.attn.relative_position_bias_table",
        ("patch_embed.", "layers."),
        ("norm.", "head."),
        "patch_embed.proj.weight",
        ("relative_position_index", "attn_mask"),
    ),
    Layout(  # ViT: timm/models/vision_transformer.py
        "blocks.0.attn.qkv.weight",
        ("patch_embed.", "cls_token", "dist_token", "blocks."),
        ("pos_embed", "norm.", "fc_norm.", "head."),
        "patch_embed.proj.weight",
    ),
    Layout(  # ViT: torchvision/models/vision_transformer.py
        "encoder.layers.encoder_layer_0.ln_1.weight",
        ("conv_proj.", "class_token", "encoder.layers."),
        ("encoder.pos_embedding", "encoder.ln.", "heads."),
        "conv_proj.weight",
    ),
)

ENCODERS: dict[str, str] = {
    "a39f50017680edd1": "resnet18",
    "3ddb114181076b52": "resnet34",
    "a3f0cd4d2a900cbe": "resnet50",
    "ac87acb6d017354f": "resnet101",
    "da4ea3a99becb49e": "resnet152",
    "b841a92912a2b75b": "mobilenetv3_small_050",
    "04091d17db9f5a82": "mobilenetv3_small_075",
    "3b133ad533013e0d": "mobilenetv3_small_100",
    "437a8fbac7b501cd": "mobilenetv3_small_100",
    "5bb0dd6a7dcbb1d3": "mobilenetv3_large_075",
    "f8ebf25de10e5afd": "mobilenetv3_large_100",
    "3505beed71d119a5": "mobilenetv3_large_100",
    "5d1c6c0c5764d0e1": "efficientnet_b0",
    "30c4f4df17d8e301": "efficientnet_b0",
    "1a0c01786cea21aa": "efficientnet_b1",
    "e2331d5a5bba6393": "efficientnet_b1",
    "9b0e6cd94aad523f": "efficientnet_b2",
    "3b36a43cb56c7904": "efficientnet_b2",
    "7a6ec87902c2ec17": "efficientnet_b3",
    "be34e118fc4b9e2f": "efficientnet_b3",
    "7dc35bf3d6ad2521": "efficientnet_b4",
    "5fc19dceae0781bf": "efficientnet_b4",
    "833080f31f6c612a": "efficientnet_b5",
    "449e986b288cdd9f": "efficientnet_b5",
    "0bc74212f90deb41": "efficientnet_b6",
    "3e2263f685f8128c": "efficientnet_b6",
    "4344619c1f75ad7f": "efficientnet_b7",
    "fc864c60b057c79d": "efficientnet_b7",
    "7f747dd87f501123": "efficientnet_v2_s",
    "be68446e441278ce": "efficientnet_v2_s",
    "19e409352fda9caf": "efficientnet_v2_m",
    "aae75156848e79f5": "efficientnet_v2_m",
    "3ab126c48170388c": "vgg11_bn",
    "2746c069a48b6b69": "vgg13_bn",
    "017e59a1c4f7c97f": "vgg16_bn",
    "e6116c80aac37ad6": "vgg16_bn",
    "99a8214b11009941": "vgg19_bn",
    "a1892b63ed6c8981": "convnext_tiny",
    "9fd9e85e8f122978": "convnext_tiny",
    "f4d3c0c619c3b031": "convnext_small",
    "ec49f4aa15d01355": "convnext_small",
    "404e576a95b2deba": "convnext_base",
    "2054c30b995e5c39": "convnext_base",
    "909fcc078bac5cb7": "convnext_large",
    "00854200debea80e": "convnext_large",
    "52f2068084070673": "swin_t",
    "ab9c966069f0ec39": "swin_t",
    "e2e46fa46a5a32ee": "swin_s",
    "2b02f81f80c2364d": "swin_s",
    "a432d7e8d9daf34b": "swin_b",
    "05a0b4de074190f8": "swin_b",
    "8fb6f694e2184a9f": "swin_b",
    "9b45daf9f3efb46c": "swin_l",
    "0dd644ce558de231": "swin_l",
    "c0f633aa2a1e78fe": "vit_ti_16",
    "5926d4275f17f1d7": "vit_s_16",
    "c3835d65e3c6d303": "vit_s_32",
    "2e0ba26351dbfb94": "vit_b_16",
    "d1b6829d70eb8fe2": "vit_b_16",
    "b1e4c2c0d1081577": "vit_b_32",
    "077a96cd34fdf1e9": "vit_b_32",
    "889d636bac77a792": "vit_l_16",
    "c2fa55d10237496d": "vit_l_16",
    "8c9cc79cc6b7fa10": "vit_l_32",
    "d4339789ef3bb275": "vit_l_32",
    "5cbd0681a151c643": "vit_h_14",
    "26d8bb6a3b919cd7": "vit_h_14",
}
"""Digest of the body → name."""

NAMES = frozenset(ENCODERS.values())


def find_encoder(telling: Iterable[str], tensors: Sequence[TensorInfo]) -> Encoder | None:
    """The one encoder that the tensors prove; None for none, and for two that differ.

    ``telling`` are the names among them that may end with an anchor.
    """
    found: dict[str, Encoder] = {}
    for name in telling:
        for layout in LAYOUTS:
            prefix = name.removesuffix(layout.anchor)
            if prefix != name and (not prefix or prefix.endswith(".")):
                known = ENCODERS.get(digest(tensors, layout, prefix))
                if known is not None:
                    found[known] = Encoder(known, prefix, _is_whole(tensors, layout, prefix))
    return found.popitem()[1] if len(found) == 1 else None


def digest(tensors: Iterable[TensorInfo], layout: Layout, prefix: str) -> str:
    """Of the names and shapes of a body's tensors."""
    begin, start = tuple(prefix + part for part in layout.body), len(prefix)
    lines = []
    for name, shape, _ in tensors:
        if name.startswith(begin) and not name.endswith(layout.free):
            own = name[start:]
            lines.append(f"{own} {(shape[0], *shape[2:]) if own == layout.stem and shape else shape}")
    lines.sort()
    return blake2b("\n".join(lines).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _is_whole(tensors: Iterable[TensorInfo], layout: Layout, prefix: str) -> bool:
    begin = tuple(prefix + part for part in (*layout.body, *layout.head))
    return all(name.startswith(begin) for name, _, _ in tensors)
