"""What a dropdown shows of checkpoints."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from catalogdb.metadata.model import Share


class CheckpointCatalogEntry(BaseModel):
    """A checkpoint as a dropdown shows it: the one place where unknown is ``unknown``, 0 or empty."""

    model_config = ConfigDict(frozen=True)

    checkpoint_path: Path
    config_path: Path | None = None
    display_name: str
    architecture: str
    backbone: str
    exp_name: str
    epochs: int = Field(ge=0)
    created_timestamp: str = ""
    hmean: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    monitor: str | None = None
    monitor_mode: str | None = None
    has_metadata: bool = False

    def to_display_option(self) -> str:
        """``dbnet · resnet50 · exp_name (ep10 • hmean 0.843 • prec 0.854 • rec 0.832 • 20251018_1432)``."""
        names = [self.architecture, self.backbone]
        if self.exp_name not in names:
            names.append(self.exp_name if len(self.exp_name) <= 23 else f"{self.exp_name[:20]}...")
        metrics = (("hmean", self.hmean), ("prec", self.precision), ("rec", self.recall))
        facts = [f"ep{self.epochs}", *(f"{name} {value:.3f}" for name, value in metrics if value is not None)]
        facts.append(self.created_timestamp)
        return f"{' · '.join(filter(None, names))} ({' • '.join(filter(None, facts))})"


class CheckpointCatalog(BaseModel):
    """The entries, sorted by architecture, backbone, epochs and file name, and how long it took to list them."""

    entries: list[CheckpointCatalogEntry] = Field(default_factory=list)
    total_count: int = Field(default=0, ge=0)
    metadata_available_count: int = Field(default=0, ge=0)
    catalog_build_time_seconds: float = Field(default=0.0, ge=0)
    outputs_dir: Path

    @property
    def metadata_coverage_percent(self) -> float:
        """How many of 100 entries have metadata, by a sidecar or W&B."""
        return 100.0 * self.metadata_available_count / self.total_count if self.total_count else 0.0
