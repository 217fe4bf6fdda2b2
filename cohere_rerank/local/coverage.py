"""What share of a query's content a document contains, and what it lacks or contradicts; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from .analysis import word_grams
from .function_words import NEGATIONS, is_function_word, is_katakana, pieces

# Fitted on the dev data, see docs/decisions/0003.
_COMMON_DISCOUNT = 0.9  # taken from the weight of a function word
_MIN_WORD_SHARE = 0.5  # a word with less is not in the text
_MAX_CHECKED_GRAMS = 64  # of a query; a question has 20 to 60
_NAME_FACTOR = 2.0  # names and numbers
_WINDOW_CHARS, _MAX_WINDOW_CHARS = 250, 50_000

# A long word may end differently, but not in more than three letters: Austria is not Australia.
_MIN_LONG_CHARS, _MAX_ENDING = 7, 3

# Prefixes that turn a word into its opposite, as in "indirect", "unpaid" and "désactiver".
_NEGATING_PREFIXES = {
    "a": ("un", "in", "im", "ir", "il", "non", "dis", "des", "de", "on"),
    "\u0430": ("\u043d\u0435", "\u0431\u0435\u0437", "\u0431\u0435\u0441"),  # Cyrillic
}
_MIN_OPPOSITE_CHARS = 4
_LAST_WITH_PREFIXES = "\u052f"  # Latin and Cyrillic letters
_SWAP_GAP = 0.3  # if two names changed their places


class _Part(NamedTuple):
    """A word of the query, or a piece of one without spaces: its weight, and its grams with their shares.

    Attributes:
        weight: The weight in the coverage.
        grams: The grams with their shares of the word.
        stem: The part of a long word that a text must contain; empty for other words.
        opposites: The beginnings of words that mean the opposite.
        start: The beginning of a word that may have an opposite, after a space.
    """

    weight: float
    grams: Sequence[tuple[str, float]]
    stem: str
    opposites: Sequence[str]
    start: str

    def share_in(self, text: str) -> float:
        """Return the share of the word that is in a folded text, in [0, 1]."""
        return add_up([part for gram, part in self.grams if gram in text])

    def is_opposed(self, text: str, *, has_non: bool) -> bool:
        """Return True if a folded text contains the opposite of the word, and not the word.

        Args:
            text: A folded text that contains a part of the word.
            has_non: True if the text contains the word "non", as in "non-refundable".
        """
        if not self.opposites:
            return False
        if self.grams[0][0] not in text:
            return any(word in text for word in self.opposites)
        return has_non and 0 < text.count(f" non{self.start}") == text.count(self.start)


class Match(NamedTuple):
    """What a text contains of a query.

    Attributes:
        coverage: The share of the query's content that is in the text, in [0, 1].
        gap: The share of the query of the heaviest word that is not in the text, in [0, 1].
        opposed: The share of the query that the text contradicts: opposites of words, and names that changed places.
        missing: The positions of the words that are not in the text.
    """

    coverage: float = 0.0
    gap: float = 0.0
    opposed: float = 0.0
    missing: tuple[int, ...] = ()


class Coverage:
    """Compares the words of a query with texts.

    Args:
        tokens: The folded tokens of the query in their order, and whether each is a name, number or identifier.
        grams: The weighted grams of each word.
        common: How common each gram is, from 0 (content) to 1 (function words).
        languages: The likely languages of the query.
    """

    def __init__(
        self,
        tokens: Iterable[tuple[str, bool]],
        grams: Mapping[str, Mapping[str, float]],
        common: Mapping[str, float],
        languages: Sequence[str],
    ) -> None:
        words: dict[str, bool] = {}
        for token, name in tokens:
            for word in token.split():
                words.setdefault(word, name)
        self._step = 1 + sum(map(len, grams.values())) // _MAX_CHECKED_GRAMS
        self._common = common
        self._parts = list(chain.from_iterable(self._parts_of(word, name, grams) for word, name in words.items()))
        self._total = add_up(part.weight for part in self._parts)
        self._swaps = list(_swaps(words, languages))

    def _parts_of(self, word: str, name: bool, grams: Mapping[str, Mapping[str, float]]) -> Iterator[_Part]:
        found = pieces(word)
        for piece in found:
            of_piece = grams.get(word, {}) if piece == word else _summed(word_grams(piece))
            total = add_up(of_piece.values())
            if not total:
                continue
            discount = 0.0 if word in NEGATIONS else _COMMON_DISCOUNT
            content = add_up(w * (1.0 - discount * self._common.get(g, 0.0)) for g, w in of_piece.items())
            weight = math.sqrt(content) * content / total * (_NAME_FACTOR if name else 1.0)
            checked = list(of_piece.items())[:: self._step]
            total = add_up(part for _, part in checked)
            yield _Part(
                weight,
                [(gram, part / total) for gram, part in checked],
                _stem(piece),
                tuple(_opposites(word)) if len(found) == 1 else (),
                f" {_beginning(word)}",
            )

    def match(self, text: str) -> Match:
        """Compare the words of the query with a folded text.

        A word counts by the square of its matched share, so words that merely look alike count little.
        """
        if not self._total:
            return Match()
        found = gap = opposed = 0.0
        missing = []
        has_non = " non " in text
        for position, part in enumerate(self._parts):
            share = 0.0
            for gram, of_gram in part.grams:
                if gram in text:
                    share += of_gram
            if share and part.is_opposed(text, has_non=has_non):
                share, opposed = 0.0, opposed + part.weight
            found += part.weight * share * share
            if share < _MIN_WORD_SHARE or part.stem not in text:
                missing.append(position)
                gap = max(gap, part.weight)
        gap, opposed = gap / self._total, opposed / self._total
        if any(_is_swapped(pair, text) for pair in self._swaps):
            gap, opposed = max(gap, _SWAP_GAP), opposed + _SWAP_GAP
        return Match(found / self._total, gap, opposed, tuple(missing))

    def gap_elsewhere(self, missing: Iterable[int], texts: Sequence[str]) -> float:
        """Return the share of the query of the heaviest of the missing words that any of the texts contains."""
        gap = 0.0
        for position in missing:
            part = self._parts[position]
            if part.weight > gap and any(part.share_in(text) >= _MIN_WORD_SHARE for text in texts):
                gap = part.weight
        return gap / self._total if self._total else 0.0

    def best_window(self, text: str, match: Match) -> float:
        """Return the highest coverage of 250 characters in a row, in [0, 1]. At most 50,000 characters are searched.

        Args:
            text: A folded text.
            match: What the whole text contains.
        """
        if len(text) <= _WINDOW_CHARS or not self._total:
            return match.coverage
        best, step = 0.0, _WINDOW_CHARS // 2
        for start in range(0, max(1, min(len(text), _MAX_WINDOW_CHARS) - step), step):
            window, found = text[start : start + _WINDOW_CHARS], 0.0
            for part in self._parts:
                share = 0.0
                for gram, of_gram in part.grams:
                    if gram in window:
                        share += of_gram
                found += part.weight * share * share
            best = max(best, found)
        return best / self._total


def add_up(values: Iterable[float]) -> float:
    """Add up from left to right. `sum` compensates for rounding since Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total


