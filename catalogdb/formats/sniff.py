"""What a file is, told from its first bytes. The name has no say: ``model_best.pth.tar`` is a torch zip."""

from __future__ import annotations

from typing import Literal

from catalogdb.formats.tar_directory import BLOCK, is_tar

Kind = Literal["zip", "safetensors", "torch_legacy", "pickle", "tar", "index"]

HEAD = BLOCK
"""How many of the first bytes ``sniff`` looks at: a tar header is one block of 512."""

ZIP_LOCAL_HEADER = b"PK\x03\x04"

LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""torch.save before 1.6 pickles this number first (``torch/serialization.py``: MAGIC_NUMBER)."""

_PROTO = 0x80
_OLD_PICKLES = (b"(dp", b"}q", b"ccollections\n", b"ccopy_reg\n_reconstructor\n", b"ccopyreg\n_reconstructor\n")
"""How a dict begins in protocols 0 and 1, which have no opcode of their own."""
_LONG1 = b"\x8a\x0a"
_FRAME = 0x95
_PRINTABLE = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


def sniff(head: bytes) -> Kind | None:
    """The kind of file that begins with ``head``, or None for unknown bytes."""
    if head[:4] == ZIP_LOCAL_HEADER or (head and head == ZIP_LOCAL_HEADER[: len(head)]):
        return "zip"
    if len(head) > 2 and head[0] == _PROTO and 2 <= head[1] <= 5:
        return "torch_legacy" if _has_legacy_magic(head) else "pickle"
    if is_tar(head):
        return "tar"
    if head.startswith(_OLD_PICKLES):
        return "pickle"
    if head[:1] == b"{" and head.isascii() and (b'"weight_map"' in head or b'"total_size"' in head):
        return "index"
    if len(head) > 8 and head[8] == 0x7B and not _PRINTABLE.issuperset(head[:8]):
        return "safetensors"
    return None


def _has_legacy_magic(head: bytes) -> bool:
    start = 11 if head[2] == _FRAME else 2  # protocols 4 and 5 put FRAME and 8 bytes of length in between
    return head[start : start + 12] == _LONG1 + LEGACY_MAGIC
