"""What a file is, told from its first bytes. The name has no say: ``model_best.pth.tar`` is a torch zip."""

from __future__ import annotations

from typing import Literal

Kind = Literal["zip", "safetensors", "torch_legacy", "pickle", "tar"]

HEAD = 512
"""How many of the first bytes ``sniff`` looks at: a tar header is one block of 512."""

ZIP_LOCAL_HEADER = b"PK\x03\x04"

LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""torch.save before 1.6 pickles this number first (``torch/serialization.py``: MAGIC_NUMBER)."""

_PROTO = 0x80
_LONG1 = b"\x8a\x0a"
_FRAME = 0x95
_PRINTABLE = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


def sniff(head: bytes) -> Kind | None:
    """The kind of file that begins with ``head``, or None for unknown bytes."""
    if head[:4] == ZIP_LOCAL_HEADER or (head and head == ZIP_LOCAL_HEADER[: len(head)]):
        return "zip"
    if len(head) > 2 and head[0] == _PROTO and 2 <= head[1] <= 5:
        return "torch_legacy" if _has_legacy_magic(head) else "pickle"
    if _is_tar(head):
        return "tar"
    if len(head) > 8 and head[8] == 0x7B and not _PRINTABLE.issuperset(head[:8]):
        return "safetensors"
    return None


def _has_legacy_magic(head: bytes) -> bool:
    start = 11 if head[2] == _FRAME else 2  # protocols 4 and 5 put FRAME and 8 bytes of length in between
    return head[start : start + 12] == _LONG1 + LEGACY_MAGIC


def _is_tar(head: bytes) -> bool:
    """POSIX.1 ustar and before: bytes 148 to 155 hold, in octal, the sum of the block with those bytes as blanks."""
    if len(head) < 512 or head[0] == 0:
        return False
    text = head[148:156].strip(b" \x00")
    if not text or not text.isdigit() or b"8" in text or b"9" in text:
        return False
    return int(text, 8) == sum(head[:148]) + sum(head[156:512]) + 8 * 0x20
