"""The messages of a ``.wandb`` file that are read here, as protobuf's own library parses them.

Numbers and types after ``wandb/proto/wandb_internal.proto``; a test holds them equal to the installed SDK's. The SDK's
own module would be 0.5 s of imports in every scan that meets a run's folder (700 modules, this one: 20 ms), and parses
the fields that nobody here looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

PACKAGE = "catalogdb.wandb"

MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Step": {"num": (1, "int64")},
    "HistoryItem": {
        "key": (1, "string"),
        "nested_key": (2, "string*"),
        "boolean": (4, "bool?"),
        "integer": (5, "sint64?"),
        "number": (6, "double?"),
        "text": (7, "string?"),
        "json": (8, "string?"),
        "value_json": (16, "string"),
    },
    "HistoryRecord": {"item": (1, "HistoryItem*"), "step": (2, "Step")},
    "Item": {"key": (1, "string"), "nested_key": (2, "string*"), "value_json": (16, "string")},
    "Change": {"update": (1, "Item*"), "remove": (2, "Item*")},
    "Time": {"seconds": (1, "int64")},
    "RunRecord": {
        "run_id": (1, "string"),
        "entity": (2, "string"),
        "project": (3, "string"),
        "config": (4, "Change"),
        "summary": (5, "Change"),
        "run_group": (6, "string"),
        "job_type": (7, "string"),
        "display_name": (8, "string"),
        "tags": (10, "string*"),
        "sweep_id": (12, "string"),
        "start_time": (17, "Time"),
    },
    "RunExitRecord": {"exit_code": (1, "int32")},
    "Record": {
        "num": (1, "int64"),
        "history": (2, "HistoryRecord"),
        "summary": (3, "Change"),
        "config": (5, "Change"),
        "run": (17, "RunRecord"),
        "exit": (18, "RunExitRecord"),
    },
}
"""Message → field → its number and type; ``*`` is repeated, ``?`` one of those that exclude each other."""


@lru_cache(maxsize=1)
def record_class() -> Any:
    """The class of ``Record``."""
    from google.protobuf import (  # noqa: PLC0415  # 20 ms that a scan without run folders needn't pay
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="catalogdb/wandb.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, written) in fields.items():
            kind = written.rstrip("*?")
            field = message.field.add(name=field_name, number=number)
            field.label = field_type.LABEL_REPEATED if written.endswith("*") else field_type.LABEL_OPTIONAL
            if kind in MESSAGES:
                field.type = field_type.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
            if written.endswith("?"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="value")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Record"))


def decode_error() -> type[Exception]:
    """What the class raises for bytes that are no record of its."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # as above

    error: type[Exception] = DecodeError
    return error
