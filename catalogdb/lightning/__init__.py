"""For training code: a Lightning callback that writes what is true of a checkpoint into it, and beside it.

``callback`` is what Lightning calls, ``record`` and ``model`` say what is true at that moment, ``files`` follows the
files that the trainer writes and deletes. Needs ``lightning`` or ``pytorch_lightning``: ``catalogdb[lightning]``.
"""

from __future__ import annotations

from catalogdb.lightning.callback import MetadataCallback

__all__ = ["MetadataCallback"]
