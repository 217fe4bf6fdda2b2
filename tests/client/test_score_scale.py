"""The scale of the scores belongs to a server and a model, not to one reply. Unknown is unknown."""

from __future__ import annotations

import pytest

from cohere_rerank import ClientV2, ScoreCache, errors
from cohere_rerank._addresses import has_unit_scores
from tests.fake_server import error, reply

DOCUMENTS = ["a", "b"]
CALL = {"model": "m", "query": "q", "documents": DOCUMENTS}


def scored(*scores):
    return reply(json={"results": [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]})


@pytest.fixture
def scales(server, make_either):
    """The scales of the responses to these replies, by one client."""

    def ask(*replies, **options):
        client = make_either(**{"base_url": f"{server.url}/rerank", **options})
        server.script(*replies)
        return [client.rerank(**CALL).score_scale for _ in replies]

    return ask


@pytest.mark.parametrize("dialect", ["cohere", "v1", "jina", "auto"])
def test_the_scale_of_an_unknown_server_is_unknown(scales, dialect):
    """Scores in [0, 1] may be logits: vLLM sends them under Cohere's own path, and Xinference under Jina's."""
    assert scales(scored(0.9, 0.1), scored(0.0, 1.0), dialect=dialect) == [None] * 2


@pytest.mark.parametrize("dialect", ["cohere", "v1", "jina"])
def test_a_score_outside_the_unit_interval_decides_for_the_server(scales, dialect):
    """From then on, also for replies whose scores happen to be in [0, 1]."""
    assert scales(scored(3.5, 0.1), scored(0.9, 0.1), scored(0.5, -2), dialect=dialect) == ["logit"] * 3
    assert scales(scored(0.9, 0.1), scored(0.5, -2), scored(0.9, 0.1), dialect=dialect) == [None, "logit", "logit"]


def test_a_known_scale_never_changes(scales):
    """TEI sends scores in [0, 1] unless it is asked for raw ones, so its first reply decides."""
    assert scales(scored(0.9, 0.1), scored(3.5, 0.1), dialect="tei") == ["unit"] * 2
    assert scales(scored(3.5, 0.1), scored(0.9, 0.1), dialect="tei") == ["logit"] * 2
    assert scales(scored(0.9, 0.1), scored(3.5, 0.1), dialect="llamacpp") == ["logit"] * 2


def test_each_model_of_a_gateway_has_its_own_scale(server, make_either):
    """A gateway has models of several kinds under one address."""
    client = make_either()
    server.script(scored(3.5, 0.1), scored(0.9, 0.1), scored(0.9, 0.1))
    assert [client.rerank(**{**CALL, "model": name}).score_scale for name in "aba"] == ["logit", None, "logit"]


def test_a_server_may_state_its_scale(scales):
    """In a field that is part of the reply, then."""
    stated = reply(json={"results": [{"index": i, "relevance_score": 0.5} for i in range(2)], "score_scale": "unit"})
    assert scales(stated, scored(0.9, 0.1)) == ["unit"] * 2


def test_parts_of_one_list_have_one_scale(server, make_either):
    """A part whose scores are in [0, 1] has the scale of the others."""
    server.script(scored(0.5), scored(7))
    response = make_either().rerank(**CALL, max_documents_per_request=1)
    assert response.score_scale == "logit"


def test_a_cached_response_has_the_scale_that_is_known_now(server, make_either):
    """Though nothing was known when its score was stored."""
    client = make_either(cache=ScoreCache())
    server.script(scored(0.5), scored(7))
    documents = (["a"], ["b"], ["a"])
    assert [client.rerank(**{**CALL, "documents": each}).score_scale for each in documents] == [None, "logit", "logit"]


def test_the_fallback_has_a_scale_of_its_own(server, make_either):
    """The local engine has scores in [0, 1], whatever the server has. Without scores there is no scale."""
    server.script(scored(3.5, 0.1))
    server.default = error(503, "down")
    client = make_either(max_retries=0)
    client.rerank(**CALL)
    for fallback, scale in (("local", "unit"), ("keep-order", None)):
        other = make_either(max_retries=0, fallback=fallback, score_scale="logit")
        response = other.rerank(**CALL)
        assert (response.is_fallback, response.score_scale) == (True, scale)


@pytest.mark.parametrize(
    ("url", "scale"),
    [
        ("https://api.cohere.com", "unit"),
        ("https://api.jina.ai/v1/rerank", "unit"),
        ("https://api.voyageai.com/v1", "unit"),
        ("https://api.cohere.com.example", None),
        ("https://cohere.services.ai.azure.example", None),
    ],
)
def test_hosted_apis_have_unit_scores(make_either, respx_mock, url, scale):
    """Those whose reference says so. A name that only looks like theirs is not theirs."""
    respx_mock.post().respond(json={"results": [{"index": 0, "relevance_score": 0.5}]})
    assert make_either(base_url=url).rerank(**{**CALL, "documents": ["a"]}).score_scale == scale
    assert has_unit_scores(url) is (scale == "unit")


@pytest.mark.parametrize("dialect", ["jina", "tei"])
def test_a_rounding_error_is_not_a_logit(scales, dialect):
    """Servers compute in half precision."""
    assert scales(scored(1.0004, -0.0004), dialect=dialect) == ["unit" if dialect == "tei" else None]
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
    server.script(scored(3.5, 0.1))
    server.path = "/v1/rerank"
    response = make_either(dialect="llamacpp").rerank(**CALL)
    assert response.score_scale == "logit"
    assert "score_scale" not in response.model_dump()


@pytest.mark.parametrize("scale", ["percent", 1, ""])
def test_a_scale_that_does_not_exist_is_refused(scale):
    """The message says what is allowed."""
    with pytest.raises(errors.InvalidRequestError, match="score_scale must be 'unit' or 'logit'"):
        ClientV2("k", score_scale=scale)
