"""Makes what ``catalogdb/formats/encoders.py`` knows, from models that torchvision and timm build.

python -m tools.list_encoders           the table
python -m tools.list_encoders --all     and which other models of the two libraries have the same tensors
python -m tools.list_encoders --truth   the models' tensors, into the file that the tests hold the table against

Needs ``pip install timm``, in an environment of its own: torchvision from PyPI doesn't load beside torch's CPU build,
and would break lightning there. Models are built without weights and without memory (``torch.device("meta")``).
"""

from __future__ import annotations

import argparse
import lzma
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch

from catalogdb.formats.encoders import LAYOUTS, digest
from catalogdb.records import TensorInfo
from tests.unit.formats.encoders import LOOKALIKES, MODELS, TRUTH, VARIANTS, as_text

_declared: list[Any] = []


@lru_cache
def torchvision() -> ModuleType:
    """torchvision beside a torch without CUDA: its operators, which no model here uses, are declared in its stead."""
    for _ in range(100):
        try:
            import torchvision.models  # noqa: PLC0415
        except RuntimeError as error:
            missing = re.search(r"operator (\w+)::(\w+) does not exist", str(error))
            if missing is None:
                raise
            library = torch.library.Library(missing[1], "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(f"{missing[2]}(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
            _declared.append(library)
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
        else:
            module: ModuleType = torchvision.models
            return module
    raise RuntimeError("torchvision can't be imported")


def model_names() -> list[str]:
    """All models of both libraries."""
    vision = torchvision()
    import timm  # noqa: PLC0415

    return [f"torchvision:{name}" for name in vision.list_models(module=vision)] + [
        f"timm:{name}" for name in timm.list_models()
    ]


def build(source: str) -> tuple[TensorInfo, ...]:
    """The tensors of a model: ``torchvision:resnet18``, ``timm:resnet18 in_chans=1``."""
    model, *words = source.split()
    library, _, name = model.partition(":")
    options = {key: int(value) for key, _, value in (word.partition("=") for word in words)}
    vision = torchvision()
    with torch.device("meta"):
        if library == "torchvision":
            built = vision.get_model(name, weights=None, **({"weights_backbone": None} if "rcnn" in name else {}))
        else:
            import timm  # noqa: PLC0415

            built = timm.create_model(name, pretrained=False, **options)
    return tuple(TensorInfo(name, tuple(value.shape), "float32") for name, value in built.state_dict().items())


def digests(tensors: Iterable[TensorInfo]) -> Iterator[str]:
    """Of each layout whose anchor the model has at its top."""
    known = list(tensors)
    names = {tensor.name for tensor in known}
    for layout in LAYOUTS:
        if layout.anchor in names:
            yield digest(known, layout, "")


def make_table() -> dict[str, str]:
    table: dict[str, str] = {}
    for name, sources in MODELS.items():
        for source in sources:
            for found in digests(build(source)):
                if table.setdefault(found, name) != name:
                    sys.exit(f"{name} and {table[found]} have the same tensors")
    return table


def same_tensors(table: dict[str, str]) -> dict[str, list[str]]:
    same: dict[str, list[str]] = defaultdict(list)
    asked = {source for sources in MODELS.values() for source in sources}
    for source in model_names():
        try:
            found = [] if source in asked else [*digests(build(source))]
        except (RuntimeError, NotImplementedError, OSError) as error:
            print(f"# {source}: {error}", file=sys.stderr)
            continue
        for each in found:
            if each in table:
                same[table[each]].append(source)
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--truth", action="store_true")
    options = parser.parse_args()
    if options.truth:
        sources = [*(source for each in MODELS.values() for source in each), *VARIANTS, *LOOKALIKES]
        text = as_text({source: build(source) for source in sources})
        TRUTH.write_bytes(lzma.compress(text.encode("ascii"), preset=9 | lzma.PRESET_EXTREME))
        return 0
    table = make_table()
    for found, name in table.items():
        print(f'    "{found}": "{name}",')
    for name, others in same_tensors(table).items() if options.all else ():
        print(f"# {name}: {', '.join(others)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
