"""The default scorer: BM25 over character grams, and query words close together; pure Python.

The scores are the same to the last bit on every platform, because this module uses only IEEE arithmetic and square
roots in a fixed order. `math.log` and `**` may differ in the last bit between C libraries, and `sum` of floats between
Python versions.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import NamedTuple

from .analysis import chunks, fold, query_grams, word_starts
from .calibration import calibrate
from .gram_counts import Grams, gram_counts
from .longest_run import RunFinder
from .phonetics import consonant_grams, consonants, scripts
from .work import MAX_QUERY_CHARS, check_deadline

# Fitted on the dev data, see docs/decisions/0003.
_K1 = 1.2
_BREVITY_WEIGHT = 0.4
_RUN_WEIGHT = 0.8
_PAIR_WEIGHT = 0.3
_CONSONANT_WEIGHT = 0.4  # with 1.0, documents in another script win by chance
_CONFIDENT_GRAMS = 6  # this number of matched grams in another script is not a coincidence
_CHARS_PER_CHANCE_GRAM = 200  # this number of consonants contains one more gram by chance

_MIN_REFINED = 12  # the best 12 documents by grams are refined, or the best eighth if that is more
_REFINED_SHARE = 8
_PREFIX_CHARS = 4  # words are compared by their beginning

_Pair = tuple[str, str]


class _Grams(Grams):
    """The weights of grams, and their sum."""

    @cached_property
    def total_weight(self) -> float:
        return _sum(self.values())


class _Field(NamedTuple):
    """Weighted grams of a query, and one text per document in which they are counted."""

    grams: _Grams
    texts: Sequence[str]


class LexicalScorer:
    """Ranks by shared character grams, weighted by their rarity within the given list.

    It needs no training and no language detection. Scripts with and without spaces, inflected words, names and
    identifiers all match by their parts. Names in another script match by their consonants. A document scores higher
    if words of the query are next to each other in it. Only the first 1,000 characters of a query are used.
    """

    name = "local-lexical"
    version = "2"
    pointwise = False

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(*raw_scores(query, documents))


def raw_scores(query: str, documents: Sequence[str]) -> tuple[list[float], float]:
    """Return the raw scores of *documents*, and the share of the query that the best one contains.

    A raw score is about 0 to 2.5. It is 0 for a document that shares nothing with the query. The second number is in
    [0, 1]. Both are reduced if the best document may match in consonants by chance.
    """
    analysed = _analyse(query[:MAX_QUERY_CHARS])
    texts = _fold_all(documents) if analysed.is_folded else list(documents)
    letters, sounds = _Field(analysed.grams, texts), _consonant_field(analysed, texts)
    scores = _gram_scores([letters, sounds])
    _refine(scores, analysed, texts)
    if not any(scores):
        return scores, 0.0
    best = scores.index(max(scores))
    matched_letters, matched_sounds = _matched_grams(letters, best), _matched_grams(sounds, best)
    letter_share = _weight_share(letters.grams, matched_letters)
    n_matched = len(matched_letters) + len(matched_sounds)
    # Matching letters are never a coincidence.
    confidence = max(letter_share, _script_confidence(n_matched, sounds.texts[best]))
    coverage = max(letter_share, confidence * _weight_share(sounds.grams, matched_sounds))
    return [confidence * score for score in scores], coverage


class _Query:
    """A query, analysed once for all lists that it is compared with."""

    def __init__(self, text: str) -> None:
        self.grams, self.folded = _Grams(query_grams(text)), fold(text)
        self.is_folded = bool(self.grams)
        if not self.is_folded:  # a query of punctuation alone is matched unfolded
            self.grams, self.folded = _Grams(dict.fromkeys(text.split(), 1.0)), text
        self.scripts = scripts(self.folded)
        self.pairs, self.n_words = _neighbours(self.folded), len(self.folded.split())
        self.pair_numbers = _pair_numbers(self.pairs)
        self._text = text

    @cached_property
    def consonant_grams(self) -> _Grams:
        return _Grams((gram, _CONSONANT_WEIGHT * weight) for gram, weight in consonant_grams(self._text).items())

    @cached_property
    def runs(self) -> RunFinder:
        return RunFinder(self.folded, word_starts(self.folded))


_analyse = lru_cache(maxsize=16)(_Query)


def _fold_all(documents: Sequence[str]) -> list[str]:
    texts = []
    for document in documents:
        check_deadline()
        texts.append(fold(document))
    return texts


def _consonant_field(query: _Query, texts: Sequence[str]) -> _Field:
    """Return the consonants of *query* and of the texts in other scripts; empty if there are no such texts."""
    own = query.scripts
    is_foreign = [bool(theirs) and own.isdisjoint(theirs) for theirs in map(scripts, texts)]
    grams = query.consonant_grams if own and any(is_foreign) else _Grams()
    foreign_sounds = [consonants(text) if grams and foreign else "" for text, foreign in zip(texts, is_foreign)]
    return _Field(grams, foreign_sounds)


def _matched_grams(field: _Field, document: int) -> list[str]:
    return [gram for gram, _ in gram_counts(field.grams, [field.texts[document]])]


def _weight_share(grams: _Grams, matched: Sequence[str]) -> float:
    """Return the weight of the matched grams as a share of the weight of all."""
    return _sum(grams[gram] for gram in matched) / grams.total_weight if grams else 0.0


def _sum(values: Iterable[float]) -> float:
    """Add up from left to right. `sum` compensates for rounding since Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total


