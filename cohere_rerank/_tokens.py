"""Estimate the number of tokens of a text without a tokenizer. Pure.

A token is one character of a dense script (Han, kana, Hangul, emoji) or four characters of any other.
"""

from __future__ import annotations

import re

__all__ = ["estimate_tokens", "truncate"]

_CHARS_PER_TOKEN = 4
_DENSE = re.compile("[\u3040-\u9fff\uac00-\ud7af\U0001f000-\U0010ffff]")


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens of *text*, rounded up."""
    n_dense = 0 if text.isascii() else sum(1 for _ in _DENSE.finditer(text))
    return n_dense - (n_dense - len(text)) // _CHARS_PER_TOKEN


def truncate(text: str, max_tokens: int) -> str:
    """Return the longest prefix of *text* with at most *max_tokens* estimated tokens.

    Args:
        text: Any text. A code point is never split.
        max_tokens: At least 1.
    """
    if len(text) <= max_tokens:
        return text
    room = _CHARS_PER_TOKEN * max_tokens
    if text.isascii():
        return text[:room]
    n_dense, end = 0, min(room, len(text))
    for match in _DENSE.finditer(text, 0, room):
        # A dense character counts as much as four others.
        if match.end() + (_CHARS_PER_TOKEN - 1) * (n_dense + 1) > room:
            end = match.start()
            break
        n_dense += 1
    return text[: min(end, room - (_CHARS_PER_TOKEN - 1) * n_dense)]
