"""Rows as Parquet, in bounded memory: it wants the type of each column before the first row, and rows come in turn."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from catalogdb.columnar import Kind, as_text, fitted, kind_of, widest
from catalogdb.errors import UsageError
from catalogdb.records import Weights

if TYPE_CHECKING:
    import pyarrow

GROUP_ROWS = 8192
"""Rows that are in memory at once, and in one row group of the file."""


def write_parquet(
    headers: Sequence[str], rows: Iterable[Sequence[object]], kinds: Sequence[Kind] | None = None
) -> None:
    """Rows to stdout. ``kinds`` are the columns' types as far as they are known: a column holds at least these.

    The rows go through a temporary file while their types are gathered. NaN and infinity stay what they are.
    """
    try:
        import pyarrow  # noqa: PLC0415  # optional, and heavy
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("--format parquet needs pyarrow; install catalogdb[parquet]") from error
    if sys.stdout.isatty():
        raise UsageError("--format parquet isn't for a terminal; send it to a file: --format parquet > rows.parquet")
    with tempfile.TemporaryFile("w+", encoding="ascii") as spool:
        found: list[set[Kind]] = [{kind} for kind in kinds or ["null"] * len(headers)]
        for row in rows:
            values = [_scalar(value) for value in row]
            for seen, value in zip(found, values, strict=True):
                seen.add(kind_of(value))
            spool.write(json.dumps(values) + "\n")
        spool.seek(0)
        chosen = [widest(seen) for seen in found]
        schema = pyarrow.schema([pyarrow.field(name, _arrow(kind)) for name, kind in zip(headers, chosen, strict=True)])
        with parquet.ParquetWriter(pyarrow.output_stream(_Stdout()), schema, compression="zstd") as writer:
            for columns in _columns(spool, chosen):
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))


class _Stdout:
    """stdout as pyarrow wants its files: a pipe can't say where it is, so this counts."""

    def __init__(self) -> None:
        self._written = 0
        self.closed = False

    def write(self, content: Any) -> int:
        self._written += len(content)
        return sys.stdout.buffer.write(content)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """What follows on stdout isn't this one's to end."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _columns(spool: IO[str], kinds: Sequence[Kind]) -> Iterator[list[pyarrow.Array]]:
    import pyarrow  # noqa: PLC0415  # as above

    while lines := list(islice(spool, GROUP_ROWS)):
        columns = zip(*(json.loads(line) for line in lines), strict=True)
        yield [
            pyarrow.array([fitted(value, kind) for value in column], type=_arrow(kind))
            for column, kind in zip(columns, kinds, strict=True)
        ]


def _arrow(kind: Kind) -> pyarrow.DataType:
    import pyarrow  # noqa: PLC0415  # as above

    types = {"bool": pyarrow.bool_, "int": pyarrow.int64, "long": pyarrow.int64, "float": pyarrow.float64}
    return types.get(kind, pyarrow.string)()


def _scalar(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return as_text(value.to_dict() if isinstance(value, Weights) else value)
