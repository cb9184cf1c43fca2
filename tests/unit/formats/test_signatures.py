"""Which model a set of weights is of: right, or null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogdb.formats import read_header
from catalogdb.formats.detectors import ANCHORS
from catalogdb.formats.encoders import ENCODERS, LAYOUTS, NAMES, digest
from catalogdb.formats.signatures import identify
from catalogdb.records import ModelIdentity, TensorInfo
from tests.unit.formats.encoders import LOOKALIKES, MODELS, VARIANTS, built

Tensors = tuple[TensorInfo, ...]

CRAFT_SLICES = (0, 12, 19, 29, 39)
"""Where ``basenet/vgg16_bn.py`` cuts torchvision's features into ``slice1`` to ``slice4``."""


def encoder_of(tensors: Tensors) -> str | None:
    found = identify(tensors)
    return found.encoder if found is not None else None


def under(prefix: str, tensors: Tensors) -> Tensors:
    return tuple(tensor._replace(name=prefix + tensor.name) for tensor in tensors)


def tensor(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, shape, "float32")


def craft_basenet() -> Tensors:
    found = []
    for name, shape, dtype in built()["torchvision:vgg16_bn"]:
        library, number, rest = name.split(".", 2)
        for cut, (begin, end) in enumerate(pairwise(CRAFT_SLICES), 1):
            if library == "features" and begin <= int(number) < end:
                found.append(TensorInfo(f"slice{cut}.{number}.{rest}", shape, dtype))
    return (*found, tensor("slice5.1.weight", 1024, 512, 3, 3), tensor("slice5.2.weight", 1024, 1024, 1, 1))


@pytest.mark.parametrize("name", MODELS)
def test_models_as_their_libraries_build_them(name: str) -> None:
    for source in MODELS[name]:
        assert identify(built()[source]) == ModelIdentity(name, name, "tensors"), source


def test_the_table_holds_nothing_else() -> None:
    known = {digest(craft_basenet(), layout, "") for layout in LAYOUTS if layout.anchor == "slice1.0.weight"}
    for sources in MODELS.values():
        for source in sources:
            tensors = built()[source]
            names = {each.name for each in tensors}
            known.update(digest(tensors, layout, "") for layout in LAYOUTS if layout.anchor in names)
    assert known == set(ENCODERS)
    assert frozenset(MODELS) == NAMES


@pytest.mark.parametrize("source", LOOKALIKES)
def test_models_that_only_resemble_one_are_null(source: str) -> None:
    assert identify(built()[source]) is None


@pytest.mark.parametrize(("source", "name"), VARIANTS.items())
def test_channels_and_size_of_the_images_classes_and_heads_are_free(source: str, name: str) -> None:
    """So is a detector around it, and a model that differs in what has no tensors."""
    assert encoder_of(built()[source]) == name


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.encoder.", "model.backbone.body."])
def test_wrappers_and_places(prefix: str) -> None:
    body = under(prefix, built()["torchvision:resnet34"])
    assert identify(body) == ModelIdentity("resnet34", "resnet34", "tensors")
    more = (*body, tensor("model.head.weight", 2, 512, 1, 1))
    assert identify(more) == ModelIdentity(None, "resnet34", "tensors"), "a part of another model"


def test_a_detector_of_torchvision_has_its_encoder() -> None:
    tensors = built()["torchvision:fasterrcnn_resnet50_fpn_v2"]
    assert identify(tensors) == ModelIdentity(None, "resnet50", "tensors")


def test_two_encoders_are_one_only_where_they_are_the_same() -> None:
    resnet, other = built()["torchvision:resnet18"], built()["timm:resnet34"]
    assert encoder_of((*under("student.", resnet), *under("teacher.", resnet))) == "resnet18"
    assert identify((*under("student.", resnet), *under("teacher.", other))) is None


@given(st.data())
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
def test_a_tensor_fewer_more_or_wider_is_null(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(["torchvision:resnet18", "timm:mobilenetv3_small_050", "torchvision:vgg11_bn"]))
    tensors = built()[source]
    body = [
        number
        for number, each in enumerate(tensors)
        if not each.name.startswith(("fc.", "classifier.", "conv_head."))
        and not each.name.endswith("num_batches_tracked")
    ]
    number = data.draw(st.sampled_from(body))
    chosen = tensors[number]
    shape = (chosen.shape[0] + 1, *chosen.shape[1:])
    for changed in ((), (chosen._replace(shape=shape),), (chosen, chosen._replace(name=f"{chosen.name}_more"))):
        assert identify((*tensors[:number], *changed, *tensors[number + 1 :])) is None


# -- text detectors, laid out as their sources have them ---------------------------------------------------------------


def conv(name: str, into: int, out: int, size: int, *, bias: bool = False) -> Iterator[TensorInfo]:
    yield tensor(f"{name}.weight", out, into, size, size)
    if bias:
        yield tensor(f"{name}.bias", out)


