"""The tables, as SQLAlchemy knows them. The migrations make the schema; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _of_checkpoint() -> Column[int]:
    return Column("checkpoint_id", Integer, ForeignKey("checkpoints.id", ondelete="CASCADE"), nullable=False)


roots = Table(
    "roots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    Column("scanned_at", Text),
    Column("problems", Text),
    UniqueConstraint("path"),
)

param_sets = Table(
    "param_sets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    UniqueConstraint("digest"),
)

provenance_sets = Table(
    "provenance_sets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("origins", Text, nullable=False),
    UniqueConstraint("digest"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root_id", Integer, ForeignKey("roots.id", ondelete="CASCADE"), nullable=False),
    Column("rel_path", Text, nullable=False),
    Column("device", Integer, nullable=False),
    Column("inode", Integer, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("fingerprint", Integer, nullable=False),
    Column("recheck", Integer, nullable=False),
    Column("link_target", Text),
    Column("format", Text),
    Column("state", Text, nullable=False),
    Column("source", Text),
    Column("stale", Integer, nullable=False),
    Column("exp_name", Text),
    Column("architecture", Text),
    Column("backbone", Text),
    Column("decoder", Text),
    Column("head", Text),
    Column("loss", Text),
    Column("epoch", Integer),
    Column("global_step", Integer),
    Column("max_epochs", Integer),
    Column("training_phase", Text),
    Column("monitor", Text),
    Column("monitor_mode", Text),
    Column("created_at", Text),
    Column("config_path", Text),
    Column("wandb_run_id", Text),
    Column("precision", Float),
    Column("recall", Float),
    Column("hmean", Float),
    Column("validation_loss", Float),
    Column("num_parameters", Integer),
    Column("num_tensors", Integer),
    Column("dtypes", Text),
    Column("weights_fingerprint", Text),
    Column("param_set_id", Integer, ForeignKey("param_sets.id")),
    Column("provenance_set_id", Integer, ForeignKey("provenance_sets.id")),
    Column("problems", Text),
    Column("resolved_at", Text, nullable=False),
    Column("claims", Text),
    Column("stated_epoch", Float),
    Column("recheck_at", Text),
    UniqueConstraint("root_id", "rel_path"),
    Index("ix_checkpoints_inode", "inode"),
    Index("ix_checkpoints_exp_name", "exp_name"),
    Index("ix_checkpoints_architecture", "architecture"),
    Index("ix_checkpoints_monitor", "monitor", "monitor_mode"),
    Index("ix_checkpoints_param_set_id", "param_set_id"),
    Index("ix_checkpoints_link_target", "link_target", sqlite_where=text("link_target IS NOT NULL")),
    Index("ix_checkpoints_not_ready", "state", sqlite_where=text("state <> 'ready'")),
    sqlite_autoincrement=True,
)

origins = Table(
    "origins",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("scope", Text, nullable=False),
    UniqueConstraint("tier", "role", "path", "key", "scope"),
)

metric_names = Table(
    "metric_names",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    UniqueConstraint("name"),
)

metrics = Table(
    "metrics",
    metadata,
    _of_checkpoint(),
    Column("name_id", Integer, ForeignKey("metric_names.id"), nullable=False),
    Column("value", Float),
    Column("origin_id", Integer, ForeignKey("origins.id"), nullable=False),
    Column("live", Integer, nullable=False),
    Column("architecture", Text),
    PrimaryKeyConstraint("checkpoint_id", "name_id"),
    Index("ix_metrics_by_value", "name_id", "live", "value"),
    Index("ix_metrics_by_architecture", "name_id", "live", "architecture", "value"),
    sqlite_with_rowid=False,
)

param_groups = Table(
    "param_groups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    UniqueConstraint("digest"),
)

param_set_groups = Table(
    "param_set_groups",
    metadata,
    Column("param_set_id", Integer, ForeignKey("param_sets.id", ondelete="CASCADE"), nullable=False),
    Column("param_group_id", Integer, ForeignKey("param_groups.id"), nullable=False),
    PrimaryKeyConstraint("param_set_id", "param_group_id"),
    Index("ix_param_set_groups_param_group_id", "param_group_id"),
    sqlite_with_rowid=False,
)

params = Table(
    "params",
    metadata,
    Column("param_group_id", Integer, ForeignKey("param_groups.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("value", LargeBinary),
    Column("origin_id", Integer, ForeignKey("origins.id"), nullable=False),
    PrimaryKeyConstraint("param_group_id", "name"),
    Index("ix_params_by_value", "name", "value"),
    sqlite_with_rowid=False,
)

sources = Table(
    "sources",
    metadata,
    _of_checkpoint(),
    Column("role", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("inode", Integer, nullable=False),
    PrimaryKeyConstraint("checkpoint_id", "role", "path"),
    Index("ix_sources_path", "path", sqlite_where=text("role <> 'sidecar'")),
    sqlite_with_rowid=False,
)

foreign_files = Table(
    "foreign_files",
    metadata,
    Column("root_id", Integer, ForeignKey("roots.id", ondelete="CASCADE"), nullable=False),
    Column("rel_path", Text, nullable=False),
    Column("fingerprint", Integer, nullable=False),
    Column("reason", Text),
    PrimaryKeyConstraint("root_id", "rel_path"),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    _of_checkpoint(),
    Column("key", Text, nullable=False),
    Column("value", Text),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("checkpoint_id", "key"),
    Index("ix_tags_key", "key", "value"),
    sqlite_with_rowid=False,
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", Text, nullable=False),
    _of_checkpoint(),
    Column("created_at", Text, nullable=False),
    PrimaryKeyConstraint("name"),
    Index("ix_aliases_checkpoint_id", "checkpoint_id"),
    sqlite_with_rowid=False,
)

notes = Table(
    "notes",
    metadata,
    Column("checkpoint_id", Integer, ForeignKey("checkpoints.id", ondelete="CASCADE"), primary_key=True),
    Column("text", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
)

wandb_runs = Table(
    "wandb_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("base_url", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("found", Integer, nullable=False),
    Column("forbidden", Integer, nullable=False),
    Column("state", Text),
    Column("config", Text),
    Column("summary", Text),
    Column("attributes", Text),
    Column("fetched_at", Text, nullable=False),
    Column("expires_at", Text),
    UniqueConstraint("base_url", "entity", "project", "run_id"),
    Index("ix_wandb_runs_run_id", "run_id"),
)

wandb_history = Table(
    "wandb_history",
    metadata,
    Column("wandb_run_id", Integer, ForeignKey("wandb_runs.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("at", Integer, nullable=False),
    Column("rows", Text, nullable=False),
    PrimaryKeyConstraint("wandb_run_id", "key", "at"),
    sqlite_with_rowid=False,
)

wandb_files = Table(
    "wandb_files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("size_bytes", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("inode", Integer, nullable=False),
    Column("device", Integer, nullable=False),
    Column("read_to", Integer, nullable=False),
    Column("content", Text, nullable=False),
)

wandb_claims = Table(
    "wandb_claims",
    metadata,
    Column("base_url", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("base_url", "entity", "project", "run_id"),
    sqlite_with_rowid=False,
)

wandb_use = Table(
    "wandb_use",
    metadata,
    Column("base_url", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("misses", Integer, nullable=False),
    PrimaryKeyConstraint("base_url", "entity", "project"),
    sqlite_with_rowid=False,
)

watchers = Table(
    "watchers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("roots", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("heartbeat_at", Text, nullable=False),
    Column("status", Text),
    Column("pid_namespace", Text),
    Column("queue", Integer),
    Column("events", Integer),
    Column("events_per_second", Float),
    Column("last_event_at", Text),
    Column("reconciled_at", Text),
    Column("polled", Text),
    Column("problems", Text),
    UniqueConstraint("host", "pid", "pid_namespace"),
)
