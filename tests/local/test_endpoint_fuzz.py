"""Random requests to the endpoint: every one gets a valid reply, or an error with a message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank.local.endpoint import Limits, handle, handle_parsed
from cohere_rerank.local.registry import get_scorer

FIELDS = ("model", "query", "documents", "top_n", "max_tokens_per_doc", "relevant_spans", "priority")
# Letters of several scripts, marks, signs that end sentences, characters that fold to many, and control characters.
SPECIAL = "ab A1.!?\n\"'」中日のアไทย한भ\u093e\u0301\u0315\u05ae\u200d\ufdfa½😀\0\u2028"
CHARACTERS = st.sampled_from(SPECIAL) | st.characters(codec="utf-8")
TEXTS = st.text(CHARACTERS, max_size=40) | st.builds(str.__mul__, st.text(CHARACTERS, max_size=6), st.integers(0, 300))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | TEXTS, inner, max_size=4),
    max_leaves=12,
)
spans = st.fixed_dictionaries(
    {"mode": st.sampled_from(["enabled", "disabled"])},
    optional={"threshold": st.floats(-2, 2), "max_spans": st.integers(1, 5) | st.just(10**30)},
)
requests = st.fixed_dictionaries(
    {
        "model": TEXTS.filter(bool),
        "query": TEXTS.filter(str.strip),
        "documents": st.lists(TEXTS.filter(bool), min_size=1),
    },
    optional={
        "top_n": st.integers(1, 10) | st.just(10**30),
        "max_tokens_per_doc": st.integers(1, 1_000_000),
        "priority": st.integers(0, 999),
        "relevant_spans": spans,
    },
)


def lexical(_model):
    return get_scorer("lexical")


def check_reply(request, reply):
    """Check that a reply ranks the documents of its request, best first, with valid spans."""
    documents, results = request["documents"], reply["results"]
    keys = [(-result["relevance_score"], result["index"]) for result in results]
    assert keys == sorted(keys)
    assert len({result["index"] for result in results}) == min(len(documents), request.get("top_n", len(documents)))
    for result in results:
        assert 0 <= result["relevance_score"] <= 1
        found = result.get("relevant_spans", [])
        assert len(found) <= request.get("relevant_spans", {}).get("max_spans", len(found))
        for span in found:
            assert 0 <= span["start"] < span["end"] <= len(documents[result["index"]])
            assert span["score"] > request["relevant_spans"].get("threshold", 0.1)


@settings(max_examples=200, deadline=None)
@given(requests)
def test_a_valid_request_gets_a_valid_reply(request):
    """Results are sorted and complete, scores and spans are in their ranges, and the same bytes come again."""
    body = json.dumps(request).encode()
    status, _, content = handle(body, lexical)
    assert status == 200
    check_reply(request, json.loads(content))
    assert handle(body, lexical)[2] == content


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@settings(max_examples=2_000, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS) | TEXTS, json_values), requests)
def test_any_request_gets_a_reply_or_an_error_longer(change, request):
    """Valid and changed requests, with many more examples."""
    for body in (request, {**request, **change}):
        status, reply = handle_parsed(body, lexical)
        assert status in (200, 400, 422)
        if status == 200:
            check_reply(body, reply)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS) | TEXTS, json_values), requests)
def test_a_changed_request_gets_a_reply_or_an_error(change, request):
    """A field of any type is accepted or rejected with a message; the reply of a rejected one is short."""
    changed = {**request, **change}
    status, reply = handle_parsed(changed, lexical)
    if status == 200:
        check_reply(changed, reply)
    else:
        assert status in (400, 422)
        assert 0 < len(reply["message"]) < 300


@settings(max_examples=200, deadline=None)
@given(json_values | st.dictionaries(TEXTS, json_values, max_size=200))
def test_any_json_value_gets_an_error(value):
    """A value that is not a request is never an exception."""
    assert handle_parsed(value, lexical)[0] in (400, 422)


@settings(max_examples=200, deadline=None)
@given(requests, st.integers(0, 10**6), st.binary(min_size=1, max_size=3), st.integers(1, 50))
def test_a_damaged_body_gets_a_reply_or_an_error(request, position, damage, max_values):
    """Bytes are replaced anywhere, and the number of JSON values is limited."""
    body = bytearray(json.dumps(request, ensure_ascii=False).encode())
    position %= len(body)
    body[position : position + len(damage)] = damage
    status, _, content = handle(bytes(body), lexical, Limits(max_values=max_values))
    reply = json.loads(content)
    assert status in (200, 400, 422)
    assert ("results" in reply) == (status == 200)
    assert ("message" in reply) == (status != 200)
