"""The lexical scorer: order of results, edge cases, determinism, and limits of time and memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.local import lexical
from cohere_rerank.local.lexical import LexicalScorer

UDHR = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "udhr.jsonl").read_text(encoding="utf-8").splitlines()
]

# The example of Cohere's documentation, its texts in our words: one document says what the query asks for, the
# others share its words.
CAPITALS = [
    (
        "Carson City is the capital city of the American state of Nevada. 55,274 people lived there in 2010, "
        "as counted by the United States Census."
    ),
    (
        "The Northern Mariana Islands are a group of islands in the Pacific, a commonwealth that belongs to "
        "the United States. Saipan is its capital."
    ),
    (
        "Charlotte Amalie, on the island of Saint Thomas, is the capital and largest city of the United "
        "States Virgin Islands. Some 20,000 people live there."
    ),
    (
        "Washington, D.C. (in full Washington, District of Columbia, often just Washington or D.C.) is the "
        "capital of the United States. It is a federal district, and home to the President and to many "
        "offices of the national government."
    ),
    (
        "Capital punishment was used in the United States before there was such a country. In 2017, capital "
        "punishment was legal in 30 of the 50 states, and for the federal government and the United States "
        "military."
    ),
]


def ranked(query, documents):
    """Return the indices of the documents, best first, and equal ones by index."""
    scores = LexicalScorer().score(query, documents)
    assert len(scores) == len(documents)
    assert all(0.0 <= score <= 1.0 for score in scores)
    return sorted(range(len(documents)), key=lambda i: (-scores[i], i))


def word_bm25(query, documents):
    """Return the scores of BM25 over words between spaces, a simple baseline."""
    texts = [document.lower().split() for document in documents]
    mean = sum(map(len, texts)) / len(texts)
    df = Counter(word for text in texts for word in set(text))
    scores = [0.0] * len(texts)
    for word in set(query.lower().split()) & df.keys():
        idf = math.log(1 + (len(texts) - df[word] + 0.5) / (df[word] + 0.5))
        for i, text in enumerate(texts):
            tf = text.count(word)
            scores[i] += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(text) / mean))
    return scores


def ndcg(scores, relevant, k=10):
    """Return the normalised discounted cumulative gain of binary judgements."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    gain = sum(1 / math.log2(rank + 2) for rank, i in enumerate(order) if i in relevant)
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant))))


def udhr_queries():
    """Return for each paragraph its group, its text, the other paragraphs, and which are of the same article."""
    for language in UDHR:
        paragraphs = [(number, text) for number, texts in language["articles"].items() for text in texts]
        random.Random(1).shuffle(paragraphs)
        for i, (article, query) in enumerate(paragraphs):
            rest = paragraphs[:i] + paragraphs[i + 1 :]
            relevant = {j for j, (number, _) in enumerate(rest) if number == article}
            yield language["group"], query, [text for _, text in rest], relevant


def test_related_paragraphs_come_first_in_every_script():
    """Paragraphs of one article find each other, in each group of scripts better than with words alone."""
    gained = defaultdict(list)
    ours = []
    for group, query, documents, relevant in udhr_queries():
        ours.append(ndcg(LexicalScorer().score(query, documents), relevant))
        gained[group].append(ours[-1] - ndcg(word_bm25(query, documents), relevant))
    assert sum(ours) / len(ours) > 0.60
    assert {group: sum(gains) / len(gains) > 0.05 for group, gains in gained.items()} == dict.fromkeys(gained, True)


