"""Bounded reading of the YAML and JSON documents that people and programs leave beside checkpoints; and writing.

Values are those of YAML 1.1 as PyYAML reads them, and so Hydra and OmegaConf, with these differences: ``1e-3``, ``-.5``
and ``1E5`` are numbers, as in YAML 1.2 and OmegaConf; dates and ``12:30:45`` are the text that was written, not
objects or seconds; keys are the text that was written (``1: x`` is ``"1"``). Tags name no types: a tagged node is its
plain content, and nothing is ever constructed or executed.

Two parsers, one meaning: ``simple_yaml`` reads what programs write, fast; ``composer`` everything else.
"""

from catalogdb.documents.bounds import MAX_BYTES
from catalogdb.documents.lines import line_of
from catalogdb.documents.reading import Unterminated, parse_document, read_bounded, read_document, read_lines
from catalogdb.documents.scalars import resolve_scalar
from catalogdb.documents.writing import format_document

__all__ = [
    "MAX_BYTES",
    "Unterminated",
    "format_document",
    "line_of",
    "parse_document",
    "read_bounded",
    "read_document",
    "read_lines",
    "resolve_scalar",
]
