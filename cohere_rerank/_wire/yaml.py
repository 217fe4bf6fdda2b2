"""Plain data to YAML text: block style, keys as given, no folding, non-ASCII as it is.

The text is libyaml's, to the byte (PyYAML's ``CSafeDumper`` with ``sort_keys=False, allow_unicode=True`` and no line
width), with three differences: characters above U+FFFF, emoji among them, stand as they are; a lone surrogate is
escaped where libyaml gives up; an object met twice is written twice, never as an alias.
``docs/decisions/0001-yaml-documents.md`` says why no dumper is called; ``tests/wire/test_yaml.py`` compares with one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    Where = tuple["Where | None", object, int]
    """A place in a document: the place that holds it, the key there, the depth. The root's key is its name."""

    Simplify = Callable[[object, Where], object]

MAX_DEPTH = 100
"""Levels of mappings and lists. A cycle ends here, long before Python's stack or PyYAML's reader would."""

_MAX_SIMPLE_KEY_BYTES = 128  # libyaml's bound on a key that stands on one line with its value

# What an unquoted string may not begin with: YAML's indicators, and a space.
_INDICATORS = r"""[ #,\[\]{}&*!|>'"%@`]|[-?:](?: |\Z)|---|\.\.\."""

# What an unquoted string may not be, since YAML 1.1 reads it as another type (https://yaml.org/type/, in the forms
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
_is_misread = re.compile(rf"{_INDICATORS}|(?:{_TYPED})\Z").match

# Sets of characters, one to a pattern: `re` finds a set far faster than alternatives.
_BREAKS = "\n\u2028\u2029"
_UNPRINTABLE = "\0-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff"
_has_break = re.compile(f"[\r\x85{_BREAKS}]").search
_is_unprintable = re.compile(f"[{_UNPRINTABLE}]").search
_escape = re.compile(f'["\\\\{_BREAKS}{_UNPRINTABLE}]').sub
_lengthen_breaks = re.compile(f"[{_BREAKS}][{_BREAKS}]*").sub
_ESCAPES = dict(zip('\0\a\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029', '0abtnvfre"\\NLP'))


class Bare(str):
    """Text that stands without quotes although YAML reads it as another type: digits, a date."""

    __slots__ = ()


def dump(fields: Mapping[Any, object], where: Where, simplify: Simplify) -> str:
    """Write a mapping that has fields.

    Args:
        fields: Keys and values. A plain ``dict``, ``list``, ``tuple``, ``str``, ``int``, ``float``, ``bool``, ``None``
            or `Bare` is written as it is.
        where: The place of the mapping, for errors.
        simplify: Turns a value of any other type into one of these, in as many steps as it needs, or refuses it.

    Returns:
        Lines that each end in a newline, and that ``yaml.safe_load`` reads as the same data.
    """
    writer = _Writer(simplify)
    writer.mapping(fields, "", "", where)
    return "".join(writer.out)


def refused(where: Where, why: str) -> InvalidRequestError:
    """The error for a place, which names it but never its value: *why* completes ``documents[2]["author"] ...``."""
    return InvalidRequestError(f"{_spelled(where)} {why}")


def number(text: str) -> str:
    """The digits of a float or Decimal, in the form that YAML 1.1 reads as a number."""
    text = text.lower()
    if "n" in text:
        return ".nan" if "nan" in text else "-.inf" if text[0] == "-" else ".inf"
    return text if "." in text else text.replace("e", ".0e")


_SCALARS: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    float: lambda value: number(repr(value)),
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
    Bare: Bare.__str__,
}

_A_KEY = object()  # in a place: the key itself, not what it leads to


def _spelled(where: Where) -> str:
    path: list[object] = []
    place: Where | None = where
    while place is not None:
        place, key, _ = place
        path.append(key)
    prefix = "a key of " if path[0] is _A_KEY else ""
    name, *keys = (key for key in reversed(path) if key is not _A_KEY)
    return f"{prefix}{name}{''.join(map(_spelled_key, keys[:5]))}{'…' if len(keys) > 5 else ''}"


def _spelled_key(key: object) -> str:
    text = str(key)
    text = text if len(text) <= 60 else text[:60] + "…"
    return f'["{text}"]' if isinstance(key, str) else f"[{text}]"


