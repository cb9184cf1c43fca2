"""Hydra: ``outputs/<date>/<time>/``, ``multirun/<date>/<time>/<job>/``, with what was configured in ``.hydra/``.

Sources: ``hydra/conf/__init__.py`` (``run.dir``, ``sweep.dir``), ``hydra/core/utils.py`` (``run_job``).
"""

from __future__ import annotations

from collections.abc import Iterator

from catalogdb.layouts.base import Dependency, Guide, Habits, Listing, run_of

FOLDER = ".hydra"
OVERRIDES = f"{FOLDER}/overrides.yaml"
ABOVE = 3
"""Folders from the run's up in which ``.hydra`` is looked for: a logger's name and version lie between."""


class Hydra(Habits):
    name = "hydra"
    guide = Guide(
        "Hydra",
        "`outputs/<date>/<time>/`, `multirun/<date>/<time>/<job>/`, around any of the others",
        "`.hydra/config.yaml`; `.hydra/overrides.yaml`",
        "as the file's framework",
    )
    marks = frozenset({FOLDER})

    def depends(self, folder: Listing) -> Iterator[Dependency]:
        home = hydra_home(folder)
        if home is not None:
            yield Dependency("params", home, OVERRIDES)


def hydra_home(folder: Listing) -> Listing | None:
    """The nearest folder with a ``.hydra``: the run's, or one above it."""
    place: Listing | None = run_of(folder)
    for _ in range(ABOVE):
        if place is None or FOLDER in place.folders:
            return place
        place = place.parent
    return None
