"""The official client and ours, given the same calls against the same server, send and return the same."""

from __future__ import annotations

import asyncio
import inspect
import json
import textwrap

import httpx
import pytest

import cohere_rerank
from tests.fake_server import Server, error, reply

cohere = pytest.importorskip("cohere")
from cohere.core.api_error import ApiError as OfficialApiError  # noqa: E402

CALL = {"model": "rerank-v4.0-fast", "query": "what flies", "documents": ["a kite", "a stone", "a bee"]}


class Clients:
    """The official client and ours, both sync or both async, called through one blocking adapter.

    One pair serves all tests, since the official client takes 50 ms to make.
    """

    def __init__(self, kind, url):
        self.name = "ClientV2" if kind == "sync" else "AsyncClientV2"
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._made = []
        self.pair = self.another_pair()

    def another_pair(self, api_key="test-key", **options):
        options = {"base_url": self._url, "client_name": "me", **options}
        pair = [getattr(module, self.name)(api_key, **options) for module in (cohere, cohere_rerank)]
        self._made.extend(pair)
        # The official client accepts a reply with too few results.
        return [pair[0], pair[1].with_options(strict=False)]

    def run(self, value):
        return self._loop.run_until_complete(value) if inspect.isawaitable(value) else value

    def outcomes(self, call, pair=None):
        """What both make of one call: a dump, or an error's class, status and body."""
        return [self._outcome(client, call) for client in pair or self.pair]

    def _outcome(self, client, call):
        try:
            return self.run(client.rerank(**call)).model_dump()
        except (OfficialApiError, cohere_rerank.ApiError) as caught:
            return type(caught).__name__, caught.status_code, caught.body

    def leave(self, client):
        leaving = getattr(client, "__exit__", None) or client.__aexit__
        self.run(leaving(None, None, None))

    def close(self):
        for client in self._made:
            self.leave(client)
        self._loop.close()


@pytest.fixture(scope="module")
def shared_server():
    with Server() as running:
        yield running


@pytest.fixture
def server(shared_server):
    shared_server.clear()
    return shared_server


@pytest.fixture(scope="module", params=["sync", "async"])
def clients(request, shared_server):
    made = Clients(request.param, shared_server.url)
    yield made
    made.close()


def sent(request):
    """The part of a request that is the contract: all but the names of the software."""
    names = ("authorization", "x-client-name", "content-type", "x-extra", "accept", "host")
    headers = {name: request.header(name) for name in names}
    return request.method, request.path, request.json, headers


CALLS = {
    "plain": CALL,
    "one document": {**CALL, "documents": ["a kite"]},
    "top_n": {**CALL, "top_n": 2},
    "top_n past the end": {**CALL, "top_n": 50},
    "everything": {**CALL, "top_n": 2, "max_tokens_per_doc": 512, "priority": 7},
    "spans of a mapping": {**CALL, "relevant_spans": {"mode": "enabled"}},
    "spans of the official class": {
        **CALL,
        "query": "a kite a bee",
        "relevant_spans": cohere.RerankRelevantSpans(mode="enabled", threshold=0.0, max_spans=1),
    },
    "spans disabled": {**CALL, "relevant_spans": cohere.RerankRelevantSpans(mode="disabled")},
    "any script": {**CALL, "query": "què? 何 🪁", "documents": ["Ünïcode", "日本語", "a\u2028b\x85c", "𝒳🪁\t\n\"\\"]},
    "a tuple": {**CALL, "documents": ("a kite", "a stone")},
    "many": {**CALL, "documents": [f"text {i}" for i in range(1000)], "top_n": 10},
    "a timeout": {**CALL, "request_options": {"timeout": 30, "timeout_in_seconds": 20, "max_retries": 0}},
    "extra headers": {**CALL, "request_options": {"additional_headers": {"X-Extra": "1"}}},
    "other authorization": {**CALL, "request_options": {"additional_headers": {"Authorization": "Bearer other"}}},
    "extra query": {**CALL, "request_options": {"additional_query_parameters": {"a": "1 ü&", "b": 2, "c": True}}},
    "extra query list": {**CALL, "request_options": {"additional_query_parameters": {"a": ["x", "y"]}}},
    "extra body": {**CALL, "request_options": {"additional_body_parameters": {"priority": 3}}},
    "unknown field": {**CALL, "request_options": {"additional_body_parameters": {"return_documents": True}}},
    "stream options": {
        **CALL,
        "request_options": {
            "chunk_size": 10,
            "stream_reconnection_enabled": False,
            "max_stream_reconnection_attempts": 1,
            "retry_remote_protocol_errors": True,
        },
    },
}  # fmt: skip


