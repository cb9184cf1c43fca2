"""The import rules of the house: imports go downwards, third parties are caged, `import catalogdb` is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "catalogdb"

LEVELS = {
    "errors": 0,
    "records": 0,
    "folders": 0,
    "run_folders": 0,
    "columnar": 0,
    "settings": 0,
    "limits": 0,
    "mounts": 0,
    "names": 0,
    "timestamps": 0,
    "config_facts": 1,
    "exact": 1,
    "documents": 1,
    "headlines": 1,
    "metadata": 1,
    "sidecars": 1,
    "model_sections": 1,
    "formats": 1,
    "differences": 1,
    "layouts": 1,
    "metric_files": 1,
    "demo": 1,
    "discovery": 2,
    "resolve": 2,
    "store": 2,
    "lightning": 2,
    "query": 3,
    "reading": 3,
    "ingest": 4,
    "runs": 4,
    "facts": 4,
    "verify": 4,
    "conversion": 4,
    "validation": 4,
    "lookup": 4,
    "run_metadata": 4,
    "catalog": 5,
    "builder": 5,
    "wandb_client": 5,
    "daemon": 6,
    "cli": 7,
    "__main__": 8,
}

BESIDE = {
    ("records", "errors"),
    ("records", "run_folders"),
    ("settings", "errors"),
    ("settings", "limits"),
    ("settings", "records"),
    ("metadata", "documents"),
    ("metadata", "exact"),
    ("metadata", "sidecars"),
    ("sidecars", "documents"),
    ("model_sections", "config_facts"),
    ("model_sections", "metadata"),
    ("builder", "catalog"),
    ("layouts", "metric_files"),
    ("metric_files", "documents"),
}
"""Modules of one level that may see each other."""

FACES_SEE = {
    "daemon",
    "catalog",
    "records",
    "errors",
    "settings",
    "query.fields",
    "query.column_names",
    "demo",
    "columnar",
    "names",
    "validation",
}

CAGES = {
    "sqlalchemy": {"store", "query"},
    "sqlite3": {"store", "names"},
    "alembic": {"store"},
    "watchdog": {"daemon"},
    "wandb": {"resolve"},
    "httpx": {"resolve"},
    "google": {"resolve"},
    "yaml": {"documents"},
    "yaml12": {"documents"},
    "pydantic": {"metadata", "exact"},
    "lark": {"query"},
    "pandas": {"query", "catalog"},
    "polars": {"query", "catalog"},
    "pyarrow": {"cli"},
    "plotext": {"cli"},
    "matplotlib": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "lightning": {"lightning"},
    "pytorch_lightning": {"lightning"},
    "torch": set(),
    "pickle": set(),
    "marshal": {"reading"},
    "zipfile": set(),
}
"""Third parties (and dangerous standard modules) with the rooms that may import them."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            if module == "catalogdb" or (
                module.startswith("catalogdb.") and (PACKAGE.parent / module.replace(".", "/")).is_dir()
            ):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


def rooms_seen(path: Path) -> set[str]:
    return {name.removeprefix("catalogdb.") for name in imports_of(path) if name.startswith("catalogdb.")}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    room = name_of(path).partition(".")[0]
    if room == "__init__":
        return
    for seen in rooms_seen(path):
        other = seen.partition(".")[0]
        if other == "__version__" or other == room:
            continue
        allowed = LEVELS[other] < LEVELS[room] or (room, other) in BESIDE
        assert allowed, f"{name_of(path)} (L{LEVELS[room]}) imports {seen} (L{LEVELS[other]})"


@pytest.mark.parametrize("path", [path for path in modules() if "cli" in path.parts], ids=name_of)
def test_faces_see_the_facade_alone(path: Path) -> None:
    for seen in rooms_seen(path):
        own = seen.startswith("cli") or seen == "__version__"
        assert own or any(seen == face or seen.startswith(f"{face}.") for face in FACES_SEE), seen


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_third_parties_are_caged(path: Path) -> None:
    room = name_of(path).partition(".")[0]
    for name in imports_of(path):
        package = name.partition(".")[0]
        if package in CAGES:
            assert room in CAGES[package], f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_is_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__"), f"{path}:{node.lineno}"


def test_every_room_has_its_level() -> None:
    rooms = {name_of(path).partition(".")[0] for path in modules()} - {"__init__"}
    assert rooms <= LEVELS.keys()


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_import_is_cheap() -> None:
    assert (
        loaded_by("import catalogdb") & {"sqlalchemy", "pydantic", "yaml", "alembic", "wandb", "rich", "torch"} == set()
    )


def test_asking_loads_what_asking_needs() -> None:
    script = "from catalogdb.catalog import Catalog; c = Catalog.open('sqlite://'); c.search(); c.close()"
    assert (
        loaded_by("import catalogdb.catalog, catalogdb.cli.best") & {"pydantic", "alembic", "yaml12", "lark"} == set()
    )
    assert "torch" not in loaded_by(script)


def test_the_facade_loads_nothing_heavy() -> None:
    loaded = loaded_by("import catalogdb; catalogdb.Catalog")
    assert loaded & {"torch", "lightning", "wandb", "rich", "click", "watchdog", "pandas", "numpy"} == set()
