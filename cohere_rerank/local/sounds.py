"""Names and loanwords across scripts: the consonants of a word, whatever its letters; pure.

"Tesla", "Тесла", "Τέσλα" and "טסלה" all have the consonants T S L. What a letter sounds like is read from its Unicode
name, such as CYRILLIC SMALL LETTER TE: rough, but no script needs a table of its own. Han signs have no sound in their
names. Sounds are capitals, so they never meet the letters of a folded text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from .analysis import query_grams

# First letter of a letter's name -> sound. Vowels, W and Y have none: some scripts write them, others do not.
_SOUNDS = dict(zip("BCDFGHJKLMNPQRSTVXZ", "BSDFGHSKLMNPKRSTFKS"))
_SIBILANTS = {"CH", "DZ", "JH", "SH", "TC", "TS", "ZH"}
_OTHERWISE = {
    ("ARABIC", "HAMZA"): "",
    ("ARMENIAN", "VO"): "",  # an o, as Hebrew vav is one far more often than a v
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
_NAME_COMES_FIRST = {"ARABIC", "LAO", "THAI"}  # ARABIC LETTER YEH BARREE, THAI CHARACTER TO TAO
_SILENT = {"MARK", "SARA", "SIGN"}  # SARA: a Thai vowel
_LETTERS = {"Ll", "Lo", "Lt", "Lu"}  # not Lm: marks of repetition, and what stands for an apostrophe

# Latin spelling: c as s, and the h of ch, ph, sh, th.
_SOFT_C = re.compile("c(?=[eiy])")
_MUTE_H = re.compile("h(?<=[bcdgkpstz]h)")  # the h first: four times as fast

_SAME_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK"}
_N_SAMPLED = 24  # characters of a text that tell its scripts

# Fitted on dev, see docs/decisions/0003.
_MIN_SOUNDS = 3
_MAX_GRAMS = 64  # of a query
_GRAM_SIZE = 3  # the start of the word counts as one
_NEXT_GRAM = 0.8


class _SoundTable(dict[int, str]):
    """Code point -> sounds, a space stays; filled as characters are met; never larger than Unicode."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        sounds = self[code] = " " if char == " " else _character_sounds(char)
        return sounds


class _ScriptTable(dict[str, str]):
    """Letter -> the first word of its name, other characters -> nothing; never larger than Unicode."""

    def __missing__(self, char: str) -> str:
        name = unicodedata.name(char, "").partition(" ")[0] if char.isalpha() else ""
        script = self[char] = _SAME_SCRIPT.get(name, name)
        return script


def _character_sounds(char: str) -> str:
    script, *words = unicodedata.name(char, "-").split()
    if "ANUSVARA" in words:
        return "N"
    is_letter = unicodedata.category(char) in _LETTERS or "SUBJOINED" in words
    if not (words and is_letter) or not _SILENT.isdisjoint(words):
        return ""
    if script == "HANGUL":  # the name of a syllable spells it
        return "".join(_SOUNDS.get(letter, "") for letter in words[-1].replace("NG", "N"))
    return "" if script == "CJK" else _letter_sounds(script, words)


def _letter_sounds(script: str, words: list[str]) -> str:
    """Return the sounds of a letter by the words of its name, those after the script."""
    if "WITH" in words:
        words = words[: words.index("WITH")]
    name = words[1] if script in _NAME_COMES_FIRST and len(words) > 1 else words[-1]
    if script == "CYRILLIC":
        name = _CYRILLIC_CONSONANT.sub(r"\1", name)
    usual = "S" if name[:2] in _SIBILANTS else _SOUNDS.get(name[0], "")
    return _OTHERWISE.get((script, name), usual)


_SOUND = _SoundTable()
_SCRIPT = _ScriptTable()


def scripts(folded: str) -> set[str]:
    """Return the scripts that hold a quarter or more of the letters of *folded*, judged by a sample of them."""
    if folded.isascii():
        return {"LATIN"} if folded.islower() else set()
    met = Counter(map(_SCRIPT.__getitem__, folded[:: len(folded) // _N_SAMPLED + 1]))
    del met[""]
    least = sum(met.values()) / 4
    return {script for script, count in met.items() if count >= least}


def sounds(folded: str) -> str:
    """Return the consonants of the words of *folded*, such as ``" TSL MTRS "``."""
    spelt = _MUTE_H.sub("", _SOFT_C.sub("s", folded))
    return f" {' '.join(spelt.translate(_SOUND).split())} "


def sound_grams(query: str) -> dict[str, float]:
    """Return the heaviest 64 sound grams of *query*, weighted as :func:`~.analysis.query_grams` does its letters."""
    grams = query_grams(query, _word_grams)
    return {gram: grams[gram] for gram in sorted(grams, key=grams.__getitem__, reverse=True)[:_MAX_GRAMS]}


def _word_grams(word: str) -> Iterator[tuple[str, float]]:
    heard = sounds(word).rstrip()
    if len(heard) <= _MIN_SOUNDS:
        return
    weight = 1.0
    for start in range(len(heard) - _GRAM_SIZE + 1):
        yield heard[start : start + _GRAM_SIZE], weight
        weight *= _NEXT_GRAM