def without_id(outcome):
    """The server gives every answer another id."""
    if isinstance(outcome, dict):
        return {**outcome, "id": None}
    name, status, body = outcome
    return name, status, {**body, "id": None} if isinstance(body, dict) else body


@pytest.mark.parametrize("name", CALLS)
def test_the_same_call_sends_and_returns_the_same(server, clients, name):
    """Method, path, body and headers go out alike; rankings, spans, meta and errors come back alike."""
    theirs, ours = clients.outcomes(CALLS[name])
    assert sent(server.requests[0]) == sent(server.requests[1])
    assert without_id(theirs) == without_id(ours)


def test_another_host_header_is_sent_alike(server, clients):
    """As behind a gateway that is reached by its address."""
    clients.outcomes({**CALL, "request_options": {"additional_headers": {"Host": "api.example"}}})
    assert [request.header("host") for request in server.requests] == ["api.example"] * 2


CONSTRUCTORS = {
    "a callable key": {"api_key": lambda: "made-key"},
    "an empty key": {"api_key": ""},
    "no client name": {"client_name": None},
    "the official environment": {"environment": cohere.ClientEnvironment.PRODUCTION},
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_same_constructor_sends_the_same(server, clients, name):
    """Keys and names of any kind end in the same headers."""
    clients.outcomes(CALL, clients.another_pair(**CONSTRUCTORS[name]))
    assert sent(server.requests[0]) == sent(server.requests[1])


@pytest.mark.parametrize("suffix", ["", "/", "/prefix", "/prefix/"])
def test_the_same_base_url_is_the_same_path(server, clients, suffix):
    """With and without a prefix and a closing slash."""
    server.path = f"{suffix.rstrip('/')}/v2/rerank"
    theirs, ours = clients.outcomes(CALL, clients.another_pair(base_url=server.url + suffix))
    assert sent(server.requests[0]) == sent(server.requests[1])
    assert without_id(theirs) == without_id(ours)
    assert isinstance(ours, dict)


@pytest.mark.parametrize("names", [("CO_API_KEY",), ("COHERE_API_KEY",), ("CO_API_KEY", "COHERE_API_KEY")])
def test_keys_come_from_the_same_variables(server, clients, monkeypatch, names):
    """CO_API_KEY outranks COHERE_API_KEY."""
    for name in names:
        monkeypatch.setenv(name, f"from {name}")
    clients.outcomes(CALL, clients.another_pair(None))
    theirs, ours = (request.header("authorization") for request in server.requests)
    assert theirs == ours == f"Bearer from {names[0]}"


ODD_REPLIES = {
    "results alone": {"results": [{"index": 1, "relevance_score": 0.5}]},
    "no results": {"id": "x", "results": []},
    "whole numbers": {"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 0}]},
    "everything": {
        "id": "x",
        "results": [
            {
                "index": 2,
                "relevance_score": 0.25,
                "relevant_spans": [{"start": 0, "end": 3, "score": 0.5}, {"start": 4, "end": 5, "score": 0.25}],
            }
        ],
        "meta": {
            "api_version": {"version": "2", "is_deprecated": False, "is_experimental": True},
            "billed_units": {
                "images": 1,
                "input_tokens": 2.5,
                "image_tokens": 3,
                "text_tokens": 4,
                "output_tokens": 5,
                "search_units": 6,
                "classifications": 7,
                "pages": 8,
            },
            "tokens": {"input_tokens": 9, "output_tokens": 10},
            "cached_tokens": 11,
            "warnings": ["one", "two"],
        },
    },
    "fields of tomorrow": {
        "id": "x",
        "results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a kite"}, "rank": 1}],
        "meta": {"region": {"name": "eu"}, "billed_units": {"rerank_units": 2}},
        "model": "m",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_REPLIES)
