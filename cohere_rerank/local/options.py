"""Read the options of an address, such as ``path=models/minilm&max_length=256`` in ``local:onnx?...``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from cohere_rerank.errors import InvalidRequestError


def read_options(name: str, text: str, types: Mapping[str, type[str | int]]) -> dict[str, Any]:
    """Return the options as strings or integers.

    Args:
        name: The name of the scorer, for messages.
        text: ``name=value&name=value``. A percent sign escapes a character. A plus sign is not a space.
        types: The type of each option, ``str`` or ``int``.

    Raises:
        InvalidRequestError: An option is unknown, appears twice, has no value, or is not a whole number >= 1.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split("&")):
        option, _, value = part.partition("=")
        if option not in types:
            known = f"use {', '.join(types)}" if types else "it takes no options"
            raise InvalidRequestError(f"local:{name} has no option {option!r}; {known}")
        if option in options:
            raise InvalidRequestError(f"the option {option!r} of local:{name} appears twice; give it once")
        options[option] = _value(name, option, unquote(value), types[option])
    return options


def _value(name: str, option: str, value: str, kind: type[str | int]) -> str | int:
    if not value:
        raise InvalidRequestError(f"the option {option!r} of local:{name} has no value")
    if kind is str:
        return value
    if not (value.isascii() and value.isdigit() and int(value)):
        raise InvalidRequestError(
            f"the option {option!r} of local:{name} must be a whole number of at least 1, got {value!r}"
        )
    return int(value)
