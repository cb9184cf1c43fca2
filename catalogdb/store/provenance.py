"""Where the values of a checkpoint come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from catalogdb.records import Origin, sidecar_path


class Provenance(Mapping[str, Mapping[str, str]]):
    """Where each value of a checkpoint comes from, worded when it is first looked at: few who ask for paths do."""

    __slots__ = ("_described", "_file", "_parts")

    def __init__(self, parts: Sequence[tuple[str, Mapping[str, Origin]]], path: str) -> None:
        """``parts`` are origins by name, with what stands before each name."""
        self._parts = parts
        self._file = path
        self._described: dict[str, dict[str, str]] | None = None

    def __getitem__(self, name: str) -> Mapping[str, str]:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> dict[str, dict[str, str]]:
        if self._described is None:
            file, sidecar = self._file.rpartition("/")[2], sidecar_path(self._file).rpartition("/")[2]
            used = {origin for _, origins in self._parts for origin in origins.values()}
            words = {origin: origin.describe(file, sidecar) for origin in used}
            self._described = {
                prefix + name: words[origin] for prefix, origins in self._parts for name, origin in origins.items()
            }
        return self._described
