"""The v1 clients send what the official v1 clients send, and return the same results."""

from __future__ import annotations

import asyncio
import inspect

import cohere
import pytest

import cohere_rerank
from cohere_rerank import AsyncClient, AsyncClientV2, Client, ClientV2, errors
from tests.fake_server import error, reply

DOCUMENTS = [{"text": "a kite", "id": 1}, {"text": "a stone", "id": 2}]
REPLY = {
    "id": "1",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}],
    "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
}
CALLS = {
    "texts": {"documents": ["a kite", "a stone"], "model": "rerank-v3.5"},
    "no model": {"documents": ["a kite", "a stone"]},
    "mappings": {"documents": DOCUMENTS, "model": "rerank-v3.5", "top_n": 2},
    "rank_fields": {"documents": [{"a": "b"}, {"a": "c", "d": "e"}], "rank_fields": ["a", "d"]},
    "chunks": {"documents": ["a", "b"], "max_chunks_per_doc": 4},
    "extra body": {"documents": ["a", "b"], "request_options": {"additional_body_parameters": {"x": 1}}},
}


class Clients:
    """The official client and ours, both blocking or both asynchronous, called from one loop."""

    def __init__(self, name, url):
        self._loop = asyncio.new_event_loop()
        self.pair = [getattr(module, name)("k", base_url=url) for module in (cohere, cohere_rerank)]

    def rerank(self, **call):
        return [self.run(client.rerank(**{"query": "what flies", **call})) for client in self.pair]

    def run(self, value):
        return self._loop.run_until_complete(value) if inspect.isawaitable(value) else value

    def close(self):
        for client in self.pair:
            leave = getattr(client, "__exit__", None) or client.__aexit__
            self.run(leave(None, None, None))
        self._loop.close()


@pytest.fixture(params=["Client", "AsyncClient"])
def clients(request, server):
    server.path = "/v1/rerank"
    made = Clients(request.param, server.url)
    yield made
    made.close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_requests_and_results_are_the_official_ones(server, clients, call):
    """The same path, body and dump. Ours always says that it needs no documents back."""
    server.default = reply(json=REPLY)
    theirs, ours = clients.rerank(**call)
    sent = [request.json for request in server.requests]
    assert sent[1].pop("return_documents") is False
    assert sent[0] == sent[1]
    assert {request.path for request in server.requests} == {"/v1/rerank"}
    assert ours.model_dump() == theirs.model_dump()
    assert type(ours).__name__ == type(theirs).__name__


@pytest.mark.parametrize("documents", [["a kite", "a stone"], DOCUMENTS])
def test_documents_are_returned_on_request(server, clients, documents):
    """As objects with a text, and with the other fields of a mapping. They do not travel back."""
    echoes = [{"text": each} if isinstance(each, str) else each for each in documents]
    echo = {**REPLY, "results": [{**each, "document": echoes[each["index"]]} for each in REPLY["results"]]}
    server.default = reply(json=echo)
    theirs, ours = clients.rerank(documents=documents, return_documents=True)
    assert ours.model_dump() == theirs.model_dump()
    assert ours.results[0].document.text == "a stone"


def test_errors_have_the_official_classes(server, clients):
    """The same class name, status and body."""
    server.default = error(400, "no such model")
    caught = []
    for client in clients.pair:
        with pytest.raises(Exception, match="no such model") as info:
            clients.run(client.rerank(query="q", documents=["a"], model="m"))
        caught.append((type(info.value).__name__, info.value.status_code, info.value.body))
    assert caught[0] == caught[1]


def test_long_lists_are_split(server):
    """Mappings go to the part that they belong to."""
    server.default = reply(json={"results": [{"index": 0, "relevance_score": 0.5}]})
    server.path = "/v1/rerank"
    with Client("k", base_url=server.url, max_documents_per_request=1) as client:
        response = client.rerank(query="q", documents=DOCUMENTS, return_documents=True)
    assert sorted(item.document.text for item in response.results) == ["a kite", "a stone"]
    assert sorted(request.json["documents"][0]["id"] for request in server.requests) == [1, 2]


