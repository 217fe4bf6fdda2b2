"""The default scorer: BM25 over character grams, and query words close together; pure Python.

The scores are the same to the last bit on every platform, because this module uses only IEEE arithmetic and square
roots in a fixed order. `math.log` and `**` may differ in the last bit between C libraries, and `sum` of floats between
Python versions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .analysis import fold, query_grams, word_starts
from .calibration import calibrate
from .phonetics import consonant_grams, consonants, scripts

# Fitted on the dev data, see docs/decisions/0003.
_K1 = 1.2
_BREVITY_WEIGHT = 0.4
_RUN_WEIGHT = 0.8
_PAIR_WEIGHT = 0.3
_CONSONANT_WEIGHT = 0.4  # with 1.0, documents in another script win by chance
_CONFIDENT_GRAMS = 6  # so many matched grams in another script are not a coincidence
_CHARS_PER_CHANCE_GRAM = 200  # so many consonants contain one more gram by chance

_MAX_QUERY_CHARS = 1_000
_MIN_REFINED = 12  # the best 12 documents by grams are refined, or the best eighth if that is more
_REFINED_SHARE = 8
_PREFIX_CHARS = 4  # words are compared by their beginning
_MAX_PAIR_DISTANCE = 3  # in words

_Pair = tuple[str, str]


class _Field(NamedTuple):
    """Weighted grams of a query, and one text per document in which they are counted."""

    grams: dict[str, float]
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
    query = query[:_MAX_QUERY_CHARS]
    folded, grams = fold(query), query_grams(query)
    if grams:
        texts = [fold(document) for document in documents]
    else:  # a query of punctuation alone is matched unfolded
        folded, grams, texts = query, dict.fromkeys(query.split(), 1.0), list(documents)
    letters, sounds = _Field(grams, texts), _consonant_field(query, folded, texts)
    scores = _gram_scores([letters, sounds])
    _refine(scores, folded, texts)
    if not any(scores):
        return scores, 0.0
    best = scores.index(max(scores))
    matched_letters, matched_sounds = _matched_grams(letters, best), _matched_grams(sounds, best)
    letter_share = _weight_share(matched_letters, letters.grams)
    n_matched = len(matched_letters) + len(matched_sounds)
    # Matching letters are never a coincidence.
    confidence = max(letter_share, _script_confidence(n_matched, sounds.texts[best]))
    coverage = max(letter_share, confidence * _weight_share(matched_sounds, sounds.grams))
    return [confidence * score for score in scores], coverage


def _consonant_field(query: str, folded: str, texts: Sequence[str]) -> _Field:
    """Return the consonants of *query* and of the texts in other scripts; empty if there are no such texts."""
    own = scripts(folded)
    is_foreign = [bool(theirs) and own.isdisjoint(theirs) for theirs in map(scripts, texts)]
    grams = consonant_grams(query) if own and any(is_foreign) else {}
    foreign_sounds = [consonants(text) if grams and foreign else "" for text, foreign in zip(texts, is_foreign)]
    return _Field({gram: _CONSONANT_WEIGHT * weight for gram, weight in grams.items()}, foreign_sounds)


def _matched_grams(field: _Field, document: int) -> list[str]:
    return [gram for gram in field.grams if gram in field.texts[document]]


def _weight_share(matched: Sequence[str], grams: dict[str, float]) -> float:
    """Return the weight of the matched grams as a share of the weight of all."""
    part = whole = 0.0
    for gram in matched:
        part += grams[gram]
    for weight in grams.values():
        whole += weight
    return part / whole if whole else 0.0


def _script_confidence(n_matched: int, foreign_sounds: str) -> float:
    """Return in (0, 1] how certain it is that the matches are not a coincidence; 1 in the script of the query."""
    if not foreign_sounds:
        return 1.0
    return min(1.0, n_matched / (_CONFIDENT_GRAMS + len(foreign_sounds) / _CHARS_PER_CHANCE_GRAM))


def _refine(scores: list[float], query: str, texts: Sequence[str]) -> None:
    """Raise the scores of the best documents whose text has words of the query next to each other."""
    refined = _indices_to_refine(scores)
    starts = word_starts(query)
    pairs = _pair_scores(query.split(), [texts[i] for i in refined])
    for i, pair in zip(refined, pairs):
        run = _longest_run(query, starts, texts[i])
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
    counters = [text.count for text in field.texts]
    for gram, weight in field.grams.items():
        counts = [count(gram) for count in counters]
        df = n - counts.count(0)
        if not df:
            continue
        gain = weight * _idf(df, n) * _root4(sum(counts) / df)
        for i, count in enumerate(counts):
            if count:
                scores[i] += gain * count / (count + norms[i])


def _indices_to_refine(scores: Sequence[float]) -> list[int]:
    """Return the indices of the highest scores, ties included."""
    n_refined = max(_MIN_REFINED, len(scores) // _REFINED_SHARE)
    floor = sorted(scores, reverse=True)[:n_refined][-1] if scores else 0.0
    return [i for i, score in enumerate(scores) if score and score >= floor]


def _longest_run(query: str, starts: Sequence[int], text: str) -> float:
    """Return the length of the longest part of the query that is in *text*, as a share of the query.

    0 if it is less than a quarter: short runs say no more than grams.
    """
    n = len(query)
    longest = floor = n // 4
    for start in starts:
        while start + longest < n and query[start : start + longest + 1] in text:
            longest += 1
    return longest / n if longest > floor else 0.0


def _pair_scores(words: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return for each text the weight of neighbouring query words that are close together in it, per query word."""
    pairs = _neighbours([word[:_PREFIX_CHARS] for word in words])
    partners: dict[str, list[tuple[str, _Pair]]] = {}
    for pair in pairs:
        partners.setdefault(pair[0], []).append((pair[1], pair))
        partners.setdefault(pair[1], []).append((pair[0], pair))
    found = [_close_pairs(partners, text) for text in texts]
    df = Counter(pair for in_text in found for pair in in_text)
    scores = []
    for in_text in found:
        score = 0.0
        for pair, weight in pairs.items():
            if pair in in_text:
                score += weight * _ln(_odds(df[pair], len(texts)))
        scores.append(score / max(1, len(words)))
    return scores


