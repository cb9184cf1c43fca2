"""What a user changed when starting a run: Hydra's ``overrides.yaml``.

The grammar is Hydra's (https://hydra.cc/docs/advanced/override_grammar/basic/): ``key=value``, with ``+`` or ``++`` for
a key that the config hadn't, and ``~`` for one that was taken away. The value is the config's own, which is typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from catalogdb.documents import resolve_scalar
from catalogdb.records import Scalar

_QUOTES = ("'", '"')


def overridden(overrides: Iterable[str], config: Mapping[str, object]) -> Iterator[tuple[str, Scalar]]:
    """Names with their values. A group of the config (``model=wide``) has the name that was chosen."""
    for override in overrides:
        name, equals, text = override.partition("=")
        name = name.lstrip("+").partition("@")[0].strip().replace("/", ".")
        if not equals or not name or name.startswith("~"):
            continue
        value = _at(config, name)
        if value is None or isinstance(value, bool | int | float | str):
            yield name, value if name and _is_there(config, name) else _value(text.strip())
        elif not isinstance(value, list):
            yield name, _value(text.strip())


def _value(text: str) -> Scalar:
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]:
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    return resolve_scalar(text) if text else ""


def _at(config: Mapping[str, object], name: str) -> object:
    value: object = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _is_there(config: Mapping[str, object], name: str) -> bool:
    above, _, last = name.rpartition(".")
    holder = _at(config, above) if above else config
    return isinstance(holder, Mapping) and last in holder
