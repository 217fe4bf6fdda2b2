"""Check the headers and query parameters that a caller adds to requests. Pure."""

from __future__ import annotations

from cohere_rerank._validators import describe, header_value
from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FRAMING_HEADERS = ("content-length", "transfer-encoding")  # the client sets them for the body that it sends
_TCHAR = "!#$%&'*+-.^_`|~"  # allowed in header names besides letters and digits: RFC 9110, section 5.6.2


def option_mapping(option: str, value: Any) -> dict[str, Any]:
    """Return a mapping from names to values as a dict, without the values that are None."""
    if value is None:
        return {}
    if not hasattr(value, "items") or not all(isinstance(key, str) for key in value):
        raise InvalidRequestError(f"{option} must be a mapping from names to values, got {describe(value)}")
    return {key: item for key, item in value.items() if item is not None}


def checked_headers(option: str, headers: dict[str, Any]) -> dict[str, str]:
    """Return headers with their names in lower case. Errors name the header and hide its value."""
    texts = {}
    for name, value in headers.items():
        if not name or not name.isascii() or not all(c.isalnum() or c in _TCHAR for c in name):
            raise InvalidRequestError(
                f"{option}: {name!r} is not a valid header name; it must have only ASCII letters, digits and {_TCHAR}"
            )
        if name.lower() in _FRAMING_HEADERS:
            raise InvalidRequestError(
                f"{option} must not contain {name}: the client sets it for the body that it sends"
            )
        text = value if isinstance(value, (bytes, bytearray)) else _as_text(option, value)
        texts[name.lower()] = header_value(f"{option}: the value of {name}", text)
    return texts


def query_pairs(option: str, params: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return query parameters as pairs, encoded as by the official client: ``a=1&a=2`` for a list, ``a[b]=1``."""
    try:
        pairs = _flatten(params)
    except RecursionError:
        raise InvalidRequestError(f"{option} are nested too deeply, or contain themselves") from None
    for name, value in pairs:
        text = _as_text(option, value)
        if not (name + text).isascii() and any("\ud800" <= character <= "\udfff" for character in name + text):
            raise InvalidRequestError(
                f"{option}: {name!a} contains a lone surrogate, which no URL can contain; remove it"
            )
    return pairs


def _as_text(option: str, value: Any) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except ValueError:  # sys.set_int_max_str_digits
        raise InvalidRequestError(f"{option}: an int has more digits than Python can write; pass it as a str") from None


def _flatten(params: Any, name: str = "") -> list[tuple[str, Any]]:
    if hasattr(params, "items"):
        return [pair for key, item in params.items() for pair in _flatten(item, f"{name}[{key}]" if name else f"{key}")]
    if isinstance(params, (list, tuple)):
        return [pair for item in params for pair in _flatten(item, name)]
    return [(name, params)]
