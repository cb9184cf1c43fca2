"""The seed's client for Weights & Biases, over the catalog's run cache and its bounded questions."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as TimeIsUp
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from catalogdb.errors import CatalogError, MetadataError
from catalogdb.metadata import CheckpointMetadataV1
from catalogdb.records import CachedRun, RunRef
from catalogdb.resolve.wandb import (
    Access,
    ApiError,
    Client,
    RunLookup,
    ask_beside,
    default_entity,
    find_access,
    parse_run,
    sdk,
)
from catalogdb.run_metadata import find_metadata
from catalogdb.runs import open_runs
from catalogdb.settings import Settings, load_settings
from catalogdb.store import Store

PAUSE = 60.0
"""Seconds in which nothing is asked after W&B's server failed; what is cached still serves."""

QUESTION_SHARE = 0.8
"""Of the timeout: what one question may take, so that why it failed is told within it."""

ANYWHERE = "/"
"""Run folders that belong to no checkpoint lie in the working directory, or in ``WANDB_DIR``."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class WandbClient:
    """What W&B knows of a run. Nothing is opened, imported or asked before it is needed.

    Available with an API key and the package ``wandb``; everything else gives None then, and never raises for what
    W&B, the network or a file does. No call takes longer than the setting ``wandb_timeout``. Answers are kept in the
    catalog that the settings name, where scans find them. A run is ``entity/project/id``, or an id that the settings,
    W&B's own, or a cached run complete. May be used from several threads.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._given = settings
        self._store: Store | None = None
        self._api: Any = None
        self._quiet_until = 0.0
        self._opening = threading.Lock()

    @property
    def is_available(self) -> bool:
        """Whether there are a key and the package; why not is logged (DEBUG)."""
        if not sdk.is_installed():
            _log.debug("W&B is not available: the package wandb isn't installed")
            return False
        if self._access().key is None:
            _log.debug("W&B is not available: no API key (WANDB_API_KEY, or wandb login)")
            return False
        return True

    @property
    def api(self) -> Any:
        """The SDK's ``wandb.Api``, made when first asked for; None offline, too, or where the server can't be asked.

        What is done with it takes as long as the SDK takes.
        """
        if self._api is None and self._may_ask():
            self._in_time("wandb.Api", self._open_api)
        return self._api

    def get_run_config(self, run_id: str) -> dict[str, Any] | None:
        """A run's config, without W&B's own part."""
        run = self._in_time(run_id, partial(self._find_run, run_id)) if self.is_available else None
        return None if run is None else {name: value for name, value in run.config.items() if name != "_wandb"}

    def get_run_summary(self, run_id: str) -> dict[str, Any] | None:
        """The values that a run logged last, ``_step`` and the like among them."""
        run = self._in_time(run_id, partial(self._find_run, run_id)) if self.is_available else None
        return None if run is None else dict(run.summary)

    def get_metadata_from_wandb(
        self, run_id: str, checkpoint_path: str | os.PathLike[str]
    ) -> CheckpointMetadataV1 | None:
        """The metadata of a checkpoint by its run: what was logged at its own step, and the run's config.

        Of a file that isn't there the run's last state is told, unless its name says another epoch or step. None where
        it can't be said of which epoch and step the file is.
        """
        if not self.is_available:
            return None
        path = str(Path(checkpoint_path).absolute())
        return self._in_time(run_id, partial(self._find_metadata, run_id, path))

    def clear_cache(self) -> None:
        """Forgets all cached runs, on disk as well: they are asked for again."""
        self._quiet_until = 0.0
        gone = self._in_time("the run cache", lambda: self._opened().run_cache().clear())
        if gone is not None:
            _log.info("W&B's cached runs are forgotten: %d", gone)

    def close(self) -> None:
        """Lets go of the catalog; it's opened again when it is needed."""
        with self._opening:
            store, self._store = self._store, None
        if store is not None:
            store.close()

    @property
    def _settings(self) -> Settings:
        if self._given is None:
            self._given = load_settings()
        return self._given

    def _access(self) -> Access:
        access = find_access(self._settings.wandb_base_url)
        entity, project = self._settings.wandb_entity, self._settings.wandb_project
        return replace(access, entity=entity or access.entity, project=project or access.project)

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None:
                self._store = Store.open(self._settings.url)
            return self._store

    def _may_ask(self) -> bool:
        if self._settings.wandb_offline:
            _log.debug("W&B is not asked: offline")
            return False
        return self.is_available and time.monotonic() >= self._quiet_until

    def _open_api(self) -> Any:
        """The bounded client goes first: where the server is down, the SDK would block for 19 s."""
        client = Client(self._access(), timeout=QUESTION_SHARE * self._settings.wandb_timeout, retries=0)
        try:
            default_entity(client)
            self._api = sdk.open_api(self._access(), timeout=self._settings.wandb_timeout)
        except ApiError as error:
            _log.warning("%s %s", client.name, error.reason)
            if client.down is not None:
                self._be_quiet()
        finally:
            client.close()
        return self._api

    def _find_run(self, run_id: str) -> CachedRun | None:
        return self._with_lookup(run_id, lambda ref, lookup: lookup.find_run(ref, ANYWHERE))

    def _find_metadata(self, run_id: str, path: str) -> CheckpointMetadataV1 | None:
        limits = self._settings.limits
        found = self._with_lookup(run_id, lambda ref, lookup: find_metadata(lookup, ref, path, limits))
        if found is not None:
            _log.info("%s: metadata from W&B's run %s", path, found.wandb_run_id)
        return found

    def _with_lookup(self, run_id: str, find: Callable[[RunRef, RunLookup], T | None]) -> T | None:
        ref = parse_run(run_id, "config")
        if ref is None:
            _log.warning("%r names no W&B run", run_id)
            return None
        seconds = QUESTION_SHARE * self._settings.wandb_timeout
        settings = replace(self._settings, wandb_timeout=seconds, offline=not self._may_ask())
        with open_runs(self._opened(), settings) as runs:
            found = find(ref, runs.lookup)
            problems = runs.lookup.problems()
            if runs.lookup.is_down:
                self._be_quiet()
        for problem in problems:
            _log.warning("%s: %s", problem.path, problem.reason)
        if found is None and not problems:
            level = logging.DEBUG if settings.offline else logging.WARNING
            _log.log(level, "%s: no such run of W&B's is known", run_id)
        return found

    def _in_time(self, what: str, call: Callable[[], T | None]) -> T | None:
        """The call's result. One that outlives the timeout ends by itself, and its answer serves the next one."""
        seconds = self._settings.wandb_timeout
        try:
            return ask_beside(call, "catalogdb-wandb-client").result(seconds)
        except TimeIsUp:
            self._be_quiet()
            _log.warning("%s: W&B did not answer within %g s", what, seconds)
        except MetadataError as error:
            _log.warning("%s: no metadata from W&B: %s", what, error)
        except CatalogError as error:
            _log.warning("%s: W&B's cached runs can't be used: %s", what, error)
        return None

    def _be_quiet(self) -> None:
        self._quiet_until = time.monotonic() + PAUSE


_CLIENT = WandbClient()


def get_wandb_client() -> WandbClient:
    """The one client of this process, by the settings that hold when it is first used."""
    return _CLIENT
