"""How frameworks lay out their runs: which files belong to a checkpoint, and where it stands among them."""

from __future__ import annotations

from catalogdb.layouts.base import (
    Dependency,
    Guide,
    Layout,
    Listing,
    Monitor,
    Position,
    Seen,
)
from catalogdb.layouts.lightning import trained_epoch
from catalogdb.layouts.names import Claim
from catalogdb.layouts.registry import BUILT_IN, ENTRY_POINT, all_marks, layout_of, layouts, layouts_with
from catalogdb.run_folders import CHECKPOINT_FOLDERS

__all__ = [
    "BUILT_IN",
    "CHECKPOINT_FOLDERS",
    "ENTRY_POINT",
    "Claim",
    "Dependency",
    "Guide",
    "Layout",
    "Listing",
    "Monitor",
    "Position",
    "Seen",
    "all_marks",
    "layout_of",
    "layouts",
    "layouts_with",
    "trained_epoch",
]