def test_the_same_reply_reads_the_same(server, clients, name):
    """Attributes, dumps and JSON agree, for what the API sends today and may send tomorrow."""
    server.default = reply(json=ODD_REPLIES[name])
    theirs, ours = (clients.run(client.rerank(**CALL)) for client in clients.pair)
    assert ours.model_dump() == theirs.model_dump()
    assert ours.model_dump(exclude_none=True) == theirs.model_dump(exclude_none=True)
    assert ours.dict() == theirs.dict()
    assert json.loads(ours.json()) == json.loads(theirs.json())
    assert json.loads(ours.model_dump_json()) == json.loads(theirs.model_dump_json())
    for item, other in zip(ours.results, theirs.results, strict=True):
        assert (item.index, item.relevance_score) == (other.index, other.relevance_score)
        assert type(item.relevance_score) is float


ERRORS = [400, 401, 403, 404, 422, 429, 498, 499, 500, 501, 503, 504]
NO_CLASS = [402, 405, 408, 409, 413, 418, 425, 502, 529]


@pytest.mark.parametrize("status", ERRORS)
def test_the_same_error_is_raised(server, clients, status):
    """Class, status, body and headers of every documented error."""
    server.default = error(status, "no luck", headers={"X-Debug-Trace-Id": "t1"})
    options = {"request_options": {"max_retries": 0}}
    caught = []
    for client in clients.pair:
        with pytest.raises((OfficialApiError, cohere_rerank.ApiError)) as raised:
            clients.run(client.rerank(**CALL, **options))
        caught.append(raised.value)
    theirs, ours = caught
    assert type(ours).__name__ == type(theirs).__name__
    assert type(ours) is getattr(cohere_rerank.errors, type(theirs).__name__)
    assert (ours.status_code, ours.body["message"]) == (theirs.status_code, theirs.body["message"])
    changing = ("content-length",)
    for headers in (ours.headers, theirs.headers):
        assert headers["x-debug-trace-id"] == "t1"
    assert set(ours.headers) - set(changing) == set(theirs.headers) - set(changing)


def test_nulls_read_the_same(server, clients):
    """A field that is null reads as None; ``dict()`` alone differs: ours leaves out every None."""
    item = {"index": 0, "relevance_score": 0.5, "relevant_spans": None}
    server.default = reply(json={"id": None, "results": [item], "meta": None})
    theirs, ours = (clients.run(client.rerank(**CALL)) for client in clients.pair)
    assert ours.model_dump() == theirs.model_dump()
    assert ours.model_dump(exclude_none=True) == theirs.model_dump(exclude_none=True) == ours.dict()


@pytest.mark.parametrize("status", NO_CLASS)
def test_an_error_without_an_official_class_is_still_an_api_error(server, clients, status):
    """Where theirs is a bare ApiError, ours is an ApiError with the same status and body."""
    for content in (b'{"message": "no luck"}', b"no luck", b"<p>no luck</p>", b""):
        server.default = reply(status, body=content)
        theirs, ours = clients.outcomes({**CALL, "request_options": {"max_retries": 0}})
        assert theirs[0] == "ApiError"
        assert theirs[1:] == ours[1:]


@pytest.mark.parametrize("status", [400, 408, 409, 422, 429, 498, 500, 503, 504])
def test_the_same_statuses_are_repeated_as_often(server, clients, status):
    """The same number of requests for the same max_retries; the server's hint keeps the waits short."""
    server.default = error(status, "no luck", headers={"retry-after-ms": "1"})
    counts = []
    for client in clients.another_pair(max_retries=1):
        for options in ({}, {"max_retries": 0}, {"max_retries": 2}):
            server.requests.clear()
            with pytest.raises((OfficialApiError, cohere_rerank.ApiError)):
                clients.run(client.rerank(**CALL, request_options=options))
            counts.append(len(server.requests))
    assert counts[:3] == counts[3:]


def test_the_raw_response_is_the_same(server, clients):
    """``with_raw_response`` gives data, status and headers of the same forms; so does ``.v2``."""
    server.default = reply(json=ODD_REPLIES["everything"], headers={"X-Extra": "1"})
    raws = [clients.run(client.with_raw_response.rerank(**CALL)) for client in clients.pair]
    theirs, ours = raws
    assert ours.data.model_dump() == theirs.data.model_dump()
    assert (ours.status_code, ours.headers["x-extra"]) == (theirs.status_code, theirs.headers["x-extra"])
    assert type(ours.headers) is type(theirs.headers)
    for client in clients.pair:
        assert clients.run(client.v2.rerank(**CALL)).results[0].index == 2
        raw = clients.run(client.v2.with_raw_response.rerank(**CALL))
        assert raw.data.results[0].index == 2


