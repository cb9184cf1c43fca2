"""Writes ``.wandb`` files as W&B does: records through the SDK's own protobuf module, in LevelDB's framing."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as pb

BLOCK = 32 * 1024
HEADER = b":W&B\xe1\xbe\x00"


def framed(payloads: Iterable[bytes]) -> bytes:
    """The bytes of a file with these records."""
    log = bytearray(HEADER)
    for payload in payloads:
        rest, first = payload, True
        while True:
            left = BLOCK - len(log) % BLOCK
            if left < 7:
                log += bytes(left)
                left = BLOCK
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            log += struct.pack("<IHB", zlib.crc32(bytes((kind,)) + part), len(part), kind) + part
            first = False
            if not rest:
                break
    return bytes(log)


def run(run_id: str, *, config: Mapping[str, Any] | None = None, **told: Any) -> bytes:
    record = pb.Record(run=pb.RunRecord(run_id=run_id, **told))
    for key, value in (config or {}).items():
        record.run.config.update.add(key=key, value_json=json.dumps(value))
    return bytes(record.SerializeToString())


def history(step: int, values: Mapping[str, Any]) -> bytes:
    record = pb.Record()
    for key, value in {**values, "_step": step}.items():
        record.history.item.add(nested_key=[key], value_json=json.dumps(value))
    record.history.step.num = step
    return bytes(record.SerializeToString())


def summary(values: Mapping[str, Any]) -> bytes:
    record = pb.Record()
    for key, value in values.items():
        record.summary.update.add(nested_key=key.split("."), value_json=json.dumps(value))
    return bytes(record.SerializeToString())


def ended(code: int = 0) -> bytes:
    return bytes(pb.Record(exit=pb.RunExitRecord(exit_code=code)).SerializeToString())


def write_run(folder: Path, run_id: str, payloads: Iterable[bytes], *, at: str = "20261018_143215") -> Path:
    """``<folder>/wandb/offline-run-<at>-<run_id>/run-<run_id>.wandb``, which is returned."""
    path = folder / "wandb" / f"offline-run-{at}-{run_id}" / f"run-{run_id}.wandb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(framed(payloads))
    return path
