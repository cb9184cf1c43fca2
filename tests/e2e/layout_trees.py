"""Trees as frameworks lay them out, each with what is true of its checkpoints. Their documented forms: the sources
stand in the modules of ``catalogdb/layouts``. What installs here writes its own trees: ``test_layouts_written.py``."""

from __future__ import annotations

import json
import warnings
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from tensorboardX import SummaryWriter

ADAPTER = "adapter_model.safetensors"
WEIGHTS = {"layer.weight": torch.ones(3, 2), "layer.bias": torch.zeros(3)}


@dataclass(frozen=True)
class Fact:
    """What is true of one checkpoint. ``metrics`` are all that the tree has on its state."""

    epoch: int | None = None
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    claims: str | None = None
    stated_epoch: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    """Other fields that are known; ``config_path`` relative to the tree."""


@dataclass(frozen=True)
class Tree:
    """``facts`` by relative path; ``grows`` are the metrics files, ``newest`` the last checkpoint that was written.
    ``others`` and ``params`` are those that all of them have in common."""

    facts: dict[str, Fact]
    newest: str
    grows: tuple[str, ...] = ()
    others: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)


def save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def lines(path: Path, *rows: dict[str, Any]) -> None:
    text(path, "".join(json.dumps(row) + "\n" for row in rows))


def lightning(epoch: int, step: int, **more: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "global_step": step,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": WEIGHTS,
        "loops": {},
        "hyper_parameters": {"lr": 0.1},
        **more,
    }


CSV = "epoch,lr,step,train/loss,val-acc,val/loss\n"


def lightning_logs(root: Path) -> Tree:
    """Two experiments, names with blanks, equals signs and letters that aren't ASCII, a metric with a dash."""
    facts = {}
    for version, offset in (("version_0", 0.0), ("version_1", 0.25)):
        run = root / "lightning_logs" / version
        others = {"config_path": f"lightning_logs/{version}/hparams.yaml"}
        rows = []
        for epoch in range(3):
            step, loss = (epoch + 1) * 10, 0.5 - epoch / 8 + offset
            name = f"épreuve a=b-{epoch=}-step={step}-val-acc={loss + 1:.2f}.ckpt".replace("epoch=epoch", "epoch")
            save(run / "checkpoints" / name, lightning(epoch, step))
            rows += [f"{epoch},,{step - 1},,{loss + 1},{loss}\n", f"{epoch},,{step - 1},{loss + 2},,\n"]
            rows += [f",0.1,{step - 1},,,\n", f"{epoch},,{step - 5},9.0,,\n"]
            metrics = {"val/loss": loss, "val-acc": loss + 1, "train/loss": loss + 2, "lr": 0.1}
            facts[f"lightning_logs/{version}/checkpoints/{name}"] = Fact(epoch, step, metrics, others=others)
        save(run / "checkpoints" / "last.ckpt", lightning(2, 30))
        facts[f"lightning_logs/{version}/checkpoints/last.ckpt"] = Fact(2, 30, metrics, "last", others=others)
        text(run / "metrics.csv", CSV + "".join(rows))
        text(run / "hparams.yaml", "lr: 0.1\nwidth: 8\n")
    grows = ("lightning_logs/version_0/metrics.csv", "lightning_logs/version_1/metrics.csv")
    params = {"lr": 0.1, "width": 8}
    return Tree(facts, "lightning_logs/version_1/checkpoints/last.ckpt", grows, {"exp_name": "proj"}, params)


def old_lightning(root: Path) -> Tree:
    """Before 1.6: ``epoch`` and ``global_step`` are those of what comes next, in the name those that were."""
    run = root / "lightning_logs" / "version_0"
    facts = {}
    for epoch in (2, 3):
        step = 10 * epoch + 10
        path = run / "checkpoints" / f"epoch={epoch}-step={step - 1}.ckpt"
        save(path, {**lightning(epoch + 1, step), "pytorch-lightning_version": "1.4.9", "loops": None})
        metrics = {"val_loss": 0.5 - epoch / 8}
        facts[str(path.relative_to(root))] = Fact(epoch, step, metrics, stated_epoch=epoch + 1)
    save(run / "checkpoints" / "last.ckpt", {**lightning(4, 40), "pytorch-lightning_version": "1.5.10"})
    facts["lightning_logs/version_0/checkpoints/last.ckpt"] = Fact(None, 40, metrics, "last", stated_epoch=4)
    text(run / "metrics.csv", "epoch,step,val_loss\n2,29,0.25\n3,39,0.125\n4,49,0.0625\n")
    newest = "lightning_logs/version_0/checkpoints/last.ckpt"
    return Tree(facts, newest, ("lightning_logs/version_0/metrics.csv",), {"exp_name": "proj"}, {"lr": 0.1})


