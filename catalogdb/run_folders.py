"""Which folder is a run's, by the names of folders alone."""

from __future__ import annotations

CHECKPOINT_FOLDERS = frozenset({"checkpoints", "checkpoint", "ckpts", "ckpt", "weights"})
"""Names of folders that hold the checkpoints of one run."""


def run_folder(path: str, root: str) -> str:
    """The folder of the run that left the checkpoint at ``path``: the one that holds ``checkpoints``, else the
    checkpoint's own. Both are absolute; above ``root`` no name counts, but it may be called so itself.

    A name such as ``{epoch}-{val/loss}`` makes one more folder below ``checkpoints``.
    """
    own = path.rpartition("/")[0]
    folder = own
    while folder.startswith(root) and folder:
        above, _, name = folder.rpartition("/")
        if name.lower() in CHECKPOINT_FOLDERS:
            return above or "/"
        folder = above
    return own or "/"