def norm(name: str, channels: int) -> Iterator[TensorInfo]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield tensor(f"{name}.{part}", channels)
    yield TensorInfo(f"{name}.num_batches_tracked", (), "int64")


def binarisation(name: str, channels: int = 256) -> Iterator[TensorInfo]:
    inner = channels // 4
    yield from conv(f"{name}.0", channels, inner, 3)
    yield from norm(f"{name}.1", inner)
    yield tensor(f"{name}.3.weight", inner, inner, 2, 2)
    yield from norm(f"{name}.4", inner)
    yield tensor(f"{name}.6.weight", inner, 1, 2, 2)


def dbnet(attention: bool = False) -> Iterator[TensorInfo]:
    """github.com/MhLiao/DB, decoders/seg_detector.py"""
    for level, channels in zip((2, 3, 4, 5), (64, 128, 256, 512), strict=True):
        yield from conv(f"decoder.in{level}", channels, 256, 1)
        yield from conv(f"decoder.out{level}" + (".0" if level > 2 else ""), 256, 64, 3)
    if attention:
        yield from conv("decoder.concat_attention.conv", 256, 64, 3, bias=True)
    yield from binarisation("decoder.binarize")
    yield from binarisation("decoder.thresh")


def dbnet_of_mmocr(head: str, attention: bool = False) -> Iterator[TensorInfo]:
    """mmocr, necks/fpn_cat.py and heads/db_head.py"""
    for number, channels in enumerate((64, 128, 256, 512)):
        yield from conv(f"neck.lateral_convs.{number}.conv", channels, 256, 1)
        yield from conv(f"neck.smooth_convs.{number}.conv", 256, 64, 3)
    if attention:
        yield from conv("neck.asf_conv.conv", 256, 256, 3, bias=True)
        yield from conv("neck.asf_attn.channel_wise.0.conv", 256, 64, 1)
    yield from binarisation(f"{head}.binarize")
    yield from binarisation(f"{head}.threshold")


def craft() -> Iterator[TensorInfo]:
    """github.com/clovaai/CRAFT-pytorch, craft.py"""
    wide = ((1536, 512, 256), (768, 256, 128), (384, 128, 64), (192, 64, 32))
    for number, (into, middle, out) in enumerate(wide, 1):
        yield from conv(f"upconv{number}.conv.0", into, middle, 1, bias=True)
        yield from norm(f"upconv{number}.conv.1", middle)
        yield from conv(f"upconv{number}.conv.3", middle, out, 3, bias=True)
        yield from norm(f"upconv{number}.conv.4", out)
    for place, into, out, size in ((0, 32, 32, 3), (2, 32, 32, 3), (4, 32, 16, 3), (6, 16, 16, 1), (8, 16, 2, 1)):
        yield from conv(f"conv_cls.{place}", into, out, size, bias=True)


def conv_norm(name: str, into: int, out: int, size: int = 1) -> Iterator[TensorInfo]:
    yield from conv(f"{name}.conv", into, out, size)
    yield from norm(f"{name}.bn", out)


def two_layers(head: str, channels: int, hidden: int, classes: int) -> Iterator[TensorInfo]:
    yield from conv(f"{head}.conv1", channels, hidden, 3, bias=True)
    yield from norm(f"{head}.bn1", hidden)
    yield from conv(f"{head}.conv2", hidden, classes, 1, bias=True)


def pan() -> Iterator[TensorInfo]:
    """github.com/whai362/pan_pp.pytorch, models/pan.py"""
    for number, channels in enumerate((64, 128, 256, 512), 1):
        yield from conv_norm(f"reduce_layer{number}", channels, 128)
    for number in (1, 2):
        for way in ("3_1", "2_1", "1_1", "2_2", "3_2", "4_2"):
            yield from conv(f"fpem{number}.dwconv{way}", 1, 128, 3)
            yield from conv_norm(f"fpem{number}.smooth_layer{way}", 128, 128)
    yield from two_layers("det_head", 512, 128, 6)


def pan_of_mmocr(old: bool) -> Iterator[TensorInfo]:
    """mmocr, necks/fpem_ffm.py; the head of 0.x is one convolution."""
    for level, channels in zip((2, 3, 4, 5), (64, 128, 256, 512), strict=True):
        yield from conv(f"neck.reduce_conv_c{level}.0", channels, 128, 1, bias=True)
        yield from norm(f"neck.reduce_conv_c{level}.1", 128)
    for number in (0, 1):
        for way in ("up_add1", "up_add2", "up_add3", "down_add1", "down_add2", "down_add3"):
            yield from conv(f"neck.fpems.{number}.{way}.depthwise_conv", 1, 128, 3, bias=True)
            yield from conv(f"neck.fpems.{number}.{way}.pointwise_conv", 128, 128, 1, bias=True)
            yield from norm(f"neck.fpems.{number}.{way}.bn", 128)
    if old:
        yield from conv("bbox_head.out_conv", 512, 6, 1, bias=True)
    else:
        yield from two_layers("det_head", 512, 128, 6)