def _neighbours(stems: Sequence[str]) -> dict[_Pair, float]:
    """Return the pairs of different words with at most one word between them, with their weights."""
    pairs: dict[_Pair, float] = {}
    for distance, weight in ((1, 1.0), (2, 0.5)):
        for a, b in zip(stems, stems[distance:]):
            if a != b:
                pairs.setdefault((a, b) if a < b else (b, a), weight)
    return pairs


def _close_pairs(partners: dict[str, list[tuple[str, _Pair]]], text: str) -> set[_Pair]:
    found = set()
    last: dict[str, int] = {}
    for position, word in enumerate(text.split()):
        stem = word[:_PREFIX_CHARS]
        if stem not in partners:
            continue
        for other, pair in partners[stem]:
            if other in last and position - last[other] <= _MAX_PAIR_DISTANCE:
                found.add(pair)
        last[stem] = position
    return found


def _odds(df: int, n: int) -> float:
    return 1.0 + (n - df + 0.5) / (df + 0.5)


def _idf(df: int, n: int) -> float:
    """Return the inverse document frequency to the power 1.25."""
    idf = _ln(_odds(df, n))
    return idf * _root4(idf)


def _root4(x: float) -> float:
    return math.sqrt(math.sqrt(x))


def _ln(x: float) -> float:
    """Return the natural logarithm of x >= 1, the same to the last bit on every platform."""
    mantissa, exponent = math.frexp(x)
    y = (mantissa - 1.0) / (mantissa + 1.0)
    square, term, total = y * y, y, 0.0
    for k in range(1, 32, 2):
        total += term / k
        term *= square
    return 2.0 * total + exponent * 0.6931471805599453
