"""Text analysis of the lexical scorer: folded words and weighted character grams; pure.

`unicodedata` decides which characters are letters. A character that only a newer Python knows separates words on an
older one. Everything else is the same on every platform.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator

HAN_KANA = "\u3041-\u3096\u30a1-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
SOUTH_EAST_ASIA = "\u0e00-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"  # Thai, Lao, Tibetan ...
_SYLLABLES = "\uac00-\ud7a3\u1200-\u139f"  # Hangul, Ethiopic
_INDIC = "\u0900-\u0dff"
_CONSONANTS = "\u0590-\u077f\u08a0-\u08ff"  # Hebrew, Arabic, Syriac

# How a run of one script is cut into grams. The first two scripts have no spaces between words, so a gram may start
# anywhere. In the others a gram includes the end of its word. It also includes the start, except in the consonantal
# scripts: there "and", "the" and "in" are letters before a word.
_SCRIPT_RUNS = re.compile(
    f"([{HAN_KANA}]+)|([{SOUTH_EAST_ASIA}]+)|([{_SYLLABLES}]+)|([{_INDIC}]+)|([{_CONSONANTS}]+)"
    f"|([^{HAN_KANA}{SOUTH_EAST_ASIA}{_SYLLABLES}{_INDIC}{_CONSONANTS}]+)"
)
_WORD_STARTS = re.compile(f" |[{HAN_KANA}{SOUTH_EAST_ASIA}]")
_GRAM_SIZES = ((), (1, 2), (4,), (2,), (3,), (3,), (4,))
_LAST_UNSPACED = 2
_CONSONANTAL = 5

# Fitted on the dev data, see docs/decisions/0003: word beginnings say more than endings, and names more than other
# words.
_NEXT_GRAM_FACTOR = 0.8
_FINAL_GRAM_FACTOR = 0.3
_NAME_WEIGHT = 3.0

# Variants of one letter: alef, yeh, kaf and heh of Arabic script, Cyrillic yo.
_SAME_LETTER = str.maketrans(
    "\u0622\u0623\u0625\u0671\u0649\u06cc\u06d0\u06a9\u0629\u06c1\u06c3\u0451",
    "\u0627\u0627\u0627\u0627\u064a\u064a\u064a\u0643\u0647\u0647\u0647\u0435",
)
_FIRST_EMOJI, _FIRST_PRIVATE = 0x1F000, 0xE000
_FOLDABLE_MARK = re.compile(  # of Latin, Greek, Hebrew, Arabic; never Indic or Thai vowel signs
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\ufe00-\ufe0f\u20d0-\u20ff]"
)


class _FoldTable(dict[int, str]):
    """Map a code point to its folded text. Filled on first use; never larger than Unicode."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold_character(chr(code))
        return folded


class _FoldRuns(dict[str, str]):
    """Map a short run of characters, such as ``", "`` or ``"é"``, to its folded text. Bounded."""

    def __missing__(self, run: str) -> str:
        folded = run.translate(_FOLD)
        if len(run) <= 4 and len(self) < 10_000:
            self[run] = folded
        return folded


def _fold_character(char: str) -> str:
    category = unicodedata.category(char)
    if category == "So":
        return f" {_narrow(char)} "  # an emoji is a word
    if category == "Cf" or _FOLDABLE_MARK.match(char):
        return ""
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category[0] not in "LMN":
        return " "
    folded = unicodedata.normalize("NFKC", char).casefold()
    composed = _COMPOSED.match(folded)
    folded = unicodedata.normalize("NFKC" if composed else "NFKD", folded)
    return "".join(map(_word_part, folded)).translate(_SAME_LETTER)


def _narrow(char: str) -> str:
    """Return a private character for an emoji. Python needs 4 bytes for each character of a text with an emoji, not 2.

    No folded text contains private characters, because they are not letters.
    """
    is_emoji = _FIRST_EMOJI <= ord(char) < _FIRST_EMOJI + 0x1000
    return chr(ord(char) - _FIRST_EMOJI + _FIRST_PRIVATE) if is_emoji else char