def test_a_few_words_find_their_paragraph_in_every_language():
    """Four words find the paragraph they are from. In scripts without spaces twenty characters do."""
    missed = []
    for language in UDHR:
        paragraphs = [text for texts in language["articles"].values() for text in texts]
        for i, text in enumerate(paragraphs):
            words = text.split()
            third = len(words) // 3
            query = " ".join(words[third : third + 4])
            if language["group"] == "unspaced":
                query = text[len(text) // 3 :][:20]
            if ranked(query, paragraphs)[0] != i:
                missed.append((language["language"], query))
    assert len(missed) < 0.02 * 20 * len(UDHR), missed


@pytest.mark.parametrize("as_yaml", [False, True])
def test_words_next_to_each_other_beat_scattered_words(as_yaml):
    """The answer comes first, as text and as a record, even if others contain the words more often."""
    titles = ["Carson City", "Northern Mariana Islands", "Charlotte Amalie", "Washington, D.C.", "Capital punishment"]
    documents = CAPITALS
    if as_yaml:
        documents = [f"Title: {title}\nContent: {text}\n" for title, text in zip(titles, CAPITALS)]
    assert ranked("What is the capital of the United States?", documents)[0] == 3


@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ("الكتاب", ["الكلب في البيت", "قرأت كتابا جميلا"]),  # the book: the dog in the house; I read a fine book
        ("הספרייה", ["הספק של הספל", "הלכתי לספרייה אתמול"]),  # the library: the mug's supplier; I went to a library
    ],
)
def test_the_root_of_a_word_counts_more_than_the_letter_before_it(query, documents):
    """In Arabic and Hebrew, "and", "the" and "in" are letters before a word, which other words may have too."""
    assert ranked(query, documents)[0] == 1


VOCABULARY = ["the", "capital", "of", "France", "is", "Paris", "東京", "แมว", "سلام", "🍕", "42"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=15), st.randoms())
def test_positions_do_not_matter(query, documents, rng):
    """Scores do not depend on positions, to the last bit. Equal documents have equal scores."""
    scores = LexicalScorer().score(query, documents)
    places = list(range(len(documents)))
    rng.shuffle(places)
    assert LexicalScorer().score(query, [documents[i] for i in places]) == [scores[i] for i in places]
    by_text = defaultdict(set)
    for text, score in zip(documents, scores):
        by_text[text].add(score)
    assert all(len(same) == 1 for same in by_text.values())


@given(st.text(max_size=60), st.lists(st.text(max_size=80), max_size=8))
def test_any_text_scores(query, documents):
    """Any text gets one score in [0, 1] per document."""
    ranked(query, documents)


@pytest.mark.parametrize(
    ("query", "documents", "best"),
    [
        ("x", ["a b c", "the x axis", "yz"], 1),
        ("7", ["1 2 3", "17 71", "lucky 7"], 2),
        ("🍕", ["salad", "we love 🍕!", "sushi 🍣"], 1),
        ("->", ["a = b", "std::map", "ptr->next"], 2),
        ("日", ["月", "日", "木"], 1),
        ("in 2010 or 1999?", ["In 2011.", "In 1989.", "It was 1999."], 2),
        ("getUserById", ["def delete_order(): ...", "return self.getUserById(id)", "class User: ..."], 1),
        ("getUserById", ["def delete_order(): ...", "def get_user_by_id(id): ...", "def get_all(): ..."], 1),
        ("ERR_CONN_RESET", ["ERR_TIMED_OUT: slow", "net::ERR_CONN_RESET (-101)", "CONN_OK"], 1),
        ("naive cafe", ["native calf", "a naïve café", "coffee"], 1),
        ("ΔΡΟΜΟΣ", ["το σπίτι", "ο δρόμος", "η πόλη"], 1),
        ("где ёлка", ["где дом", "ель", "елка стоит"], 2),
        ("مدرسة", ["بيت", "المُدَرِّسة", "كتاب"], 1),
        ("שלום עולם", ["שָׁלוֹם, עוֹלָם", "לילה טוב", "עולה חדש"], 0),
        ("iPhoneの価格", ["Androidの話", "この携帯は高い", "新しいiPhoneの価格は高い"], 2),
        ("running quickly", ["he runs a firm", "a quick runner ran quickest", "slow walk"], 1),
        ("tiếng Việt", ["tieng Viet", "tiền lẻ", "viết thư"], 0),
    ],
)
def test_edge_cases(query, documents, best):
    """Single letters, digits, signs, code, accents, right-to-left and mixed scripts, and inflection are matched."""
    assert ranked(query, documents)[0] == best


def test_one_document():
    """In a list of one, a match scores higher than a document without a match."""
    (match,) = LexicalScorer().score("capital of France", ["Paris is the capital of France."])
    (stranger,) = LexicalScorer().score("capital of France", ["Bread needs flour, water and time."])
    assert stranger < 0.1 < 0.5 < match


def test_identical_documents_tie():
    """Equal documents have equal scores, in long lists too."""
    scores = LexicalScorer().score("same words", ["the same words"] * 1_000 + ["other"])
    assert len(set(scores[:-1])) == 1
    assert scores[-1] < scores[0]


