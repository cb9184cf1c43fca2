"""Small whole files, one of each sort, and the parts of them that the fuzzer's targets begin with. Needs no torch."""

from __future__ import annotations

import argparse
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping
from functools import cache

from tests.fuzz.targets import tar_of
from tests.unit.formats import support
from tests.unit.formats.support import mapping, name_ref, pickled, tensor_opcodes, text


def lightning_pickle() -> bytes:
    """Lightning's keys with everything that is read of them."""
    options = mapping(lr=b"G" + struct.pack(">d", 0.1), sizes=b"](K\x01K\x02e", name=text("net"))
    state = mapping(w=tensor_opcodes("0", shape=(2, 2), numel=4), b=tensor_opcodes("1"))
    monitor = mapping(monitor=text("v"), current_score=tensor_opcodes("1"), best_k_models=mapping(p=b"K\x01"))
    callbacks = b"}" + text("ModelCheckpoint{'monitor': 'v', 'mode': 'min'}") + monitor + b"s"
    return pickled(
        mapping(
            **{"pytorch-lightning_version": text("2.6.0")},
            epoch=b"K\x03",
            global_step=b"M\x00\x01",
            state_dict=state,
            callbacks=callbacks,
            hyper_parameters=options,
        )
    )


STORAGES = {"0": bytes(16), "1": struct.pack("<f", 0.5)}


def legacy_stream(protocol: int = 2) -> bytes:
    """As _legacy_save writes it: pickles, then the storages in the order of their keys."""
    head = (support.LEGACY_MAGIC, 1001, {"little_endian": True, "protocol_version": 1001, "type_sizes": {"int": 4}})
    storages = b"".join(struct.pack("<q", len(raw) // 4) + raw for raw in STORAGES.values())
    pickles = b"".join(pickle.dumps(value, protocol=protocol) for value in head)
    return pickles + legacy_pickle() + pickle.dumps(["0", "1"], protocol=protocol) + storages


def legacy_pickle() -> bytes:
    """Its persistent ids have a sixth part."""
    return lightning_pickle().replace(b"tQ", b"NtQ")


def torch_tar() -> bytes:
    """As torch before 0.1.10: one storage of six floats, one tensor of two by three, a dict that names it."""
    kind = name_ref("torch", "FloatStorage")
    storage = pickled(b"(K\x07" + text("cpu") + kind + b"t") + struct.pack("<q6f", 6, *range(6))
    storages = pickled(b"K\x01") + storage + pickled(b"]")
    tensor = pickled(b"(K\x09K\x07" + name_ref("torch", "FloatTensor") + b"t")
    tensors = pickled(b"K\x01") + tensor + struct.pack("<ii2q2qq", 2, 0, 2, 3, 3, 1, 0)
    checkpoint = pickled(mapping(epoch=b"K\x04", state_dict=mapping(w=text("9") + b"Q")))
    return tar_of([("storages", storages), ("tensors", tensors), ("pickle", checkpoint)])


def distributed_metadata() -> bytes:
    """``.metadata`` of one tensor of eight floats in ``__0_0.distcp``, opcode by opcode."""
    module = "torch.distributed.checkpoint.metadata"
    size = name_ref("torch", "Size") + b"K\x08\x85\x85R"
    properties = name_ref(module, "TensorProperties") + b")\x81(" + name_ref("torch", "float32") + b"N\x89N\x89tb"
    described = name_ref(module, "TensorStorageMetadata") + b")\x81" + mapping(properties=properties, size=size) + b"b"
    place = name_ref(module, "MetadataIndex") + b")\x81" + mapping(fqn=text("model.w")) + b"b"
    info = name_ref("torch.distributed.checkpoint.filesystem", "_StorageInfo") + b")\x81"
    info += mapping(relative_path=text("__0_0.distcp"), offset=b"K\x00", length=b"K\x20") + b"b"
    fields = mapping(state_dict_metadata=mapping(**{"model.w": described}), storage_data=b"}" + place + info + b"s")
    return pickled(name_ref(module, "Metadata") + b")\x81" + fields + b"b", protocol=4)


SAFETENSORS = {
    "__metadata__": {"epoch": "3", "format": "pt"},
    "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
}


@cache
def whole_files() -> dict[str, bytes]:
    """A ready file of each format that a single file can have."""
    inner = support.torch_zip(lightning_pickle(), storages=STORAGES)
    options = argparse.Namespace(lr=0.1, model="net")
    return {
        "torch_zip": inner,
        "torch_zip_deflated": support.torch_zip(
            lightning_pickle(), storages=STORAGES, compression=zipfile.ZIP_DEFLATED
        ),
        "torch_legacy": legacy_stream(),
        "torch_legacy_4": legacy_stream(protocol=4),
        "torch_tar": torch_tar(),
        "pickle": pickle.dumps({"epoch": 3, "args": options, "scores": [0.5] * 40, "note": "n" * 300}, protocol=2),
        "pickle_0": pickle.dumps({"epoch": 3, "args": options, "scores": [0.5] * 40, "note": "n" * 300}, protocol=0),
        "pickle_5": pickle.dumps({"epoch": 3, "args": options, "scores": [0.5] * 40, "note": "n" * 300}, protocol=5),
        "safetensors": support.safetensors(SAFETENSORS, bytes(8)),
        "nemo": tar_of([("./model_config.yaml", b"nemo_version: 2.0.0\n"), ("./model_weights.ckpt", inner)]),
    }


@cache
def seeds_of(target: str) -> list[bytes]:
    """Inputs that the named target of the fuzzer begins with."""
    files = whole_files()
    parts: Mapping[str, list[bytes]] = {
        "opcodes": [lightning_pickle()[2:], files["pickle_5"][2:], files["pickle_0"], distributed_metadata()[2:]],
        "tensors": [support.training_pickle(layers)[2:] for layers in (2, 12)],
        "torch_zip": [support.training_pickle(2), lightning_pickle(), files["pickle"]],
        "zip_directory": [files["torch_zip"], files["torch_zip_deflated"]],
        "torch_legacy": [legacy_pickle() + pickle.dumps(["0", "1"], protocol=2) + bytes(40)],
        "torch_tar": [b"K\x01.|K\x01.|" + pickled(mapping(epoch=b"K\x04"))],
        "nemo": [files["torch_zip"]],
        "safetensors": [json.dumps(SAFETENSORS).encode()],
        "index": [b'{"w": "model-1.safetensors"}}'],
        "distributed": [distributed_metadata()],
        "trainer": [
            json.dumps({"epoch": 2.0, "global_step": 5, "log_history": [{"step": 5, "eval_loss": 0.5}]}).encode()
            + b'|{"model_type": "bert", "id2label": {"0": "a"}}|'
            + b'{"weight_map": {"w": "model-00001-of-00001.safetensors"}}'
        ],
    }
    return parts.get(target, [*files.values()])
