"""The default scorer: BM25 over character grams, query words close together; pure Python.

Bit for bit the same on every platform: nothing here but IEEE arithmetic and square roots in a fixed order.
`math.log` and `**` may differ in the last bit between C libraries, `sum` of floats between Python versions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .analysis import fold, query_grams, word_starts
from .calibration import calibrate
from .sounds import scripts, sound_grams, sounds

# Fitted on dev, see docs/decisions/0003.
_K1 = 1.2
_BREVITY_WEIGHT = 0.4
_STRETCH_WEIGHT = 0.8
_PAIR_WEIGHT = 0.3
_SOUND_WEIGHT = 0.4  # of sound grams; 1.0 lets documents in another script win by chance
_SURE_GRAMS = 6  # held by a document in another script are no chance
_CHANCE_SOUNDS = 200  # in which one gram more is

_MAX_QUERY_CHARS = 1_000
_MIN_REFINED = 12  # the best by grams that are read a second time: these, or one in eight
_REFINED_SHARE = 8
_PREFIX = 4  # query words are looked for by their beginning
_PAIR_GAP = 3  # in words

_Pair = tuple[str, str]


class _Layer(NamedTuple):
    """What is counted of a query, with its weight, and where: one text per document."""

    grams: dict[str, float]
    texts: Sequence[str]


class LexicalScorer:
    """Ranks by shared character grams, weighted by their rarity within the given list.

    Needs no training and no language: scripts with and without spaces, inflected words, names and identifiers all
    match by their parts, names in another script by their consonants. Words of a query that stand together in a
    document count more. Only the first 1,000 characters of a query are used.
    """

    name = "local-lexical"
    version = "2"
    pointwise = False

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(*evidence(query, documents))


def evidence(query: str, documents: Sequence[str]) -> tuple[list[float], float]:
    """Return the raw scores of *documents*, and how much of the query the best one holds.

    A raw score is about 0 to 2.5, and 0 for a document that shares nothing with the query; the second number is
    a share in [0, 1]. Both are the smaller, the likelier the best document shares sounds with the query by chance.
    """
    query = query[:_MAX_QUERY_CHARS]
    folded, grams = fold(query), query_grams(query)
    if grams:
        texts = [fold(document) for document in documents]
    else:  # punctuation alone is looked for as it stands
        folded, grams, texts = query, dict.fromkeys(query.split(), 1.0), list(documents)
    layers = [_Layer(grams, texts), _sound_layer(query, folded, texts)]
    scores = _gram_scores(layers)
    _refine(scores, folded, texts)
    if not any(scores):
        return scores, 0.0
    best = scores.index(max(scores))
    letters, heard = (_held(layer, best) for layer in layers)
    spelt = _share(letters, layers[0].grams)
    trust = max(spelt, _trust(len(letters) + len(heard), layers[1].texts[best]))  # letters are no chance
    coverage = max(spelt, trust * _share(heard, layers[1].grams))
    return [trust * score for score in scores], coverage


def _sound_layer(query: str, folded: str, texts: Sequence[str]) -> _Layer:
    """Return the sounds of *query* and of the texts in other scripts; nothing if there are none."""
    own = scripts(folded)
    is_foreign = [bool(theirs) and own.isdisjoint(theirs) for theirs in map(scripts, texts)]
    grams = sound_grams(query) if own and any(is_foreign) else {}
    spoken = [sounds(text) if grams and foreign else "" for text, foreign in zip(texts, is_foreign)]
    return _Layer({gram: _SOUND_WEIGHT * weight for gram, weight in grams.items()}, spoken)


def _held(layer: _Layer, document: int) -> list[str]:
    return [gram for gram in layer.grams if gram in layer.texts[document]]


def _share(held: Sequence[str], grams: dict[str, float]) -> float:
    """Return the share of their weight."""
    part = whole = 0.0
    for gram in held:
        part += grams[gram]
    for weight in grams.values():
        whole += weight
    return part / whole if whole else 0.0


def _trust(n_held: int, spoken: str) -> float:
    """Return in (0, 1] how far to believe a document that holds so many grams: 1 in the script of the query."""
    return min(1.0, n_held / (_SURE_GRAMS + len(spoken) / _CHANCE_SOUNDS)) if spoken else 1.0


def _refine(scores: list[float], query: str, texts: Sequence[str]) -> None:
    """Read the best by grams a second time, for query words that stand together."""
    refined = _best(scores)
    starts = word_starts(query)
    pairs = _pair_scores(query.split(), [texts[i] for i in refined])
    for i, pair in zip(refined, pairs):
        stretch = _longest_stretch(query, starts, texts[i])
        scores[i] += _STRETCH_WEIGHT * stretch * stretch + _PAIR_WEIGHT * pair


def _gram_scores(layers: Sequence[_Layer]) -> list[float]:
    """Return BM25 over its maximum, plus the brevity of documents that match at all."""
    lengths = [sum(map(len, parts)) for parts in zip(*(layer.texts for layer in layers))]
    mean_length = sum(lengths) / len(lengths) if any(lengths) else 1.0
    norms = [_K1 * length / mean_length for length in lengths]
    scores = [0.0] * len(lengths)
    for layer in layers:
        _add_bm25(scores, layer, norms)
    best = max(scores, default=0.0)
    if not best:
        return scores
    return [
        score / best + _BREVITY_WEIGHT * mean_length / (length + mean_length) if score else 0.0
        for score, length in zip(scores, lengths)
    ]


def _add_bm25(scores: list[float], layer: _Layer, norms: Sequence[float]) -> None:
    n = len(scores)
    counters = [text.count for text in layer.texts]
    for gram, weight in layer.grams.items():
        counts = [count(gram) for count in counters]
        df = n - counts.count(0)
        if not df:
            continue
        gain = weight * _rarity(df, n) * _root4(sum(counts) / df)
        for i, count in enumerate(counts):
            if count:
                scores[i] += gain * count / (count + norms[i])


def _best(scores: Sequence[float]) -> list[int]:
    """Return the indices worth a second reading: the highest scores, ties included."""
    n_refined = max(_MIN_REFINED, len(scores) // _REFINED_SHARE)
    floor = sorted(scores, reverse=True)[:n_refined][-1] if scores else 0.0
    return [i for i, score in enumerate(scores) if score and score >= floor]


def _longest_stretch(query: str, starts: Sequence[int], text: str) -> float:
    """Return the share of the query's characters that stand in a row in *text* somewhere.

    0 if less than a quarter of them do: short stretches say no more than grams.
    """
    n = len(query)
    longest = floor = n // 4
    for start in starts:
        while start + longest < n and query[start : start + longest + 1] in text:
            longest += 1
    return longest / n if longest > floor else 0.0


def _pair_scores(words: Sequence[str], texts: Sequence[str]) -> list[float]:
    """Return the weight of neighbouring query words found close together, per query word."""
    pairs = _neighbours([word[:_PREFIX] for word in words])
    partners: dict[str, list[tuple[str, _Pair]]] = {}
    for pair in pairs:
        partners.setdefault(pair[0], []).append((pair[1], pair))
        partners.setdefault(pair[1], []).append((pair[0], pair))
    found = [_close_pairs(partners, text) for text in texts]
    df = Counter(pair for some in found for pair in some)
    scores = []
    for some in found:
        score = 0.0
        for pair, weight in pairs.items():
            if pair in some:
                score += weight * _ln(_odds(df[pair], len(texts)))
        scores.append(score / max(1, len(words)))
    return scores


def _neighbours(stems: Sequence[str]) -> dict[_Pair, float]:
    """Return the pairs of different words at most one word apart, with their weights."""
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
        stem = word[:_PREFIX]
        if stem not in partners:
            continue
        for other, pair in partners[stem]:
            if other in last and position - last[other] <= _PAIR_GAP:
                found.add(pair)
        last[stem] = position
    return found


def _odds(df: int, n: int) -> float:
    return 1.0 + (n - df + 0.5) / (df + 0.5)


def _rarity(df: int, n: int) -> float:
    """Return idf to the power 1.25."""
    idf = _ln(_odds(df, n))
    return idf * _root4(idf)


def _root4(x: float) -> float:
    return math.sqrt(math.sqrt(x))


def _ln(x: float) -> float:
    """Return the natural logarithm of x >= 1, the same everywhere."""
    mantissa, exponent = math.frexp(x)
    y = (mantissa - 1.0) / (mantissa + 1.0)
    square, term, total = y * y, y, 0.0
    for k in range(1, 32, 2):
        total += term / k
        term *= square
    return 2.0 * total + exponent * 0.6931471805599453
