"""Everyday lists of three to six short documents: the answer comes first, and a wrong document claims little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cohere_rerank.local.function_words import count_languages, likely_languages
from cohere_rerank.local.lexical import LexicalScorer
from cohere_rerank.local.translations import translations

LINES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "everyday.jsonl").read_text(encoding="utf-8").splitlines()
]
LISTS = [{**line, **query} for line in LINES for query in line["queries"]]


def lists_of(name):
    return [(row, LexicalScorer().score(row["query"], row["documents"])) for row in LISTS if row["set"] == name]


def wrong_above_half(row, scores):
    return any(score > 0.5 for i, score in enumerate(scores) if i not in row["relevant"])


@pytest.mark.parametrize(("name", "min_share"), [("everyday, easy", 0.93), ("everyday, hard", 0.65)])
def test_the_answer_comes_first(name, min_share):
    """Function words do not decide, and neither does a short document that repeats the form of the question."""
    first = [scores.index(max(scores)) in row["relevant"] for row, scores in lists_of(name)]
    assert len(first) > 50
    assert sum(first) >= min_share * len(first)


@pytest.mark.parametrize(
    ("name", "max_share"), [("everyday, easy", 0.03), ("everyday, hard", 0.1), ("adversarial", 0.2)]
)
def test_few_wrong_documents_score_above_half(name, max_share):
    """A wrong document that shares most words with the query stays at or below 0.5."""
    wrong = [wrong_above_half(row, scores) for row, scores in lists_of(name)]
    assert sum(wrong) <= max_share * len(wrong)


def test_every_domain_and_language_is_covered():
    """The lists come from six domains and ten languages or more."""
    everyday = [row for row in LISTS if row["set"] != "adversarial"]
    assert len({row["lang"] for row in everyday}) >= 10
    assert len({row["kind"] for row in everyday}) == 6


@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ("can I have a dog", ["If the rent is late, a late fee is charged.", "Pets are not allowed."]),
        ("what happened in 1989", ["What happened next surprised everyone.", "Nobody knows what happened."]),
        ("refund for order 48213", ["Refund for order 48231 was sent on Monday.", "Order 48200 was delivered."]),
        ("wo ist mein Paket", ["Wo ist mein Kundenkonto?", "Mein Konto ist gesperrt."]),
    ],
)
def test_a_shared_function_word_or_another_number_is_not_an_answer(query, documents):
    """A lead over documents that match nothing claims nothing, and a number must be the same."""
    assert max(LexicalScorer().score(query, documents)) < 0.5


def test_a_year_of_the_query_decides():
    """The document with the year comes before one with the other words of the query."""
    documents = ["What happened next surprised everyone in the room.", "The Berlin Wall fell in November 1989."]
    first, second = LexicalScorer().score("what happened in 1989", documents)
    assert first < 0.2
    assert second > first


def test_function_words_show_the_language():
    """A few words show the language, also in scripts that several languages share."""
    texts = {
        "en": " where is my parcel ",
        "de": " wo ist mein paket ",
        "fr": " ou est mon colis ",
        "ru": " где моя посылка ",
        "uk": " де знаходиться моя посилка яка була ",
        "tr": " kargom nerede ve ne zaman gelir ",
    }
    assert {name: likely_languages(count_languages([text])) for name, text in texts.items()} == {
        name: (name,) for name in texts
    }


@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ("where does the dog sleep", ["Der Zug fährt um neun ab.", "Der Hund schläft auf dem Sofa."]),
        ("what is the flag of Germany", ["Das Wetter in Österreich", "Die Flagge von Deutschland"]),
        ("who grows apples", ["Он купил новую машину.", "Он выращивает яблоки."]),
        ("how do whales sing", ["電車は九時に出ます。", "クジラは歌います。"]),
    ],
)
def test_concepts_connect_words_of_two_languages(query, documents):
    """Animals, food, countries and other concepts of the CLDR are found in documents of another language."""
    scores = LexicalScorer().score(query, documents)
    assert scores[1] > scores[0]


def test_translations_are_bounded():
    """A query has at most 64 terms, and an unknown language has none."""
    query = " ".join(["dog", "cat", "house", "car", "water", "fire", "book", "music", "heart", "sun"] * 10)
    terms = translations(query, "en", "fr")
    assert 10 < len(terms) <= 64
    assert all(0 < weight <= 1 for weight in terms.values())
    assert translations(query, "en", "xx") == {}
