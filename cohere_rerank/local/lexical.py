"""The default scorer: BM25 over character grams, and query words close together; pure Python.

The scores are the same to the last bit on every platform, because this module uses only IEEE arithmetic and square
roots in a fixed order. `math.log` and `**` may differ in the last bit between C libraries, and `sum` of floats between
Python versions.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from .analysis import chunks, fold
from .calibration import Evidence, calibrate
from .coverage import Match, add_up
from .function_words import count_languages, likely_languages, text_languages
from .gram_counts import gram_counts
from .phonetics import consonants, scripts
from .query import PREFIX_CHARS, Commonness, Query, QueryGrams, analyse, missing_numbers
from .translations import translations
from .work import MAX_QUERY_CHARS, check_deadline

# Fitted on the dev data, see docs/decisions/0003.
_K1 = 1.2
_MAX_MEAN_COUNT = 256  # a gram that is repeated more often does not count more
_BREVITY_WEIGHT = 0.4
_RUN_WEIGHT = 0.8
_PAIR_WEIGHT = 0.3
_MAX_PAIR_DISTANCE = 3  # words
_TRANSLATION_WEIGHT = 1.0
_CONFIDENT_GRAMS = 6  # this number of matched grams in another script is not a coincidence
_CHARS_PER_CHANCE_GRAM = 200  # this number of consonants contains one more gram by chance

# Background knowledge counts in short lists and fades in long ones.
_FADING_LISTS = 8  # it has half its weight in a list of this length
_PRIOR_DOCUMENTS = 12  # in a very short list, rarity counts as if there were this number of other documents,
_SHARE_WITH_FUNCTION_WORD = 0.9  # this share of them with a given function word
_SHARE_WITH_CONTENT_WORD = 0.03  # and this share with any other word
_ADDED_CHARS = 300  # to the lengths of documents
_COVERAGE_WEIGHT = 1.0
_OPPOSED_WEIGHT = 0.5
_NUMBER_WEIGHT = 0.3
_NUMBER_WEIGHT_IN_SHORT_LISTS = 1.0

# How many Latin letters say as much as one sign.
_LETTERS_PER_SIGN = {"CJK": 3, "HANGUL": 2}
_ASCII = re.compile("[a-z0-9]")
_MIN_REFINED = 12  # the best 12 documents by grams are refined, or the best eighth if that is more
_REFINED_SHARE = 8
_MAX_OTHERS = 40  # documents in which the missing words of the best one are searched for


class _Field(NamedTuple):
    """Weighted grams of a query, one text per document in which they are counted, and how common the grams are."""

    grams: QueryGrams
    texts: Sequence[str]
    commonness: dict[str, float]


class LexicalScorer:
    """Ranks by shared character grams, weighted by their rarity within the given list.

    It needs no training and no language detection. Scripts with and without spaces, inflected words, names and
    identifiers all match by their parts. Names in another script match by their consonants. A document scores higher
    if words of the query are next to each other in it. Only the first 1,000 characters of a query are used.
    """

    name = "local-lexical"
    version = "3"
    pointwise = False

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per document, in their order."""
        return calibrate(*raw_scores(query, documents))


