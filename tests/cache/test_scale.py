"""Of a server with logits, a cached answer says what a sent one says: which scale its scores are on."""

from __future__ import annotations

import pytest

from cohere_rerank.cache import ScoreCache
from tests.cache.calls import CALL, sent
from tests.fake_server import reply


def logits(*scores):
    """A reply as llama.cpp and TEI give it."""
    return reply(json={"results": [{"index": i, "relevance_score": score} for i, score in enumerate(scores)]})


@pytest.mark.parametrize("dialect", ["v1", "tei", "llamacpp"])
def test_an_answer_from_the_cache_has_the_scale_of_the_one_that_was_sent(server, make_either, cache, dialect):
    """Whether all of it was kept, or a part, or one document whose logit could be a score of any scale."""
    server.script(logits(-3.0, 0.5), logits(0.25))
    client = make_either(cache=cache, dialect=dialect, base_url=f"{server.url}/rerank")
    server.path = "/rerank"
    answers = [client.rerank(**CALL, documents=documents) for documents in (["a", "b"], ["a", "b"], ["b"], ["b", "c"])]
    assert len(server.requests) == 2
    assert [answer.score_scale for answer in answers] == ["logit"] * 4


def test_scores_between_0_and_1_stay_so(server, make_either, cache):
    """Until a document that scores otherwise stands in the same list."""
    server.script(logits(0.5), logits(7.0))
    client = make_either(cache=cache, dialect="v1", base_url=f"{server.url}/rerank")
    server.path = "/rerank"
    scales = [client.rerank(**CALL, documents=documents).score_scale for documents in (["a"], ["a"], ["a", "b"], ["a"])]
    assert scales == ["unit", "unit", "logit", "unit"]
    assert sent(server) == [["a"], ["b"]]


def test_of_cohere_s_own_replies_nothing_is_said(make_either):
    """Theirs have no such field, and a kept one gets none."""
    client = make_either(cache=ScoreCache())
    answers = [client.rerank(**CALL, documents=documents) for documents in (["a"], ["a"], ["a", "b"])]
    assert not any("score_scale" in answer.model_dump() for answer in answers)
