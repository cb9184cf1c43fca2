"""Weights & Biases, the second tier: what a run knows of a checkpoint, at that checkpoint's own step."""

from __future__ import annotations

from catalogdb.resolve.wandb.client import Client
from catalogdb.resolve.wandb.credentials import PUBLIC, Access, find_access
from catalogdb.resolve.wandb.fetching import Fetcher, RunCache
from catalogdb.resolve.wandb.lookup import RunAnswer, RunDefaults, RunLookup
from catalogdb.resolve.wandb.reference import RunQuestions, parse_run
from catalogdb.resolve.wandb.run_folders import RunFolders

__all__ = [
    "PUBLIC",
    "Access",
    "Client",
    "Fetcher",
    "RunAnswer",
    "RunCache",
    "RunDefaults",
    "RunFolders",
    "RunLookup",
    "RunQuestions",
    "find_access",
    "parse_run",
]
