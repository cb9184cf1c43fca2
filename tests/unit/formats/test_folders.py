"""Checkpoints that are folders, sharded models, and NeMo's tar."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tarfile
import warnings
from pathlib import Path
from typing import Any

import pytest

from catalogdb.folders import kind_of_folder, may_be_checkpoint, may_be_owned
from catalogdb.formats import read_header
from catalogdb.records import CheckpointHeader, TensorInfo
from tests.fuzz.seeds import STORAGES, lightning_pickle
from tests.fuzz.targets import tar_of
from tests.unit.formats import support
from tests.unit.formats.support import mapping, name_ref, pickled, tensor_opcodes, text

torch = pytest.importorskip("torch")


@pytest.fixture
def distributed(tmp_path: Path) -> Path:
    """What torch's own writer made."""
    checkpoint = pytest.importorskip("torch.distributed.checkpoint")
    state = {
        "model": {"w": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.bfloat16)},
        "optimizer": {"state": {"w": {"exp_avg": torch.ones(3, 4)}}},
        "epoch": 3,
        "global_step": 70_000,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.save(state, checkpoint_id=tmp_path / "step-70000", no_dist=True)
    return tmp_path / "step-70000"


def test_a_distributed_checkpoint(distributed: Path) -> None:
    header = read_header(str(distributed))
    assert (header.format, header.state, header.reason) == ("torch_dcp", "ready", None)
    assert (header.epoch, header.global_step) == (3, 70_000)
    assert header.tensors == (TensorInfo("w", (3, 4), "float32"), TensorInfo("b", (2,), "bfloat16"))
    assert header.weights is not None
    assert header.weights.num_parameters == 14
    assert header.storage_bytes == sum(path.stat().st_size for path in distributed.glob("*.distcp"))


def test_a_distributed_checkpoint_without_a_part_is_truncated(distributed: Path) -> None:
    (part,) = distributed.glob("*.distcp")
    content = part.read_bytes()
    part.write_bytes(content[:-10])
    assert header_state(distributed) == ("truncated", f"the part '{part.name}' ends too early")
    part.unlink()
    assert header_state(distributed) == ("truncated", f"the part '{part.name}' is missing")
    part.write_bytes(content)
    metadata = (distributed / ".metadata").read_bytes()
    for length in range(97, len(metadata), 97):
        (distributed / ".metadata").write_bytes(metadata[:length])
        assert read_header(str(distributed)).state == "truncated"
    (distributed / ".metadata").unlink()
    assert header_state(distributed) == ("truncated", "its .metadata, which is written last, isn't there")


def header_state(path: Path) -> tuple[str, str | None]:
    header = read_header(str(path))
    return header.state, header.reason


def test_lightning_with_fsdp(distributed: Path) -> None:
    """``lightning/fabric/strategies/fsdp.py``: the trainer's state is in meta.pt, the tensors in the parts."""
    torch.save({"epoch": 5, "global_step": 60, "pytorch-lightning_version": "2.6.0"}, distributed / "meta.pt")
    header = read_header(str(distributed))
    assert (header.format, header.framework, header.framework_version) == ("torch_dcp", "lightning", "2.6.0")
    assert (header.epoch, header.global_step, len(header.tensors)) == (5, 60, 2)
    (distributed / "meta.pt").write_bytes(b"PK\x03\x04")
    assert read_header(str(distributed)).state == "truncated"


def deepspeed_file(**more: int) -> bytes:
    sizes = {"global_steps": 9, "skipped_steps": 0, "dp_world_size": 2, "mp_world_size": 1} | more
    counts = {name: b"J" + struct.pack("<i", number) for name, number in sizes.items()}
    module = mapping(w=tensor_opcodes("0", shape=(4,), numel=4))
    return support.torch_zip(pickled(mapping(**counts, module=module)), storages={"0": bytes(16)})


