"""The texts of a family tree: sidecars of 1.4 KB and Hydra configs of 4 KB, as the family's tools write them."""

from __future__ import annotations

import random

ARCHITECTURES = ("dbnet", "dbnetpp", "craft", "psenet", "pan")
BACKBONES = ("resnet18", "resnet50", "mobilenetv3_small_050", "efficientnet_b0")
PER_EXPERIMENT = 4
STEPS_PER_EPOCH = 542

SIDECAR = """\
schema_version: '1.0'
checkpoint_path: {exp_name}/checkpoints/{file_name}
exp_name: {exp_name}
created_at: '2025-10-18T{hour:02}:{minute:02}:15'
training:
  epoch: {epoch}
  global_step: {step}
  training_phase: training
  max_epochs: {max_epochs}
model:
  architecture: {architecture}
  encoder:
    model_name: {backbone}
    pretrained: true
    frozen: false
  decoder:
    name: {architecture}_decoder
    in_channels:
    - 256
    - 512
    - 1024
    - 2048
    inner_channels: 256
    output_channels: {channels}
    params:
      bias: false
      adaptive: true
      serial: false
  head:
    name: {architecture}_head
    in_channels: {channels}
    params:
      k: 50
      box_thresh: {box_thresh}
      max_candidates: 300
      use_polygon: true
  loss:
    name: {architecture}_loss
    params:
      alpha: {alpha}
      beta: 10.0
      negative_ratio: 3.0
      prob_map_loss_weight: 5.0
metrics:
  precision: {precision}
  recall: {recall}
  hmean: {hmean}
  validation_loss: {loss}
  additional_metrics:
    val/hmean: {hmean}
    val/precision: {precision}
    val/recall: {recall}
    val/iou: {iou}
    val/loss: {loss}
    val/loss_prob: {loss_prob}
    val/loss_thresh: {loss_thresh}
    cleval/hmean: {cleval}
checkpointing:
  monitor: val/hmean
  mode: max
  save_top_k: 3
  save_last: true
hydra_config_path: {exp_name}/.hydra/config.yaml
wandb_run_id: {run_id}
"""

CONFIG = """\
exp_name: {exp_name}
seed: {seed}
resume: null
wandb: true
paths:
  root_dir: ${{hydra:runtime.cwd}}
  data_dir: ${{paths.root_dir}}/data/datasets
  output_dir: ${{hydra:runtime.output_dir}}
  log_dir: ${{paths.output_dir}}/logs
  checkpoint_dir: ${{paths.output_dir}}/checkpoints
  submission_dir: ${{paths.output_dir}}/submissions
trainer:
  accelerator: gpu
  devices: 1
  strategy: auto
  precision: 16-mixed
  max_epochs: {max_epochs}
  max_steps: -1
  num_sanity_val_steps: 1
  log_every_n_steps: 50
  check_val_every_n_epoch: 1
  val_check_interval: null
  deterministic: true
  benchmark: false
  gradient_clip_val: 5.0
  gradient_clip_algorithm: norm
  accumulate_grad_batches: 1
model:
  _target_: ocr.models.architecture.OCRModel
  architecture_name: {architecture}
  encoder:
    _target_: ocr.models.encoder.TimmBackbone
    model_name: {backbone}
    select_features:
    - 1
    - 2
    - 3
    - 4
    pretrained: true
    frozen: false
  decoder:
    _target_: ocr.models.decoder.{architecture}_decoder.Decoder
    in_channels:
    - 256
    - 512
    - 1024
    - 2048
    inner_channels: 256
    output_channels: {channels}
    bias: false
    adaptive: true
    serial: false
  head:
    _target_: ocr.models.head.{architecture}_head.Head
    in_channels: {channels}
    upscale: 4
    k: 50
    bias: false
    smooth: false
    postprocess:
      thresh: 0.3
      box_thresh: {box_thresh}
      max_candidates: 300
      use_polygon: true
  loss:
    _target_: ocr.models.loss.{architecture}_loss.Loss
    alpha: {alpha}
    beta: 10.0
    negative_ratio: 3.0
    eps: 1.0e-06
    prob_map_loss_weight: 5.0
    thresh_map_loss_weight: 10.0
    binary_map_loss_weight: 1.0
  optimizer:
    _target_: torch.optim.AdamW
    lr: {lr}
    betas:
    - 0.9
    - 0.999
    weight_decay: 0.0001
    amsgrad: false
  scheduler:
    _target_: torch.optim.lr_scheduler.OneCycleLR
    max_lr: {lr}
    pct_start: 0.1
    anneal_strategy: cos
    div_factor: 25.0
    final_div_factor: 10000.0
data:
  train_num_samples: null
  val_num_samples: null
  batch_size: {batch_size}
  num_workers: 8
  pin_memory: true
  persistent_workers: true
  collate_fn:
    _target_: ocr.data.collate.DBCollateFN
    shrink_ratio: 0.4
    thresh_min: 0.3
    thresh_max: 0.7
transforms:
  train:
    _target_: ocr.data.transforms.DBTransforms
    keypoint_params:
      format: xy
      remove_invisible: false
    resize:
      max_size: 640
      p: 1.0
    pad:
      min_width: 640
      min_height: 640
      border_mode: 0
    horizontal_flip: 0.5
    rotate_limit: 10
    normalize:
      mean:
      - 0.485
      - 0.456
      - 0.406
      std:
      - 0.229
      - 0.224
      - 0.225
callbacks:
  model_checkpoint:
    _target_: lightning.pytorch.callbacks.ModelCheckpoint
    dirpath: ${{paths.checkpoint_dir}}
    monitor: val/hmean
    mode: max
    save_top_k: 3
    save_last: true
    auto_insert_metric_name: false
    every_n_epochs: 1
  early_stopping:
    _target_: lightning.pytorch.callbacks.EarlyStopping
    monitor: val/hmean
    mode: max
    patience: 5
    min_delta: 0.001
  learning_rate_monitor:
    _target_: lightning.pytorch.callbacks.LearningRateMonitor
    logging_interval: step
logger:
  wandb:
    _target_: lightning.pytorch.loggers.WandbLogger
    entity: ocr-team
    project: receipt-text-recognition-ocr
    name: {exp_name}
    id: {run_id}
    tags:
    - {architecture}
    - {backbone}
    - baseline
    save_dir: ${{paths.log_dir}}
    log_model: false
  csv:
    _target_: lightning.pytorch.loggers.CSVLogger
    save_dir: ${{paths.log_dir}}
    name: csv
inference:
  checkpoint_path: null
  input_size: 640
  output_dir: ${{paths.submission_dir}}
  max_polygons: 500
  save_overlays: false
  cleval:
    case_sensitive: true
    recall_gran_penalty: 1.0
    precision_gran_penalty: 1.0
    vertical_aspect_ratio_thresh: 0.5
    area_precision_constraint: 0.3
  export: {{format: onnx, opset: 17, dynamic: true}}
hydra_defaults:
- model: {architecture}
- data: canonical
- trainer: gpu
"""