def wandb_logger(root: Path) -> Tree:
    """``<project>/<run id>/checkpoints``; a metric with ``/`` in its name made folders, and so did one that was 0."""
    facts = {}
    run = root / "ocr" / "ab12cd34"
    with SummaryWriter(str(run)) as writer:
        for epoch in range(2):
            step = (epoch + 1) * 10
            writer.add_scalar("epoch", epoch, step - 1)
            writer.add_scalar("val/hmean", 0.5 + epoch / 4, step - 1)
            name = f"epoch={epoch}-step={step}-val/hmean={0.5 + epoch / 4:.2f}.ckpt"
            save(run / "checkpoints" / name, lightning(epoch, step))
            facts[f"ocr/ab12cd34/checkpoints/{name}"] = Fact(epoch, step, {"val/hmean": 0.5 + epoch / 4})
    name = "epoch=2-step=30-val/hmean=0.00.ckpt"
    save(run / "checkpoints" / name, lightning(2, 30))
    facts[f"ocr/ab12cd34/checkpoints/{name}"] = Fact(2, 30)
    (events,) = run.glob("events*")
    others = {"exp_name": "ocr"}
    return Tree(facts, f"ocr/ab12cd34/checkpoints/{name}", (str(events.relative_to(root)),), others, {"lr": 0.1})


def resumed(root: Path) -> Tree:
    """A training that went on in ``version_1``, and wrote a step anew; TensorBoard's logger in ``tb``."""
    facts = {}
    run = root / "resumed"
    for version, epochs, offset in ((0, range(3), 0.0), (1, range(2, 5), 0.25)):
        with SummaryWriter(str(run / "tb" / f"version_{version}"), filename_suffix=str(version)) as writer:
            for epoch in epochs:
                for tag, value in (("epoch", epoch), ("val/loss", 0.5 + offset), ("val/acc", epoch / 8 + offset)):
                    writer.add_scalar(tag, value, epoch * 10 + 9)
        text(run / "tb" / f"version_{version}" / "hparams.yaml", f"width: {version}\n")
        for epoch in epochs:
            step, acc = (epoch + 1) * 10, epoch / 8 + offset
            path = f"resumed/checkpoints/{epoch=}-{step=}{'-v1' if (version, epoch) == (1, 2) else ''}.ckpt"
            save(root / path, lightning(epoch, step, callbacks=keeping(f"/gone/{path}", "val/acc", "max", acc)))
            others = {"monitor": "val/acc", "monitor_mode": "max"}
            facts[path] = Fact(epoch, step, {"val/acc": acc, "val/loss": 0.5 + offset}, others=others)
    grows = tuple(str(path.relative_to(root)) for path in sorted(run.glob("tb/*/events*")))
    return Tree(facts, path, grows, {"exp_name": "resumed"}, {"lr": 0.1})


def keeping(path: str, monitor: str, mode: str, score: float) -> dict[str, Any]:
    key = f"ModelCheckpoint{{'monitor': '{monitor}', 'mode': '{mode}', 'every_n_train_steps': 0}}"
    kept = {path: torch.tensor(score)}
    return {key: {"monitor": monitor, "best_k_models": kept, "current_score": torch.tensor(score), "dirpath": "/gone"}}


