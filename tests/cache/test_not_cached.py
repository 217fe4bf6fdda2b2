"""What is not cached: lists that are scored as a whole, errors, fallbacks, expired and evicted entries."""

from __future__ import annotations

import pytest

from cohere_rerank import errors
from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import ABC, CALL, Pointwise, pairs, sent
from tests.fake_server import error


def test_scores_that_depend_on_the_whole_list_are_not_cached(make_either):
    """The lexical scorer and plain functions are of that kind."""
    seen = []

    def scorer(query, documents):
        seen.append(list(documents))
        return [0.5] * len(documents)

    client = make_either(base_url="local:", scorer=scorer, cache=ScoreCache())
    for _ in range(2):
        client.rerank(**CALL, documents=ABC, top_n=1)
    assert seen == [ABC, ABC]
    lexical, plain = make_either(base_url="local:", cache=ScoreCache()), make_either(base_url="local:")
    assert pairs(lexical.rerank(**CALL, documents=ABC)) == pairs(plain.rerank(**CALL, documents=ABC))
    assert lexical.client.usage.cache_misses == 0


def test_another_version_of_a_scorer_is_another_scorer(make_either):
    """The scores of another version are never used."""
    cache, old, new = ScoreCache(), Pointwise(), Pointwise()
    new.version = "2"
    for scorer in (old, new, old, new):
        make_either(base_url="local:", scorer=scorer, cache=cache).rerank(**CALL, documents=ABC)
    assert (old.scored, new.scored) == (ABC, ABC)


def test_errors_are_not_cached(server, make_either, cache):
    """The next call sends its documents again."""
    client = make_either(cache=cache, max_retries=0)
    server.script(error(503, "down"))
    with pytest.raises(errors.ServiceUnavailableError):
        client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC, ABC]
    assert client.client.usage.failed_calls == 1


def test_a_fallback_answers_the_whole_list_and_is_not_cached(server, make_either, cache):
    """Its scores are never mixed with those of the API."""
    client = make_either(cache=cache, max_retries=0, fallback=lambda query, documents: [0.25] * len(documents))
    client.rerank(**CALL, documents=["aaa"])
    server.script(error(503, "down"))
    response = client.rerank(**CALL, documents=ABC, top_n=2)
    assert response.is_fallback
    assert [item.relevance_score for item in response.results] == [0.25, 0.25]
    assert "the API answered 503: down" in response.meta.warnings[0].replace("The", "the")
    assert client.client.usage.fallbacks == 1
    assert not client.rerank(**CALL, documents=ABC).is_fallback
    assert sent(server) == [["aaa"], ["bbb", "ccc"], ["bbb", "ccc"]]


def test_expired_scores_are_requested_again(server, make_either, clock, tmp_path):
    """A score expires after ``ttl_s`` seconds."""
    for n, path in enumerate([None, tmp_path / "scores"], start=1):
        client = make_either(cache=ScoreCache(ttl_s=60, path=path), clock=clock)
        client.rerank(**CALL, documents=ABC)
        clock.advance(59)
        client.rerank(**CALL, documents=ABC)
        clock.advance(2)
        client.rerank(**CALL, documents=ABC)
        assert len(server.requests) == 2 * n


def test_a_full_cache_evicts_entries(server, make_either, tmp_path):
    """In memory the least recently used ones, on disk the oldest ones."""
    for path, gone in [(None, "bbb"), (tmp_path / "scores", "aaa")]:
        server.requests.clear()
        client = make_either(cache=ScoreCache(max_entries=3, path=path))
        for document in ["aaa", "bbb", "ccc", "aaa", "ddd", gone]:
            client.rerank(**CALL, documents=[document])
        assert sent(server) == [["aaa"], ["bbb"], ["ccc"], ["ddd"], [gone]]


def test_clear_forgets(server, make_either, cache):
    """A cleared cache has no entries for any client."""
    client = make_either(cache=cache)
    client.rerank(**CALL, documents=ABC)
    cache.clear()
    client.rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC, ABC]


def test_unknown_fields_of_a_reply_are_not_cached(make_either, respx_mock):
    """They could contain anything, such as an echo of the document."""
    results = [{"index": 0, "relevance_score": 0.5, "extra": 1}]
    respx_mock.post().respond(json={"id": "x", "results": results, "more": 2})
    client = make_either(cache=ScoreCache())
    first, again = (client.rerank(**CALL, documents=["a"]) for _ in range(2))
    assert (first.results[0].extra, first.more, first.id) == (1, 2, "x")
    assert not hasattr(again.results[0], "extra")
    assert again.id is None