def _word_part(char: str) -> str:
    if _FOLDABLE_MARK.match(char):
        return ""
    return char if unicodedata.category(char)[0] in "LMN" else " "


# Letters that stay composed with their mark (a Cyrillic short i, a Hangul syllable, voiced kana), and these marks in a
# decomposed text.
_COMPOSED = re.compile("[\u0400-\u052f\u3040-\u30ff\uac00-\ud7a3]")
_COMPOSING = re.compile("[\u0300-\u036f\u1100-\u11ff\u3099\u309a\uff9e\uff9f]")

_FOLD = _FoldTable()
_FOLD_RUNS = _FoldRuns()

# Everything but the lower-case letters that fold to themselves, in the most frequent scripts. The rest takes longer.
_CHANGED = re.compile(
    "([^ a-z0-9\u03b1-\u03c1\u03c3-\u03c9\u0430-\u0450\u0561-\u0586\u05d0-\u05ea\u10d0-\u10fa"
    "\u0621\u0627\u0628\u062a-\u063a\u0641-\u0648\u064a\u067e\u0686\u06af"  # Arabic, Persian
    "\u0900-\u0928\u092a-\u0930\u0932\u0933\u0935-\u0957\u0960-\u0963"  # Devanagari
    "\u0980-\u09ca\u09cd-\u09d7\u0a01-\u0a32\u0a37-\u0a51\u0a70-\u0a75\u0a81-\u0ae3"
    "\u0b01-\u0b47\u0b4d-\u0b57\u0b82-\u0b93\u0b95-\u0bc9\u0bcd-\u0bd7\u0c00-\u0c47\u0c4a-\u0c63"
    "\u0c85-\u0cbf\u0cc1-\u0cc6\u0ccc-\u0ce3\u0d00-\u0d49\u0d4d\u0d4e\u0d82-\u0dd9\u1200-\u135f"
    "\u0e01-\u0e32\u0e34-\u0e3a\u0e40-\u0e4e\u1000-\u1025\u1027-\u103f\u1780-\u17b3\u17b6-\u17d3"
    "\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fef\uac00-\ud7a3]+)"
)


# A few characters fold to many, up to 18. A text of such characters is cut, so that the work grows with its length.
_MAX_GROWTH = 2
_MIN_GROWTH = 20

_CHUNK_CHARS = 10_000
_CUT = re.compile("[\\s!-~\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff]")

# Characters that can be part of a run of combining marks. No mark is a letter or number for `re`, except the two
# half-width voicing marks of kana. Other signs match too, so `_cut_marks` checks each character.
_MAX_MARKS = 30  # UAX #15, section 13, stream-safe text
_LONG_RUN = re.compile(rf"(?:[^\w\x00-\u02ff]|[\uff9e\uff9f]){{{_MAX_MARKS + 1},}}")


def stream_safe(text: str) -> str:
    """Return *text* with every run of combining marks cut after 30 marks.

    `unicodedata.normalize` sorts the marks of a run in quadratic time, so a long run would block the whole process.
    No natural text has such a run.

    Source: Unicode Standard Annex #15, section 13, stream-safe text format.
    """
    return _LONG_RUN.sub(_cut_marks, text)


def _cut_marks(match: re.Match[str]) -> str:
    kept: list[str] = []
    n_marks = 0
    for char in match.group():
        is_mark = unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0
        n_marks = n_marks + 1 if is_mark else 0
        if n_marks <= _MAX_MARKS:
            kept.append(char)
    return "".join(kept)