def two_metrics_with_slashes(root: Path) -> Tree:
    """``{epoch}-{val/loss:.2f}-{val/acc:.2f}`` made a folder in a folder."""
    facts = {}
    run = root / "lightning_logs" / "version_0"
    for epoch in range(2):
        step, loss, acc = (epoch + 1) * 10, 0.5 - epoch / 4, 0.25 + epoch / 2
        path = f"lightning_logs/version_0/checkpoints/{epoch=}-val/loss={loss:.2f}-val/acc={acc:.2f}.ckpt"
        save(root / path, lightning(epoch, step))
        facts[path] = Fact(epoch, step, {"val/loss": loss, "val/acc": acc})
    text(run / "metrics.csv", "epoch,step,val/loss,val/acc\n0,9,0.5,0.25\n1,19,0.25,0.75\n")
    text(run / "hparams.yaml", "lr: 0.1\nwidth: 8\n")
    others = {"exp_name": "proj", "config_path": "lightning_logs/version_0/hparams.yaml"}
    return Tree(facts, path, ("lightning_logs/version_0/metrics.csv",), others, {"lr": 0.1, "width": 8})


def hydra(root: Path) -> Tree:
    facts = {}
    for job, rate in enumerate((0.1, 0.01)):
        run = root / "multirun" / "2025-10-18" / "14-32-15" / str(job)
        text(run / ".hydra" / "overrides.yaml", f"- optimizer.lr={rate}\n- model=wide\n- +tag='a=b, c'\n")
        config = {
            "optimizer": {"lr": rate, "name": "sgd"},
            "model": {"width": 8, "lr": "${optimizer.lr}"},
            "tag": "a=b, c",
        }
        text(run / ".hydra" / "config.yaml", yaml.safe_dump({**config, "name": "${model.width}x", "at": "${now:%H}"}))
        path = f"multirun/2025-10-18/14-32-15/{job}/checkpoints/epoch=1-step=20.ckpt"
        save(root / path, lightning(1, 20))
        text(run / "csv" / "version_0" / "metrics.csv", f"epoch,step,val/loss\n0,9,0.5\n1,19,{rate}\n2,29,0.75\n")
        others = {"config_path": f"multirun/2025-10-18/14-32-15/{job}/.hydra/config.yaml"}
        facts[path] = Fact(1, 20, {"val/loss": rate}, params={"optimizer.lr": rate, "model.lr": rate}, others=others)
    grows = tuple(f"multirun/2025-10-18/14-32-15/{job}/csv/version_0/metrics.csv" for job in (0, 1))
    params = {"lr": 0.1, "model": "wide", "model.width": 8, "name": "8x", "optimizer.name": "sgd", "tag": "a=b, c"}
    return Tree(facts, path, grows, {"exp_name": "2025-10-18/14-32-15"}, params)


def timm(root: Path) -> Tree:
    run = root / "train" / "20251018-143215-resnet18-224"
    facts = {}
    rows = ["epoch,train_loss,eval_loss,eval_top1\n"]
    args = Namespace(model="resnet18", lr=0.1, eval_metric="top1")

    def content(epoch: int) -> dict[str, Any]:
        top1 = 40.0 + epoch
        return {"epoch": epoch, "arch": "resnet18", "state_dict": WEIGHTS, "args": args, "version": 2, "metric": top1}

    for epoch in range(3):
        rows.append(f"{epoch},{2 - epoch / 4},{1 - epoch / 4},{40.0 + epoch}\n")
        metrics = {"train_loss": 2 - epoch / 4, "eval_loss": 1 - epoch / 4, "eval_top1": 40.0 + epoch}
        save(run / f"checkpoint-{epoch}.pth.tar", content(epoch))
        facts[f"checkpoint-{epoch}.pth.tar"] = Fact(epoch, None, metrics)
    for name, claim in (("last", "last"), ("model_best", "best")):
        (run / f"{name}.pth.tar").hardlink_to(run / "checkpoint-2.pth.tar")
        facts[f"{name}.pth.tar"] = Fact(2, None, metrics, claim)
    recovery = {key: value for key, value in content(1).items() if key != "metric"}
    save(run / "recovery-1-50.pth.tar", recovery)
    facts["recovery-1-50.pth.tar"] = Fact(1)
    text(run / "summary.csv", "".join(rows))
    text(run / "args.yaml", "model: resnet18\nlr: 0.1\nx: 1\n")
    place = "train/20251018-143215-resnet18-224"
    named = {f"{place}/{name}": fact for name, fact in facts.items()}
    others = {"exp_name": run.name, "monitor": "eval_top1", "monitor_mode": "max"}
    others |= {"architecture": "resnet18", "backbone": "resnet18"}
    params = {"arch": "resnet18", "eval_metric": "top1", "lr": 0.1, "model": "resnet18", "x": 1}
    return Tree(named, f"{place}/recovery-1-50.pth.tar", (f"{place}/summary.csv",), others, params)


