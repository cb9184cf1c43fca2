"""A program under Hydra: saves a checkpoint in its run's folder, and elsewhere what OmegaConf makes of its config."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import hydra
import torch
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base=None, config_path=None, config_name="config")  # type: ignore[untyped-decorator]
def main(config: DictConfig) -> None:
    Path("checkpoints").mkdir()
    state = {"epoch": 1, "global_step": 20, "pytorch-lightning_version": "2.4.0", "loops": {}}
    torch.save({**state, "state_dict": {"w": torch.ones(2)}}, "checkpoints/epoch=1-step=20.ckpt")
    resolved = OmegaConf.to_container(config, resolve=True)
    with Path(os.environ["TRUTH"]).open("a", encoding="utf-8") as truth:
        truth.write(json.dumps({"folder": str(Path.cwd()), "config": resolved}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
