"""`as_cohere`: code for the official package accepts our client, and catches its errors by the official classes."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import sys

import cohere
import cohere.errors
import httpx
import pytest
from cohere.core.api_error import ApiError
from pydantic import BaseModel, ConfigDict

import cohere_rerank
from cohere_rerank.integrations import as_cohere
from tests.fake_server import reply, reset

REPLY = {
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}
CALL = {"model": "rerank-v4.0-fast", "query": "green tea", "documents": ["black coffee", "green tea"]}
OFFICIAL_ERRORS = {
    cls(body=None).status_code: cls for cls in (getattr(cohere.errors, name) for name in cohere.errors.__all__)
}
ARBITRARY = ConfigDict(arbitrary_types_allowed=True)
CLIENTS = {"ClientV2": "v2", "AsyncClientV2": "v2", "Client": "v1", "AsyncClient": "v1"}


class Clients:
    """Make clients of ours, call them, and close them. Asynchronous ones are used in one event loop."""

    def __init__(self, server):
        self._server = server
        self._made = []
        self._loop = asyncio.new_event_loop()

    def make(self, name, url=None, **options):
        """A client by the name of its class, for the server."""
        if CLIENTS[name] == "v1":
            self._server.path = "/v1/rerank"
        options = {"base_url": url or self._server.url, "max_retries": 0, **options}
        self._made.append(getattr(cohere_rerank, name)("secret-key-0123456789", **options))
        return self._made[-1]

    def wait(self, result):
        """The result of a blocking or an asynchronous call."""
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def rerank(self, client, **call):
        return self.wait(client.rerank(**{**CALL, **call}))

    def error_of(self, client):
        """The error of a call."""
        with pytest.raises(cohere_rerank.CohereRerankError) as caught:
            self.rerank(client)
        return caught.value

    def close(self):
        for client in self._made:
            self.wait(client.aclose() if hasattr(client, "aclose") else client.close())
        self._loop.close()


@pytest.fixture
def clients(server):
    made = Clients(server)
    yield made
    made.close()


@pytest.mark.parametrize("name", CLIENTS)
def test_object_is_an_instance_of_the_official_class(name, server, clients):
    """`isinstance` and a field of a pydantic model accept it, and it ranks as our client does."""
    client = as_cohere(clients.make(name))
    official = getattr(cohere, name)
    assert isinstance(client, official)
    kind = type("Holder", (BaseModel,), {"__annotations__": {"client": official}, "model_config": ARBITRARY})
    assert kind(client=client).client is client
    server.script(reply(200, json=REPLY))
    response = clients.rerank(client)
    assert [(item.index, item.relevance_score) for item in response.results] == [(1, 0.9), (0, 0.2)]
    assert response.meta.billed_units.search_units == 1


@pytest.mark.parametrize("status", sorted({*OFFICIAL_ERRORS, 402, 408, 409, 413, 418, 502}))
@pytest.mark.parametrize("name", ["ClientV2", "AsyncClientV2", "Client"])
def test_error_of_a_status_is_of_the_official_class_and_of_ours(name, status, server, clients):
    """Both `except` clauses catch it, and body, status and headers are those of the reply."""
    server.script(reply(status, json={"message": "no"}, headers={"X-Debug": "7"}))
    error = clients.error_of(as_cohere(clients.make(name)))
    official = OFFICIAL_ERRORS.get(status, ApiError)
    assert isinstance(error, official)
    assert isinstance(error, ApiError)
    assert isinstance(error, getattr(cohere_rerank.errors, official.__name__))
    assert (error.status_code, error.body, error.headers["x-debug"]) == (status, {"message": "no"}, "7")
    assert type(error).__module__ == "cohere_rerank.errors"
    assert "no" in str(error)


def test_exhausted_quota_is_too_many_requests(server, clients):
    """QuotaExceededError has no official class of its own."""
    text = "You are using a Trial key, which is limited to 1000 API calls / month."
    server.script(reply(429, json={"message": text}))
    error = clients.error_of(as_cohere(clients.make("ClientV2")))
    assert isinstance(error, cohere_rerank.QuotaExceededError)
    assert isinstance(error, cohere.errors.TooManyRequestsError)


def test_reply_that_breaks_the_contract_is_an_official_api_error(server, clients):
    """The official client raises ApiError for a reply that is not JSON."""
    server.script(reply(200, text="<html>"))
    error = clients.error_of(as_cohere(clients.make("ClientV2")))
    assert isinstance(error, cohere_rerank.InvalidResponseError)
    assert isinstance(error, ApiError)
    assert (error.status_code, error.body) == (200, "<html>")


def test_connection_error_is_an_httpx_error(server, clients):
    """The official client raises errors of httpx for connections."""
    server.script(reset())
    error = clients.error_of(as_cohere(clients.make("ClientV2")))
    assert isinstance(error, httpx.TransportError)
    assert not isinstance(error, ApiError)


def test_error_can_be_pickled_and_copied(server, clients):
    """A copy is of both classes, too."""
    server.script(reply(429, json={"message": "slow"}, headers={"retry-after": "3"}))
    error = clients.error_of(as_cohere(clients.make("ClientV2")))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(other, cohere.errors.TooManyRequestsError)
        assert isinstance(other, cohere_rerank.TooManyRequestsError)
        assert (other.status_code, other.body, other.retry_after) == (429, {"message": "slow"}, 3)


@pytest.mark.parametrize("name", CLIENTS)
def test_object_can_be_pickled_and_copied(name, monkeypatch, clients):
    """Frameworks copy their settings. A pickle has no key: the loading process uses its own environment."""
    monkeypatch.setenv("CO_API_KEY", "another-key")
    client = as_cohere(clients.make(name, "https://api.example"))
    pickled = pickle.dumps(client)
    assert b"secret-key" not in pickled
    for other in (pickle.loads(pickled), copy.copy(client), copy.deepcopy(client)):
        assert isinstance(other, getattr(cohere, name))
        assert repr(other) == repr(client)


@pytest.mark.parametrize("name", CLIENTS)
def test_repr_names_the_client_without_its_key(name, clients):
    """The address is shown, the key is not."""
    assert repr(as_cohere(clients.make(name, "https://api.example"))) == (
        f"as_cohere(<{name} https://api.example>, version={CLIENTS[name]!r})"
    )


def test_spans_and_the_mark_of_a_fallback_are_in_the_response(server, clients):
    """A v2 response is a response of our client."""
    local = as_cohere(clients.make("ClientV2", "local:"))
    response = clients.rerank(local, relevant_spans={"mode": "enabled"})
    assert response.answered_by == "local-lexical"
    assert response.results[0].span_texts == ["green tea"]
    server.script(reply(503, json={"message": "down"}))
    response = clients.rerank(as_cohere(clients.make("ClientV2", fallback="local")))
    assert response.is_fallback
    server.script(reply(503, json={"message": "down"}))
    assert clients.rerank(as_cohere(clients.make("ClientV2", fallback="local"), version="v1")).is_fallback


@pytest.mark.parametrize("name", CLIENTS)
def test_v1_has_the_arguments_and_documents_of_the_v1_client(name, server, clients):
    """mem0 and other code for `cohere.Client` pass `return_documents`, and read `document.text`."""
    client = as_cohere(clients.make(name), version="v1")
    assert isinstance(client, cohere.AsyncClient if "Async" in name else cohere.Client)
    server.script(reply(200, json=REPLY), reply(200, json=REPLY))
    documents = [{"text": "black coffee", "id": "a"}, {"text": "green tea", "id": "b"}]
    response = clients.rerank(client, documents=documents, return_documents=True, max_chunks_per_doc=None, model=None)
    assert [item.document.text for item in response.results] == ["green tea", "black coffee"]
    assert server.requests[-1].path == ("/v1/rerank" if CLIENTS[name] == "v1" else "/v2/rerank")
    assert [item.document for item in clients.rerank(client).results] == [None, None]


def test_v1_of_a_v2_client_ranks_by_the_chosen_fields(server, clients):
    """`rank_fields` selects the fields that are sent."""
    client = as_cohere(clients.make("ClientV2"), version="v1")
    clients.rerank(client, documents=[{"title": "tea", "body": "green", "id": 1}], rank_fields=["title", "body"])
    assert server.requests[-1].json["documents"] == ["tea\ngreen"]
    with pytest.warns(UserWarning, match="max_chunks_per_doc has no effect"):
        clients.rerank(client, max_chunks_per_doc=3)


def test_v2_object_says_what_to_do_with_arguments_of_v1(clients):
    """mem0 swallows errors and logs their text."""
    client = as_cohere(clients.make("ClientV2", "local:"))
    with pytest.raises(TypeError, match=r"as_cohere\(client, version='v1'\)"):
        client.rerank(**CALL, return_documents=False, max_chunks_per_doc=None)


def test_v2_of_a_v1_object_is_accepted_too(clients):
    """As in the official package, `client.v2` has the v2 methods."""
    assert isinstance(as_cohere(clients.make("Client", "local:")).v2, cohere.ClientV2)
    assert isinstance(as_cohere(clients.make("AsyncClient", "local:"), version="v2"), cohere.AsyncClientV2)


def test_raw_responses_raise_official_errors_too(server, clients):
    """`with_raw_response` returns headers, and its errors are of both classes."""
    raw = as_cohere(clients.make("ClientV2")).with_raw_response
    assert raw.rerank(**CALL).headers["content-type"].startswith("application/json")
    server.script(reply(404, json={"message": "no"}))
    with pytest.raises(cohere.errors.NotFoundError):
        raw.rerank(**CALL)

    async def fails():
        async with as_cohere(clients.make("AsyncClientV2")) as client:
            await client.with_raw_response.rerank(**CALL)

    server.script(reply(404, json={"message": "no"}))
    with pytest.raises(cohere.errors.NotFoundError):
        asyncio.run(fails())


def test_closing_closes_the_client(clients):
    """It is a context manager, as both clients are."""
    with as_cohere(clients.make("ClientV2", "local:")) as client:
        clients.rerank(client)
    with pytest.raises(cohere_rerank.ClientClosedError):
        clients.rerank(client)


@pytest.mark.parametrize("name", CLIENTS)
def test_it_works_without_the_official_package(name, server, monkeypatch, clients):
    """Code that only calls `rerank` needs no official package. The errors are ours."""
    for module in [module for module in sys.modules if module.partition(".")[0] == "cohere"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cohere", None)
    monkeypatch.setattr("cohere_rerank.integrations.official_errors._CLASSES", {})
    client = as_cohere(clients.make(name))
    server.script(reply(200, json=REPLY))
    assert len(clients.rerank(client).results) == 2
    assert client.__class__ is type(client)
    server.script(reply(429, json={"message": "slow"}))
    assert type(clients.error_of(client)) is cohere_rerank.TooManyRequestsError


@pytest.mark.parametrize("client", [None, "key", object()])
def test_other_objects_are_refused(client):
    """A client of the official package, for example, needs no change."""
    with pytest.raises(cohere_rerank.InvalidRequestError, match="client must be a client of cohere_rerank"):
        as_cohere(client)


def test_unknown_version_is_refused(clients):
    """The message names the versions."""
    with pytest.raises(cohere_rerank.InvalidRequestError, match="'v1', 'v2' or None, got 'v3'"):
        as_cohere(clients.make("ClientV2", "local:"), version="v3")
