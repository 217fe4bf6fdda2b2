"""From text to what is compared: folded words, character grams, estimated tokens; pure."""

from __future__ import annotations

import re
import unicodedata

# Scripts written without spaces between words, by how long the grams of a run should be.
_HAN_KANA = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SOUTH_EAST = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_RUNS = re.compile(f"[{_HAN_KANA}]+|[{_SOUTH_EAST}]+|[^{_HAN_KANA}{_SOUTH_EAST}]+")
_IS_HAN_KANA = re.compile(f"[{_HAN_KANA}]")
_IS_SOUTH_EAST = re.compile(f"[{_SOUTH_EAST}]")

# Letters that are one letter to a reader: alef, yeh, kaf and teh marbuta forms of Arabic script.
_SAME_LETTER = {"ٱ": "ا", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ی": "ي", "ې": "ي", "ک": "ك"}


class _FoldTable(dict[int, str]):
    """Code point -> folded text, filled as characters are met (at most all of Unicode)."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold(chr(code))
        return folded


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if category == "So":
        return f" {char} "  # emoji and other signs are words of their own
    if category == "Cf" or _is_foldable_mark(char):
        return ""
    if category[0] not in "LMN":
        return " "
    char = _SAME_LETTER.get(char, char)
    folded = unicodedata.normalize("NFKC", char.casefold())
    base = unicodedata.normalize("NFD", folded)
    if len(base) > 1 and base[0] < "\u0250":
        folded = "".join(c for c in base if not unicodedata.combining(c))
    return "".join(
        c for c in folded if unicodedata.category(c)[0] in "LMN" and not _is_foldable_mark(c)
    )


def _is_foldable_mark(char: str) -> bool:
    """Marks of Latin, Hebrew and Arabic; never Indic or Thai ones, which are vowels."""
    return (
        "\u0300" <= char <= "\u036f"
        or "\u0591" <= char <= "\u05c7"
        or "\u0610" <= char <= "\u061a"
        or "\u064b" <= char <= "\u065f"
        or char in "\u0670\u0640"
    )


_FOLD = _FoldTable()


def fold(text: str) -> str:
    """Return the words of *text*, case and accents removed, as ``" word word "``.

    Words are runs of letters, marks and numbers; a sign such as an emoji is a word.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return f" {' '.join(text.translate(_FOLD).split())} "


def grams(folded: str) -> list[str]:
    """Return the distinct character grams of a folded text, in order of appearance."""
    found: dict[str, None] = {}
    for word in folded.split():
        for run in _RUNS.findall(word):
            if _IS_HAN_KANA.match(run):
                sizes, text = range(1, 4), run
            elif _IS_SOUTH_EAST.match(run):
                sizes, text = range(2, 6), run
            else:
                sizes, text = range(4, 5), f" {run} "
            for size in sizes:
                for start in range(max(1, len(text) - size + 1)):
                    found[text[start : start + size]] = None
    return list(found)


def truncate(document: str, max_tokens: int) -> str:
    """Return the longest prefix of *document* of about *max_tokens* tokens.

    An estimate, no tokenizer: four characters make a token in alphabetic scripts, and each
    character is one in Han, kana and Hangul. Code points are never split.

    Args:
        document: Any text.
        max_tokens: At least 1.
    """
    if len(document) <= max_tokens:
        return document
    quarters, limit = 0, 4 * max_tokens
    for position, char in enumerate(document):
        quarters += 4 if _is_dense(char) else 1
        if quarters > limit:
            return document[:position]
    return document


def _is_dense(char: str) -> bool:
    return "\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" or char >= "\U00020000"
