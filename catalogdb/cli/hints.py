"""What is said on stderr where a question found nothing, or less than was meant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import catalogdb
from catalogdb.cli.columns import split_list
from catalogdb.cli.options import Globals
from catalogdb.cli.render import visible
from catalogdb.errors import QueryError
from catalogdb.query.column_names import unquote
from catalogdb.settings import working_directory


def say_hints(given: Globals, catalog: catalogdb.Catalog, where: str = "", *, names: Iterable[str] = ()) -> None:
    """Params of a filter, or among names of columns and orderings, that no checkpoint has; and relative paths."""
    params = [name for name in names if name.lstrip("+-").startswith("params.")]
    for line in catalog.hints(where, names=params):
        given.say(visible(line))


def quoted_columns(columns: str | None) -> list[str]:
    """The columns that ``-c`` names, as orderings and filters write them: a column's name may hold spaces unquoted."""
    return [
        f"{group}.`{unquote(name).replace('`', '``')}`" if name else group
        for group, _, name in (item.partition(".") for item in split_list(columns or ""))
    ]


@contextmanager
def filter_errors(where: str) -> Iterator[None]:
    """An error of a filter that is a path says how paths are asked for."""
    try:
        yield
    except QueryError as error:
        condition = _as_condition(where.strip()) if error.text == where else None
        if condition is None:
            raise
        message = f"{error.message}; to ask for a path write {condition}"
        raise QueryError(message, text=error.text, column=error.column) from None


def _as_condition(text: str) -> str | None:
    place = Path(os.path.realpath(working_directory() / text))
    if text and place.is_dir():
        return f"path LIKE {_quoted(f'{place}/%')}"
    if text and place.exists():
        return f"path = {_quoted(str(place))}"
    if "/" in text and len(text.split()) == 1:
        part = text.strip("/")
        return f"path LIKE {_quoted(f'%/{part}%')}"
    return None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
