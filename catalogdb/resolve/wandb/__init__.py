"""Weights & Biases, the second tier: what a run knows of a checkpoint, at that checkpoint's own step."""

from __future__ import annotations

from catalogdb.resolve.wandb.api import default_entity
from catalogdb.resolve.wandb.beside import ask_beside
from catalogdb.resolve.wandb.client import ApiError, Client
from catalogdb.resolve.wandb.credentials import PUBLIC, Access, find_access
from catalogdb.resolve.wandb.fetching import ENDED, Fetcher, RunCache
from catalogdb.resolve.wandb.lookup import RunAnswer, RunAnswers, RunDefaults, RunLookup
from catalogdb.resolve.wandb.metrics import as_step, numbers_of
from catalogdb.resolve.wandb.reference import IN_HYPER_PARAMETERS, RunQuestions, parse_run, question_about
from catalogdb.resolve.wandb.run_file import AXIS
from catalogdb.resolve.wandb.run_folders import RunFolders

__all__ = [
    "AXIS",
    "ENDED",
    "IN_HYPER_PARAMETERS",
    "PUBLIC",
    "Access",
    "ApiError",
    "Client",
    "Fetcher",
    "RunAnswer",
    "RunAnswers",
    "RunCache",
    "RunDefaults",
    "RunFolders",
    "RunLookup",
    "RunQuestions",
    "as_step",
    "ask_beside",
    "default_entity",
    "find_access",
    "numbers_of",
    "parse_run",
    "question_about",
]