def _summed(grams: Iterable[tuple[str, float]]) -> dict[str, float]:
    summed: dict[str, float] = {}
    for gram, weight in grams:
        summed[gram] = summed.get(gram, 0.0) + weight
    return summed


def _stem(word: str) -> str:
    if is_katakana(word):
        return word
    return word[:-_MAX_ENDING] if len(word) >= _MIN_LONG_CHARS else ""


def _opposites(word: str) -> Iterator[str]:
    """Yield the beginnings of the words that are *word* with a negating prefix, or without its own."""
    if len(word) < _MIN_OPPOSITE_CHARS or word[0] > _LAST_WITH_PREFIXES:
        return
    prefixes = _NEGATING_PREFIXES["\u0430" if "\u0430" <= word[0] <= "\u044f" else "a"]
    for prefix in prefixes:
        rest = word[len(prefix) :]
        if word.startswith(prefix) and len(rest) >= _MIN_OPPOSITE_CHARS:
            yield f" {_beginning(rest)}"
        yield f" {prefix}{_beginning(word)}"


def _beginning(word: str) -> str:
    return word[: max(_MIN_OPPOSITE_CHARS, len(word) - _MAX_ENDING)]


def _swaps(words: Mapping[str, bool], languages: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield, for names after two function words ("from Oslo to Rome"), what is right and what is swapped."""
    listed = list(words.items())
    found = [
        (first, second)
        for (first, _), (second, name) in pairwise(listed)
        if name and is_function_word(first, languages) and not any(map(str.isdigit, second))
    ]
    for (first, name), (second, other) in pairwise(found):
        if first != second:
            yield f" {first} {name} ", f" {second} {other} ", f" {first} {other} ", f" {second} {name} "


def _is_swapped(pair: tuple[str, str, str, str], text: str) -> bool:
    right, also_right, wrong, also_wrong = pair
    return (wrong in text or also_wrong in text) and right not in text and also_right not in text