def chunks(text: str) -> Iterator[str]:
    """Yield the parts of *text*, each of at most 20,000 characters, because lists of words take a lot of memory.

    A cut is before white space or a character that never combines with the one before, where there is one.
    """
    start = 0
    while len(text) - start > 2 * _CHUNK_CHARS:
        cut = _CUT.search(text, start + _CHUNK_CHARS, start + 2 * _CHUNK_CHARS)
        end = cut.start() if cut else start + 2 * _CHUNK_CHARS
        yield text[start:end]
        start = end
    yield text[start:]


def fold(text: str) -> str:
    """Return the words of *text*, case and accents removed, as ``" word word "``.

    A word is a run of letters, marks and numbers, or one sign such as an emoji. A text without any word becomes two
    spaces.
    """
    must_compose = not text.isascii() and any(_COMPOSING.search(chunk.lower()) for chunk in chunks(text))
    folded: list[str] = []
    is_in_word = False
    for chunk in chunks(text):
        raw = _fold_chunk(chunk, must_compose=must_compose)
        if words := " ".join(raw.split())[: _MAX_GROWTH * len(chunk) + _MIN_GROWTH].rstrip():
            folded.append(words if is_in_word and raw[0] != " " else f" {words}")
        is_in_word = raw[-1] != " " if raw else is_in_word
    folded.append(" " if folded else "  ")
    return "".join(folded)


def _fold_chunk(text: str, *, must_compose: bool) -> str:
    """Return the folded text with spaces between the words, several where signs were."""
    if text.isascii():
        return text.translate(_FOLD)
    parts = _CHANGED.split((unicodedata.normalize("NFKC", stream_safe(text)) if must_compose else text).lower())
    parts[1::2] = map(_FOLD_RUNS.__getitem__, parts[1::2])
    return "".join(parts)


def word_grams(word: str) -> Iterator[tuple[str, float]]:
    """Yield the character grams of a folded word with their weights. A gram may occur more than once."""
    for run in _SCRIPT_RUNS.finditer(word):
        script = run.lastindex or 0
        text = run.group()
        if script <= _LAST_UNSPACED:
            for size in _GRAM_SIZES[script]:
                yield from ((text[i : i + size], 1.0) for i in _starts(text, size))
            continue
        text = f"{text} " if script == _CONSONANTAL else f" {text} "
        weight = 1.0
        for size in _GRAM_SIZES[script]:
            *starts, final = _starts(text, size)
            for i in starts:
                yield text[i : i + size], weight
                weight *= _NEXT_GRAM_FACTOR
            if len(starts) <= 1:  # in a longer word the last gram is an ending
                yield text[final : final + size], weight * _FINAL_GRAM_FACTOR


def query_grams(query: str, cut: Callable[[str], Iterator[tuple[str, float]]] = word_grams) -> dict[str, float]:
    """Return the character grams of *query* with their weights (> 0), in order of appearance.

    A gram is counted in the folded text of a document, spaces included.

    Args:
        query: The unfolded query. Its capitals mark names.
        cut: Cuts a folded word into weighted grams.
    """
    weights: dict[str, float] = {}
    for position, token in enumerate(query.split()):
        word_weight = _NAME_WEIGHT if is_name(token, is_first=position == 0) else 1.0
        for word in fold(token).split():
            for gram, weight in cut(word):
                weights[gram] = weights.get(gram, 0.0) + weight * word_weight
    return {gram: math.sqrt(weight) for gram, weight in weights.items()}


def _starts(text: str, size: int) -> range:
    return range(max(1, len(text) - size + 1))


def word_starts(folded: str) -> list[int]:
    """Return the positions where words start in a folded text, at the space before the word.

    In scripts without spaces every letter is a start.
    """
    return [match.start() for match in _WORD_STARTS.finditer(folded)]


def is_name(token: str, *, is_first: bool) -> bool:
    """Return True for a name, number or identifier: it has a capital or a digit.

    The first character of the first word does not count, because sentences start with a capital.
    """
    letters = [char for char in token if char.isalnum()]
    return any(char.isupper() or char.isdigit() for char in letters[is_first:])