def deepspeed(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(deepspeed_file())
    return folder


MODEL = "mp_rank_00_model_states.pt"


@pytest.mark.parametrize(
    "pattern",
    [
        "zero_pp_rank_{}_mp_rank_00_optim_states.pt",
        "bf16_zero_pp_rank_{}_mp_rank_00_optim_states.pt",
        "zero_pp_rank_{}_mp_rank_00optim_states.pt",
    ],
)
def test_deepspeed_is_complete_with_every_rank(tmp_path: Path, pattern: str) -> None:
    """``deepspeed/runtime/engine.py``: _get_ckpt_name, _get_zero_ckpt_name."""
    folder = deepspeed(tmp_path / "global_step9", MODEL, pattern.format(0), pattern.format(1))
    header = read_header(str(folder))
    assert (header.format, header.state, header.reason, header.global_step) == ("deepspeed", "ready", None, 9)
    assert header.tensors == (TensorInfo("w", (4,), "float32"),)
    last = folder / pattern.format(1)
    last.write_bytes(deepspeed_file()[:-30])
    assert header_state(folder) == ("truncated", f"{last.name}: the zip has no end record")
    last.unlink()
    assert header_state(folder) == ("truncated", "optimizer states of data-parallel rank 1 of 2 is missing")


def test_deepspeed_under_lightning(tmp_path: Path) -> None:
    folder = tmp_path / "epoch=1.ckpt"
    deepspeed(folder / "checkpoint", MODEL)
    (folder / "latest").write_text("checkpoint")
    header = read_header(str(folder))
    assert (header.format, header.state, header.global_step) == ("deepspeed", "ready", 9)
    (folder / "checkpoint" / MODEL).unlink()
    assert header_state(folder) == ("truncated", "no rank's model states are there")


def test_deepspeed_with_tensor_parallel_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "global_step9"
    folder.mkdir()
    (folder / MODEL).write_bytes(deepspeed_file(mp_world_size=2))
    assert header_state(folder) == ("truncated", "model-parallel rank 1 of 2 is missing")
    (folder / "mp_rank_01_model_states.pt").write_bytes(deepspeed_file())
    header = read_header(str(folder))
    assert (header.state, header.reason) == ("ready", None)
    assert (header.tensors, header.weights) == ((), None)  # a rank's tensors are parts of the model's


def megatron_file(**arguments: int) -> bytes:
    """``megatron/training/checkpointing.py``: generate_state_dict, save_checkpoint."""
    fields = mapping(**{name: b"K" + bytes((value,)) for name, value in arguments.items()}) + b"b"
    state = mapping(
        args=name_ref("argparse", "Namespace") + b")\x81" + fields,
        checkpoint_version=b"G" + struct.pack(">d", 3.0),
        iteration=b"M" + struct.pack("<H", 500),
        model=mapping(w=tensor_opcodes("0", shape=(4,), numel=4)),
    )
    return support.torch_zip(pickled(state), storages={"0": bytes(16)})


def megatron(folder: Path, *ranks: str, states: str = "model_optim_rng.pt", **arguments: int) -> Path:
    """``get_checkpoint_name``: tensor, pipeline and expert rank."""
    for rank in ranks:
        (folder / rank).mkdir(parents=True)
        (folder / rank / states).write_bytes(megatron_file(**arguments))
    return folder


@pytest.mark.parametrize("states", ["model_optim_rng.pt", "model_rng.pt"])
def test_megatron_with_one_rank(tmp_path: Path, states: str) -> None:
    folder = megatron(tmp_path / "iter_0000500", "mp_rank_00", states=states, num_layers=2)
    header = read_header(str(folder))
    assert (header.format, header.framework, header.state, header.global_step) == ("megatron", "megatron", "ready", 500)
    assert header.hyper_parameters == {"num_layers": 2}
    assert header.tensors == (TensorInfo("w", (4,), "float32"),)


def test_megatron_is_complete_with_every_rank(tmp_path: Path) -> None:
    ranks = [f"mp_rank_{tensor:02}_{pipeline:03}" for tensor in range(2) for pipeline in range(3)]
    folder = megatron(tmp_path / "iter_0000500", *ranks, tensor_model_parallel_size=2, pipeline_model_parallel_size=3)
    header = read_header(str(folder))
    assert (header.state, header.global_step, header.weights) == ("ready", 500, None)
    last = folder / ranks[-1] / "model_optim_rng.pt"
    last.write_bytes(megatron_file()[:-30])
    assert header_state(folder) == ("truncated", "model_optim_rng.pt: the zip has no end record")
    last.unlink()
    assert header_state(folder) == ("truncated", "mp_rank_01_002 has no model_optim_rng.pt")
    last.parent.rmdir()
    assert header_state(folder) == ("truncated", "1 of 6 ranks are missing")
    for pipeline in (0, 1):
        (folder / ranks[3 + pipeline] / "model_optim_rng.pt").unlink()
        (folder / ranks[3 + pipeline]).rmdir()
    assert header_state(folder) == ("truncated", "tensor-parallel rank 1 of 2 is missing")


def test_nemo_2(tmp_path: Path, distributed: Path) -> None:
    """``nemo/lightning/ckpt_utils.py``: weights, a distributed checkpoint, beside context, what it was made with."""
    folder = tmp_path / "gpt--val_loss=2.25-step=9"
    (folder / "context").mkdir(parents=True)
    (folder / "context" / "model.yaml").write_text("_target_: nemo.collections.llm.GPTModel\n")
    shutil.copytree(distributed, folder / "weights")
    common = mapping(**{"pytorch-lightning_version": text("2.4.0")}, epoch=b"K\x01", global_step=b"K\x09")
    (folder / "weights" / "common.pt").write_bytes(support.torch_zip(pickled(common)))
    header = read_header(str(folder))
    assert (header.format, header.framework, header.state, header.global_step) == ("torch_dcp", "lightning", "ready", 9)
    assert header.tensors == read_header(str(distributed)).tensors
    (folder / "weights" / ".metadata").unlink()
    assert header_state(folder) == ("truncated", "its .metadata, which is written last, isn't there")


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def sharded(folder: Path, name: str = "model.safetensors") -> Path:
    stem, _, suffix = name.rpartition(".")
    shards = {"a": f"{stem}-00001-of-00002.{suffix}", "b": f"{stem}-00002-of-00002.{suffix}"}
    for tensor, shard in shards.items():
        content = support.safetensors({tensor: F32}, bytes(8))
        if suffix == "bin":
            opcodes = pickled(mapping(**{tensor: tensor_opcodes("0", shape=(2,), numel=2)}))
            content = support.torch_zip(opcodes, storages={"0": bytes(8)})
        (folder / shard).write_bytes(content)
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 16}, "weight_map": shards}))
    return index


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_sharded_model(tmp_path: Path, name: str) -> None:
    index = sharded(tmp_path, name)
    header = read_header(str(index))
    assert (header.format, header.state, header.reason) == ("sharded", "ready", None)
    assert header.tensors == (TensorInfo("a", (2,), "float32"), TensorInfo("b", (2,), "float32"))
    assert header.weights is not None
    assert (header.weights.num_parameters, header.weights_bytes) == (4, 16)
    for length in range(97, len(index.read_bytes()), 97):
        cut = tmp_path / "cut.index.json"
        cut.write_bytes(index.read_bytes()[:length])
        assert read_header(str(cut)).state == "truncated"
    shard = tmp_path / index.name.replace(".index.json", "").replace(".", "-00002-of-00002.")
    shard.write_bytes(shard.read_bytes()[:-4])
    assert read_header(str(index)).state == "truncated"
    shard.unlink()
    assert header_state(index) == ("truncated", f"the shard '{shard.name}' is missing")


