"""Values with their origins, and how many checkpoints share them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

from catalogdb.records.terms import OriginRole, Scope, Tier


class Origin(NamedTuple):
    """Where a value comes from.

    ``path`` is relative to the checkpoint's folder for a file beside it, the run for W&B, and empty where the
    checkpoint's own name says which file it is (embedded, header, name, its own sidecar); ``key`` is the place inside.
    """

    tier: Tier
    role: OriginRole
    path: str
    key: str
    scope: Scope

    def describe(self, file_name: str, sidecar_name: str) -> dict[str, str]:
        """As users see it: ``{"tier", "source", "scope", "key"}``."""
        named = {"embedded": file_name, "header": file_name, "name": file_name, "sidecar": sidecar_name}
        source = self.path or named.get(self.role, "")
        return {"tier": self.tier, "source": source, "scope": self.scope, "key": self.key}


class Value(NamedTuple):
    """A value with its origin."""

    value: Any
    origin: Origin


class Shape:
    """The names of some values, and where each of them comes from: what many checkpoints have in common.

    Shapes are told apart by identity, which costs nothing; two that are equal may be one or not.
    """

    def __init__(self, names: tuple[str, ...], origins: tuple[Origin, ...]) -> None:
        self.names = names
        self.origins = origins
        self.places = {name: place for place, name in enumerate(names)}

    @cached_property
    def in_order(self) -> list[int]:
        """The places by name."""
        return [self.places[name] for name in sorted(self.names)]

    @cached_property
    def digest(self) -> bytes:
        """Equal for equal names and origins, in whatever order."""
        content = [(self.names[place], *self.origins[place]) for place in self.in_order]
        return blake2b(ascii(content).encode("ascii"), digest_size=16).digest()


class Values(Mapping[str, Value]):
    """Values by name, as a shape and what fills it."""

    __slots__ = ("content", "shape")

    def __init__(self, shape: Shape, content: tuple[Any, ...]) -> None:
        self.shape = shape
        self.content = content

    @classmethod
    def of(cls, known: Mapping[str, Value]) -> Values:
        """The same values. Those with the same names and the very same origins get one shape."""
        if isinstance(known, Values):
            return known
        names = tuple(known)
        origins = [value[1] for value in known.values()]
        key = names, tuple(map(id, origins))
        shape = _shapes.get(key)
        if shape is None:
            if len(_shapes) >= MAX_SHAPES:
                _shapes.clear()
            shape = _shapes[key] = Shape(names, tuple(origins))
        return cls(shape, tuple([value[0] for value in known.values()]))

    def __getitem__(self, name: str) -> Value:
        place = self.shape.places[name]
        return Value(self.content[place], self.shape.origins[place])

    def __contains__(self, name: object) -> bool:
        return name in self.shape.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.shape.names)

    def items(self) -> ItemsView[str, Value]:
        values = map(Value._make, zip(self.content, self.shape.origins, strict=True))
        return dict(zip(self.shape.names, values, strict=True)).items()

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"Values({dict(self)!r})"


MAX_SHAPES = 4096


_shapes: dict[tuple[tuple[str, ...], tuple[int, ...]], Shape] = {}
"""Shapes by names and identities of origins, which they keep alive."""


class ParamGroup:
    """Parameters that belong together, a section of a config say, by dotted name. Equal digests are stored once.

    A group that many checkpoints share is one object, so that it costs each of them next to nothing: groups are told
    apart by identity, and the digest is made when first needed.
    """

    __slots__ = ("_digest", "values")

    def __init__(self, params: Mapping[str, Value], digest: str | None = None) -> None:
        self.values = Values.of(params)
        self._digest = digest

    @property
    def digest(self) -> str:
        """Equal for equal names, values with their types, and origins, in whatever order."""
        if self._digest is None:
            shape = self.values.shape
            values = ascii([self.values.content[place] for place in shape.in_order])
            self._digest = blake2b(shape.digest + values.encode("ascii"), digest_size=16).hexdigest()
        return self._digest

    def __repr__(self) -> str:
        return f"ParamGroup({dict(self.values)!r})"
