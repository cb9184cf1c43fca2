"""The bounds that whoever runs a scan may want otherwise. Those that nothing real comes near stand beside their code.

They hold before the memory or the time is spent. With the defaults no file takes more than a second, no folder more
than two, and neither more than 250 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """``pickle_*`` are of one pickle: its bytes, its opcodes, its text and bytes in all, its nested marks.

    ``seconds`` of CPU are for all files of one folder, or of one index, together.
    """

    pickle_bytes: int = 64 * MEGABYTE
    pickle_opcodes: int = 1_500_000
    pickle_text: int = 32 * MEGABYTE
    pickle_depth: int = 4_000
    tensors: int = 100_000
    zip_entries: int = 200_000
    zip_directory_bytes: int = 64 * MEGABYTE
    tar_members: int = 20_000
    safetensors_header: int = 100_000_000
    index_bytes: int = 64 * MEGABYTE
    seconds: float = 1.0


DEFAULT = Limits()
