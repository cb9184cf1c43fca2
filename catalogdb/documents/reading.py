"""From a path, or its bytes, to the values of a document."""

from __future__ import annotations

import os
import stat
from typing import Any

from catalogdb.documents.bounds import MAX_BYTES
from catalogdb.documents.composer import Composer
from catalogdb.documents.json_text import parse_json
from catalogdb.documents.simple_yaml import parse_simple
from catalogdb.errors import MetadataError


class Unterminated(dict[str, Any]):
    """A document that ends within a line and with a bare word: where more was to come, it may be half of one."""


_WHOLE = ("\n", "}", "]", '"', "'")


def read_document(path: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The mapping in the document at ``path``: JSON where the name ends with ``.json``, else YAML; an empty one is {}.

    Documents share what they have in common: their values are to be read, not changed.

    Raises MetadataError where it is broken, too big or too deep, no mapping, not UTF-8, or no regular file, and OSError
    where it can't be read. Neither blocks on a pipe nor reads a byte of a file larger than ``max_bytes``.
    """
    return parse_document(read_bounded(path, max_bytes=max_bytes), path)


def read_lines(path: str) -> list[str]:
    """The texts of a YAML list, as Hydra's ``overrides.yaml`` is one; an empty document is []. Raises as above."""
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataError(path, f"is not UTF-8 text (byte {error.start})") from error
    document = Composer(text, path).compose()
    if document is not None and not isinstance(document, list):
        raise MetadataError(path, "holds no list (- text) at its top")
    return [each for each in document or () if isinstance(each, str)]


def read_bounded(path: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file that may be a document, with the bounds and errors of ``read_document``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MetadataError(path, "is not a regular file")
        size = status.st_size
        data = b""
        while size <= max_bytes and (chunk := os.read(descriptor, max(status.st_size - len(data), 0) + 4096)):
            data += chunk
            size = len(data)
            if size == status.st_size:
                break
    finally:
        os.close(descriptor)
    if size > max_bytes:
        raise MetadataError(path, f"has {size:,} bytes, and a document may have {max_bytes:,}")
    return data


def parse_document(data: bytes, path: str) -> dict[str, Any]:
    """The mapping that ``data`` holds. ``path`` decides between JSON and YAML, and stands in the MetadataError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataError(path, f"is not UTF-8 text (byte {error.start})") from error
    is_json = path.lower().endswith(".json")
    document: Any = parse_json(text, path) if is_json else parse_simple(text) or Composer(text, path).compose()
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise MetadataError(path, "holds no mapping (key: value) at its top")
    return document if text.endswith(_WHOLE) else Unterminated(document)
