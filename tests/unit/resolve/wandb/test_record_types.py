"""The messages that are read here are those that the installed SDK writes."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from wandb.proto import wandb_internal_pb2

from catalogdb.resolve.wandb.record_types import MESSAGES, record_class

SDK_NAMES = {"Step": "HistoryStep"}
SUBMESSAGES = {"Item": ("ConfigItem", "SummaryItem"), "Change": ("ConfigRecord", "SummaryRecord")}


def sdk_messages(name: str) -> list[Any]:
    if name == "Time":
        return [wandb_internal_pb2.RunRecord.DESCRIPTOR.fields_by_name["start_time"].message_type]
    names = SUBMESSAGES.get(name, (SDK_NAMES.get(name, name),))
    return [getattr(wandb_internal_pb2, each).DESCRIPTOR for each in names]


def test_every_field_has_the_sdks_number_and_type() -> None:
    ours = {message.name: message for message in record_class().DESCRIPTOR.file.message_types_by_name.values()}
    assert set(ours) == set(MESSAGES)
    checked = 0
    for name, message in ours.items():
        for theirs in sdk_messages(name):
            for field in message.fields:
                other = theirs.fields_by_name.get(field.name)
                if other is None:
                    assert name == "HistoryItem", f"{name}.{field.name}: the SDK hasn't got it"
                    continue
                assert (other.number, other.type, other.is_repeated) == (field.number, field.type, field.is_repeated), (
                    f"{name}.{field.name}"
                )
                assert (field.type == FieldDescriptor.TYPE_MESSAGE) == (other.message_type is not None)
                checked += 1
    assert checked > 35
