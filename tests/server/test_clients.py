"""Real clients against the real server: the official package and ours, in every dialect."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

import cohere_rerank
from cohere_rerank.local.lexical import LexicalScorer
from cohere_rerank.server import ServerSettings, dialects
from cohere_rerank.server.backends import RawRequest
from cohere_rerank.server.executor import BoundedExecutor
from cohere_rerank.server.metrics import Metrics
from cohere_rerank.server.upstream import UpstreamBackend
from cohere_rerank.testing import FakeClock
from tests.fake_server import Server, error, reply
from tests.server.running_server import RERANK_BODY, RunningServer

cohere = pytest.importorskip("cohere")

ORDER = [1, 2, 0]


def order(response):
    return [result.index for result in response.results]


@pytest.fixture(scope="module")
def keyed_server():
    with RunningServer(api_keys=("the-key",)) as running:
        yield running


def test_the_official_client_ranks(keyed_server):
    """The official client ranks with every argument of v2."""
    with cohere.ClientV2("the-key", base_url=keyed_server.url) as client:
        response = client.rerank(**RERANK_BODY, top_n=2, max_tokens_per_doc=10, priority=1)
    assert order(response) == ORDER[:2]
    assert response.meta.billed_units.search_units == 0


def test_the_official_client_awaits(keyed_server):
    """The official async client ranks many calls at once."""

    async def scenario():
        async with cohere.AsyncClientV2("the-key", base_url=keyed_server.url) as client:
            return await asyncio.gather(*(client.rerank(**RERANK_BODY) for _ in range(20)))

    assert [order(response) for response in asyncio.run(scenario())] == [ORDER] * 20


def test_the_official_v1_client_ranks(keyed_server):
    """v1 ranks objects by their fields, and returns them on request."""
    with cohere.Client("the-key", base_url=keyed_server.url) as client:
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
def test_the_official_client_raises_its_own_errors(keyed_server, call, key, expected):
    """The official client raises the error of the status, with the message in its body."""
    with cohere.ClientV2(key, base_url=keyed_server.url) as client, pytest.raises(cohere.core.ApiError) as caught:
        client.rerank(**{**RERANK_BODY, **call})
    assert type(caught.value).__name__ == expected
    assert caught.value.body["message"]


def test_our_client_ranks_as_it_does_locally(keyed_server):
    """The server adds nothing and loses nothing."""
    with cohere_rerank.ClientV2("the-key", base_url=keyed_server.url) as client:
        served = client.rerank(**RERANK_BODY, relevant_spans={"mode": "enabled"})
    with cohere_rerank.ClientV2(base_url="local:") as client:
        local = client.rerank(**RERANK_BODY, relevant_spans={"mode": "enabled"})
    assert served.results == local.results
    assert served.meta == local.meta


@pytest.mark.parametrize("dialect", ["cohere", "v1", "jina", "tei", "auto"])
def test_our_client_speaks_every_dialect_with_it(open_server, dialect):
    """All dialects return the same order."""
    with cohere_rerank.ClientV2("", base_url=open_server.url, dialect=dialect) as client:
        assert order(client.rerank(**RERANK_BODY)) == ORDER


# In front of an upstream --------------------------------------------------------------------------


def test_an_upstream_gets_the_key_of_this_server(server: Server, monkeypatch):
    """The upstream gets the key of the environment, never the caller's key."""
    monkeypatch.setenv("CO_API_KEY", "upstream-key")
    with RunningServer(upstream=server.url, api_keys=("the-key",)) as running:
        got = running.post("/v1/rerank", authorization="Bearer the-key").json()
    assert server.requests[0].path == "/v2/rerank"
    assert ("authorization", "Bearer upstream-key") in server.requests[0].headers
    assert server.requests[0].json == RERANK_BODY
    assert "local" not in str(got["meta"].get("warnings"))
    assert len(got["results"]) == 3


def test_an_invalid_request_does_not_reach_the_upstream(server: Server):
    """An invalid request gets Cohere's message and does not reach the upstream."""
    with RunningServer(upstream=server.url) as running:
        refused = running.post(body={**RERANK_BODY, "documents": []})
        assert refused.json()["message"] == "invalid request: list of documents must not be empty"
        assert running.post(body=b"{").status_code == 400
    assert not server.requests


def test_the_local_engine_ranks_while_the_upstream_fails(server: Server):
    """The local ranking is a 200 with a warning."""
    server.script(*[reply(503, json={"message": "down"}, headers={"retry-after": "0"})] * 3)
    with RunningServer(upstream=server.url) as running:
        got = running.post()
    assert got.status_code == 200
    assert [result["index"] for result in got.json()["results"]] == ORDER
    assert got.json()["meta"]["warnings"][0] == "a fallback answered, because the upstream could not"


