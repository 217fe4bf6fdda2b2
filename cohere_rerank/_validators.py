"""Checks of single values, with errors that name the argument, the value and what is allowed. Pure."""

from __future__ import annotations

from .errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_MAX_SHOWN = 12  # characters


def header_value(name: str, value: Any, kinds: str = "a string") -> str:
    """Return a value that an HTTP header can contain. The error does not show it, because it may be a key."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be {kinds}, got {type(value).__name__}")
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        raise InvalidRequestError(f"{name} must be printable ASCII without line breaks or spaces around it")
    return value


def seconds(name: str, value: Any) -> float | None:
    """Return a time in seconds above 0, or None for None."""
    span_s = number(name, value)
    if span_s is not None and span_s <= 0:
        raise InvalidRequestError(f"{name} must be a number of seconds above 0, got {span_s:g}")
    return span_s


def number(name: str, value: Any) -> float | None:
    """Return a number, also one of numpy, but not NaN. Return None for None."""
    if value is None:
        return None
    try:
        real = float("nan") if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        real = float("nan")
    if real != real:
        raise InvalidRequestError(f"{name} must be a number, got {_describe(value)}")
    return real


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int | None:
    """Return an integer in the range, also one of numpy. Return None for None."""
    if value is None:
        return None
    try:
        # numpy's bool, whose name has changed, is an index in its older releases
        integer = None if type(value).__name__ in ("bool", "bool_") else value.__index__()
    except (AttributeError, TypeError):  # TypeError: a class, an array
        integer = None
    if integer is None or integer < least or (most is not None and integer > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidRequestError(f"{name} must be a whole number, {allowed}, got {_describe(value)}")
    return int(integer)


def _describe(value: Any) -> str:
    try:
        if isinstance(value, str) and len(value) <= _MAX_SHOWN:  # such as "3"; a longer one may be a document
            return repr(value)
        return repr(value) if isinstance(value, (int, float)) else type(value).__name__
    except ValueError:  # sys.set_int_max_str_digits
        return f"an int of {int(value).bit_length()} bits"
