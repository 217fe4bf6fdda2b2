"""Real clients against the real server: the official package and ours, in every dialect."""

from __future__ import annotations

import asyncio

import pytest

import cohere_rerank
from tests.server import Server, error, reply
from tests.server_app.running import ASKED, Running

cohere = pytest.importorskip("cohere")

ORDER = [1, 2, 0]


def order(response):
    return [result.index for result in response.results]


@pytest.fixture(scope="module")
def locked():
    with Running(api_keys=("the-key",)) as running:
        yield running


def test_the_official_client_ranks(locked):
    """v2, with every argument it has."""
    with cohere.ClientV2("the-key", base_url=locked.url) as client:
        response = client.rerank(**ASKED, top_n=2, max_tokens_per_doc=10, priority=1)
    assert order(response) == ORDER[:2]
    assert response.meta.billed_units.search_units == 0


def test_the_official_client_awaits(locked):
    """Many calls at once."""

    async def scenario():
        async with cohere.AsyncClientV2("the-key", base_url=locked.url) as client:
            return await asyncio.gather(*(client.rerank(**ASKED) for _ in range(20)))

    assert [order(response) for response in asyncio.run(scenario())] == [ORDER] * 20


def test_the_official_v1_client_ranks(locked):
    """Objects by their fields, echoed when asked for."""
    with cohere.Client("the-key", base_url=locked.url) as client:
        response = client.rerank(
            model="m",
            query="green tea",
            documents=[{"title": "coffee", "text": "x"}, {"title": "green tea", "text": "y"}],
            rank_fields=["title"],
            return_documents=True,
            max_chunks_per_doc=1,
        )
    assert order(response) == [1, 0]
    assert response.results[0].document.text == "y"
    assert response.meta.api_version.version == "1"


@pytest.mark.parametrize(
    ("call", "key", "expected"),
    [
        ({}, "wrong", "UnauthorizedError"),
        ({"documents": []}, "the-key", "BadRequestError"),
        ({"query": " "}, "the-key", "BadRequestError"),
        ({"model": "local-onnx"}, "the-key", "NotFoundError"),
        ({"priority": "high"}, "the-key", "UnprocessableEntityError"),
    ],
)
def test_the_official_client_raises_its_own_errors(locked, call, key, expected):
    """With the body that says why."""
    with cohere.ClientV2(key, base_url=locked.url) as client, pytest.raises(cohere.core.ApiError) as caught:
        client.rerank(**{**ASKED, **call})
    assert type(caught.value).__name__ == expected
    assert caught.value.body["message"]


def test_our_client_ranks_as_it_does_locally(locked):
    """The server adds nothing and loses nothing."""
    with cohere_rerank.ClientV2("the-key", base_url=locked.url) as client:
        served = client.rerank(**ASKED, relevant_spans={"mode": "enabled"})
    with cohere_rerank.ClientV2(base_url="local:") as client:
        local = client.rerank(**ASKED, relevant_spans={"mode": "enabled"})
    assert served.results == local.results
    assert served.meta == local.meta


@pytest.mark.parametrize("dialect", ["cohere", "v1", "jina", "tei", "auto"])
def test_our_client_speaks_every_dialect_with_it(plain, dialect):
    """All of them rank alike."""
    with cohere_rerank.ClientV2("", base_url=plain.url, dialect=dialect) as client:
        assert order(client.rerank(**ASKED)) == ORDER


# In front of an upstream --------------------------------------------------------------------------


def test_an_upstream_answers_with_this_servers_key(server: Server, monkeypatch):
    """The caller's key stays here; the upstream sees the one from the environment."""
    monkeypatch.setenv("CO_API_KEY", "upstream-key")
    with Running(upstream=server.url, api_keys=("the-key",)) as running:
        got = running.post("/v1/rerank", authorization="Bearer the-key").json()
    assert server.requests[0].path == "/v2/rerank"
    assert ("authorization", "Bearer upstream-key") in server.requests[0].headers
    assert server.requests[0].json == ASKED
    assert "local" not in str(got["meta"].get("warnings"))
    assert len(got["results"]) == 3


def test_what_an_upstream_would_refuse_is_refused_before_it_is_asked(server: Server):
    """In Cohere's words."""
    with Running(upstream=server.url) as running:
        refused = running.post(asked={**ASKED, "documents": []})
        assert refused.json()["message"] == "invalid request: list of documents must not be empty"
        assert running.post(asked=b"{").status_code == 400
    assert not server.requests


def test_the_local_engine_answers_while_the_upstream_cannot(server: Server):
    """200, marked as what it is."""
    server.script(*[reply(503, json={"message": "down"}, headers={"retry-after": "0"})] * 3)
    with Running(upstream=server.url) as running:
        got = running.post()
    assert got.status_code == 200
    assert [result["index"] for result in got.json()["results"]] == ORDER
    assert "a fallback answered" in got.json()["meta"]["warnings"][0]


def test_an_upstreams_refusal_is_passed_on(server: Server):
    """Status and message; of our own key as a bad gateway."""
    server.script(error(404, "model 'm' not found"), error(401, "invalid api token"))
    with Running(upstream=server.url) as running:
        first, second = running.post(), running.post()
    assert (first.status_code, first.json()["message"]) == (404, "model 'm' not found")
    assert (second.status_code, "own key" in second.json()["message"]) == (502, True)