def test_the_reason_of_an_outage_is_logged_and_not_returned(free_tcp_port: int, caplog):
    """The log has the reason and the place of the failure; the response does not."""
    with RunningServer(upstream=f"http://127.0.0.1:{free_tcp_port}", upstream_timeout_s=2) as running:
        got = running.post("/v1/rerank", **{"x-request-id": "body-1"})
    assert got.status_code == 200
    assert not any(word in got.text for word in (f":{free_tcp_port}", "127.0.0.1", "rrno", "refused"))
    record = next(record for record in caplog.records if record.levelname == "WARNING")
    assert record.fields["request_id"] == "body-1"
    assert record.fields["reason"] == "ConnectionFailedError"
    assert record.fields["where"]


DOWN = [reply(503, json={"message": "down"}, headers={"retry-after": "0"})] * 3  # once, and two repeats


def run_scenario(server: Server, scenario):
    """Run the scenario with an upstream backend, on a fake clock."""
    clock = FakeClock()

    async def run():
        executor = BoundedExecutor(1, 9, lambda *_: None)
        backend = UpstreamBackend(ServerSettings(upstream=server.url), executor, Metrics(), clock)

        async def ask(body=RERANK_BODY):
            outcome = await backend.rerank(RawRequest(json.dumps(body).encode(), dialects.parse_v2, "m", False, "id"))
            return "a fallback answered" in str(json.loads(outcome.body)["meta"].get("warnings"))

        await scenario(ask, clock)
        await backend.aclose()
        executor.close()

    asyncio.run(run())


def test_an_outage_is_remembered_for_a_few_seconds(server: Server):
    """The local engine answers at once for 5 seconds, then one request tests the upstream."""
    server.script(*DOWN)

    async def scenario(ask, clock):
        assert await ask()
        assert len(server.requests) == 3
        assert [await ask(), await ask()] == [True, True]
        assert len(server.requests) == 3
        clock.sleep(4.9)
        assert await ask()
        assert len(server.requests) == 3
        clock.sleep(0.1)
        assert not await ask()
        assert not await ask()
        assert len(server.requests) == 5

    run_scenario(server, scenario)


def test_a_failure_of_one_request_is_not_an_outage(server: Server):
    """A 500 does not open the circuit, because one caller could cause it for all."""
    server.script(*[reply(500, json={"message": "failed"}, headers={"retry-after": "0"})] * 3)

    async def scenario(ask, _clock):
        assert await ask()
        assert not await ask()

    run_scenario(server, scenario)


def test_a_fallback_scores_in_a_thread_of_the_servers(server: Server, monkeypatch):
    """A fallback is scored within the server's concurrency."""
    server.script(*DOWN)
    names, score = [], LexicalScorer.score

    def noted(*arguments, **options):
        names.append(threading.current_thread().name)
        return score(*arguments, **options)

    monkeypatch.setattr(LexicalScorer, "score", noted)

    async def scenario(ask, _clock):
        assert await ask()
        assert await ask()  # the upstream is known to be out

    run_scenario(server, scenario)
    assert len(names) == 2
    assert all(name.startswith("cohere_rerank_score") for name in names)


def test_an_upstreams_error_is_forwarded(server: Server):
    """The upstream's status and message reach the caller; a rejected key of this server is a 502."""
    server.script(error(404, "model 'm' not found"), error(401, "invalid api token"))
    with RunningServer(upstream=server.url) as running:
        first, second = running.post(), running.post()
    assert (first.status_code, first.json()["message"]) == (404, "model 'm' not found")
    assert (second.status_code, "own key" in second.json()["message"]) == (502, True)


def test_a_list_that_is_larger_than_a_body_may_be_is_ranked_in_parts():
    """The client learns from the 413. Each document gets its score, and the next call sends small requests at once."""
    documents = [f"{'tea ' * (n % 70)}{n:04}" * 4 for n in range(500)]
    with RunningServer(
        max_body_bytes=100_000, scorer=lambda _query, texts: [len(text) / 10_000 for text in texts]
    ) as running:
        with cohere_rerank.ClientV2("any", base_url=running.url, max_retries=0) as client:
            first = client.rerank(model="m", query="tea", documents=documents)
            n_learning = first.attempts
            second = client.rerank(model="m", query="tea", documents=documents)
    assert first.scores == second.scores == [len(document) / 10_000 for document in documents]
    assert second.attempts < n_learning