def test_nothing_in_common_ties():
    """Documents without a match have equal scores near 0, whatever their lengths are."""
    scores = LexicalScorer().score("xylophone", ["Brot", "Brot und Butter", "東京"])
    assert len(set(scores)) == 1
    assert scores[0] < 0.05


def test_keys_do_not_outweigh_values():
    """Keys that all records have do not decide, even if the query contains them."""
    texts = ["whales sing in the ocean", "bread and butter", "trains of the world", "songs of the sea", "a title fight"]
    records = [f"title: {text}\nprice: {i}\n" for i, text in enumerate(texts)]
    assert ranked("the title of the book on whales", records)[0] == 0
    assert ranked("price of bread", records)[0] == 1
    assert ranked("whales in the ocean", records)[0] == ranked("whales in the ocean", texts)[0]


def test_a_key_in_one_record_does_not_beat_the_value_in_another():
    """A record with the words as keys ranks below the record that has them as one value."""
    records = ["capital: 3\ncity: 9\nfrance: 2\nof: 1", "text: Paris is the capital city of France"]
    assert ranked("capital city of France", records)[0] == 1


def test_no_documents():
    """An empty list has no scores."""
    assert LexicalScorer().score("a", []) == []


def test_empty_texts():
    """An empty document matches nothing, and so does an empty query."""
    assert ranked("word", ["", "word"]) == [1, 0]
    assert len(set(LexicalScorer().score("", ["a", "", "b c"]))) == 1


def test_a_query_may_be_a_document():
    """Only the first thousand characters of a query are used."""
    text = " ".join(f"word{i}" for i in range(5_000))
    assert ranked(text, ["other things", text[:500], "word"])[0] == 1
    assert LexicalScorer().score(text, [text, "x"]) == LexicalScorer().score(text[:1_000], [text, "x"])


def test_ten_thousand_documents_in_bounded_time_and_memory():
    """The longest list of the API takes some seconds, and about as much memory as its texts."""
    rng = random.Random(3)
    words = [f"{a}{b}{c}" for a in ("ka", "lo", "mi") for b in ("ra", "ton", "ves") for c in ("", "s", "ing", "er")]
    documents = [" ".join(rng.choices(words, k=40)) for _ in range(10_000)]
    documents[4321] += " quetzalcoatl"
    tracemalloc.start()
    started = time.process_time()
    order = ranked("where is quetzalcoatl", documents)
    elapsed = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert order[0] == 4321
    assert elapsed < 30
    assert peak < 10 * sum(map(len, documents))


@pytest.mark.parametrize("piece", ["the capital of nowhere ", "a", "é ", "東京は", "! ", "the of "])
def test_a_document_of_a_million_characters(piece):
    """A huge document takes bounded time, and a short answer beside it still comes first."""
    huge = piece * (1_000_000 // len(piece))
    started = time.process_time()
    order = ranked("What is the capital of Peru? 東京", [huge, "Lima is the capital of Peru.", "x"])
    assert order[0] == 1
    assert time.process_time() - started < 30


HASHED = """
import hashlib, json, sys
from cohere_rerank.local.lexical import LexicalScorer
from cohere_rerank.local.spans import find_spans
digest = hashlib.sha256()
for line in sys.stdin.buffer:
    texts = [text for texts in json.loads(line)["articles"].values() for text in texts]
    digest.update(repr(LexicalScorer().score(texts[0], texts[1:])).encode())
    digest.update(repr(find_spans(texts[0], texts[1], threshold=0.0, max_spans=None)).encode())
print(digest.hexdigest())
"""


def test_scores_do_not_depend_on_the_hash_seed():
    """Scores do not depend on the hash seed of the process."""
    data = (Path(__file__).parent / "data" / "udhr.jsonl").read_bytes()
    digests = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", HASHED],
            input=data,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            cwd=Path(__file__).parents[2],
        )
        digests.add(run.stdout)
    assert len(digests) == 1
    assert len(digests.pop().strip()) == hashlib.sha256().digest_size * 2


@given(st.floats(1, 1e9))
def test_the_portable_logarithm_is_correct(x):
    """The portable logarithm agrees with that of the library to twelve digits."""
    assert math.isclose(lexical._ln(x), math.log(x), rel_tol=1e-12, abs_tol=1e-15)
