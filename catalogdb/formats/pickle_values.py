"""What a pickle is read into: plain data where it is plain, and inert descriptions of everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalogdb.limits import Limits


class GlobalRef:
    """A class or function that a pickle names. It is a name: nothing is looked up or imported.

    ``build`` is what stands for a call of it: it makes plain data or a Stub out of the arguments.
    """

    __slots__ = ("build", "module", "name")

    def __init__(self, module: str, name: str, build: Builder) -> None:
        self.module = module
        self.name = name
        self.build = build

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}"


class Stub:
    """An object that a pickle would have made: its class or function, arguments, state, items and elements, as data."""

    __slots__ = ("args", "elements", "items", "ref", "state")

    def __init__(self, ref: GlobalRef, args: tuple[Any, ...]) -> None:
        self.ref = ref
        self.args = args
        self.state: object = None
        self.items: dict[Any, Any] | None = None
        self.elements: list[Any] | None = None


class OpaqueKey:
    """A dict key that is no scalar, hashed by identity: hashing a pickle's nested tuples could take for ever."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Meter:
    """What is left of the containers (and items that calls copy) and of the text that one pickle may hold."""

    __slots__ = ("limits", "text", "work")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.work = limits.pickle_containers
        self.text = limits.pickle_text


Builder = Callable[[GlobalRef, "tuple[Any, ...]", Meter], object]