def test_a_callers_httpx_client_is_used_by_both(server, clients):
    """Base headers and hooks of an ``httpx_client`` apply."""
    kind = httpx.Client if clients.name == "ClientV2" else httpx.AsyncClient
    for module in (cohere, cohere_rerank):
        http = kind(headers={"X-Extra": "mine"})
        client = getattr(module, clients.name)("k", base_url=server.url, httpx_client=http)
        clients.run(client.rerank(**CALL))
        clients.leave(client)
        assert http.is_closed
    theirs, ours = server.requests
    assert sent(theirs) == sent(ours)
    assert ours.header("x-extra") == "mine"


@pytest.mark.parametrize("name", ["ClientV2", "AsyncClientV2"])
@pytest.mark.parametrize("method", ["__init__", "rerank"])
def test_every_official_parameter_is_there(name, method):
    """Same names, same kinds, and a default wherever theirs has one."""
    theirs = inspect.signature(getattr(getattr(cohere, name), method)).parameters
    ours = inspect.signature(getattr(getattr(cohere_rerank, name), method)).parameters
    for parameter in theirs.values():
        mine = ours[parameter.name]
        assert mine.kind is parameter.kind
        assert (mine.default is mine.empty) == (parameter.default is parameter.empty)
    further = [parameter for parameter in ours.values() if parameter.name not in {*theirs, "others"}]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in further)
    assert all(parameter.default is not parameter.empty for parameter in further)


@pytest.mark.parametrize("name", sorted(set(cohere_rerank.__all__) & set(dir(cohere))))
def test_types_of_the_same_name_have_the_same_fields(name):
    """Our types declare every field of theirs, and the errors have the same constructor."""
    theirs, ours = getattr(cohere, name), getattr(cohere_rerank, name)
    if hasattr(theirs, "model_fields"):
        assert list(ours.__dataclass_fields__) == list(theirs.model_fields)
    if isinstance(theirs, type) and issubclass(theirs, Exception):
        made = ours({"message": "m"}, {"a": "1"})
        assert made.status_code == theirs({"message": "m"}, {"a": "1"}).status_code
        assert (made.body, made.headers) == ({"message": "m"}, {"a": "1"})


PROGRAM = textwrap.dedent(
    """
    out = []
    with cohere.ClientV2("k", base_url=url, client_name="app", max_retries=0) as co:
        docs = ["a kite", "a stone", "a bee"]
        response = co.rerank(model="rerank-v3.5", query="what flies", documents=docs, top_n=2)
        for rank, result in enumerate(response.results, 1):
            out.append((rank, round(result.relevance_score, 6), docs[result.index]))
        out.append(response.meta.billed_units.search_units)
        out.append(isinstance(response, cohere.V2RerankResponse))
        out.append(isinstance(response.results[0], cohere.V2RerankResponseResultsItem))
        spans = cohere.RerankRelevantSpans(mode="enabled", threshold=0.0)
        response = co.rerank(model="m", query="a kite", documents=docs, relevant_spans=spans)
        out.append([(s.start, s.end) for r in response.results for s in r.relevant_spans or []])
        try:
            co.rerank(model="m", query="q", documents=docs, request_options={"additional_body_parameters": {"x": 1}})
        except cohere.UnprocessableEntityError as error:
            out.append((error.status_code, error.body["message"]))
        try:
            co.rerank(model="missing", query="q", documents=docs)
        except cohere.NotFoundError as error:
            out.append((error.status_code, error.body["message"]))
    """
)


def test_a_program_runs_unchanged(server):
    """A rerank program gives the same whichever package the name ``cohere`` is bound to."""
    outs = []
    for module in (cohere, cohere_rerank):

        async def answer(exchange):
            if exchange.request.json["model"] == "missing":
                return await error(404, "model 'missing' not found")(exchange)
            status, payload = exchange.server.respond(exchange.request)
            return await reply(status, json=payload)(exchange)

        server.default = answer
        namespace = {"cohere": module, "url": server.url}
        exec(PROGRAM, namespace)  # the point is the same text, run twice
        outs.append(namespace["out"])
    assert outs[0] == outs[1]
    assert len(outs[0]) == 8
