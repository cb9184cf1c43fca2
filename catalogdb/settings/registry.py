"""All that can be set."""

from __future__ import annotations

from dataclasses import dataclass, fields

from catalogdb.limits import DEFAULT, Limits
from catalogdb.records import CHECKPOINT_SUFFIXES
from catalogdb.settings.values import (
    LOG_LEVELS,
    Reader,
    read_bound,
    read_count,
    read_flag,
    read_host,
    read_level,
    read_lifetime,
    read_mode,
    read_path,
    read_roots,
    read_suffixes,
    read_text,
    read_timeout,
    read_url,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. Paths are absolute, times are seconds, unset texts are None."""

    url: str
    roots: tuple[str, ...] = ()
    offline: bool = False
    log: str = "warning"
    suffixes: tuple[str, ...] = CHECKPOINT_SUFFIXES
    watch_reconcile: float = 300.0
    watch_poll: float = 5.0
    wandb_timeout: float = 10.0
    wandb_retry_count: int = 2
    wandb_cache_ttl: float = 3600.0
    wandb_project_filter: str | None = None
    wandb_entity: str | None = None
    wandb_project: str | None = None
    wandb_base_url: str | None = None
    wandb_mode: str = "online"
    wandb_dir: str | None = None
    limits: Limits = DEFAULT

    @property
    def wandb_offline(self) -> bool:
        """Whether Weights & Biases may not be asked over the network."""
        return self.offline or self.wandb_mode in {"offline", "disabled", "dryrun"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of the registry that the loader, the documentation and the tests share.

    ``name`` is the key in a file; ``variables`` are the environment's, the first one wins; ``flag`` is the option of
    the command line, where there is one. ``personal`` ones no project's file may set: a cloned project isn't its user.
    """

    name: str
    read: Reader
    variables: tuple[str, ...]
    description: str
    flag: str | None = None
    personal: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("url", read_url, ("CATALOGDB_URL",), "The catalog: a SQLite file, or sqlite:///PATH.", "--db"),
    Setting(
        "roots",
        read_roots,
        ("CATALOGDB_ROOTS",),
        "The folders to scan or watch when none is named; a list in a file, "
        "in the environment with `:` between them (on Windows `;`).",
    ),
    Setting("offline", read_flag, ("CATALOGDB_OFFLINE",), "Ask nothing over the network.", "--offline"),
    Setting("log", read_level, ("CATALOGDB_LOG",), f"What to log: {', '.join(LOG_LEVELS)}.", "-v, -q"),
    Setting(
        "suffixes",
        read_suffixes,
        ("CATALOGDB_SUFFIXES",),
        "What the name of a checkpoint ends with; a list in a file, in the environment with commas between.",
    ),
    Setting(
        "watch_reconcile",
        read_timeout,
        ("CATALOGDB_WATCH_RECONCILE",),
        "Seconds between two looks of a watcher at everything, events or not.",
    ),
    Setting(
        "watch_poll",
        read_timeout,
        ("CATALOGDB_WATCH_POLL",),
        "The same for roots that give no events; as seldom as it must be.",
    ),
    Setting("wandb_timeout", read_timeout, ("CATALOGDB_WANDB_TIMEOUT",), "Seconds to wait for W&B's answers."),
    Setting("wandb_retry_count", read_count, ("CATALOGDB_WANDB_RETRY_COUNT",), "How often to ask W&B again."),
    Setting("wandb_cache_ttl", read_lifetime, ("CATALOGDB_WANDB_CACHE_TTL",), "Seconds a running run stays cached."),
    Setting(
        "wandb_project_filter",
        read_text,
        ("CATALOGDB_WANDB_PROJECT_FILTER",),
        "The only W&B project to ask: PROJECT or ENTITY/PROJECT.",
    ),
    Setting("wandb_entity", read_text, ("CATALOGDB_WANDB_ENTITY", "WANDB_ENTITY"), "The entity of bare run ids."),
    Setting("wandb_project", read_text, ("CATALOGDB_WANDB_PROJECT", "WANDB_PROJECT"), "The project of bare run ids."),
    Setting(
        "wandb_base_url",
        read_host,
        ("WANDB_BASE_URL",),
        "The W&B server, where it isn't the public one; not in a project's file, since the API key is sent there.",
        personal=True,
    ),
    Setting("wandb_mode", read_mode, ("WANDB_MODE",), "W&B's own mode; offline and disabled ask W&B nothing."),
    Setting("wandb_dir", read_path, ("WANDB_DIR",), "The folder that W&B writes its runs into."),
    *(
        Setting(
            f"limits_{limit.name}",
            read_timeout if limit.name.endswith("_seconds") else read_bound,
            (f"CATALOGDB_LIMITS_{limit.name.upper()}",),
            f"{limit.metadata['description']} By default {limit.default:_}.",
            personal=True,
        )
        for limit in fields(Limits)
    ),
)