class _Writer:
    """The text so far.

    In its methods *head* (or *first*) is what stands before the value (or the first item) on its line, and *indent* is
    the indentation of the lines after that.
    """

    __slots__ = ("out", "simplify")

    def __init__(self, simplify: Simplify) -> None:
        self.out: list[str] = []
        self.simplify = simplify

    def mapping(self, fields: Mapping[Any, object], first: str, indent: str, where: Where) -> None:
        for key, value in fields.items():
            head, is_long = _key(key, indent) if type(key) is str else self.other_key(key, indent, where)
            if type(value) is str:
                self.out.append(f"{first}{head} {_text(value, indent)}\n")
            else:
                self.value(value, first + head, indent, (where, key, where[2] + 1), inline=is_long)
            first = indent

    def sequence(self, items: Iterable[object], first: str, indent: str, where: Where) -> None:
        for index, item in enumerate(items):
            if type(item) is str:
                self.out.append(f"{first}- {_text(item, indent)}\n")
            else:
                self.value(item, first + "-", indent, (where, index, where[2] + 1), inline=True)
            first = indent

    def value(self, value: Any, head: str, indent: str, where: Where, *, inline: bool) -> None:
        """Write a value; with *inline* the first item of a list or mapping stands on the same line as *head*."""
        kind = type(value)
        if kind is str:
            self.out.append(f"{head} {_text(value, indent)}\n")
        elif kind in _SCALARS:
            self.out.append(f"{head} {_scalar(value, where)}\n")
        elif kind is dict or kind is list or kind is tuple:
            self.items(value, head, indent, where, inline=inline)
        else:
            self.value(self.simplify(value, where), head, indent, where, inline=inline)

    def items(self, items: Any, head: str, indent: str, where: Where, *, inline: bool) -> None:
        if where[2] > MAX_DEPTH:
            raise refused(where, f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
        is_mapping = type(items) is dict
        write = self.mapping if is_mapping else self.sequence
        if not items:
            self.out.append(f"{head} {'{}' if is_mapping else '[]'}\n")
        elif inline:
            write(items, head + " ", indent + "  ", where)
        else:
            self.out.append(head + "\n")
            inner = indent + "  " if is_mapping else indent
            write(items, inner, inner, where)

    def other_key(self, key: object, indent: str, where: Where) -> tuple[str, bool]:
        place = (where, _A_KEY, where[2])
        plain = key
        while type(plain) not in _SCALARS:
            if type(plain) is str:
                return _key(plain, indent)
            if isinstance(plain, (dict, list, tuple)):
                raise refused(
                    place, f"is of type {type(key).__name__}; a key is a str, a number, a bool, None or a date"
                )
            plain = self.simplify(plain, place)
        text = _scalar(plain, place)
        return _head(text, indent, is_long=len(text) > _MAX_SIMPLE_KEY_BYTES)


def _scalar(value: Any, where: Where) -> str:
    try:
        return _SCALARS[type(value)](value)
    except ValueError:  # sys.set_int_max_str_digits
        raise refused(where, "is an int with more digits than Python writes; pass it as a str") from None


@lru_cache(maxsize=1024)  # records share their keys
def _key(key: str, indent: str) -> tuple[str, bool]:
    n_bytes = len(key.encode("utf-8", "surrogatepass"))
    is_long = n_bytes > _MAX_SIMPLE_KEY_BYTES or _has_break(key) is not None
    return _head(_text(key, indent), indent, is_long=is_long)


def _head(key: str, indent: str, *, is_long: bool) -> tuple[str, bool]:
    return (f"? {key}\n{indent}:", True) if is_long else (f"{key}:", False)


def _text(text: str, indent: str) -> str:
    """A string in the first form that holds it: bare, in single quotes, in double quotes."""
    is_syntax = _is_misread(text) or ": " in text or " #" in text or text[-1] in " :"
    if not text.isprintable():  # has a line break, a control character, or one that is merely rare
        lines = text.replace("\u2028", "\n").replace("\u2029", "\n")
        if " \n" in lines or "\n " in lines or _is_unprintable(text):
            return f'"{_escape(_escaped, text)}"'
        if "\n" in lines:
            return _quoted_lines(text, indent + "  ")
    if is_syntax:
        return "'" + text.replace("'", "''") + "'"
    return text


def _quoted_lines(text: str, indent: str) -> str:
    def lengthen(match: re.Match[str]) -> str:
        breaks = match[0]  # in quotes one newline reads as a space, two as one newline
        return f"\n{breaks}{indent}" if breaks[0] == "\n" else breaks + indent

    return "'" + _lengthen_breaks(lengthen, text.replace("'", "''")) + "'"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    short = _ESCAPES.get(character)
    return f"\\{short}" if short else f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}"