def mmengine(root: Path) -> Tree:
    run = root / "work_dirs" / "dbnet_r18"

    def content(epoch: int, iterations: int) -> dict[str, Any]:
        meta = {"mmengine_version": "0.10.4", "epoch": epoch, "iter": iterations, "seed": 7}
        return {"meta": meta, "state_dict": WEIGHTS, "message_hub": {}}

    rows: list[dict[str, Any]] = []
    facts = {}
    for epoch in (1, 2, 3):
        row = {"lr": 0.5, "data_time": 0.1, "loss": 2.0 / epoch, "time": 1, "memory": 9, "step": epoch * 100}
        score = {1: 0.125, 2: 0.5, 3: 0.375}[epoch]
        rows += [{**row, "epoch": epoch, "iter": epoch * 100}, {"coco/bbox_mAP": score, "step": epoch}]
        save(run / f"epoch_{epoch}.pth", content(epoch, epoch * 100))
        metrics = {"lr": 0.5, "loss": 2.0 / epoch, "coco/bbox_mAP": score}
        facts[f"epoch_{epoch}.pth"] = Fact(epoch - 1, epoch * 100, metrics, "last" if epoch == 3 else None, epoch)
    save(run / "best_coco_bbox_mAP_epoch_2.pth", content(2, 200))
    metrics = {"lr": 0.5, "loss": 1.0, "coco/bbox_mAP": 0.5}
    facts["best_coco_bbox_mAP_epoch_2.pth"] = Fact(1, 200, metrics, "best", 2, others={"monitor": "coco/bbox_mAP"})
    text(run / "last_checkpoint", "/home/somebody/work_dirs/dbnet_r18/epoch_3.pth")
    lines(run / "20251018_143215" / "vis_data" / "scalars.json", *rows)
    named = {f"work_dirs/dbnet_r18/{name}": fact for name, fact in facts.items()}
    return Tree(
        named,
        "work_dirs/dbnet_r18/epoch_3.pth",
        ("work_dirs/dbnet_r18/20251018_143215/vis_data/scalars.json",),
        {"exp_name": "dbnet_r18", "architecture": "dbnet"},
        {"seed": 7},
    )


def mmengine_by_iteration(root: Path) -> Tree:
    run = root / "work_dirs" / "segformer"
    rows: list[dict[str, Any]] = []
    facts = {}
    for iterations in (4000, 8000):
        meta = {"mmengine_version": "0.10.4", "epoch": 3, "iter": iterations}
        save(run / f"iter_{iterations}.pth", {"meta": meta, "state_dict": WEIGHTS})
        rows += [{"loss": 0.5, "iter": iterations, "step": iterations}, {"mIoU": iterations / 1000, "step": iterations}]
        facts[f"work_dirs/segformer/iter_{iterations}.pth"] = Fact(
            None, iterations, {"loss": 0.5, "mIoU": iterations / 1000}, "last" if iterations == 8000 else None, 3
        )
    text(run / "last_checkpoint", "iter_8000.pth")
    lines(run / "20251018_143215" / "vis_data" / "scalars.json", *rows)
    grows = ("work_dirs/segformer/20251018_143215/vis_data/scalars.json",)
    return Tree(facts, "work_dirs/segformer/iter_8000.pth", grows, {"exp_name": "segformer"})


