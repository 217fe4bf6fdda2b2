"""Values of files as plain values: ids of any type, and the lists that a table holds as text. Pure."""

from __future__ import annotations

import ast
import datetime
import decimal
import io
import math
import tokenize
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from cohere_rerank._json_lines import parse_json
from cohere_rerank.errors import InvalidRequestError

__all__ = [
    "ARGUMENT_EXAMPLES",
    "argument_from_text",
    "clean_id",
    "list_from_text",
    "plain_json",
    "text_of",
    "type_name",
]

_MAX_PYTHON_CHARS = 1 << 20  # of a list as Python text: its parser is slow and needs much memory
_TYPES = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null", bytes: "bytes"}


def type_name(value: object) -> str:
    """Return the type of a value for a message.

    >>> type_name(b""), type_name(1.5), type_name(None)
    ('bytes', 'a number', 'null')
    """
    if isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool):
        is_nan = isinstance(value, float) and math.isnan(value)
        return "NaN" if is_nan else "a number"
    return _TYPES.get(type(value), f"of type {type(value).__name__}")


def clean_id(value: object, name: str = "id") -> str | int | None:
    """Return an id as a string or a whole number. None stays None.

    A number such as 2.0 is 2, bytes are UTF-8 text, and UUIDs, dates and decimal numbers are text as Python writes it.

    Raises:
        InvalidRequestError: The value cannot be an id.
    """
    if value is None or isinstance(value, str) or type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return bytes(value).hex()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if type(value).__name__ == "ObjectId" or (isinstance(value, Mapping) and isinstance(value.get("$oid"), str)):
        return str(value["$oid"]) if isinstance(value, Mapping) else str(value)
    shown = f"the number {value}" if isinstance(value, float) else type_name(value)
    raise InvalidRequestError(f"{name} must be a string or a whole number, got {shown}")


def list_from_text(name: str, text: str) -> object:
    """Return the list that a cell holds as JSON or as Python wrote it.

    Raises:
        InvalidRequestError: The text is neither.
    """
    try:
        return parse_json(text)
    except InvalidRequestError as error:
        if not text.lstrip().startswith(("[", "(")):
            raise InvalidRequestError(f'{name} must be JSON, such as ["one", "another"]: {error.message}') from None
        problem = error.message
    if len(text) > _MAX_PYTHON_CHARS:
        raise InvalidRequestError(f"{name} must be JSON: {problem}; a Python list of this size is not read")
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise InvalidRequestError(f'{name} must be JSON, such as ["one", "another"]: {problem}') from None
    if _has_adjacent_strings(text):
        raise InvalidRequestError(f"{name} is a list without commas, as numpy prints it; write it as JSON")
    return list(value) if isinstance(value, tuple) else value


ARGUMENT_EXAMPLES = {
    "top_n": "3",
    "max_tokens_per_doc": "3",
    "max_documents_per_request": "3",
    "priority": "3",
    "min_score": "0.5",
    "rank_fields": '["title"]',
    "relevant_spans": '{"mode": "enabled"}',
}
"""The arguments of ``rerank`` that are not texts, each with a cell of a table."""


def argument_from_text(name: str, cell: str) -> object:
    """Return the value of an argument that a table holds as JSON.

    Raises:
        InvalidRequestError: The text is not JSON.
    """
    try:
        return parse_json(cell)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{name} must be JSON, such as {ARGUMENT_EXAMPLES[name]}: {error.message}") from None


def plain_json(value: object) -> Any:
    """Return a value of a file as JSON values: dates as text, bytes as UTF-8 or base64, NaN as null."""
    try:
        return from_json(to_json(value, inf_nan_mode="null", fallback=str))
    except (ValueError, UnicodeError):
        return from_json(to_json(value, inf_nan_mode="null", bytes_mode="base64", fallback=str))


def _has_adjacent_strings(text: str) -> bool:
    """Whether two strings follow one another without a comma: Python would join them."""
    before = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline):
            if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
                continue
            if token.type == tokenize.STRING and before == tokenize.STRING:
                return True
            before = token.type
    except (tokenize.TokenError, SyntaxError):
        return True
    return False


def text_of(name: str, value: object) -> Any:
    """Return a value of a text column as text: bytes are decoded. Other values stay as they are."""
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise InvalidRequestError(f"{name} must be a text, got bytes that are not UTF-8") from None
    return value