@pytest.mark.parametrize("shard", ["../x.safetensors", "/etc/passwd", "", "x.index.json", 7, "a\\b"])
def test_an_index_cannot_point_elsewhere(tmp_path: Path, shard: object) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    header = read_header(str(index))
    assert header.state == "unreadable"
    assert "the index names a shard" in str(header.reason)


def test_an_index_that_names_itself_another_or_a_folder(tmp_path: Path) -> None:
    for name, shard in (("a.json", "b.json"), ("b.json", "a.json"), ("c.json", "folder")):
        (tmp_path / name).write_text(json.dumps({"weight_map": {"a": shard}}))
    (tmp_path / "folder").mkdir()
    assert header_state(tmp_path / "a.json") == ("unreadable", "'b.json': an index without what lies beside it")
    assert header_state(tmp_path / "c.json") == ("unreadable", "'folder': not a regular file")


TRAINER_STATE: dict[str, Any] = {
    "epoch": 2.0,
    "global_step": 500,
    "best_metric": 0.4,
    "best_model_checkpoint": "/gone/checkpoint-250",
    "log_history": [
        {"epoch": 1.0, "step": 250, "eval_loss": 0.4, "eval_runtime": 3.0},
        {"epoch": 2.0, "step": 500, "loss": 0.1},
        {
            "epoch": 2.0,
            "step": 500,
            "eval_loss": 0.5,
            "eval_f1": 0.7,
            "eval_runtime": 3.0,
            "eval_samples_per_second": 9,
        },
    ],
}