def test_the_local_engine_answers():
    """Without a key or a network. It ranks by ``text``, or by the fields of ``rank_fields``."""
    client = Client(base_url="local:")
    documents = [{"text": "a stone", "title": "kite"}, {"text": "a kite", "title": "stone"}]
    assert client.rerank(query="kite", documents=documents).results[0].index == 1
    assert client.rerank(query="kite", documents=documents, rank_fields=["title"]).results[0].index == 0


@pytest.mark.parametrize("fallback", ["local", "keep-order"])
def test_the_fallback_answers(server, fallback):
    """Without scores, each score is None."""
    server.default = error(503, "down")
    with Client("k", base_url=server.url, max_retries=0, fallback=fallback) as client:
        response = client.rerank(query="kite", documents=DOCUMENTS, return_documents=True)
    scores = [item.relevance_score for item in response.results]
    assert scores == [None, None] if fallback == "keep-order" else all(scores)
    assert response.results[0].document.text == "a kite"
    assert "the fallback" in response.meta.warnings[0]


def test_a_client_can_be_the_fallback(server):
    """It gets the texts, because it may be another kind of server."""
    server.path = "/v1/rerank"
    server.default = reply(json=REPLY)
    with Client("k", base_url=server.url) as backup:
        with Client("k", base_url="http://127.0.0.1:9", max_retries=0, fallback=backup) as client:
            response = client.rerank(query="kite", documents=DOCUMENTS)
    assert len(response.results) == 2
    assert server.requests[0].json["documents"] == ["a kite", "a stone"]


def test_the_cache_sends_what_is_sent_without_it(server):
    """Mappings, where the API ranks by several fields."""
    server.path = "/v1/rerank"
    server.default = reply(json=REPLY)
    with Client("k", base_url=server.url, cache=cohere_rerank.ScoreCache()) as client:
        for _ in range(2):
            client.rerank(query="kite", documents=DOCUMENTS, rank_fields=["text", "id"])
    (request,) = server.requests
    assert request.json["documents"] == DOCUMENTS


@pytest.mark.parametrize("document", [{"text": None, "a": "kite"}, {"a": "kite", 3: 4}, {"a": "kite", "__class__": 1}])
def test_a_document_may_have_any_fields(document):
    """The documents are the caller's, so they are returned as they are."""
    client = Client(base_url="local:")
    response = client.rerank(query="kite", documents=[document], rank_fields=["a"], return_documents=True)
    assert response.results[0].document.a == "kite"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"documents": [{"title": "a"}]}, "text"),
        ({"documents": ["a"], "max_chunks_per_doc": 0}, "max_chunks_per_doc"),
        ({"documents": ["a"], "rank_fields": []}, "rank_fields"),
        ({"documents": ["a"], "rank_fields": "text"}, "rank_fields"),
    ],
)
def test_arguments_are_checked(call, message):
    """Before anything is sent, with the name of the argument."""
    with pytest.raises(errors.InvalidRequestError, match=message):
        Client("k").rerank(query="q", **call)


def test_the_v2_client_shares_settings_connections_and_counts(server):
    """``client.v2`` is a v2 client with the same connections and counts."""
    with Client("k", base_url=server.url) as client:
        response = client.v2.rerank(model="m", query="q", documents=["a"])
        assert type(response) is cohere_rerank.V2RerankResponse
        assert type(client.v2) is ClientV2
        assert client.usage.calls == 1
    assert server.requests[0].path == "/v2/rerank"
    assert type(AsyncClient("k").v2) is AsyncClientV2


@pytest.mark.parametrize("method", ["__init__", "rerank"])
@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_every_official_parameter_is_there(name, method):
    """The same names, kinds and order, and a default wherever theirs has one."""
    theirs = inspect.signature(getattr(getattr(cohere, name), method)).parameters
    ours = inspect.signature(getattr(getattr(cohere_rerank, name), method)).parameters
    for parameter in theirs.values():
        assert ours[parameter.name].kind is parameter.kind
        assert (ours[parameter.name].default is inspect.Parameter.empty) == (
            parameter.default is inspect.Parameter.empty
        )