def _script_confidence(n_matched: int, foreign_sounds: str) -> float:
    """Return in (0, 1] how unlikely it is that the matches are chance. 1 if the text has the script of the query."""
    if not foreign_sounds:
        return 1.0
    return min(1.0, n_matched / (_CONFIDENT_GRAMS + len(foreign_sounds) / _CHARS_PER_CHANCE_GRAM))


def _refine(scores: list[float], query: _Query, texts: Sequence[str]) -> None:
    """Raise the scores of the best documents whose text has words of the query next to each other."""
    refined = _indices_to_refine(scores)
    pairs = _pair_scores(query, [texts[i] for i in refined])
    for i, pair in zip(refined, pairs):
        check_deadline()
        run = query.runs.longest_share(texts[i])
        scores[i] += _RUN_WEIGHT * run * run + _PAIR_WEIGHT * pair


def _gram_scores(fields: Sequence[_Field]) -> list[float]:
    """Return BM25 divided by its maximum, plus a bonus for short documents that match."""
    lengths = [sum(map(len, parts)) for parts in zip(*(field.texts for field in fields))]
    mean_length = sum(lengths) / len(lengths) if any(lengths) else 1.0
    norms = [_K1 * length / mean_length for length in lengths]
    scores = [0.0] * len(lengths)
    for field in fields:
        _add_bm25(scores, field, norms)
    best = max(scores, default=0.0)
    if not best:
        return scores
    return [
        score / best + _BREVITY_WEIGHT * mean_length / (length + mean_length) if score else 0.0
        for score, length in zip(scores, lengths)
    ]


def _add_bm25(scores: list[float], field: _Field, norms: Sequence[float]) -> None:
    n = len(scores)
    for gram, counts in gram_counts(field.grams, field.texts):
        check_deadline()
        df = len(counts)
        gain = field.grams[gram] * _idf(df, n) * _root4(sum(count for _, count in counts) / df)
        for i, count in counts:
            scores[i] += gain * count / (count + norms[i])


def _indices_to_refine(scores: Sequence[float]) -> list[int]:
    """Return the indices of the highest scores, ties included."""
    n_refined = max(_MIN_REFINED, len(scores) // _REFINED_SHARE)
    floor = sorted(scores, reverse=True)[:n_refined][-1] if scores else 0.0
    return [i for i, score in enumerate(scores) if score and score >= floor]


def _pair_scores(query: _Query, texts: Sequence[str]) -> list[float]:
    """Return for each text the weight of neighbouring query words that are close together in it, per query word."""
    found = []
    for text in texts:
        check_deadline()
        found.append(_close_pairs(query.pair_numbers, text))
    weights = list(query.pairs.values())
    df = Counter(chain.from_iterable(found))
    gains = {number: weights[number] * _ln(_odds(n, len(texts))) for number, n in df.items()}
    return [_sum(map(gains.__getitem__, numbers)) / max(1, query.n_words) for numbers in found]


def _neighbours(folded: str) -> dict[_Pair, float]:
    """Return the pairs of different words with at most one word between them, with their weights."""
    stems = [word[:_PREFIX_CHARS] for word in folded.split()]
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


def _pair(a: str, b: str) -> _Pair:
    return (a, b) if a < b else (b, a)


def _close_pairs(pair_numbers: Mapping[str, Mapping[str, int]], text: str) -> array[int]:
    """Return the numbers of the pairs whose words are at most three words apart in the text, ascending."""
    found = set()
    first = second = third = ""  # the beginnings of the three words before, the nearest one first
    for word in chain.from_iterable(map(str.split, chunks(text))):
        stem = word[:_PREFIX_CHARS]
        numbers = pair_numbers.get(stem)
        if numbers is not None:
            for other in (first, second, third):
                if other in numbers:
                    found.add(numbers[other])
        first, second, third = stem, first, second
    return array("H", sorted(found))  # a set takes many times as much memory


def _odds(df: int, n: int) -> float:
    return 1.0 + (n - df + 0.5) / (df + 0.5)


@lru_cache(maxsize=1024)
def _idf(df: int, n: int) -> float:
    """Return the inverse document frequency to the power 1.25."""
    idf = _ln(_odds(df, n))
    return idf * _root4(idf)


def _root4(x: float) -> float:
    return math.sqrt(math.sqrt(x))


@lru_cache(maxsize=1024)
def _ln(x: float) -> float:
    """Return the natural logarithm of x >= 1, the same to the last bit on every platform."""
    mantissa, exponent = math.frexp(x)
    y = (mantissa - 1.0) / (mantissa + 1.0)
    square, term, total = y * y, y, 0.0
    for k in range(1, 32, 2):
        total += term / k
        term *= square
    return 2.0 * total + exponent * 0.6931471805599453
