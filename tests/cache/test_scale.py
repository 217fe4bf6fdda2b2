"""A response from the cache reports the same score scale as the response of the server."""

from __future__ import annotations

import pytest

from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import CALL, sent
from tests.fake_server import reply


def logits(*scores):
    """Return a reply like those of llama.cpp and TEI."""
    return reply(json={"results": [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]})


@pytest.mark.parametrize("dialect", ["v1", "tei", "llamacpp"])
def test_a_cached_response_has_the_scale_of_the_original(server, make_either, cache, dialect):
    """Also if only a part was cached, or one document whose logit could be on any scale."""
    server.script(logits(-3.0, 0.5), logits(0.25))
    client = make_either(cache=cache, dialect=dialect, base_url=f"{server.url}/rerank")
    server.path = "/rerank"
    answers = [client.rerank(**CALL, documents=documents) for documents in (["a", "b"], ["a", "b"], ["b"], ["b", "c"])]
    assert len(server.requests) == 2
    assert [answer.score_scale for answer in answers] == ["logit"] * 4


def test_a_cached_response_has_the_scale_that_later_responses_showed(server, make_either, cache):
    """The scale is not known before, because scores in [0, 1] may be logits."""
    server.script(logits(0.5), logits(7.0))
    client = make_either(cache=cache, dialect="v1", base_url=f"{server.url}/rerank")
    server.path = "/rerank"
    scales = [client.rerank(**CALL, documents=documents).score_scale for documents in (["a"], ["a"], ["a", "b"], ["a"])]
    assert scales == [None, None, "logit", "logit"]
    assert sent(server) == [["a"], ["b"]]


def test_responses_of_cohere_have_no_scale(make_either):
    """Its replies have no such field, and cached responses do not get one."""
    client = make_either(cache=ScoreCache())
    answers = [client.rerank(**CALL, documents=documents) for documents in (["a"], ["a"], ["a", "b"])]
    assert not any("score_scale" in answer.model_dump() for answer in answers)
