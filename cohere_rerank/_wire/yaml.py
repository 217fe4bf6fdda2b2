"""Write plain data as YAML text: block style, keys in the given order, no folding, non-ASCII characters unescaped.

The text equals libyaml's byte for byte (PyYAML's ``CSafeDumper`` with ``sort_keys=False, allow_unicode=True`` and no
line width), with three differences. Characters above U+FFFF, such as emoji, are not escaped. A lone surrogate is
escaped; libyaml fails there. An object that appears twice is written twice, never as an alias.

``docs/decisions/0001-yaml-documents.md`` says why no dumper is called. ``tests/wire/test_yaml.py`` compares the texts.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Location = tuple["Location | None", object, int]
    """A location in a document: the parent's location, the key in the parent, the depth. The root's key is its name."""

    ToPlain = Callable[[object, Location], object]

MAX_DEPTH = 100
"""Levels of mappings and lists. A cycle stops here, long before Python's stack or PyYAML's reader would fail."""

_MAX_SIMPLE_KEY_BYTES = 128  # libyaml writes a longer key on a line of its own

# An unquoted string must not begin with one of YAML's indicators or a space.
_INDICATORS = r"""[ #,\[\]{}&*!|>'"%@`]|[-?:](?: |\Z)|---|\.\.\."""

# YAML 1.1 reads these as another type, so a string of this form needs quotes (https://yaml.org/type/, in the forms
# that PyYAML knows): bool, null, merge key and default value; float; int; timestamp.
_TYPED = (
    "yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF||~|null|Null|NULL|<<|="
    r"|[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    "|[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?0x[0-9a-fA-F_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+"
    "|[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?"
)
_resolves_as_other_type = re.compile(rf"{_INDICATORS}|(?:{_TYPED})\Z").match

# One character set for each pattern: `re` finds a set far faster than alternatives.
_BREAKS = "\n\u2028\u2029"
_UNPRINTABLE = "\0-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff"
_has_break = re.compile(f"[\r\x85{_BREAKS}]").search
_is_unprintable = re.compile(f"[{_UNPRINTABLE}]").search
_escape = re.compile(f'["\\\\{_BREAKS}{_UNPRINTABLE}]').sub
_double_breaks = re.compile(f"[{_BREAKS}][{_BREAKS}]*").sub
_ESCAPES = dict(zip('\0\a\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029', '0abtnvfre"\\NLP'))


class PlainScalar(str):
    """Text that is written without quotes although YAML reads it as another type, such as digits or a date."""

    __slots__ = ()


def dump(fields: Mapping[Any, object], location: Location, to_plain: ToPlain) -> str:
    """Return a non-empty mapping as YAML.

    Args:
        fields: Keys and values. A plain ``dict``, ``list``, ``tuple``, ``str``, ``int``, ``float``, ``bool``, ``None``
            or `PlainScalar` is written directly.
        location: The location of the mapping, for errors.
        to_plain: Converts a value of any other type into one of these, in one or more steps, or raises.

    Returns:
        Lines that each end with a newline. ``yaml.safe_load`` reads the same data from them.
    """
    writer = _Writer(to_plain)
    writer.mapping(fields, "", "", location)
    return "".join(writer.out)


def unsupported_value(location: Location, why: str) -> InvalidRequestError:
    """Return the error for a value. It names the location but never the value: ``documents[2]["author"] <why>``."""
    return InvalidRequestError(f"{_format_path(location)} {why}")


def number(text: str) -> str:
    """Return the text of a float or Decimal in the form that YAML 1.1 reads as a number."""
    text = text.lower()
    if "n" in text:
        return ".nan" if "nan" in text else "-.inf" if text[0] == "-" else ".inf"
    return text if "." in text else text.replace("e", ".0e")


_SCALARS: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    float: lambda value: number(repr(value)),
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
    PlainScalar: PlainScalar.__str__,
}

_KEY_MARKER = object()  # in a location: the key itself, not its value


def _format_path(location: Location) -> str:
    path: list[object] = []
    rest: Location | None = location
    while rest is not None:
        rest, key, _ = rest
        path.append(key)
    prefix = "a key of " if path[0] is _KEY_MARKER else ""
    name, *keys = (key for key in reversed(path) if key is not _KEY_MARKER)
    return f"{prefix}{name}{''.join(map(_format_key, keys[:5]))}{'…' if len(keys) > 5 else ''}"


def _format_key(key: object) -> str:
    text = str(key)
    text = text if len(text) <= 60 else text[:60] + "…"
    return f'["{text}"]' if isinstance(key, str) else f"[{text}]"


class _Writer:
    """Collects the lines.

    In its methods *head* (or *first*) is the text before the value (or the first item) on its line. *indent* is the
    indentation of the lines after it.
    """

    __slots__ = ("out", "to_plain")

    def __init__(self, to_plain: ToPlain) -> None:
        self.out: list[str] = []
        self.to_plain = to_plain

    def mapping(self, fields: Mapping[Any, object], first: str, indent: str, location: Location) -> None:
        for key, value in fields.items():
            head, is_long = _key(key, indent) if type(key) is str else self._non_string_key(key, indent, location)
            if type(value) is str:
                self.out.append(f"{first}{head} {_text(value, indent)}\n")
            else:
                self.value(value, first + head, indent, (location, key, location[2] + 1), inline=is_long)
            first = indent

    def sequence(self, items: Iterable[object], first: str, indent: str, location: Location) -> None:
        for index, item in enumerate(items):
            if type(item) is str:
                self.out.append(f"{first}- {_text(item, indent)}\n")
            else:
                self.value(item, first + "-", indent, (location, index, location[2] + 1), inline=True)
            first = indent

    def value(self, value: Any, head: str, indent: str, location: Location, *, inline: bool) -> None:
        """Write a value. With *inline* the first item of a list or mapping is on the same line as *head*."""
        kind = type(value)
        if kind is str:
            self.out.append(f"{head} {_text(value, indent)}\n")
        elif kind in _SCALARS:
            self.out.append(f"{head} {_scalar(value, location)}\n")
        elif kind is dict or kind is list or kind is tuple:
            self.items(value, head, indent, location, inline=inline)
        else:
            self.value(self.to_plain(value, location), head, indent, location, inline=inline)

    def items(self, items: Any, head: str, indent: str, location: Location, *, inline: bool) -> None:
        if location[2] > MAX_DEPTH:
            raise unsupported_value(location, f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
        is_mapping = type(items) is dict
        write = self.mapping if is_mapping else self.sequence
        if not items:
            self.out.append(f"{head} {'{}' if is_mapping else '[]'}\n")
        elif inline:
            write(items, head + " ", indent + "  ", location)
        else:
            self.out.append(head + "\n")
            inner = indent + "  " if is_mapping else indent
            write(items, inner, inner, location)

    def _non_string_key(self, key: object, indent: str, location: Location) -> tuple[str, bool]:
        key_location = (location, _KEY_MARKER, location[2])
        plain = key
        while type(plain) not in _SCALARS:
            if type(plain) is str:
                return _key(plain, indent)
            if isinstance(plain, (dict, list, tuple)):
                raise unsupported_value(
                    key_location,
                    f"is of type {type(key).__name__}; a key must be a str, a number, a bool, None or a date",
                )
            plain = self.to_plain(plain, key_location)
        text = _scalar(plain, key_location)
        return _head(text, indent, is_long=len(text) > _MAX_SIMPLE_KEY_BYTES)


def _scalar(value: Any, location: Location) -> str:
    try:
        return _SCALARS[type(value)](value)
    except ValueError:  # sys.set_int_max_str_digits
        raise unsupported_value(
            location, "is an int with more digits than Python can write; pass it as a str"
        ) from None


@lru_cache(maxsize=1024)  # many records have the same keys
def _key(key: str, indent: str) -> tuple[str, bool]:
    n_bytes = len(key.encode("utf-8", "surrogatepass"))
    is_long = n_bytes > _MAX_SIMPLE_KEY_BYTES or _has_break(key) is not None
    return _head(_text(key, indent), indent, is_long=is_long)


def _head(key: str, indent: str, *, is_long: bool) -> tuple[str, bool]:
    return (f"? {key}\n{indent}:", True) if is_long else (f"{key}:", False)


def _text(text: str, indent: str) -> str:
    """Return a string in the first form that can hold it: plain, in single quotes, in double quotes."""
    is_syntax = _resolves_as_other_type(text) or ": " in text or " #" in text or text[-1] in " :"
    if not text.isprintable():  # has a line break, a control character, or just a rare character
        lines = text.replace("\u2028", "\n").replace("\u2029", "\n")
        if " \n" in lines or "\n " in lines or _is_unprintable(text):
            return f'"{_escape(_escaped, text)}"'
        if "\n" in lines:
            return _quoted_lines(text, indent + "  ")
    if is_syntax:
        return "'" + text.replace("'", "''") + "'"
    return text


def _quoted_lines(text: str, indent: str) -> str:
    def double(match: re.Match[str]) -> str:
        breaks = match[0]  # in quotes YAML reads one newline as a space, two as one newline
        return f"\n{breaks}{indent}" if breaks[0] == "\n" else breaks + indent

    return "'" + _double_breaks(double, text.replace("'", "''")) + "'"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    short = _ESCAPES.get(character)
    return f"\\{short}" if short else f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}"