class SentenceScorer(LexicalScorer):
    """Scores the sentences of one document. One may lack words that its neighbours have, and still score high."""

    def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return one calibrated score in [0, 1] per sentence, in their order."""
        raw, evidence = raw_scores(query, documents, of_one_text=True)
        return calibrate(raw, evidence._replace(missing=0.0))


def raw_scores(query: str, documents: Sequence[str], *, of_one_text: bool = False) -> tuple[list[float], Evidence]:
    """Return the raw scores of *documents*, and what the best one has in common with the query.

    A raw score is about 0 to 4. It is 0 for a document that shares nothing with the query. It is reduced if the best
    document may match in consonants by chance.

    Args:
        query: The query. Its first 1,000 characters are used.
        documents: The documents.
        of_one_text: True if they are the sentences of one text. Then missing words are not evidence.
    """
    analysed = analyse(query[:MAX_QUERY_CHARS])
    texts = _fold_all(documents) if analysed.is_folded else list(documents)
    known: dict[frozenset[str], frozenset[str]] = {}  # one object for equal sets
    text_scripts = [known.setdefault(found, found) for found in map(frozenset, map(scripts, texts))]
    counts = count_languages(texts) if analysed.is_folded else Counter()
    commonness = analysed.commonness(likely_languages(_doubled(analysed.language_counts) + counts))
    sounds = _consonant_field(analysed, texts, text_scripts)
    terms = _Field(_translated(analysed, texts, text_scripts, counts), texts, {})
    lengths = [len(text) + len(of_sounds) for text, of_sounds in zip(texts, sounds.texts)]
    if analysed.folded.isascii():  # nothing else needs to be searched for its letters
        texts = [text if not foreign or _ASCII.search(text) else "" for text, foreign in zip(texts, sounds.texts)]
    letters = _Field(analysed.grams, texts, commonness.grams)
    scores = _gram_scores([letters, sounds, terms], lengths)
    matches = _refine(scores, analysed, texts, commonness)
    if not any(scores):
        return scores, Evidence()
    best = scores.index(max(scores))
    matched_letters, matched_sounds, matched_terms = (_matched_grams(field, best) for field in (letters, sounds, terms))
    letter_share = _weight_share(letters.grams, matched_letters)
    match = matches.pop(best) if analysed.is_folded else Match(letter_share)
    # Matching letters and translated words are never a coincidence.
    confidence = 1.0
    if not matched_terms:
        confidence = max(letter_share, _script_confidence(len(matched_letters + matched_sounds), sounds.texts[best]))
    sound_share = confidence * _weight_share(sounds.grams, matched_sounds)
    is_foreign = bool(sounds.texts[best] or terms.grams)
    gap = gap_elsewhere = 0.0 if of_one_text else match.opposed
    if not is_foreign and not of_one_text:  # in another language a missing word says nothing
        others = [texts[i] for i in sorted(matches, key=scores.__getitem__, reverse=True)[:_MAX_OTHERS]]
        gap, gap_elsewhere = match.gap, max(gap, commonness.coverage.gap_elsewhere(match.missing, others))
    evidence = Evidence(
        coverage=match.coverage,
        other_coverage=max((other.coverage for other in matches.values()), default=0.0),
        window=commonness.coverage.best_window(texts[best], match),
        gram_share=max(letter_share, sound_share),
        missing=missing_numbers(analysed.numbers, texts[best]),
        sounds=sound_share,
        terms=add_up(terms.grams[term] for term in matched_terms) / max(1, len(analysed.words)),
        is_foreign=is_foreign,
        gap=gap,
        gap_elsewhere=gap_elsewhere,
        n_letters=lengths[best] * max((_LETTERS_PER_SIGN.get(script, 1) for script in text_scripts[best]), default=1),
    )
    return [confidence * score for score in scores], evidence


def _doubled(counts: Counter[str]) -> Counter[str]:
    return counts + counts


def _translated(
    query: Query, texts: Sequence[str], text_scripts: Sequence[frozenset[str]], counts: Counter[str]
) -> QueryGrams:
    """Return terms for the query in the language of the documents; none if that may be the language of the query."""
    if not query.is_folded or not texts:
        return QueryGrams()
    in_script = Counter(script for of_text in text_scripts for script in of_text)
    script = max(in_script, key=lambda name: (in_script[name], name), default="")
    # Without a function word, a text in Latin letters may be in any language.
    targets = text_languages(texts, script, counts) if counts or script != "LATIN" else ()
    sources = text_languages([query.folded], max(query.scripts, default=""), query.language_counts)
    if not set(sources).isdisjoint(targets):
        return QueryGrams()
    terms: dict[str, float] = {}
    for source in sources[:2]:
        for target in targets[:2]:
            for term, weight in translations(query.folded, source, target).items():
                terms[term] = max(terms.get(term, 0.0), _TRANSLATION_WEIGHT * weight)
    return QueryGrams(terms)


def _fold_all(documents: Sequence[str]) -> list[str]:
    texts = []
    for document in documents:
        check_deadline()
        texts.append(fold(document))
    return texts


def _consonant_field(query: Query, texts: Sequence[str], text_scripts: Sequence[frozenset[str]]) -> _Field:
    """Return the consonants of *query* and of the texts in other scripts; empty if there are no such texts."""
    own = query.scripts
    is_foreign = [bool(theirs) and own.isdisjoint(theirs) for theirs in text_scripts]
    grams = query.consonant_grams if own and any(is_foreign) else QueryGrams()
    foreign_sounds = [consonants(text) if grams and foreign else "" for text, foreign in zip(texts, is_foreign)]
    return _Field(grams, foreign_sounds, {})


def _matched_grams(field: _Field, document: int) -> list[str]:
    return [gram for gram, _ in gram_counts(field.grams, [field.texts[document]])]


def _weight_share(grams: QueryGrams, matched: Sequence[str]) -> float:
    """Return the weight of the matched grams as a share of the weight of all."""
    return add_up(grams[gram] for gram in matched) / grams.total_weight if grams else 0.0


def _script_confidence(n_matched: int, foreign_sounds: str) -> float:
    """Return in (0, 1] how unlikely it is that the matches are chance. 1 if the text has the script of the query."""
    if not foreign_sounds:
        return 1.0
    return min(1.0, n_matched / (_CONFIDENT_GRAMS + len(foreign_sounds) / _CHARS_PER_CHANCE_GRAM))


def _fading(n_documents: int) -> float:
    """Return the weight of background knowledge, 8/9 for one document and less for more."""
    return _FADING_LISTS / (_FADING_LISTS + n_documents)


def _refine(scores: list[float], query: Query, texts: Sequence[str], commonness: Commonness) -> dict[int, Match]:
    """Change the scores of the best documents by what only a second reading shows, and return what they contain.

    Words of the query next to each other, the coverage of its content, and its numbers raise a score. Opposites of
    its words lower it.
    """
    refined = _indices_to_refine(scores)
    fading = _fading(len(scores))
    pairs = _pair_scores(query, [texts[i] for i in refined], commonness)
    number_weight = _NUMBER_WEIGHT + _NUMBER_WEIGHT_IN_SHORT_LISTS * fading if query.numbers else 0.0
    matches = {}
    for i, pair in zip(refined, pairs):
        check_deadline()
        match = matches[i] = commonness.coverage.match(texts[i])
        length, start = query.runs.longest(texts[i])
        run = length / len(query.folded)
        if start is not None:
            run *= 1.0 - fading + fading * commonness.density(start, start + length)
        scores[i] += _RUN_WEIGHT * run * run + _PAIR_WEIGHT * pair
        scores[i] += _COVERAGE_WEIGHT * fading * match.coverage
        scores[i] += number_weight * (1.0 - missing_numbers(query.numbers, texts[i]))
        scores[i] = max(0.0, scores[i] - _OPPOSED_WEIGHT * match.opposed)
    return matches


def _gram_scores(fields: Sequence[_Field], n_chars: Sequence[int]) -> list[float]:
    """Return BM25 divided by its maximum, plus a bonus for short documents that match."""
    fading = _fading(len(n_chars))
    lengths = [n + _ADDED_CHARS * fading * fading for n in n_chars]
    mean_length = add_up(sorted(lengths)) / len(lengths) if any(lengths) else 1.0
    norms = [_K1 * length / mean_length for length in lengths]
    scores = [0.0] * len(lengths)
    for field in fields:
        _add_bm25(scores, field, norms)
    best = max(scores, default=0.0)
    if not best:
        return scores
    return [
        score / best + _BREVITY_WEIGHT * (1 - fading + fading * score / best) * mean_length / (length + mean_length)
        if score
        else 0.0
        for score, length in zip(scores, lengths)
    ]


def _add_bm25(scores: list[float], field: _Field, norms: Sequence[float]) -> None:
    n = len(scores)
    n_prior = _PRIOR_DOCUMENTS * _fading(n)
    df_prior, df_common = n_prior * _SHARE_WITH_CONTENT_WORD, n_prior * _SHARE_WITH_FUNCTION_WORD
    for gram, counts in gram_counts(field.grams, field.texts):
        check_deadline()
        df = len(counts)
        commonness = field.commonness.get(gram, 0.0)
        idf = _idf(df + df_prior + (df_common - df_prior) * commonness, n + n_prior)
        gain = field.grams[gram] * idf * _root4(min(_MAX_MEAN_COUNT, sum([count for _, count in counts]) / df))
        for i, count in counts:
            scores[i] += gain * count / (count + norms[i])


def _indices_to_refine(scores: Sequence[float]) -> list[int]:
    """Return the indices of the highest scores, ties included."""
    n_refined = max(_MIN_REFINED, len(scores) // _REFINED_SHARE)
    floor = sorted(scores, reverse=True)[:n_refined][-1] if scores else 0.0
    return [i for i, score in enumerate(scores) if score and score >= floor]


def _pair_scores(query: Query, texts: Sequence[str], commonness: Commonness) -> list[float]:
    """Return for each text the weight of neighbouring query words that are close together in it, per query word."""
    found = []
    for text in texts:
        check_deadline()
        found.append(_close_pairs(query.pair_numbers, text))
    fading, stems = _fading(len(texts)), commonness.stems
    weights = [
        weight * (1.0 - fading * (stems[first] + stems[second]) / 2) for (first, second), weight in query.pairs.items()
    ]
    df = Counter(chain.from_iterable(found))
    gains = {number: weights[number] * _ln(_odds(n, len(texts))) for number, n in df.items()}
    return [add_up(map(gains.__getitem__, numbers)) / max(1, len(query.words)) for numbers in found]


def _close_pairs(pair_numbers: Mapping[str, Mapping[str, int]], text: str) -> array[int]:
    """Return the numbers of the pairs whose words are at most three words apart in the text, ascending."""
    found = set()
    n_words = 0
    before: list[tuple[int, str]] = []  # the last words of the query in the text: positions and beginnings
    for chunk in chunks(text) if pair_numbers else ():
        words = chunk.split()
        stems = [(i, stem) for i, word in enumerate(words, n_words) if (stem := word[:PREFIX_CHARS]) in pair_numbers]
        for position, stem in stems:
            numbers = pair_numbers[stem]
            for other, name in before:
                if name in numbers and position - other <= _MAX_PAIR_DISTANCE:
                    found.add(numbers[name])
            before = [*before[1 - _MAX_PAIR_DISTANCE :], (position, stem)]
        n_words += len(words)
    return array("H", sorted(found))  # a set takes many times as much memory


def _odds(df: float, n: float) -> float:
    return 1.0 + (n - df + 0.5) / (df + 0.5)


@lru_cache(maxsize=1024)
def _idf(df: float, n: float) -> float:
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
