"""Function words such as "the" and "what" in about a hundred languages, and the language that they show; pure.

They are background knowledge for short lists: within three documents no word is rare. The words are data of published
packages, see ``data/SOURCES.md``. They are loaded when they are first needed.
"""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from importlib.resources import files

from .analysis import HAN_KANA, SOUTH_EAST_ASIA, word_grams

_SAMPLE_CHARS = 80  # of each text, they show its language
_CERTAIN_SHARE = 0.8  # languages with this share of the most hits are likely too
_MAX_WORD_CHARS = 8  # in scripts without spaces

_UNSPACED = re.compile(f"[{HAN_KANA}]+|[{SOUTH_EAST_ASIA}]+")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30ff]")
_HIRAGANA = re.compile("[\u3041-\u3096]+")

# The language of a text in a script, if no function word shows it.
_LANGUAGE_OF_SCRIPT = {
    "ARABIC": "ar", "ARMENIAN": "hy", "BENGALI": "bn", "CJK": "zh", "CYRILLIC": "ru", "DEVANAGARI": "hi",
    "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa", "HANGUL": "ko",
    "HEBREW": "he", "KANNADA": "kn", "KHMER": "km", "LAO": "lo", "LATIN": "en", "MALAYALAM": "ml", "MYANMAR": "my",
    "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th",
}  # fmt: skip
_WITHOUT_SPACES = {"CJK", "KHMER", "LAO", "MYANMAR", "THAI"}


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[str, ...]]:
    """Return the codes of the languages of each word."""
    data = (files("cohere_rerank.local") / "data" / "function_words.txt.gz").read_bytes()
    found: dict[str, tuple[str, ...]] = {}
    for line in gzip.decompress(data).decode().split("\n"):
        language, *words = line.split()
        for word in words:
            found[word] = (*found.get(word, ()), language)
    return found


def count_languages(texts: Sequence[str]) -> Counter[str]:
    """Count the function words of each language in the beginnings of folded texts."""
    table = _table()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(text[:_SAMPLE_CHARS].split())
    counts: Counter[str] = Counter()
    for word in words.keys() & table.keys():
        n = words[word]
        for language in table[word]:
            counts[language] += n
    return counts


def likely_languages(counts: Counter[str]) -> tuple[str, ...]:
    """Return the languages with the most function words, in alphabetical order."""
    floor = _CERTAIN_SHARE * max(counts.values(), default=0)
    return tuple(sorted(language for language, count in counts.items() if count >= floor))


def text_languages(texts: Sequence[str], script: str, counts: Counter[str]) -> tuple[str, ...]:
    """Return the likely languages of folded texts that are mostly in one script.

    Args:
        texts: Folded texts.
        script: The script, as the first word of the Unicode names of its letters.
        counts: The function words of each language in the texts.
    """
    if script in _WITHOUT_SPACES:
        n_kana = sum(_KANA.search(text[:_SAMPLE_CHARS]) is not None for text in texts)
        return ("ja",) if 2 * n_kana >= len(texts) else (_LANGUAGE_OF_SCRIPT[script],)
    return likely_languages(counts) or ((_LANGUAGE_OF_SCRIPT[script],) if script in _LANGUAGE_OF_SCRIPT else ())


def is_function_word(word: str, languages: Collection[str]) -> bool:
    """Return True if *word* is a function word in one of the languages."""
    return any(language in languages for language in _table().get(word, ()))


def common_grams(word: str) -> set[str]:
    """Return the grams of a folded word without spaces that are parts of function words.

    In Japanese these are the hiragana. In other languages the longest function word at each position is taken.
    """
    grams: set[str] = set()
    has_kana = _KANA.search(word) is not None
    for run in _UNSPACED.finditer(word):
        for piece in _HIRAGANA.findall(run.group()) if has_kana else _function_words_in(run.group()):
            grams.update(gram for gram, _ in word_grams(piece))
    return grams


def _function_words_in(text: str) -> Iterator[str]:
    table, start = _table(), 0
    while start < len(text):
        for size in range(min(_MAX_WORD_CHARS, len(text) - start), 0, -1):
            if text[start : start + size] in table:
                yield text[start : start + size]
                start += size
                break
        else:
            start += 1
