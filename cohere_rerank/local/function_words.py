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
_KATAKANA = re.compile("[\u30a1-\u30ff]+")
_JAPANESE_PIECE = re.compile("[\u30a1-\u30ff]+|[^\u3041-\u3096\u30a1-\u30ff]+")

# The language of a text in a script, if no function word shows it.
_LANGUAGE_OF_SCRIPT = {
    "ARABIC": "ar", "ARMENIAN": "hy", "BENGALI": "bn", "CJK": "zh", "CYRILLIC": "ru", "DEVANAGARI": "hi",
    "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa", "HANGUL": "ko",
    "HEBREW": "he", "KANNADA": "kn", "KHMER": "km", "LAO": "lo", "LATIN": "en", "MALAYALAM": "ml", "MYANMAR": "my",
    "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th",
}  # fmt: skip
# Words that turn a statement into its opposite. They are content, although some are in the lists of function words.
NEGATIONS = {
    "aucun", "aucune", "degil", "geen", "jamais", "kein", "keine", "keinen", "mai", "nao", "never", "nicht", "nie",
    "niemals", "niet", "no", "non", "not", "nunca", "ohne", "pas", "sans", "sem", "senza", "sin", "without", "zonder",
    "\u043d\u0435", "\u0431\u0435\u0437",  # Russian
    "\u0644\u0627", "\u0628\u062f\u0648\u0646",  # Arabic
    "\u0928\u0939\u0940\u0902", "\u092c\u093f\u0928\u093e",  # Hindi
}  # fmt: skip

# Chinese characters that are words of their own where they stand between other words.
_HAN_PARTICLES = frozenset(
    "\u7684\u4e86\u5417\u5462\u5230\u5728\u662f\u6211\u4f60\u4ed6\u5979\u548c\u4e0e\u6709\u8981\u4ece\u628a\u88ab\u7ed9\u5bf9"
)

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


def is_katakana(word: str) -> bool:
    """Return True if *word* is written in katakana only."""
    return _KATAKANA.fullmatch(word) is not None


def pieces(word: str) -> list[str]:
    """Return the content of a folded word in a script without spaces, cut at function words; other words whole.

    In Japanese the hiragana separate the pieces. If nothing is left, the word is one piece.
    """
    if not _UNSPACED.search(word):
        return [word]
    if _KANA.search(word):
        return _JAPANESE_PIECE.findall(word) or [word]
    found, start = [""], 0
    for piece in _function_words_in(word):
        end = word.index(piece, start)
        found[-1] += word[start:end]
        if len(piece) > 1 or piece in _HAN_PARTICLES:
            found.append("")
        else:
            found[-1] += piece
        start = end + len(piece)
    found[-1] += word[start:]
    return list(filter(None, found)) or [word]


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
