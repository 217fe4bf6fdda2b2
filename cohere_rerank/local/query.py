"""The analysed query of the lexical scorer: its grams, words, pairs of words, numbers, and how common each is; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache

from .analysis import fold, is_name, query_grams, word_grams, word_starts
from .coverage import Coverage, add_up
from .function_words import common_grams, count_languages, is_function_word
from .gram_counts import Grams
from .longest_run import RunFinder
from .phonetics import consonant_grams, scripts

# Fitted on the dev data, see docs/decisions/0003.
_CONSONANT_WEIGHT = 0.4  # with 1.0, documents in another script win by chance
PREFIX_CHARS = 4  # words are compared by their beginning
_RUN_DISCOUNT = 0.8  # the same, within the longest run

_Pair = tuple[str, str]


class QueryGrams(Grams):
    """The weights of grams, and their sum."""

    @cached_property
    def total_weight(self) -> float:
        """The sum of all weights."""
        return add_up(self.values())


class Query:
    """A query, analysed once for all lists that it is compared with."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.grams, self.folded = QueryGrams(query_grams(text)), fold(text)
        self.is_folded = bool(self.grams)
        if not self.is_folded:  # a query of punctuation alone is matched unfolded
            self.grams, self.folded = QueryGrams(dict.fromkeys(text.split(), 1.0)), text
        self.scripts = scripts(self.folded)
        self.words = self.folded.split()
        self.pairs = _neighbours(self.words)
        self.pair_numbers = _pair_numbers(self.pairs)
        tokens = text.split() if self.is_folded else []
        self._tokens = [(fold(token).strip(), is_name(token, is_first=not i)) for i, token in enumerate(tokens)]
        self.numbers = [token for token, _ in dict(self._tokens).items() if any(map(str.isdigit, token))]
        self._commonness: dict[tuple[str, ...], Commonness] = {}

    @cached_property
    def consonant_grams(self) -> QueryGrams:
        """The grams of the consonants, for documents in other scripts."""
        return QueryGrams((gram, _CONSONANT_WEIGHT * weight) for gram, weight in consonant_grams(self.text).items())

    @cached_property
    def runs(self) -> RunFinder:
        """Finds the longest part of the query in a text."""
        return RunFinder(self.folded, word_starts(self.folded))

    @cached_property
    def language_counts(self) -> Counter[str]:
        """The function words of each language in the query."""
        return count_languages([self.folded]) if self.is_folded else Counter()

    def commonness(self, languages: tuple[str, ...]) -> Commonness:
        """Return how common each part of the query is if its language is one of these."""
        found = self._commonness.get(languages)
        if found is None:
            if len(self._commonness) > 16:
                self._commonness.clear()
            found = self._commonness[languages] = Commonness(self, self._tokens, languages)
        return found


class Commonness:
    """How common each part of a query is in its language, from 0 (content) to 1 (function words).

    Attributes:
        grams: The value of each gram that is part of a function word.
        stems: The value of the beginning of each word.
        coverage: Compares the words of the query with texts.
    """

    def __init__(self, query: Query, tokens: Iterable[tuple[str, bool]], languages: tuple[str, ...]) -> None:
        self._values: dict[str, float] = {}  # of each word
        shares: dict[str, tuple[float, float]] = {}
        cut: dict[str, dict[str, float]] = {}
        for word in dict.fromkeys(query.words):
            grams = cut[word] = _summed_grams(word)
            is_common = is_function_word(word, languages)
            common = set(grams) if is_common else common_grams(word)
            for gram, weight in grams.items():
                total, of_common = shares.get(gram, (0.0, 0.0))
                shares[gram] = (total + weight, of_common + weight * (gram in common))
            of_common = add_up(weight for gram, weight in grams.items() if gram in common)
            self._values[word] = of_common / add_up(grams.values()) if grams else float(is_common)
        self.grams = {gram: part / total for gram, (total, part) in shares.items() if part}
        self.stems = {word[:PREFIX_CHARS]: value for word, value in self._values.items()}
        self.coverage = Coverage(tokens, cut, self.grams, languages)
        self._content = self._content_before(query.words)

    def _content_before(self, words: Iterable[str]) -> list[float]:
        """Return for each position in the folded query how much content is before it."""
        before = [0.0]
        for word in words:
            weight = 1.0 - _RUN_DISCOUNT * self._values[word]
            for _ in range(len(word) + 1):
                before.append(before[-1] + weight)
        return [*before, before[-1]]

    def density(self, start: int, end: int) -> float:
        """Return how much content a part of the folded query has per character, at most that of the whole query."""
        total, n = self._content[-1], len(self._content) - 1
        end = min(end, n)
        if end <= start or not total:
            return 1.0
        return min(1.0, (self._content[end] - self._content[start]) / (end - start) * n / total)


def missing_numbers(numbers: Iterable[str], text: str) -> float:
    """Return the share of the numbers, versions and identifiers of a query that a folded text lacks; 0 if none."""
    found = [_has_number(number, text) for number in numbers]
    return found.count(False) / len(found) if found else 0.0


def _has_number(number: str, text: str) -> bool:
    """Return True if *text* has the number, and not as a part of a longer one."""
    start = text.find(number)
    while start >= 0:
        before, after = text[start - 1 : start], text[start + len(number) : start + len(number) + 1]
        if not (number[0].isdigit() and before.isdigit()) and not (number[-1].isdigit() and after.isdigit()):
            return True
        start = text.find(number, start + len(number))
    return False


def _pair(a: str, b: str) -> _Pair:
    """Return the two stems in a fixed order."""
    return (a, b) if a < b else (b, a)


def _summed_grams(word: str) -> dict[str, float]:
    grams: dict[str, float] = {}
    for gram, weight in word_grams(word):
        grams[gram] = grams.get(gram, 0.0) + weight
    return grams


def _neighbours(words: list[str]) -> dict[_Pair, float]:
    """Return the pairs of different words with at most one word between them, with their weights."""
    stems = [word[:PREFIX_CHARS] for word in words]
    pairs: dict[_Pair, float] = {}
    for distance, weight in ((1, 1.0), (2, 0.5)):
        for a, b in zip(stems, stems[distance:]):
            if a != b:
                pairs.setdefault(_pair(a, b), weight)
    return pairs


def _pair_numbers(pairs: Iterable[_Pair]) -> dict[str, dict[str, int]]:
    """Return the number of each pair by its two words, in both orders."""
    numbers: dict[str, dict[str, int]] = {}
    for number, (a, b) in enumerate(pairs):
        numbers.setdefault(a, {})[b] = number
        numbers.setdefault(b, {})[a] = number
    return numbers


analyse = lru_cache(maxsize=16)(Query)
