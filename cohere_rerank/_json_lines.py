"""JSON Lines and JSON text, read by one rule for jobs, evaluation and the command line.

The rule is RFC 8259 in UTF-8. It has no NaN and no Infinity. A byte order mark is allowed at the start of a file and
nowhere else. A number that a float cannot hold and an unpaired surrogate are refused too, because neither can be
written again, and so is an object with a field that is there twice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from .errors import InvalidRequestError

__all__ = ["UTF8_BOM", "numbered_lines", "parse_json"]

UTF8_BOM = b"\xef\xbb\xbf"
_PLAIN = frozenset({str, int, bool, type(None)})  # most lists have nothing else, and are not read one by one
_KEY_END = re.compile(r'"\s*:')


def numbered_lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number from 1 and without its line break.

    Args:
        file: The lines of a file from its start. The byte order mark of the first line is removed.
    """
    for number, line in enumerate(file, start=1):
        content = (line.removeprefix(UTF8_BOM) if number == 1 else line).rstrip(b"\r\n")
        if content and not content.isspace():
            yield number, content


def parse_json(data: bytes | str) -> Any:
    """Parse one JSON value.

    Raises:
        InvalidRequestError: It is not valid JSON. The message names the column (and the line, if it is not the first),
            and never quotes the text.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        byte, column = error.object[error.start], error.start + 1
        raise InvalidRequestError(f"not UTF-8: byte 0x{byte:02x} at column {column}") from None
    try:
        value = from_json(text, allow_inf_nan=False)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace(" at line 1 column ", " at column ")
        raise InvalidRequestError(f"not JSON: {reason}") from None
    if len(_KEY_END.findall(text)) != _n_keys(value):  # a string may contain such marks too
        json.loads(text, object_pairs_hook=_unique)
    if _has_infinity(value):
        raise InvalidRequestError("a number is beyond 1.8e308; write it as a string or null")
    return value


def _n_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + _n_keys(list(value.values()))
    return sum(map(_n_keys, value)) if isinstance(value, list) and not _PLAIN.issuperset(map(type, value)) else 0


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON.

    Raises:
        InvalidRequestError: A field is there twice, and one of its values would be lost.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequestError(f"the field {twice[:60]} is there twice")
    return fields


def _has_infinity(value: object) -> bool:
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, dict):
        return _has_infinity(list(value.values()))
    return isinstance(value, list) and not _PLAIN.issuperset(map(type, value)) and any(map(_has_infinity, value))
