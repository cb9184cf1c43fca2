"""What tells one state of a checkpoint's files from another."""

from __future__ import annotations

from hashlib import blake2b

from catalogdb.records import Candidate


def fingerprint(candidate: Candidate) -> int:
    """A signed 64-bit digest of the (size, mtime_ns, inode) of everything the row depends on, a folder's files as well.

    Equal digests mean that nothing has to be read again. Devices are left out: their numbers change with a remount.
    """
    size, mtime_ns, inode, _ = candidate.stamp
    text = f"{size} {mtime_ns} {inode} {candidate.link_target or ''}"
    if candidate.parts:
        text += f"\0{candidate.parts}"
    for role, path, (size, mtime_ns, inode, _) in candidate.sources:
        text += f"\0{role}{path}\0{size} {mtime_ns} {inode}"
    digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
