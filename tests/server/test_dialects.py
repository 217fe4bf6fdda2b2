"""Each dialect as a table: its request in terms of v2, and the v2 reply in its form."""

from __future__ import annotations

import math

import pytest

from cohere_rerank.server import dialects
from cohere_rerank.server.http import HttpError

BASE = {"model": "m", "query": "q", "documents": ["a", "b"]}


def reply():
    """Return a reply of the endpoint with the second document first."""
    return {
        "id": "1",
        "results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.0}],
        "meta": {"api_version": {"version": "2"}, "warnings": ["w"]},
    }


def changed(**changes):
    return {name: value for name, value in {**BASE, **changes}.items() if value is not ...}


V2_WORDS = [
    (dialects.parse_v2, changed(), BASE),
    (dialects.parse_v2, changed(top_n=None, relevant_spans=None), BASE),
    (dialects.parse_v2, changed(return_documents=True, user="me"), BASE),
    (dialects.parse_v2, changed(top_n=9), {**BASE, "top_n": 9}),
    (dialects.parse_v2, changed(top_n=2.0, priority=0.5), {**BASE, "top_n": 2, "priority": 0.5}),
    (
        dialects.parse_v2,
        changed(relevant_spans={"mode": "enabled", "max_spans": 1.0, "threshold": None}),
        {**BASE, "relevant_spans": {"mode": "enabled", "max_spans": 1}},
    ),
    (dialects.parse_v1, changed(model=...), {**BASE, "model": "default"}),
    (dialects.parse_v1, changed(documents=["a", {"text": "b", "n": 1}]), BASE),
    (dialects.parse_v1, changed(documents=["a", {"snippet": "b"}]), BASE),
    (dialects.parse_v1, changed(max_chunks_per_doc=10, return_documents=False, rank_fields=None), BASE),
    (
        dialects.parse_v1,
        changed(documents=[{"t": "x", "n": 1, "u": "y"}, "b"], rank_fields=["u", "t"]),
        {**BASE, "documents": ["u: y\nt: x\n", "b"]},
    ),
    (dialects.parse_v1, changed(priority=3), {**BASE, "priority": 3}),
    (dialects.parse_jina_or_tei, changed(model=..., top_n=0, max_tokens_per_doc=0), {**BASE, "model": "default"}),
    (dialects.parse_jina_or_tei, changed(documents=["a", {"text": "b", "image": None}], top_n=None), BASE),
    (dialects.parse_jina_or_tei, changed(top_n=1, truncate_prompt_tokens=5), {**BASE, "top_n": 1}),
    (dialects.parse_jina_or_tei, {"query": "q", "texts": ["a", "b"], "truncate": True}, {**BASE, "model": "default"}),
    (
        dialects.parse_jina_or_tei,
        {"query": "q", "texts": ["a", "b"], "top_n": 1},
        {**BASE, "model": "default", "top_n": 1},
    ),
    # What a dialect cannot read is left to the endpoint, which says what is wrong with it.
    (dialects.parse_v1, changed(documents=[5, "b"]), {**BASE, "documents": [5, "b"]}),
    (dialects.parse_jina_or_tei, changed(documents=[{"image": "x"}]), {**BASE, "documents": [{"image": "x"}]}),
    (dialects.parse_jina_or_tei, changed(top_n=False), {**BASE, "top_n": False}),
    (dialects.parse_jina_or_tei, {"query": "q", "texts": None}, {"model": "default", "query": "q", "documents": None}),
]


@pytest.mark.parametrize(("read", "request_", "body"), V2_WORDS)
def test_a_request_becomes_a_v2_request(read, request_, body):
    """The fields, names and defaults of a dialect become those of v2. The request itself does not change."""
    before = repr(request_)
    assert read(request_, "default", False).body == body
    assert repr(request_) == before


def results(*pairs, **more):
    echoes = more.get("document", [None] * len(pairs))
    return [
        {"index": index, "relevance_score": score, **({} if echo is None else {"document": echo})}
        for (index, score), echo in zip(pairs, echoes, strict=True)
    ]


RANKED = ((1, 0.75), (0, 0.0))
ECHOES = [
    (dialects.parse_v2, {}, [None, None]),
    (dialects.parse_v2, {"return_documents": True}, [{"text": "b"}, {"text": "a"}]),
    (dialects.parse_v1, {}, [None, None]),
    (dialects.parse_v1, {"return_documents": True}, [{"text": "b"}, {"text": "a"}]),
    (
        dialects.parse_v1,
        {"return_documents": True, "documents": ["a", {"text": "b", "n": 1}]},
        [{"text": "b", "n": 1}, {"text": "a"}],
    ),
    (dialects.parse_jina, {}, [{"text": "b"}, {"text": "a"}]),
    (dialects.parse_jina, {"return_documents": False}, [None, None]),
]


@pytest.mark.parametrize(("read", "changes", "echoes"), ECHOES)
def test_documents_are_returned_as_the_dialect_does(read, changes, echoes):
    """v2 and v1 return documents on request, Jina and vLLM by default. Objects are returned whole."""
    answered = read(changed(**changes), "default", False).encode_reply(reply())
    assert answered["results"] == results(*RANKED, document=echoes)


