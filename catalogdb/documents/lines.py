"""Where in a document something stands, for who has to mend it."""

from __future__ import annotations

from typing import Any

import yaml

from catalogdb.documents.reading import read_bounded
from catalogdb.errors import MetadataError

_NodeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def line_of(path: str, field: str) -> int | None:
    """The line, from 1, of a dotted field in the YAML document at ``path``, else that of the section that lacks it.

    None where there is no such section, or the document can't be read any more.
    """
    try:
        node = yaml.compose(read_bounded(path).decode("utf-8-sig"), Loader=_NodeLoader)
    except (OSError, MetadataError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return None
    line = None
    rest = field
    while rest and isinstance(node, yaml.MappingNode):
        keys = {str(key.value): (key, value) for key, value in node.value}
        name = next((name for name in keys if rest == name or rest.startswith(f"{name}.")), None)
        if name is None:
            break
        key, node = keys[name]
        line = key.start_mark.line + 1
        rest = rest[len(name) + 1 :]
    return line