def trainer_folder(tmp_path: Path, **state: Any) -> Path:
    folder = tmp_path / "checkpoint-500"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps(TRAINER_STATE | state))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    (folder / "training_args.bin").write_bytes(b"whatever")
    sharded(folder)
    return folder


def test_a_hugging_face_trainer_checkpoint(tmp_path: Path) -> None:
    """``transformers/trainer_callback.py``: TrainerState; metrics are those evaluated at this very step."""
    header = read_header(str(trainer_folder(tmp_path)))
    assert (header.state, header.framework, header.epoch, header.global_step) == ("ready", "transformers", 2, 500)
    assert header.metrics == {"eval_loss": 0.5, "eval_f1": 0.7}
    assert header.hyper_parameters == {"model_type": "bert", "architectures.0": "BertModel"}
    assert len(header.tensors) == 2


def test_two_evaluations_at_one_step(tmp_path: Path) -> None:
    entries = [{"step": 500, "eval_f1": f1, "eval_loss": 0.5} for f1 in (0.5, 0.9)]
    header = read_header(str(trainer_folder(tmp_path, log_history=entries)))
    assert header.metrics == {"eval_loss": 0.5}, "which of the two the weights have isn't told"


def test_the_last_state_beside_the_best_weights_is_not_theirs(tmp_path: Path) -> None:
    """``load_best_model_at_end``, ``save_model``, ``save_state``: real trainings leave this."""
    out = trainer_folder(tmp_path).rename(tmp_path / "out")
    header = read_header(str(out))
    assert (header.framework, header.epoch, header.global_step, header.metrics) == ("transformers", None, None, {})
    (out / "trainer_state.json").write_text(json.dumps({**TRAINER_STATE, "best_model_checkpoint": "/x/checkpoint-500"}))
    assert read_header(str(out)).global_step == 500, "the last one was the best"
    (out / "trainer_state.json").write_text(json.dumps({**TRAINER_STATE, "best_model_checkpoint": None}))
    assert read_header(str(out)).metrics == {"eval_loss": 0.5, "eval_f1": 0.7}


def test_a_link_in_a_circle_is_no_part(tmp_path: Path) -> None:
    folder = trainer_folder(tmp_path)
    (folder / "self").symlink_to("self")
    assert read_header(str(folder)).state == "ready"


def test_part_of_an_epoch_is_no_epoch(tmp_path: Path) -> None:
    header = read_header(str(trainer_folder(tmp_path, epoch=1.5, global_step=499, best_metric=float("nan"))))
    assert (header.epoch, header.global_step, header.metrics) == (None, 499, {})
    assert header.scalars == {"epoch": 1.5, "global_step": 499}


def test_a_trainer_checkpoint_without_a_shard_is_truncated(tmp_path: Path) -> None:
    folder = trainer_folder(tmp_path)
    (folder / "model-00001-of-00002.safetensors").unlink()
    header = read_header(str(folder))
    assert (header.state, header.global_step) == ("truncated", 500), "what is known stays known"
    assert header.reason == "model.safetensors.index.json: the shard 'model-00001-of-00002.safetensors' is missing"
    (folder / "model.safetensors.index.json").unlink()
    assert header_state(folder) == ("truncated", "its index, which is written last, isn't there")
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert header_state(folder) == ("truncated", "no weights are there")
    (folder / "trainer_state.json").write_text('{"epoch": 2.0,')
    assert header_state(folder) == ("truncated", "trainer_state.json ends too early")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ([".metadata", "__0_0.distcp"], "torch_dcp"),
        (["__0_0.distcp"], "torch_dcp"),
        ([".metadata"], "torch_dcp"),
        ([".metadata/"], None),
        (["trainer_state.json", "model.safetensors"], "hugging_face"),
        (["trainer_state.json", "checkpoint-500/"], None),
        (["model.safetensors.index.json"], "hugging_face"),
        (["model.safetensors.index.fp16.json"], "hugging_face"),
        (["pytorch_model-00001-of-00002.bin"], "hugging_face"),
        (["config.json", "model.safetensors"], None),
        (["faiss.index.json", "epoch=1-00001-of-00002.ckpt"], None),
        ([MODEL, "zero_pp_rank_0_mp_rank_00_optim_states.pt"], "deepspeed"),
        (["zero_pp_rank_0_mp_rank_00_optim_states.pt"], "deepspeed"),
        (["zero_pp_rank_0_mp_rank_00_model_states.pt"], "deepspeed"),
        (["checkpoint/", "latest"], "lightning_deepspeed"),
        (["checkpoint/", "latest/"], None),
        (["latest", "global_step5/"], None),
        (["last.ckpt", "epoch=1.ckpt"], None),
        ([], None),
    ],
)
def test_names_tell_what_a_folder_is(names: list[str], kind: str | None) -> None:
    """Those that end with a slash are folders."""
    folders = {name[:-1] for name in names if name.endswith("/")}
    files = {name for name in names if not name.endswith("/")}
    assert kind_of_folder("run", files, folders) == kind
    if kind is not None:
        assert may_be_checkpoint(files | folders)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["trainer_state.json"], "hugging_face"),
        (["model.safetensors"], "hugging_face"),
        (["adapter_model.bin"], "hugging_face"),
        (["x.ckpt"], None),
    ],
)
def test_a_trainer_s_folder_needs_less(names: list[str], kind: str | None) -> None:
    assert kind_of_folder("checkpoint-500", names, ()) == kind


