"""What follows the question mark in ``local:onnx?path=models/minilm&max_length=256``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from cohere_rerank.errors import InvalidRequestError


def read_options(name: str, text: str, types: Mapping[str, type[str | int]]) -> dict[str, Any]:
    """Return the options as text or whole numbers.

    Args:
        name: Of the scorer, for messages.
        text: ``name=value&name=value``; percent signs escape, a plus sign is itself.
        types: ``str`` or ``int`` by option.

    Raises:
        InvalidRequestError: An option is unknown, stands twice, has no value or is no whole number >= 1.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split("&")):
        option, _, value = part.partition("=")
        if option not in types:
            known = f"known are {', '.join(types)}" if types else "it takes none"
            raise InvalidRequestError(f"local:{name} has no option {option!r}; {known}")
        if option in options:
            raise InvalidRequestError(f"the option {option!r} of local:{name} stands twice")
        options[option] = _value(name, option, unquote(value), types[option])
    return options


def _value(name: str, option: str, value: str, kind: type[str | int]) -> str | int:
    if not value:
        raise InvalidRequestError(f"the option {option!r} of local:{name} has no value")
    if kind is str:
        return value
    if not (value.isascii() and value.isdigit() and int(value)):
        raise InvalidRequestError(
            f"the option {option!r} of local:{name} must be a whole number, at least 1, got {value!r}"
        )
    return int(value)