def ultralytics(root: Path) -> Tree:
    run = root / "runs" / "detect" / "train3"
    rows = ["                  epoch,                   time,       metrics/mAP50(B)\n"]
    facts = {}

    def content(epoch: int, score: float | None) -> dict[str, Any]:
        metrics = {} if score is None else {"train_metrics": {"metrics/mAP50(B)": score, "fitness": score}}
        return {
            "epoch": epoch,
            "best_fitness": 0.5,
            "model": None,
            "ema": None,
            "train_args": {"imgsz": 640, "lr0": 0.5},
            "version": "8.3.0",
            **metrics,
        }

    for epoch in range(3):
        score = (epoch + 1) / 8
        rows.append(f"{epoch + 1:>23},{1.5:>23},{score:>23}\n")
        save(run / "weights" / f"epoch{epoch}.pt", content(epoch, score))
        facts[f"epoch{epoch}.pt"] = Fact(epoch, None, {"metrics/mAP50(B)": score, "fitness": score})
    save(run / "weights" / "last.pt", content(2, 0.375))
    facts["last.pt"] = Fact(2, None, {"metrics/mAP50(B)": 0.375, "fitness": 0.375}, "last")
    save(run / "weights" / "best.pt", content(-1, 0.375))
    facts["best.pt"] = Fact(None, None, {"metrics/mAP50(B)": 0.375, "fitness": 0.375}, "best")
    text(run / "results.csv", "".join(rows))
    text(run / "args.yaml", "imgsz: 640\nlr0: 0.5\nbox: 7.5\n")
    place = "runs/detect/train3"
    named = {f"{place}/weights/{name}": fact for name, fact in facts.items()}
    others = {"exp_name": "train3", "monitor": "fitness", "monitor_mode": "max"}
    params = {"box": 7.5, "imgsz": 640, "lr0": 0.5}
    return Tree(named, f"{place}/weights/last.pt", (f"{place}/results.csv",), others, params)


def detectron2(root: Path) -> Tree:
    run = root / "output" / "faster_rcnn"
    rows: list[dict[str, Any]] = []
    facts = {}
    for iteration, name in ((4999, "model_0004999.pth"), (9999, "model_0009999.pth"), (9999, "model_final.pth")):
        save(run / name, {"model": WEIGHTS, "optimizer": {}, "scheduler": {}, "iteration": iteration})
        claims = "last" if name == "model_final.pth" else None
        metrics = {"total_loss": 5000 / iteration, "bbox/AP": iteration / 1000}
        facts[f"output/faster_rcnn/{name}"] = Fact(None, iteration, metrics, claims)
    for iteration in (4979, 4999, 9999):
        rows.append({"iteration": iteration, "total_loss": 5000 / iteration, "bbox/AP": iteration / 1000, "time": 1.0})
    lines(run / "metrics.json", *rows)
    text(run / "last_checkpoint", "model_final.pth")
    text(run / "config.yaml", "SOLVER:\n  BASE_LR: 0.5\n")
    others = {"exp_name": "faster_rcnn", "config_path": "output/faster_rcnn/config.yaml"}
    grows = ("output/faster_rcnn/metrics.json",)
    return Tree(facts, "output/faster_rcnn/model_final.pth", grows, others, {"SOLVER.BASE_LR": 0.5})


def fairseq(root: Path) -> Tree:
    facts = {}
    for name, epoch, updates, claim in (
        ("checkpoint1.pt", 1, 100, None),
        ("checkpoint2.pt", 2, 200, None),
        ("checkpoint_2_150.pt", 2, 150, None),
        ("checkpoint_best.pt", 2, 200, "best"),
        ("checkpoint_last.pt", 2, 200, "last"),
    ):
        content = {
            "model": WEIGHTS,
            "args": Namespace(best_checkpoint_metric="bleu", lr=[0.5]),
            "extra_state": {"val_loss": 20.0 + epoch, "train_iterator": {"epoch": epoch}},
            "optimizer_history": [{"num_updates": updates}],
        }
        save(root / "wmt" / name, content)
        facts[f"wmt/{name}"] = Fact(epoch - 1, updates, {"bleu": 20.0 + epoch}, claim, epoch)
    params = {"best_checkpoint_metric": "bleu", "lr.0": 0.5}
    return Tree(facts, "wmt/checkpoint_last.pt", (), {"exp_name": "wmt", "monitor": "bleu"}, params)