def test_v1_has_its_own_version_in_meta():
    """v1 replaces the API version and keeps the rest of meta."""
    meta = dialects.parse_v1(BASE, "default", False).encode_reply(reply())["meta"]
    assert meta == {"api_version": {"version": "1"}, "warnings": ["w"]}


def test_jina_has_model_object_and_usage():
    """The query counts once for each document in the estimated tokens."""
    answered = dialects.parse_jina(changed(documents=["12345678", "1"], query="12345"), "default", False).encode_reply(
        reply()
    )
    assert (answered["model"], answered["object"]) == ("m", "list")
    assert answered["usage"] == {"prompt_tokens": 2 + 1 + 2 * 2, "total_tokens": 7}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [{"index": 1, "score": 0.75}, {"index": 0, "score": 0.0}]),
        ({"return_text": True}, [{"index": 1, "score": 0.75, "text": "b"}, {"index": 0, "score": 0.0, "text": "a"}]),
    ],
)
def test_tei_returns_an_array(options, expected):
    """The reply is an array of index, score and, on request, text."""
    parsed = dialects.parse_jina_or_tei({"query": "q", "texts": ["a", "b"], **options}, "default", False)
    assert parsed.encode_reply(reply()) == expected


def test_tei_raw_scores_are_logits():
    """The sigmoid of a raw score is the score. The scores 0 and 1 have finite logits, as JSON requires."""
    parsed = dialects.parse_tei({"query": "q", "texts": ["a", "b"], "raw_scores": True}, "default", False)
    best, worst = (item["score"] for item in parsed.encode_reply(reply()))
    assert 1 / (1 + math.exp(-best)) == pytest.approx(0.75)
    assert math.isfinite(worst)
    assert worst < best


def test_fields_without_effect_are_named_in_the_warnings():
    """The warning follows the endpoint's own. Long lists and long names are shortened."""
    parsed = dialects.parse_v2(changed(top_k=1, **{f"f{i}": 0 for i in range(7)}, **{"z" * 99: 0}), "default", False)
    said = parsed.encode_reply(reply())["meta"]["warnings"]
    assert said == ["w", "fields without effect here: 'f0', 'f1', 'f2', 'f3', 'f4' and 4 more"]
    alone = dialects.parse_v2(changed(**{"z" * 99: 0}), "default", False).encode_reply({"id": "1", "results": []})
    assert alone["meta"]["warnings"] == [f"fields without effect here: '{'z' * 40}'"]


REFUSED = [
    (dialects.parse_v1, {"documents": [{"n": 1}]}, 400, "document does not have a 'snippet' or a 'text' field"),
    (dialects.parse_v1, {"rank_fields": []}, 400, "rank_fields cannot be empty"),
    (dialects.parse_v1, {"rank_fields": ["text"] * 101}, 400, "rank_fields must have at most 100 fields, got 101"),
    (dialects.parse_v1, {"rank_fields": "text"}, 422, "'rank_fields'"),
    (dialects.parse_v1, {"rank_fields": [1]}, 422, "'rank_fields'"),
    (dialects.parse_v1, {"rank_fields": ["z"], "documents": ["a", {"text": "b"}]}, 400, "document at index 1"),
    (dialects.parse_v1, {"max_chunks_per_doc": 5000}, 400, "must be less than 10000"),
    (dialects.parse_v1, {"max_chunks_per_doc": 0}, 400, "max_chunks_per_doc"),
    (dialects.parse_v1, {"max_chunks_per_doc": True}, 422, "max_chunks_per_doc"),
    (dialects.parse_v1, {"return_documents": "yes"}, 422, "'return_documents'"),
    (dialects.parse_v2, {"return_documents": 1}, 422, "'return_documents'"),
    (dialects.parse_jina, {"return_documents": "no"}, 422, "'return_documents'"),
    (dialects.parse_tei, {"texts": ["a"], "raw_scores": "no"}, 422, "'raw_scores'"),
    *[
        (read, {f"field{number}": 0 for number in range(40_000)}, 400, "at most 100 fields, got 4000")
        for read in (dialects.parse_v2, dialects.parse_v1, dialects.parse_jina, dialects.parse_tei)
    ],
]


@pytest.mark.parametrize(("read", "changes", "status", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_value_of_a_dialects_own_field_is_rejected(read, changes, status, words):
    """The message is Cohere's where Cohere documents one."""
    with pytest.raises(HttpError) as caught:
        read(changed(**changes), "default", False)
    assert caught.value.status == status
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("read", "request_"),
    [
        (dialects.parse_v1, changed(top_k=1)),
        (dialects.parse_v1, changed(priority=1)),
        (dialects.parse_jina, changed(instruction="x")),
        (dialects.parse_tei, {"query": "q", "texts": ["a"], "top_n": 1}),
    ],
)
def test_strict_rejects_unknown_fields(read, request_):
    """Each dialect accepts only its own fields."""
    with pytest.raises(HttpError, match="unknown field: parameter"):
        read(request_, "default", True)


def test_strict_v2_leaves_everything_to_the_endpoint():
    """Nulls and unknown fields reach the endpoint unchanged."""
    request = changed(top_n=None, top_k=3)
    parsed = dialects.parse_v2(request, "default", True)
    assert parsed.body == request
    assert parsed.encode_reply(reply()) == reply()