def psenet() -> Iterator[TensorInfo]:
    """github.com/whai362/pan_pp.pytorch, models/neck/fpn.py"""
    yield from conv_norm("fpn.toplayer_", 2048, 256)
    for number, channels in enumerate((1024, 512, 256), 1):
        yield from conv_norm(f"fpn.smooth{number}_", 256, 256, 3)
        yield from conv_norm(f"fpn.latlayer{number}_", channels, 256)
    yield from two_layers("det_head", 1024, 256, 7)


def psenet_of_mmocr(old: bool) -> Iterator[TensorInfo]:
    """mmocr, necks/fpnf.py"""
    for number, channels in enumerate((256, 512, 1024, 2048)):
        yield from conv_norm(f"neck.lateral_convs.{number}", channels, 256)
        if number < 3:
            yield from conv_norm(f"neck.fpn_convs.{number}", 256, 256, 3)
    yield from conv_norm("neck.output_convs", 1024, 256, 3)
    if old:
        yield from conv("bbox_head.out_conv", 256, 7, 1, bias=True)
    else:
        yield from two_layers("det_head", 256, 256, 7)


DETECTORS: Mapping[str, tuple[str, Tensors]] = {
    "dbnet": ("dbnet", tuple(dbnet())),
    "dbnet++": ("dbnetpp", tuple(dbnet(attention=True))),
    "dbnet of mmocr": ("dbnet", tuple(dbnet_of_mmocr("det_head"))),
    "dbnet of mmocr 0.x": ("dbnet", tuple(dbnet_of_mmocr("bbox_head"))),
    "dbnet++ of mmocr": ("dbnetpp", tuple(dbnet_of_mmocr("det_head", attention=True))),
    "craft": ("craft", tuple(craft())),
    "pan": ("pan", tuple(pan())),
    "pan of mmocr": ("pan", tuple(pan_of_mmocr(old=False))),
    "pan of mmocr 0.x": ("pan", tuple(pan_of_mmocr(old=True))),
    "psenet": ("psenet", tuple(psenet())),
    "psenet of mmocr": ("psenet", tuple(psenet_of_mmocr(old=False))),
    "psenet of mmocr 0.x": ("psenet", tuple(psenet_of_mmocr(old=True))),
}


@pytest.mark.parametrize(("name", "tensors"), DETECTORS.values(), ids=DETECTORS)
@pytest.mark.parametrize("wrapper", ["", "module.", "model.module."])
def test_text_detectors_and_their_encoders(name: str, tensors: Tensors, wrapper: str) -> None:
    with_encoder = (*under("backbone.", built()["torchvision:resnet18"]), *tensors)
    assert identify(under(wrapper, with_encoder)) == ModelIdentity(name, "resnet18", "tensors")
    assert identify(under(wrapper, tensors)) == ModelIdentity(name, None, "tensors")


def test_craft_on_its_vgg() -> None:
    assert identify((*under("basenet.", craft_basenet()), *craft())) == ModelIdentity("craft", "vgg16_bn", "tensors")


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_neck_or_head_with_a_part_missing_is_null(detector: str) -> None:
    name, tensors = DETECTORS[detector]
    for part in sorted({".".join(each.name.split(".")[:2]) for each in tensors} - {"neck.out_conv"}):
        rest = tuple(each for each in tensors if not each.name.startswith(f"{part}."))
        found = identify(rest)
        downgraded = name == "dbnetpp" and part == "decoder.concat_attention"
        assert found is None or (downgraded and found.architecture == "dbnet"), part


def test_what_shares_a_neck_with_a_detector_is_null() -> None:
    one_map = tuple(each for each in dbnet() if not each.name.startswith("decoder.thresh"))
    assert identify(one_map) is None, "a segmentation without a threshold"
    assert identify((*dbnet(), tensor("decoder.attention.weight", 1))) is None
    assert identify((*pan(), tensor("rec_head.conv.weight", 1))) is None, "PAN++"
    fcenet = [each for each in psenet_of_mmocr(old=True) if not each.name.startswith("bbox_head.")]
    assert identify((*fcenet, *conv("bbox_head.out_conv_cls", 256, 4, 3))) is None
    assert identify(tuple(craft())[:-2]) is None


def test_every_signature_has_a_detector_in_the_tests() -> None:
    names = {each.name for _, tensors in DETECTORS.values() for each in tensors}
    assert ANCHORS.keys() <= names


# -- from the file -----------------------------------------------------------------------------------------------------


def test_from_a_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {name: torch.zeros(shape) for name, shape, _ in built()["torchvision:resnet18"]}
    path = tmp_path / "x.ckpt"
    torch.save({"epoch": 1, "state_dict": {f"model.{name}": value for name, value in state.items()}}, path)
    header = read_header(str(path))
    assert header.model == ModelIdentity("resnet18", "resnet18", "tensors")
    with path.open("rb") as file:
        assert read_header(file).model == header.model
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, tmp_path / "x.safetensors")
    assert read_header(str(tmp_path / "x.safetensors")).model == header.model
