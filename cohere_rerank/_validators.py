"""Checks of single values, with errors that name the argument, the value and what is allowed. Pure."""

from __future__ import annotations

from .errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


_MAX_SHOWN = 12  # characters of a string that an error shows; a longer one may be a document or a key
_MAX_ADDRESS = 200
_MAX_SHOWN_BITS = 128
_MAX_WHOLE = 2**63 - 1  # no count is larger, and few programs can read a larger number


def describe(value: Any) -> str:
    """Return a value for an error: a number or a short text as it is, of everything else only the type."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _MAX_SHOWN else f"a str of {len(value)} characters"
    if isinstance(value, int):
        # More than sys.set_int_max_str_digits() digits cannot be written.
        return repr(value) if value.bit_length() <= _MAX_SHOWN_BITS else f"an int of {value.bit_length()} bits"
    return repr(value) if value is None or isinstance(value, float) else type(value).__name__


def describe_address(value: str) -> str:
    """Return an address or a path for an error. A text that is neither may be a key, and is not shown."""
    return repr(value[:_MAX_ADDRESS]) if set(value) & set("./\\:") else describe(value)


def header_value(name: str, value: Any, kinds: str = "a string") -> str:
    """Return a value that an HTTP header can contain. The error does not show it, because it may be a key."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be {kinds}, got {type(value).__name__}")
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        raise InvalidRequestError(
            f"{name} must be printable ASCII without line breaks or spaces around it, got a str of {len(value)} "
            "characters that is not shown here"
        )
    return value


def flag(name: str, value: Any) -> bool | None:
    """Return True or False, or None for None."""
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequestError(f"{name} must be True or False, got {describe(value)}")


def choice(name: str, value: Any, allowed: Sequence[str]) -> str | None:
    """Return one of the allowed names, or None for None."""
    if value is None or (isinstance(value, str) and value in allowed):
        return value
    names = [*map(repr, allowed)]
    kinds = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
    raise InvalidRequestError(f"{name} must be {kinds}, got {describe(value)}")


def text(name: str, value: Any) -> str | None:
    """Return a string, or None for None."""
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequestError(f"{name} must be a string, got {describe(value)}")


def seconds(name: str, value: Any) -> float | None:
    """Return a time in seconds above 0, or None for None."""
    span_s = number(name, value, "a number of seconds above 0")
    if span_s is not None and span_s <= 0:
        raise InvalidRequestError(f"{name} must be a number of seconds above 0, got {span_s:g}")
    return span_s


def number(name: str, value: Any, kinds: str = "a number") -> float | None:
    """Return a number, also one of numpy, but not NaN. Return None for None. Errors say that it must be *kinds*."""
    if value is None:
        return None
    try:
        real = float("nan") if isinstance(value, (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        real = float("nan")
    if real != real:
        advice = "; pass its total_seconds()" if hasattr(value, "total_seconds") else ""
        raise InvalidRequestError(f"{name} must be {kinds}, got {describe(value)}{advice}")
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
    if integer is None or not least <= integer <= (_MAX_WHOLE if most is None else most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        if most is None and integer is not None and integer > _MAX_WHOLE:
            allowed = "below 2**63"
        raise InvalidRequestError(f"{name} must be a whole number, {allowed}, got {describe(value)}")
    return int(integer)


def needed_whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """As `whole_number`, where None is not allowed."""
    n = whole_number(name, value, least, most)
    if n is None:
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidRequestError(f"{name} must be a whole number, {allowed}, got None")
    return n


def needed_number(name: str, value: Any, least: float, most: float = float("inf")) -> float:
    """Return a number in the range, also one of numpy. None is not allowed."""
    kinds = f"a number, at least {least:g}" if most == float("inf") else f"a number between {least:g} and {most:g}"
    real = number(name, value, kinds)
    if real is None or not least <= real <= most:
        raise InvalidRequestError(f"{name} must be {kinds}, got {describe(value)}")
    return real
