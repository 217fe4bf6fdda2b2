"""Words of one language for the words of another, by the concepts of the CLDR; pure.

The CLDR, the Common Locale Data Repository of Unicode, has the keywords of each emoji, and the names of countries and
languages, in a hundred languages. So "dog" finds "Hund", and "Germany" finds "Deutschland". This is a small vocabulary
and not a translation. The source is in ``data/SOURCES.md``. The file of a language is loaded when it is first needed.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from .function_words import is_function_word

_MAX_QUERY_WORDS = 60
_MAX_NAME_WORDS = 4
_MAX_TERMS = 64  # of a query
_N_LANGUAGES = 16  # that stay in memory, each up to 2 MB
_WITHOUT_SPACES = {"ja", "km", "lo", "my", "th", "zh"}

# Fitted on the dev data, see docs/decisions/0003.
_STEM_CHARS = 4  # a word without a concept has those of the words that begin as it does
_TERM_CHARS = 5  # a longer word matches by its beginning, so that its endings do not count
_MIN_SHARE = 0.25  # of the concepts of a word; another word for fewer of them says little


class _Vocabulary(NamedTuple):
    """The names of each concept in one language, and the concepts of each name and of each beginning of a name."""

    names: list[list[str]]
    concepts: dict[str, list[int]]
    stems: dict[str, list[int]]

    def concepts_of(self, name: str) -> list[int]:
        found = self.concepts.get(name)
        if found is None and len(name) > _STEM_CHARS:
            found = self.stems.get(name[:_STEM_CHARS])
        return found or []


@lru_cache(maxsize=_N_LANGUAGES)
def _vocabulary(language: str) -> _Vocabulary | None:
    path = files("cohere_rerank.local") / "data" / "concepts" / f"{language}.txt.xz"
    if not path.is_file():
        return None
    names = [line.split("|") if line else [] for line in lzma.decompress(path.read_bytes()).decode().split("\n")]
    concepts: dict[str, list[int]] = {}
    stems: dict[str, list[int]] = {}
    for concept, of_concept in enumerate(names):
        for name in of_concept:
            concepts.setdefault(name, []).append(concept)
    for name, of_name in concepts.items():
        if len(name) >= _STEM_CHARS and " " not in name:
            stems.setdefault(name[:_STEM_CHARS], []).extend(of_name)
    return _Vocabulary(names, concepts, stems)


@lru_cache(maxsize=64)
def translations(query: str, source: str, target: str) -> dict[str, float]:
    """Return terms of the target language for the words of a folded query, with their weights in (0, 1].

    A term has a space where its word starts. A long one is cut after five letters. At most 64 terms are returned.
    """
    mine, other = _vocabulary(source), _vocabulary(target)
    if mine is None or other is None:
        return {}
    weights: dict[str, float] = {}
    for name in _names(query.split()[:_MAX_QUERY_WORDS], source):
        concepts = [concept for concept in mine.concepts_of(name) if other.names[concept]]
        for term, weight in _shared_terms([other.names[concept] for concept in concepts], target).items():
            weights[term] = max(weight, weights.get(term, 0.0))
    best = sorted(weights, key=lambda term: (-weights[term], term))[:_MAX_TERMS]
    return {term: weights[term] for term in best}


def _names(words: list[str], language: str) -> Iterator[str]:
    for start, word in enumerate(words):
        if not is_function_word(word, (language,)):
            yield word
        for end in range(start + 2, min(len(words), start + _MAX_NAME_WORDS) + 1):
            yield " ".join(words[start:end])


def _shared_terms(names: list[list[str]], language: str) -> dict[str, float]:
    """Return the terms that name a quarter of the concepts or more, weighted by that share."""
    n_concepts: dict[str, int] = {}
    for of_concept in names:
        content = [name for name in of_concept if not is_function_word(name, (language,))]
        for term in dict.fromkeys(_term(name, language) for name in content):
            n_concepts[term] = n_concepts.get(term, 0) + 1
    n_concepts.pop("", None)
    return {term: n / len(names) for term, n in n_concepts.items() if n >= _MIN_SHARE * len(names)}


def _term(name: str, language: str) -> str:
    if language in _WITHOUT_SPACES:
        return name if len(name) > 1 else ""
    return f" {name[:_TERM_CHARS]}" if len(name) >= _TERM_CHARS else f" {name} "
