"""Is the write of a file finished? Its structure says when it is; its age says when it never will be."""

from __future__ import annotations

from catalogdb.records import HeaderState, Stamp, State

SETTLE_SECONDS = 30.0


def state_of(header_state: HeaderState, stamp: Stamp, *, now: float) -> State:
    """The row's state: a file that ends too early is ``writing`` until it has been left alone for a while.

    ``now`` is in seconds since the epoch.
    """
    if header_state == "ready":
        return "ready"
    young = now - stamp.mtime_ns / 1e9 < SETTLE_SECONDS
    if young:
        return "writing"
    return "truncated" if header_state == "truncated" else "unreadable"