def nemo(root: Path) -> Tree:
    run = root / "nemo_experiments" / "megatron_gpt" / "2025-10-18_14-32-15"
    facts = {}
    for step, loss in ((1000, 2.5), (2000, 2.25)):
        name = f"megatron_gpt--val_loss={loss:.2f}-step={step}-consumed_samples=8000.0.ckpt"
        save(run / "checkpoints" / name, lightning(0, step))
        facts[name] = Fact(0, step, {"val_loss": loss})
    last = "megatron_gpt--val_loss=2.25-step=2000-consumed_samples=8000.0-last.ckpt"
    save(run / "checkpoints" / last, lightning(0, 2000))
    facts[last] = Fact(0, 2000, {"val_loss": 2.25}, "last")
    text(run / "hparams.yaml", "lr: 0.1\n")
    place = "nemo_experiments/megatron_gpt/2025-10-18_14-32-15/checkpoints"
    others = {"exp_name": "megatron_gpt", "config_path": f"{run.relative_to(root)}/hparams.yaml"}
    return Tree({f"{place}/{name}": fact for name, fact in facts.items()}, f"{place}/{last}", (), others, {"lr": 0.1})


def deepspeed(root: Path) -> Tree:
    facts = {}
    for step in (100, 200):
        content = {
            "module": WEIGHTS,
            "global_steps": step,
            "skipped_steps": 0,
            "dp_world_size": 1,
            "mp_world_size": 1,
            "ds_config": {"train_batch_size": 8},
            "ds_version": "0.14.0",
        }
        save(root / "llm" / f"global_step{step}" / "mp_rank_00_model_states.pt", content)
        facts[f"llm/global_step{step}"] = Fact(None, step, {}, "last" if step == 200 else None)
    text(root / "llm" / "latest", "global_step200")
    return Tree(facts, "llm/global_step200", (), {"exp_name": "llm"}, {"train_batch_size": 8})


def megatron(root: Path) -> Tree:
    facts = {}
    for iteration in (500, 1000):
        path = f"gpt/iter_{iteration:07}"
        args = Namespace(lr=0.5, num_layers=2)
        save(
            root / path / "mp_rank_00" / "model_optim_rng.pt",
            {"args": args, "checkpoint_version": 3.0, "iteration": iteration, "model": WEIGHTS},
        )
        facts[path] = Fact(None, iteration, {}, "last" if iteration == 1000 else None)
    text(root / "gpt" / "latest_checkpointed_iteration.txt", "1000")
    return Tree(facts, path, (), {"exp_name": "gpt"}, {"lr": 0.5, "num_layers": 2})


def save_parts(folder: Path) -> None:
    from torch.distributed.checkpoint.state_dict_saver import save as distribute  # noqa: PLC0415  # 0.3 s

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distribute(WEIGHTS, checkpoint_id=folder, no_dist=True)


def megatron_distributed(root: Path) -> Tree:
    """``torch_dist``, the form that Megatron-Core writes by default."""
    facts = {}
    for iteration in (500, 1000):
        path = f"gpt/iter_{iteration:07}"
        save_parts(root / path)
        common = {"args": Namespace(lr=0.5, num_layers=2), "checkpoint_version": 3.0, "iteration": iteration}
        save(root / path / "common.pt", common)
        text(root / path / "metadata.json", '{"sharded_backend": "torch_dist", "sharded_backend_version": 1}')
        facts[path] = Fact(None, iteration, {}, "last" if iteration == 1000 else None)
    text(root / "gpt" / "latest_checkpointed_iteration.txt", "1000")
    return Tree(facts, path, (), {"exp_name": "gpt"}, {"lr": 0.5, "num_layers": 2})


