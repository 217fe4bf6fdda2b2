"""Hostile requests: their work grows with their length, and limits and deadlines stop it."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank._clock import Deadline
from cohere_rerank.local.endpoint import UNLIMITED, Limits, handle, handle_parsed
from cohere_rerank.local.gram_counts import Grams, gram_counts
from cohere_rerank.local.longest_run import RunFinder
from cohere_rerank.local.registry import as_scorer, get_scorer
from cohere_rerank.local.request import _STRING

REQUEST = {"model": "m", "query": "green tea", "documents": ["black coffee", "green tea", "tea"]}
SPANS = {"relevant_spans": {"mode": "enabled", "threshold": -1}, "max_tokens_per_doc": 10**6}
HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))
PAIRS = " ".join(f"ab {a}{b}" for a in "cdefghijklmnop" for b in "qrstuvwxyz")

# The query, and a piece of a document that is repeated.
HOSTILE = {
    "lines": ("a b", "a\n"),
    "short sentences": ("quick dog", "quick dog.\n\n"),
    "sentence marks": ("a b", '."!?) '),
    "Han lines": (HAN, "中\n"),
    "many grams": (" ".join(map(str, range(10_000, 10_200))), "1" * 9 + "0 "),
    "one word": ("a" * 1000, "a"),
    "almost the query": ("".join("國" if i % 250 == 125 else "中" for i in range(1000)), "中"),
    "almost the words": (("a " * 62 + "b " + "a " * 62) * 4, "a "),
    "periodic": ("a b " * 250, "a b "),
    "pairs of one word": (PAIRS, "ab "),
    "long folding": ("صلى الله عليه وسلم " * 50, "\ufdfa"),
    "another script": ("бвгдкпст " * 100, "bvgdkpst "),
    "marks": ("a b", "a\u0315\u0300\u05ae\u0300"),
    "punctuation": ("!? " * 300, "!? "),
}


class VirtualClock:
    """A clock that advances by a fixed step each time it is read."""

    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def monotonic(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def lexical(_model):
    return get_scorer("lexical")


def post(request, scorer_for=lexical, **options):
    status, _, content = handle(json.dumps(request).encode(), scorer_for, **options)
    return status, json.loads(content)


def count_lines(function):
    """Return how many lines of Python code a function runs."""
    n_lines = 0

    def trace(_frame, event, _argument):
        nonlocal n_lines
        n_lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return n_lines


class CountingText(str):
    """A text that counts how many characters are compared with it, in the worst case of `str.find`."""

    __slots__ = ()
    work = 0

    def __contains__(self, part):
        CountingText.work += len(self) * len(part)
        return str.__contains__(self, part)

    def count(self, part):
        CountingText.work += len(self) * len(part)
        return str.count(self, part)

    def __getitem__(self, place):
        CountingText.work += 1
        return str.__getitem__(self, place)

    def __reversed__(self):
        for position in range(len(self) - 1, -1, -1):
            yield self[position]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("n_documents", [1, 40])
def test_work_grows_with_the_length_of_the_documents_only(name, n_documents):
    """A character takes a bounded number of lines of code, spans included, whatever query and length are."""
    query, piece = HOSTILE[name]

    def lines(length):
        document = (piece * length)[: length // n_documents]
        request = {"model": "m", "query": query, "documents": [document] * n_documents, **SPANS}
        return count_lines(lambda: handle_parsed(request, lexical, UNLIMITED))

    lines(400)  # analyses the query, and fills tables of characters
    per_character = [lines(length) / length for length in (3_000, 12_000)]
    assert max(per_character) <= 250


@pytest.mark.parametrize("name", HOSTILE)
def test_searches_in_a_text_do_not_depend_on_the_length_of_the_query(name):
    """A long query is compared with each character of a text a bounded number of times."""
    query, piece = HOSTILE[name]
    text = CountingText((piece * 2_000)[:2_000])
    starts = [i for i, char in enumerate(query) if not char.isalpha() or char >= "\u3000"]
    CountingText.work = 0
    RunFinder(query, starts).longest_share(text)
    grams = Grams.fromkeys((query[i : i + 4] for i in range(len(query) - 3)), 1.0)
    list(gram_counts(grams, [text]))
    assert CountingText.work <= 1_000 * len(text)


texts = st.text(st.sampled_from(" ab"), max_size=300)


@given(texts.filter(bool), texts)
def test_the_longest_run_is_that_of_a_simple_search(query, text):
    """Whatever the length of the query is, the result is the longest part that starts at a space."""
    starts = [i for i, char in enumerate(query) if char == " "]
    lengths = [n for start in starts for n in range(len(query) - start + 1) if query[start : start + n] in text]
    longest = max(lengths, default=0)
    expected = longest / len(query) if longest > len(query) // 4 else 0.0
    assert RunFinder(query, starts).longest_share(text) == expected


@given(st.lists(texts, min_size=1, max_size=4), st.sets(texts.filter(lambda text: 0 < len(text) <= 4), min_size=1))
def test_grams_are_counted_as_str_count_does(documents, some_grams):
    """With few grams and with many, occurrences that overlap count once."""
    grams = Grams.fromkeys(sorted(some_grams), 1.0)
    counts = {gram: [(i, text.count(gram)) for i, text in enumerate(documents) if gram in text] for gram in grams}
    assert dict(gram_counts(grams, documents)) == {gram: found for gram, found in counts.items() if found}


def test_too_much_work_is_rejected_before_anything_is_scored():
    """The message says how much is allowed, and what to do."""
    called = []
    scorer = as_scorer(lambda query, documents: called.append(query))
    request = {**REQUEST, "query": "x" * 5000, "documents": ["tea" * 50]}
    status, reply = post(request, lambda _: scorer, limits=Limits(max_work=149_999))
    assert status == 400
    assert "must be at most 149999, got 150000; send fewer or shorter documents" in reply["message"]
    assert called == []


def test_a_usual_request_is_far_from_the_limit_of_work():
    """10,000 documents of 700 characters and a question of 60 are a tenth of it."""
    request = {**REQUEST, "query": "q" * 60, "documents": ["d" * 700] * 10_000}
    scorer = as_scorer(lambda query, documents: [0.0] * len(documents))
    assert post(request, lambda _: scorer, limits=Limits(max_work=420_000_000))[0] == 200
    assert Limits().max_work > 9 * 420_000_000


def test_too_many_values_are_rejected_before_they_are_parsed():
    """Commas within texts do not count, escaped quotation marks and an unfinished text included."""
    limits = Limits(max_values=10)
    assert post({**REQUEST, "documents": ['","' * 20, "\\" * 9, ',"']}, limits=limits)[0] == 200
    status, reply = post({**REQUEST, "documents": [[]] * 50}, limits=limits)
    assert (status, "at most 10 JSON values" in reply["message"]) == (400, True)
    assert handle(b'["' + b'\\",' * 50, lexical, limits)[0] == 400


@pytest.mark.parametrize("ending", [b"", b"\\", b"\\\\", b'"'], ids=["open", "backslash", "two backslashes", "closed"])
def test_the_texts_of_a_body_are_read_once(ending):
    """Without a match at the first quotation mark, a body of 1 MB took more than an hour."""
    body = b'"' + b'\\"' * 1000 + ending
    assert [match.span() for match in _STRING.finditer(body)] == [(0, len(body))]


def test_the_sentences_that_are_searched_for_spans_are_limited():
    """The best results come first, the reply stays small, and a warning says so."""
    request = {"model": "m", "query": "a b", "documents": ["c", "a b.\n" * 50, "a\n" * 50], **SPANS}
    reply = post(request, limits=Limits(max_sentences=60))[1]
    assert [len(result.get("relevant_spans", [])) for result in reply["results"]] == [50, 10, 0]
    assert reply["meta"]["warnings"][-1] == "relevant spans were searched in the first 60 sentences of the results"
    whole = post(request, limits=Limits(max_sentences=101))[1]
    assert [len(result["relevant_spans"]) for result in whole["results"]] == [50, 50, 1]
    assert len(whole["meta"]["warnings"]) == 1


@pytest.mark.parametrize("request_", [REQUEST, {**REQUEST, **SPANS}], ids=["ranking", "spans"])
def test_scoring_stops_at_the_deadline(request_):
    """The status is 503, and the message says what to do. Each loop reads the clock once per document or gram."""
    clock = VirtualClock(0.01)
    long = {**request_, "documents": ["green tea. " * 20] * 300}
    assert handle_parsed(long, lexical, deadline=Deadline(clock, 1e9))[0] == 200
    needed_s = clock.now_s
    for share in (0.01, 0.3, 0.9):
        clock = VirtualClock(0.01)
        status, reply = handle_parsed(long, lexical, deadline=Deadline(clock, share * needed_s))
        assert status == 503
        assert reply["message"].endswith("send fewer or shorter documents, or a shorter query")
        assert clock.now_s <= share * needed_s + 0.03


def test_the_deadline_of_one_request_is_not_that_of_the_next():
    """A request without a deadline never stops."""
    assert handle_parsed(REQUEST, lexical, deadline=Deadline(VirtualClock(1.0), 0.5))[0] == 503
    assert handle_parsed(REQUEST, lexical)[0] == 200


def test_a_parsed_request_gets_the_same_reply_as_its_bytes():
    """It is not changed, and the reply has no id."""
    request = {**REQUEST, **SPANS}
    before = json.dumps(request)
    status, reply = handle_parsed(request, lexical)
    by_bytes = post(request)[1]
    assert (status, {"id": by_bytes["id"], **reply}) == (200, by_bytes)
    assert json.dumps(request) == before
    assert handle_parsed([request], lexical) == (400, {"message": "invalid json syntax: the body must be an object"})


def test_a_long_query_searches_fewer_sentences_for_spans():
    """A sentence costs as much as the query is long, so their product is limited, and the reply says so."""
    words = [f"word{number}" for number in range(140)]
    request = {
        "model": "m",
        "query": " ".join(words),
        "documents": [" ".join(words[number % 100 : number % 100 + 13]) for number in range(2000)],
        "relevant_spans": {"mode": "enabled", "threshold": -1},
    }
    status, reply = handle_parsed(request, lexical)
    n_sentences = sum("relevant_spans" in result for result in reply["results"])
    assert status == 200
    assert 500 <= n_sentences <= 1_000_000 // len(request["query"])
    assert f"in the first {n_sentences} sentences of the results" in reply["meta"]["warnings"][-1]
