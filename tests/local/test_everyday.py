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


@pytest.mark.parametrize(("name", "min_share"), [("everyday, easy", 0.93), ("everyday, hard", 0.72)])
def test_the_answer_comes_first(name, min_share):
    """Function words do not decide, and neither does a short document that repeats the form of the question."""
    first = [scores.index(max(scores)) in row["relevant"] for row, scores in lists_of(name)]
    assert len(first) > 50
    assert sum(first) >= min_share * len(first)


@pytest.mark.parametrize(
    ("name", "max_share"), [("everyday, easy", 0.03), ("everyday, hard", 0.1), ("adversarial", 0.1)]
)
def test_few_wrong_documents_score_above_half(name, max_share):
    """A wrong document that shares most words with the query stays at or below 0.5."""
    wrong = [wrong_above_half(row, scores) for row, scores in lists_of(name)]
    assert sum(wrong) <= max_share * len(wrong)


@pytest.mark.parametrize(("name", "min_share"), [("everyday, easy", 0.75), ("everyday, hard", 0.55)])
def test_most_answers_score_above_half(name, min_share):
    """A short document that contains most of the query scores above 0.5."""
    kept = [any(scores[i] > 0.5 for i in row["relevant"]) for row, scores in lists_of(name)]
    assert sum(kept) >= min_share * len(kept)


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


@pytest.mark.parametrize(
    ("query", "wrong", "right"),
    [
        ("indirect damages", "direct damages are covered", "indirect damages are covered"),
        ("direct damages", "indirect damages are covered", "direct damages are covered"),
        ("unpaid invoices", "paid invoices are kept here", "unpaid invoices are kept here"),
        ("refundable ticket", "a non-refundable ticket today", "a refundable ticket for today"),
        ("comment désactiver le compte", "activer le compte en ligne ici", "désactiver le compte en ligne"),
        ("Unverträglichkeit von Milch", "Verträglichkeit von Milch heute", "Unverträglichkeit von Milch"),
        ("неполная занятость", "полная занятость в городе", "неполная занятость в селе"),
    ],
)
def test_the_opposite_of_a_word_is_not_a_match(query, wrong, right):
    """A document with the opposite of a word of the query scores below 0.5, and far below one with the word."""
    low, high = LexicalScorer().score(query, [wrong, right])
    assert high > 0.5
    assert low < 0.2
    assert LexicalScorer().score(query, [wrong])[0] < 0.5


@pytest.mark.parametrize(
    ("query", "document", "other"),
    [
        ("flights from Oslo to Rome", "Flights from Rome to Oslo leave at nine.", "Rome is a city."),
        ("what is the capital of Australia", "The capital of Austria is Vienna.", "It is warm."),
        ("オーストラリアの首都", "オーストリアの首都はウィーンです。", "郵便局は駅の近くです。"),
        ("北京到上海的火车票价", "北京到广州的火车票价是多少", "上海有很多高楼。"),
    ],
)
def test_names_that_differ_a_little_are_not_a_match(query, document, other):
    """Names that changed their places, that begin alike, or of which one is missing, score below 0.5."""
    assert LexicalScorer().score(query, [document, other])[0] < 0.5


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