def peft(root: Path) -> Tree:
    """What a Trainer writes of a model with adapters: no ``config.json``."""
    facts = {}
    for step, loss in ((10, 0.75), (20, 0.5)):
        folder = root / "lora" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({f"base_model.model.{name}.lora_A": value for name, value in WEIGHTS.items()}, folder / ADAPTER)
        text(folder / "adapter_config.json", json.dumps({"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}))
        evaluated = [{"epoch": each / 10, "step": each, "eval_loss": 1 - each / 40} for each in range(10, step + 1, 10)]
        state = {"best_model_checkpoint": "/gone/lora/checkpoint-20", "epoch": step / 10, "global_step": step}
        text(folder / "trainer_state.json", json.dumps({**state, "log_history": evaluated}, indent=2, sort_keys=True))
        claims = "best" if step == 20 else None
        facts[f"lora/checkpoint-{step}"] = Fact(step // 10 - 1, step, {"eval_loss": loss}, claims, step / 10)
    params = {"peft_type": "LORA", "r": 8, "target_modules.0": "q_proj"}
    return Tree(facts, "lora/checkpoint-20", (), {"exp_name": "lora"}, params)


def saved_models(root: Path) -> Tree:
    """What ``save_pretrained`` leaves in a folder of its own; and a ``config.json`` that is no one's in particular."""
    facts = {}
    for name, config in (
        ("ocr", {"model_type": "trocr", "transformers_version": "4.57.0", "d_model": 8}),
        ("own", {"model_type": "big", "d_model": 8}),
    ):
        (root / name).mkdir(parents=True)
        save_file(WEIGHTS, root / name / "model.safetensors", {"format": "pt"})
        text(root / name / "config.json", json.dumps(config))
        others = {"exp_name": name, **({"architecture": "trocr"} if name == "ocr" else {})}
        params = {"format": "pt", **config}
        facts[f"{name}/model.safetensors"] = Fact(params=params, others=others)
    return Tree(facts, "own/model.safetensors")


def torch_distributed(root: Path) -> Tree:
    for step in (10, 20):
        save_parts(root / "titan" / f"step-{step}")
    facts = {f"titan/step-{step}": Fact(None, step) for step in (10, 20)}
    return Tree(facts, "titan/step-20", (), {"exp_name": "titan"})


def plain(root: Path) -> Tree:
    """DETR's loop, and one that logs to TensorBoard."""
    facts = {}
    rows: list[dict[str, Any]] = []
    for epoch in range(2):
        rows.append({"train_loss": 2.0 - epoch, "test_class_error": 50.0 - epoch, "epoch": epoch, "n_parameters": 9})
        save(root / "detr" / f"checkpoint{epoch:04}.pth", {"model": WEIGHTS, "epoch": epoch, "args": Namespace(lr=0.5)})
        metrics = {"train_loss": 2.0 - epoch, "test_class_error": 50.0 - epoch, "n_parameters": 9.0}
        facts[f"detr/checkpoint{epoch:04}.pth"] = Fact(epoch, None, metrics, others={"exp_name": "detr"})
    lines(root / "detr" / "log.txt", *rows)
    with SummaryWriter(str(root / "own" / "runs")) as writer:
        for step in (100, 200):
            writer.add_scalar("acc", step / 1000, step)
            save(root / "own" / f"model_{step}.pt", {"state_dict": WEIGHTS, "global_step": step, "lr": 0.5})
    save(root / "own" / "checkpoint_best.pt", {"state_dict": WEIGHTS, "global_step": 150})
    text(root / "own" / "opt.yaml", "lr: 0.5\nname: x\n")
    others = {"exp_name": "own"}
    for step in (100, 200):
        value = torch.tensor(step / 1000).item()
        facts[f"own/model_{step}.pt"] = Fact(None, step, {"acc": value}, params={"name": "x"}, others=others)
    facts["own/checkpoint_best.pt"] = Fact(None, 150, {}, "best", params={"name": "x"}, others=others)
    (events,) = (root / "own" / "runs").glob("events*")
    return Tree(facts, "own/model_200.pt", ("detr/log.txt", str(events.relative_to(root))), {}, {"lr": 0.5})


def nnunet(root: Path) -> Tree:
    """``nnUNetTrainer.py``, ``save_checkpoint``: the number of epochs done."""
    content = {"network_weights": WEIGHTS, "optimizer_state": {}, "trainer_name": "nnUNetTrainer", "init_args": {}}
    save(root / "fold_0" / "checkpoint_final.pth", {**content, "current_epoch": 1000})
    fact = Fact(
        999,
        None,
        {},
        "last",
        stated_epoch=1000,
        others={"exp_name": "fold_0"},
        params={"trainer_name": "nnUNetTrainer"},
    )
    return Tree({"fold_0/checkpoint_final.pth": fact}, "fold_0/checkpoint_final.pth")


BUILT: dict[str, Callable[[Path], Tree]] = {
    build.__name__: build
    for build in (
        lightning_logs,
        old_lightning,
        wandb_logger,
        resumed,
        two_metrics_with_slashes,
        hydra,
        timm,
        mmengine,
        mmengine_by_iteration,
        ultralytics,
        detectron2,
        fairseq,
        nemo,
        deepspeed,
        megatron,
        megatron_distributed,
        peft,
        saved_models,
        torch_distributed,
        plain,
        nnunet,
    )
}
