"""What torch.save wrote that is no checkpoint; and what may be one, however odd."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogdb.formats import read_header
from catalogdb.records import EMBEDDED_KEY
from tests.unit.formats import support

torch = pytest.importorskip("torch")

NET = torch.nn.Linear(2, 2)
ADAM = torch.optim.Adam(NET.parameters())


def random_states() -> dict[str, Any]:
    return {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}


def adam() -> dict[str, Any]:
    NET(torch.ones(1, 2)).sum().backward()
    ADAM.step()
    state: dict[str, Any] = ADAM.state_dict()
    return state


def scheduler() -> dict[str, Any]:
    state: dict[str, Any] = torch.optim.lr_scheduler.LambdaLR(ADAM, lambda epoch: 0.5**epoch).state_dict()
    return state


OTHERS: dict[str, Any] = {
    "a list": [1, 2, 3],
    "nothing": None,
    "a number": 7,
    "a text": "text",
    "an empty mapping": {},
    "names of classes": {0: "cat", 1: "dog"},
    "arguments": {"lr": 0.1, "sizes": [1, 2, {"deep": None}]},
    "a tensor": torch.ones(3),
    "tensors": (torch.ones(3), torch.zeros(2), 1),
    "random states": random_states(),
    "an optimizer": adam(),
    "a scheduler": scheduler(),
    "a scaler": {"scale": 65536.0, "growth_factor": 2.0, "growth_interval": 2000, "_growth_tracker": 0},
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "stream"])
@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_checkpoint_is_foreign(tmp_path: Path, what: str, old: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save(OTHERS[what], path, _use_new_zipfile_serialization=not old)
    header = read_header(str(path))
    assert (header.state, bool(header.reason)) == ("foreign", True)


def test_a_pickle_of_numbers_is_foreign(tmp_path: Path) -> None:
    assert support.read_bytes(tmp_path, pickle.dumps({"a": 1}), "x.bin").state == "foreign"


MAY_BE: dict[str, Any] = {
    "one tensor": {"w": torch.ones(1)},
    "two": {"mean": torch.ones(3), "std": torch.ones(3)},
    "weights in a list": {"layers": [{"w": torch.ones(2)}]},
    "arrays": {"agent": {"q": np.ones(3)}},
    "two states": (NET.state_dict(), adam()),
    "a model": NET,
    "an epoch": {"epoch": 3},
    "a record": {EMBEDDED_KEY: {"schema_version": "1.0"}},
    "weights called state": {"state": NET.state_dict(), "param_groups": torch.ones(1)},
}


@pytest.mark.parametrize("what", MAY_BE)
def test_what_may_be_a_checkpoint_is_one(tmp_path: Path, what: str) -> None:
    torch.save(MAY_BE[what], tmp_path / "x.pt")
    assert read_header(str(tmp_path / "x.pt")).state == "ready"
