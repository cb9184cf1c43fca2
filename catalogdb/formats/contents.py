"""From a container's pickle to the header: what its framework wrote, its scalars, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogdb.formats.container import Container
from catalogdb.formats.frameworks import STATE_DICT_KEYS, Facts, read_facts
from catalogdb.formats.other_contents import why_no_checkpoint
from catalogdb.formats.plain import as_mapping, as_plain, top_scalars
from catalogdb.formats.tensors import Tensor
from catalogdb.formats.training_arguments import read_arguments
from catalogdb.formats.weights import find_state_dict, weigh
from catalogdb.records import EMBEDDED_KEY, CheckpointHeader

_NO_FACTS = Facts()


def read_contents(container: Container) -> CheckpointHeader:
    """The header of an open container; ``foreign`` where what it holds is no checkpoint by itself. Raises CutShort,
    Refused, Foreign and OSError."""
    checkpoint = container.read_checkpoint()
    mapping = as_mapping(checkpoint)
    facts = _of_object(checkpoint) if mapping is None else read_facts(mapping, container.number)
    tensors = find_state_dict(checkpoint, facts.weights_at, container.limits)
    stored = None if tensors is None else container.stored(tensors)
    weighed = None if tensors is None or stored is None else weigh(tensors, stored.checksums)
    all_bytes = container.storage_bytes() or None
    other = why_no_checkpoint(checkpoint, facts) if tensors is None else None
    return CheckpointHeader(
        format=container.format,
        state="ready" if other is None else "foreign",
        reason=other,
        framework=facts.framework,
        framework_version=facts.version,
        progress=facts.progress,
        epoch=facts.epoch,
        global_step=facts.global_step,
        monitors=facts.monitors,
        hyper_parameters=facts.hyper_parameters or {},
        metrics=facts.metrics or {},
        scalars={} if mapping is None else top_scalars(mapping, container.number),
        tensors=() if weighed is None else weighed.tensors,
        checksums=() if stored is None else stored.checksums,
        storages=() if tensors is None else tuple([tensor[4] for tensor in tensors.values()]),
        weights=None if weighed is None else weighed.weights,
        weights_prefix=None if weighed is None else weighed.prefix,
        weights_bytes=None if all_bytes is None else 0 if stored is None else stored.size,
        storage_bytes=all_bytes,
        embedded=None if mapping is None or EMBEDDED_KEY not in mapping else as_plain(mapping[EMBEDDED_KEY]),
        bytes_read=container.bytes_read,
    )


def _of_object(checkpoint: object) -> Facts:
    arguments = read_arguments(checkpoint)
    return Facts("transformers", hyper_parameters=arguments) if arguments else _NO_FACTS


def read_weights(container: Container) -> dict[str, Tensor] | None:
    """The weights alone, as ``read_contents`` finds them."""
    checkpoint = container.read_checkpoint()
    mapping: Mapping[Any, Any] | None = as_mapping(checkpoint)
    places = STATE_DICT_KEYS if mapping is None else read_facts(mapping, container.number).weights_at
    return find_state_dict(checkpoint, places, container.limits)