class Experiment:
    """One experiment of a tree: the texts of its config and its checkpoints' sidecars. Equal numbers, equal texts."""

    def __init__(self, number: int) -> None:
        rng = random.Random(number)
        self.number = number
        self.architecture = rng.choice(ARCHITECTURES)
        self.backbone = rng.choice(BACKBONES)
        self.name = f"{self.architecture}-{self.backbone}-{number:06}"
        self.run_id = f"w{rng.getrandbits(36):09x}"
        self.lr = round(10 ** rng.uniform(-4, -2), 6)
        self.seed = rng.randrange(10_000)
        self._shared = {
            "exp_name": self.name,
            "architecture": self.architecture,
            "backbone": self.backbone,
            "run_id": self.run_id,
            "max_epochs": rng.choice((20, 50, 100)),
            "channels": rng.choice((64, 128, 256)),
            "box_thresh": round(rng.uniform(0.2, 0.6), 3),
            "alpha": round(rng.uniform(0.5, 2.0), 3),
            "lr": f"{self.lr:f}",
            "seed": self.seed,
            "batch_size": rng.choice((8, 16, 32)),
        }

    def config(self) -> str:
        return CONFIG.format_map(self._shared)

    def epochs(self) -> list[int]:
        return list(range(PER_EXPERIMENT))

    @staticmethod
    def step(epoch: int) -> int:
        return (epoch + 1) * STEPS_PER_EPOCH

    def file_name(self, epoch: int) -> str:
        return f"epoch={epoch}-step={self.step(epoch)}.ckpt"

    def score(self, epoch: int) -> float:
        """``val/hmean`` of the checkpoint."""
        return round(random.Random(self.number * 10 + epoch).uniform(0.5, 0.95), 6)

    def sidecar(self, epoch: int) -> str:
        rng = random.Random(self.number * 10 + epoch + 5)
        names = ("precision", "recall", "iou", "loss", "loss_prob", "loss_thresh", "cleval")
        return SIDECAR.format(
            **self._shared,
            **{name: round(rng.random(), 6) for name in names},
            epoch=epoch,
            step=self.step(epoch),
            hmean=self.score(epoch),
            file_name=self.file_name(epoch),
            hour=self.number % 24,
            minute=epoch * 13,
        )