@pytest.mark.parametrize(
    ("folder", "names", "kind"),
    [
        ("iter_0000500", ["mp_rank_00"], "megatron"),
        ("iter_0000500", ["mp_rank_00_000", "mp_rank_01_000"], "megatron"),
        ("release", ["mp_rank_00_000_000"], "megatron"),
        ("iter_0000500", ["mp_rank"], None),
        ("ranks", ["mp_rank_00"], None),
        ("gpt--step=9", ["weights", "context"], "nemo"),
        ("gpt--step=9", ["weights"], None),
        ("train3", ["weights", "context"], None),
    ],
)
def test_names_tell_by_folders_in_it(folder: str, names: list[str], kind: str | None) -> None:
    assert kind_of_folder(folder, (), names) == kind
    assert kind is None or may_be_checkpoint(names)
    assert {may_be_owned(folder, name) for name in names} == {kind is not None or names == ["weights"]}


CONFIG = b"target: nemo.collections.asr.models.EncDecCTCModel\nnemo_version: 2.0.0rc1\nmodel:\n  target: other\n"


def test_nemo(tmp_path: Path) -> None:
    """``nemo/core/connectors/save_restore_connector.py``; names with and without ``./``."""
    weights = support.torch_zip(lightning_pickle(), storages=STORAGES)
    whole = tar_of([("./model_config.yaml", CONFIG), ("./model_weights.ckpt", weights), ("./vocab.txt", b"a\nb\n")])
    header = support.read_bytes(tmp_path, whole, "x.nemo")
    assert (header.format, header.state, header.framework) == ("nemo", "ready", "nemo")
    assert (header.framework_version, header.epoch) == ("2.0.0rc1", 3)
    assert header.hyper_parameters["target"] == "nemo.collections.asr.models.EncDecCTCModel"
    assert header.weights is not None
    assert header.weights.fingerprint is not None
    cut = weights[:-30]
    assert header_of(tmp_path, [("model_config.yaml", CONFIG), ("model_weights.ckpt", cut)]).state == "unreadable"
    assert header_of(tmp_path, [("model_config.yaml", CONFIG)]).state == "foreign"


def header_of(folder: Path, members: list[tuple[str, bytes]]) -> CheckpointHeader:
    return support.read_bytes(folder, tar_of(members), "x.nemo")


def test_nemo_with_distributed_weights(tmp_path: Path, distributed: Path) -> None:
    files = [(f"./model_weights/{path.name}", path.read_bytes()) for path in distributed.iterdir()]
    header = header_of(tmp_path, [("./model_config.yaml", CONFIG), *files])
    assert (header.format, header.state, header.epoch, len(header.tensors)) == ("nemo", "ready", 3, 2)


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_tars(tmp_path: Path, layout: int) -> None:
    buffer = io.BytesIO()
    weights = support.torch_zip(lightning_pickle(), storages=STORAGES)
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for name, content in (
            ("d" * 90 + "/" + "f" * 90, b"x"),
            ("model_config.yaml", CONFIG),
            ("model_weights.ckpt", weights),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert support.read_bytes(tmp_path, buffer.getvalue(), "x.nemo").state == "ready"


def test_an_open_file_is_read_like_a_path(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(support.torch_zip(pickled(mapping(epoch=b"K\x07", name=text("n")))))
    with path.open("rb") as file:
        assert read_header(file) == read_header(str(path))
    assert read_header(io.BytesIO(path.read_bytes())).epoch == 7
