"""From a candidate to what is known about it: sidecar, then W&B, then inference."""

from __future__ import annotations

from catalogdb.resolve.base import Hints, Resolver
from catalogdb.resolve.chain import Answer, ResolverChain, complete, merge
from catalogdb.resolve.embedded import EmbeddedResolver
from catalogdb.resolve.inference import InferenceResolver
from catalogdb.resolve.sidecar import SidecarResolver

__all__ = [
    "Answer",
    "EmbeddedResolver",
    "Hints",
    "InferenceResolver",
    "Resolver",
    "ResolverChain",
    "SidecarResolver",
    "complete",
    "merge",
]
