"""What reading a checkpoint may take, for whoever runs a scan to set. What nothing real comes near stands by its code.

Each holds before the memory or the time is spent. With the defaults neither a file nor a folder takes more than two
seconds of CPU, or more than 250 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MEGABYTE = 1024 * 1024


def _bound(default: float, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True, slots=True)
class Limits:
    """Whole numbers from 1 on, and seconds of processor time."""

    pickle_bytes: int = _bound(64 * MEGABYTE, "Bytes of a pickle, inflated where it is compressed.")
    pickle_opcodes: int = _bound(1_500_000, "Opcodes of a pickle; a tensor counts for about ten.")
    pickle_rare_opcodes: int = _bound(500_000, "Of these, persistent ids and opcodes that are rare in checkpoints.")
    pickle_depth: int = _bound(4_000, "Marks of a pickle that are open at once: what is nested in what.")
    pickle_memo_index: int = _bound(2**20 - 1, "The highest index of a pickle's memo.")
    pickle_containers: int = _bound(1_500_000, "Lists, dicts and tuples of a pickle, and items that its calls copy.")
    pickle_text: int = _bound(32 * MEGABYTE, "Bytes of all texts of a pickle; four for each that isn't ASCII.")
    pickle_string: int = _bound(16 * MEGABYTE, "Bytes of one text or bytes object of a pickle.")
    pickle_integer: int = _bound(1024, "Bytes of one integer of a pickle, and digits where it is written in digits.")
    tensors: int = _bound(100_000, "Tensors of a checkpoint.")
    zip_entries: int = _bound(200_000, "Entries of a zip's central directory.")
    zip_directory_bytes: int = _bound(64 * MEGABYTE, "Bytes of a zip's central directory.")
    inflated_bytes: int = _bound(64 * MEGABYTE, "Bytes that one compressed entry of a zip may inflate to.")
    tar_members: int = _bound(20_000, "Members of a tar.")
    safetensors_header: int = _bound(100_000_000, "Bytes of the header of a safetensors file.")
    index_bytes: int = _bound(64 * MEGABYTE, "Bytes of the index of a sharded model.")
    file_seconds: float = _bound(2.0, "Seconds of processor time for a pickle.")
    folder_seconds: float = _bound(1.0, "The same for the files of a folder, or of an index, together.")


DEFAULT = Limits()
