"""Remove a key from a text that a server wrote, in every encoding in which the text may quote it. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    Span = tuple[int, int]

T = TypeVar("T")

MASK = "[your key]"
SECRET_NAME = re.compile(r"auth|cookie|credential|key|pass|secret|token|\bcode\b|\bsig(?:nature)?\b", re.IGNORECASE)
"""Found in the name of a header, parameter or field that probably contains a secret."""
MIN_KEY_LENGTH = 8  # characters; a shorter key is a placeholder, and may be a common word
_MAX_DEPTH = 200  # of nested JSON; deeper values are masked without a search
_MAX_ESCAPES = 2  # how often a text may have been escaped: JSON in JSON, HTML in JSON, ...
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
# One escaped character in JSON, a URL and HTML. A key is ASCII, since it is sent in a header.
_JSON = re.compile(r"""\\(?:u00(?P<hex>[2-7][0-9a-fA-F])|(?P<character>["'/\\]))""")
_URL = re.compile(r"%(?P<hex>[2-7][0-9a-fA-F])")
_HTML = re.compile(r"&(?:#0{0,6}(?P<number>\d{2,3})|#[xX]0{0,6}(?P<hex>[2-7][0-9a-fA-F])|(?P<name>[a-z]{2,4}));")
_NAMES = {"amp": "&", "apos": "'", "gt": ">", "lt": "<", "quot": '"'}


def hide(value: T, key: str | None, mask: str = MASK) -> T:
    """Replace a key wherever it occurs in a value.

    The key is found in plain text, with characters escaped as in JSON, URLs or HTML (also twice), and in base64. In
    base64 other text may surround it, because ``Basic`` encodes ``user:key``. The time is proportional to the size of
    the value.

    Args:
        value: A string, bytes, or a parsed JSON value, whose names are searched too. It is not changed.
        key: The key. Nothing is replaced if it is None or shorter than 8 characters.
        mask: The text that replaces it.
    """
    if key is None or len(key) < MIN_KEY_LENGTH:
        return value
    hidden: T = _hide(value, (key, *_base64_cores(key)), mask, 0)
    return hidden


def _hide(value: Any, needles: tuple[str, ...], mask: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return mask
    if isinstance(value, str):
        return _hide_in_text(value, needles, mask)
    if isinstance(value, (bytes, bytearray)):
        return _hide_in_text(value.decode("latin-1"), needles, mask).encode("latin-1")
    if isinstance(value, dict):
        return {
            _hide(name, needles, mask, depth + 1): _hide(item, needles, mask, depth + 1) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_hide(item, needles, mask, depth + 1) for item in value]
    return value


def _hide_in_text(text: str, needles: tuple[str, ...], mask: str) -> str:
    pieces, end = [], 0
    for start, stop in sorted(_spans(text, needles, _MAX_ESCAPES)):
        if stop <= end:
            continue
        if start >= end:  # otherwise it overlaps the text that was masked last
            pieces += [text[end:start], mask]
        end = stop
    return "".join(pieces) + text[end:] if pieces else text


def _spans(text: str, needles: tuple[str, ...], n_escapes: int) -> Iterator[Span]:
    """Return where the needles are in the text, and in the text without its escapes."""
    key, *cores = needles
    yield from _occurrences(text, key)
    for core in cores:
        end = 0
        for start, stop in _occurrences(text, core):
            if stop > end:  # otherwise it is in the run of base64 that was found last, which is read only once
                run = _BASE64_RUN.match(text, stop)
                end = run.end() if run else stop
                yield _run_start(text, start), end
    if n_escapes == 0:
        return
    for escape in (_JSON, _URL, _HTML):
        matches = [match for match in escape.finditer(text) if _unescaped(match) is not None]
        if matches:
            yield from _spans_behind(text, matches, needles, n_escapes - 1)


def _occurrences(text: str, needle: str) -> Iterator[Span]:
    start = text.find(needle)
    while start >= 0:
        yield start, start + len(needle)
        start = text.find(needle, start + len(needle))


def _run_start(text: str, start: int) -> int:
    """Return where the run of base64 begins that contains *start*, at most 1,000 characters before it."""
    before = text[max(0, start - 1000) : start]
    return start - len(before) + len(before.rstrip(_BASE64))


def _spans_behind(text: str, matches: list[re.Match[str]], needles: tuple[str, ...], n_escapes: int) -> Iterator[Span]:
    """Return the spans of the unescaped text as positions in the escaped text."""
    pieces, positions, end, length = [], [], 0, 0
    for match in matches:
        pieces += [text[end : match.start()], _unescaped(match) or ""]
        length += match.start() - end
        positions.append(length)  # of this escape's one character
        length += 1
        end = match.end()
    pieces.append(text[end:])

    def original(position: int) -> Span:
        nearest = bisect_right(positions, position) - 1
        if nearest < 0:
            return position, position + 1
        distance = position - positions[nearest]
        start, stop = matches[nearest].span()
        return (start, stop) if distance == 0 else (stop + distance - 1, stop + distance)

    for start, stop in _spans("".join(pieces), needles, n_escapes):
        yield original(start)[0], original(stop - 1)[1]


def _unescaped(match: re.Match[str]) -> str | None:
    forms = match.groupdict()
    if forms.get("hex"):
        return chr(int(forms["hex"], 16))
    if forms.get("number"):
        return chr(int(forms["number"]))
    return forms.get("character") or _NAMES.get(forms.get("name") or "")


def _base64_cores(key: str) -> tuple[str, ...]:
    """Return the key in both alphabets of base64 and in three alignments, without the ends that vary."""
    cores: dict[str, None] = {}
    for n_before in range(3):
        n_bits = 8 * (n_before + len(key.encode()))
        text = b64encode(bytes(n_before) + key.encode()).decode()[-(-8 * n_before // 6) : n_bits // 6]
        cores |= dict.fromkeys((text, text.replace("+", "-").replace("/", "_")))
    return tuple(cores)
