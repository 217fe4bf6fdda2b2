"""The scale of the scores is one thing of a server, not of a reply."""

from __future__ import annotations

import pytest

from cohere_rerank import ClientV2, errors
from tests.fake_server import reply

DOCUMENTS = ["a", "b"]


def scored(*scores):
    return reply(json={"results": [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]})


@pytest.fixture
def scales(server, make_either):
    """The scales of the responses to these replies, by one client."""

    def ask(*replies, **options):
        client = make_either(**options)
        server.script(*replies)
        return [client.rerank(model="m", query="q", documents=DOCUMENTS).score_scale for _ in replies]

    return ask


def test_the_scale_of_an_unknown_server_is_unknown(scales):
    """Scores in [0, 1] may be logits: vLLM sends them under Cohere's own path."""
    assert scales(scored(0.9, 0.1)) == [None]


def test_a_score_outside_the_unit_interval_decides_for_the_server(scales):
    """From then on, also for replies whose scores happen to be in [0, 1]."""
    assert scales(scored(3.5, 0.1), scored(0.9, 0.1), scored(0.5, -2)) == ["logit"] * 3
    assert scales(scored(0.9, 0.1), scored(0.5, -2), scored(0.9, 0.1)) == [None, "logit", "logit"]


@pytest.mark.parametrize("dialect", ["jina", "tei"])
def test_a_rounding_error_is_not_a_logit(scales, dialect):
    """Servers compute in half precision."""
    assert scales(scored(1.0004, -0.0004), dialect=dialect) == ["unit"]
    assert scales(scored(1.1, 0.0), dialect=dialect) == ["logit"]


@pytest.mark.parametrize("scale", ["unit", "logit"])
def test_the_setting_decides(scales, scale):
    """Whatever the scores are."""
    assert scales(scored(0.9, 0.1), scored(7, 0.1), score_scale=scale) == [scale] * 2


def test_the_local_engine_has_unit_scores():
    """Its scores are calibrated."""
    response = ClientV2(base_url="local:").rerank(model="m", query="a", documents=DOCUMENTS)
    assert response.score_scale == "unit"
    assert "score_scale" not in response.model_dump()


def test_the_scale_is_not_part_of_a_dump(scales, make_either, server):
    """A dump is what the server sent."""
    server.script(scored(3.5, 0.1))
    response = make_either().rerank(model="m", query="q", documents=DOCUMENTS)
    assert response.score_scale == "logit"
    assert "score_scale" not in response.model_dump()


@pytest.mark.parametrize("scale", ["percent", 1, ""])
def test_a_scale_that_does_not_exist_is_refused(scale):
    """The message says what is allowed."""
    with pytest.raises(errors.InvalidRequestError, match="score_scale must be 'unit' or 'logit'"):
        ClientV2("k", score_scale=scale)
