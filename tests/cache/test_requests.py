"""Only documents without a score are sent, and the response equals the one without a cache."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import ClientV2
from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import ABC, CALL, Pointwise, pairs, sent
from tests.fake_server import reply


def test_only_documents_without_a_score_are_sent(server, make_either, cache):
    """The others come from the cache, and the caller gets one ranking."""
    client = make_either(cache=cache)
    first = client.rerank(**CALL, documents=ABC)
    again = client.rerank(**CALL, documents=ABC)
    more = client.rerank(**CALL, documents=["ddd", "bbb", "eee", "aaa"])
    assert sent(server) == [ABC, ["ddd", "eee"]]
    assert pairs(again) == pairs(first)
    plain = make_either().rerank(**CALL, documents=["ddd", "bbb", "eee", "aaa"])
    assert pairs(more) == pairs(plain)


def test_equal_texts_are_sent_once(server, make_either, cache):
    """However often a text occurs in a list, and in any form of document."""
    response = make_either(cache=cache).rerank(**CALL, documents=["a: 1\n", {"a": 1}, "a: 1\n", "b"])
    assert sent(server) == [["a: 1\n", "b"]]
    assert sorted(item.index for item in response.results) == [0, 1, 2, 3]
    assert len(set(response.scores[:3])) == 1


def test_top_n_and_min_score_are_not_part_of_the_key(server, make_either, cache):
    """All scores are requested, and the best are returned."""
    client = make_either(cache=cache)
    best = client.rerank(**CALL, documents=ABC, top_n=1)
    assert [len(client.rerank(**CALL, documents=ABC, top_n=n).results) for n in (2, 3, 9)] == [2, 3, 3]
    kept = client.rerank(**CALL, documents=ABC, min_score=best.results[0].relevance_score)
    assert pairs(kept) == pairs(best)
    assert sent(server) == [ABC]
    assert "top_n" not in server.requests[0].json


@pytest.mark.parametrize(
    "other",
    [
        {"query": "Q"},
        {"model": "rerank-v3.5"},
        {"max_tokens_per_doc": 99},
        {"relevant_spans": {"mode": "enabled"}},
        {"relevant_spans": {"mode": "enabled", "threshold": 0.5}},
        {"request_options": {"additional_body_parameters": {"max_tokens_per_doc": 98}}},
        {"request_options": {"additional_query_parameters": {"region": "eu"}}},
        {"request_options": {"additional_headers": {"x-route": "b"}}},
    ],
)
def test_an_option_that_may_change_a_score_is_part_of_the_key(server, make_either, other):
    """The same documents are sent again."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    client.rerank(**{**CALL, **other}, documents=ABC)
    client.rerank(**{**CALL, **other}, documents=ABC)
    assert sent(server) == [ABC, ABC]


@pytest.mark.parametrize(
    "other",
    [{"priority": 5}, {"deadline": 100}, {"request_options": {"max_retries": 0, "timeout": 9}}, {"top_n": 2}],
)
def test_an_option_that_cannot_change_a_score_is_not(server, make_either, other):
    """One request serves both calls."""
    client = make_either(cache=ScoreCache())
    client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, **other, documents=ABC)
    assert sent(server) == [ABC]


def test_the_address_is_part_of_the_key(server, make_either):
    """One cache can serve clients of several servers."""
    cache = ScoreCache()
    make_either(cache=cache).rerank(**CALL, documents=ABC)
    server.path = "/other/v2/rerank"
    make_either(cache=cache, base_url=f"{server.url}/other").rerank(**CALL, documents=ABC)
    assert len(server.requests) == 2


def test_spans_are_cached(make_either, cache):
    """Their texts equal those of the first response."""
    scorer = Pointwise()
    client = make_either(base_url="local:", scorer=scorer, cache=cache)
    call = {**CALL, "query": "capital of France", "relevant_spans": {"mode": "enabled"}}
    documents = ["Paris is the capital of France. It rains.", "nothing", "The capital of France, again."]
    first = client.rerank(**call, documents=documents)
    again = client.rerank(**call, documents=documents)
    assert scorer.scored == documents
    assert [item.span_texts for item in again.results] == [item.span_texts for item in first.results]
    assert any(item.span_texts for item in again.results)


def test_empty_and_long_lists_work_with_a_cache(server, make_either):
    """An empty list sends nothing; the missing documents of a long list are split as usual."""
    client = make_either(cache=ScoreCache(), max_documents_per_request=2)
    assert client.rerank(**CALL, documents=[]).results == []
    client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, documents=[*ABC, "ddd"])
    assert sorted(chain.from_iterable(sent(server))) == [*ABC, "ddd"]


def test_a_document_that_the_server_omits_is_sent_again(server, make_either):
    """Some servers apply a top_n of their own."""
    client = make_either(cache=ScoreCache(), strict=False)
    server.script(reply(json={"results": [{"index": 1, "relevance_score": 0.5}]}))
    assert [item.index for item in client.rerank(**CALL, documents=ABC).results] == [1]
    assert len(client.rerank(**CALL, documents=ABC).results) == 3
    assert sent(server) == [ABC, ["aaa", "ccc"]]


@settings(max_examples=40, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["p", "q"]),
            st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8),
            st.none() | st.integers(1, 9),
            st.none() | st.floats(0, 1),
        ),
        max_size=8,
    ),
    max_entries=st.integers(1, 16),
)
def test_responses_equal_those_without_a_cache(calls, max_entries):
    """After any earlier calls, and with any size of the cache."""
    scorer = Pointwise()
    plain = ClientV2(base_url="local:", scorer=Pointwise())
    client = ClientV2(base_url="local:", scorer=scorer, cache=ScoreCache(max_entries=max_entries))
    for query, documents, top_n, min_score in calls:
        call = {"model": "m", "query": query, "documents": documents, "top_n": top_n, "min_score": min_score}
        assert pairs(client.rerank(**call)) == pairs(plain.rerank(**call))
    n_requested = sum(len(set(documents)) for _, documents, _, _ in calls)
    assert len(scorer.scored) <= n_requested
    if max_entries == 16:  # enough for all
        assert len(scorer.scored) <= len({(query, one) for query, documents, _, _ in calls for one in documents})
