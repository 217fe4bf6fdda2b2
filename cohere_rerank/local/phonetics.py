"""Match names and loanwords across scripts by the consonants of a word; pure.

"Tesla", "Тесла", "Τέσλα" and "טסלה" all have the consonants T S L. The sound of a letter comes from its Unicode name,
such as CYRILLIC SMALL LETTER TE. This is rough, but no script needs a table of its own. The names of Han characters
contain no sound. Consonants are written as capitals, so they never match the letters of a folded text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from .analysis import chunks, query_grams

# The first letter of a letter's name -> its sound. Vowels, W and Y have none: some scripts write them, others do not.
_SOUNDS = dict(zip("BCDFGHJKLMNPQRSTVXZ", "BSDFGHSKLMNPKRSTFKS"))
_SIBILANTS = {"CH", "DZ", "JH", "SH", "TC", "TS", "ZH"}
_EXCEPTIONS = {
    ("ARABIC", "HAMZA"): "",
    ("ARMENIAN", "VO"): "",  # an o; so is Hebrew vav, far more often than a v
    ("CYRILLIC", "PALOCHKA"): "",
    ("CYRILLIC", "SCHWA"): "",
    ("CYRILLIC", "SHHA"): "H",
    ("GREEK", "CHI"): "K",
    ("GREEK", "PSI"): "PS",
    ("GREEK", "XI"): "KS",
    ("HEBREW", "VAV"): "",
    ("LATIN", "C"): "K",
    ("LATIN", "ENG"): "N",
    ("LATIN", "ETH"): "D",
    ("LATIN", "SALTILLO"): "",
    ("LATIN", "SCHWA"): "",
    ("LATIN", "STOP"): "",  # glottal
    ("LATIN", "X"): "KS",
    ("THAI", "PAIYANNOI"): "",
}
_CYRILLIC_CONSONANT = re.compile("E([FLMNRS])")  # EF, EL, EM ...
_NAME_FIRST = {"ARABIC", "LAO", "THAI"}  # ARABIC LETTER YEH BARREE, THAI CHARACTER TO TAO
_SILENT = {"MARK", "SARA", "SIGN"}  # SARA: a Thai vowel
_LETTERS = {"Ll", "Lo", "Lt", "Lu"}  # not Lm: repetition marks and letters used as apostrophes

# Latin spelling: c as s, and the h of ch, ph, sh, th.
_SOFT_C = re.compile("c(?=[eiy])")
_SILENT_H = re.compile("h(?<=[bcdgkpstz]h)")  # matching the h first is four times as fast

_ASCII_LETTER = re.compile("[a-z]")
_SAME_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK"}
_MAX_KEPT_WORDS, _MAX_KEPT_CHARS = 50_000, 24
_N_SAMPLED = 24  # characters of a text that decide its scripts

# Fitted on the dev data, see docs/decisions/0003.
_MIN_CONSONANTS = 3
_MAX_GRAMS = 64  # of a query
_GRAM_SIZE = 3  # the start of the word counts as one
_NEXT_GRAM_FACTOR = 0.8


class _ConsonantTable(dict[int, str]):
    """Map a code point to its consonants, and a space to itself. Filled on first use; never larger than Unicode."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        found = self[code] = " " if char == " " else _character_consonants(char)
        return found


class _ScriptTable(dict[str, str]):
    """Map a letter to the first word of its name, and any other character to "". Never larger than Unicode."""

    def __missing__(self, char: str) -> str:
        name = unicodedata.name(char, "").partition(" ")[0] if char.isalpha() else ""
        script = self[char] = _SAME_SCRIPT.get(name, name)
        return script


class _WordConsonants(dict[str, str]):
    """Map a folded word to its consonants. Bounded: words repeat, in one text and in the next."""

    def __missing__(self, word: str) -> str:
        found = _SILENT_H.sub("", _SOFT_C.sub("s", word)).translate(_CONSONANTS)
        if len(self) < _MAX_KEPT_WORDS and len(word) <= _MAX_KEPT_CHARS:
            self[word] = found
        return found


def _character_consonants(char: str) -> str:
    script, *words = unicodedata.name(char, "-").split()
    if "ANUSVARA" in words:
        return "N"
    is_letter = unicodedata.category(char) in _LETTERS or "SUBJOINED" in words
    if not (words and is_letter) or not _SILENT.isdisjoint(words):
        return ""
    if script == "HANGUL":  # the name of a syllable spells it
        return "".join(_SOUNDS.get(letter, "") for letter in words[-1].replace("NG", "N"))
    return "" if script == "CJK" else _letter_consonants(script, words)


def _letter_consonants(script: str, words: list[str]) -> str:
    """Return the consonants of a letter. *words* are the words of its Unicode name after the script."""
    if "WITH" in words:
        words = words[: words.index("WITH")]
    name = words[1] if script in _NAME_FIRST and len(words) > 1 else words[-1]
    if script == "CYRILLIC":
        name = _CYRILLIC_CONSONANT.sub(r"\1", name)
    usual = "S" if name[:2] in _SIBILANTS else _SOUNDS.get(name[0], "")
    return _EXCEPTIONS.get((script, name), usual)


_CONSONANTS = _ConsonantTable()
_SCRIPTS = _ScriptTable()
_WORDS = _WordConsonants()


def scripts(folded: str) -> set[str]:
    """Return the scripts that make up a quarter or more of the letters of *folded*, estimated from a sample."""
    if folded.isascii():
        return {"LATIN"} if _ASCII_LETTER.search(folded) else set()
    counts = Counter(map(_SCRIPTS.__getitem__, folded[:: len(folded) // _N_SAMPLED + 1]))
    del counts[""]
    quarter = sum(counts.values()) / 4
    return {script for script, count in counts.items() if count >= quarter}


def consonants(folded: str) -> str:
    """Return the consonants of the words of *folded*, such as ``" TSL MTRS "``."""
    parts = (" ".join(filter(None, map(_WORDS.__getitem__, chunk.split()))) for chunk in chunks(folded))
    return f" {' '.join(filter(None, parts))} "


def consonant_grams(query: str) -> dict[str, float]:
    """Return the 64 consonant grams of *query* with the highest weights.

    They are weighted as `analysis.query_grams` weights the letter grams.
    """
    grams = query_grams(query, _word_grams)
    return {gram: grams[gram] for gram in sorted(grams, key=grams.__getitem__, reverse=True)[:_MAX_GRAMS]}


def _word_grams(word: str) -> Iterator[tuple[str, float]]:
    text = consonants(word).rstrip()
    if len(text) <= _MIN_CONSONANTS:
        return
    weight = 1.0
    for start in range(len(text) - _GRAM_SIZE + 1):
        yield text[start : start + _GRAM_SIZE], weight
        weight *= _NEXT_GRAM_FACTOR
