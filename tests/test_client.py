"""The clients as their callers see them: how they are made, called, copied and closed, and what they give back."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

import cohere_rerank
from cohere_rerank import AsyncClientV2, ClientEnvironment, ClientV2, RerankRelevantSpans, errors
from tests.faces import own_client, settle
from tests.server import error, hang, hang_up, reply, score

CALL: dict[str, Any] = {
    "model": "rerank-v3.5",
    "query": "which bird cannot fly",
    "documents": ["a penguin", "a swallow", "a train"],
}
BEST_FIRST = sorted(range(3), key=lambda index: -score(CALL["query"], CALL["documents"][index]))
KINDS = [ClientV2, AsyncClientV2]
SECRET = "co-5ecret-key"


def ranking(response):
    return [item.index for item in response.results]


# Keys --------------------------------------------------------------------------------------------

BOTH = {"CO_API_KEY": "first", "COHERE_API_KEY": "second"}


@pytest.mark.parametrize(
    ("argument", "environment", "sent"),
    [
        ("argument", BOTH, "Bearer argument"),
        (None, BOTH, "Bearer first"),
        (None, {"COHERE_API_KEY": "second"}, "Bearer second"),
        (None, {"CO_API_KEY": "", "COHERE_API_KEY": "second"}, None),
        ("", BOTH, None),
        (lambda: "made", BOTH, "Bearer made"),
        (lambda: "", BOTH, None),
    ],
)
def test_the_key_comes_from_the_argument_then_the_environment(
    server, make_either, monkeypatch, argument, environment, sent
):
    """The official order: argument, CO_API_KEY, COHERE_API_KEY; an empty key sends no Authorization."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    make_either(argument).rerank(**CALL)
    assert server.requests[0].header("authorization") == sent


def test_a_key_function_is_asked_before_every_request(server, clock, make_either):
    """Keys that are renewed reach repeats too."""
    keys = iter(["one", "two", "three"])
    client = make_either(lambda: next(keys), clock=clock)
    server.script(error(503, "later"))
    client.rerank(**CALL)
    client.rerank(**CALL)
    assert [r.header("authorization") for r in server.requests] == ["Bearer one", "Bearer two", "Bearer three"]


def test_an_async_key_function_is_awaited(server, make_async_client):
    """AsyncClientV2 takes keys that have to be fetched."""

    async def fetch() -> str:
        await asyncio.sleep(0)
        return "fetched"

    async def main():
        async with make_async_client(fetch) as client:
            await client.rerank(**CALL)

    asyncio.run(main())
    assert server.requests[0].header("authorization") == "Bearer fetched"


def test_an_async_key_function_is_refused_by_the_blocking_client(server, make_client):
    """The error names the client that can use it, and no coroutine is left behind (warnings are errors)."""

    async def fetch() -> str:
        return "fetched"

    with pytest.raises(errors.InvalidRequestError, match="AsyncClientV2"):
        make_client(fetch).rerank(**CALL)
    assert server.requests == []


def test_what_a_key_function_raises_comes_through(server, make_either):
    """The caller's own error is not wrapped, not repeated, and nothing is sent."""

    class VaultSealedError(Exception):
        pass

    def fetch():
        raise VaultSealedError

    with pytest.raises(VaultSealedError):
        make_either(fetch).rerank(**CALL)
    assert server.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_anywhere_is_an_error_at_once(kind):
    """As in the official client it is an ApiError raised by the constructor; it says what to set."""
    with pytest.raises(errors.ApiError, match="CO_API_KEY") as caught:
        kind()
    assert isinstance(caught.value, errors.MissingApiKeyError)
    assert caught.value.status_code is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [f"{SECRET}\n", f" {SECRET}\r\n", f"{SECRET}é", f"{SECRET}\0"])
def test_a_key_that_no_header_can_hold_is_refused(kind, key, monkeypatch):
    """A line break from a file is the usual case: it is named, and the key is not shown."""
    with pytest.raises(errors.InvalidRequestError, match="api_key") as caught:
        kind(key)
    assert "5ecret" not in str(caught.value)
    monkeypatch.setenv("CO_API_KEY", key.replace("\0", "\n"))
    with pytest.raises(errors.InvalidRequestError, match="api_key"):
        kind()


@pytest.mark.parametrize("key", [f"{SECRET}\n", None, 5, b"bytes"])
def test_a_key_function_that_gives_no_key_is_refused(server, make_either, key):
    """The same rule for keys that a function gives; nothing is sent."""
    with pytest.raises(errors.InvalidRequestError, match="api_key") as caught:
        make_either(lambda: key).rerank(**CALL)
    assert "5ecret" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/v2/rerank", ""),
        ("/v2/rerank", "/"),
        ("/v2/rerank", "/v1"),
        ("/v2/rerank", "/v2/"),
        ("/v2/rerank", "/v2/rerank"),
        ("/co/v2/rerank", "/co"),
        ("/co/v2/rerank", "/co/v1/"),
        ("/v1/rerank", "/v1/rerank"),
    ],
)
def test_base_url_may_be_a_base_a_version_or_the_endpoint(server, make_either, base, path):
    """However an address is written down somewhere, requests reach the endpoint that it means."""
    server.path = path
    assert ranking(make_either(base_url=server.url + base).rerank(**CALL)) == BEST_FIRST


def test_the_address_is_read_from_the_environment_at_construction(server, make_either, monkeypatch):
    """CO_API_URL counts when the client is made, not when the module is imported; later changes do nothing."""
    monkeypatch.setenv("CO_API_URL", server.url)
    client = make_either(base_url=None)
    monkeypatch.setenv("CO_API_URL", "http://127.0.0.1:9")
    assert ranking(client.rerank(**CALL)) == BEST_FIRST


def test_base_url_outranks_the_environment(server, make_either, monkeypatch):
    """Argument, CO_API_URL, environment=, in this order."""
    monkeypatch.setenv("CO_API_URL", "http://127.0.0.1:9")
    assert ranking(make_either(base_url=server.url, environment="http://127.0.0.1:9").rerank(**CALL)) == BEST_FIRST
    monkeypatch.delenv("CO_API_URL")
    assert ranking(make_either(base_url=None, environment=server.url).rerank(**CALL)) == BEST_FIRST


@pytest.mark.parametrize("kind", KINDS)
def test_production_is_the_default(kind):
    """Without an address it is Cohere's; ClientEnvironment says the same."""
    assert "https://api.cohere.com" in repr(kind("k"))
    assert repr(kind("k", environment=ClientEnvironment.PRODUCTION)) == repr(kind("k"))


@pytest.mark.parametrize(
    "url",
    [
        "api.cohere.com",
        "ftp://api.cohere.com",
        "https://",
        "https:///v2",
        "https://host/v2?key=1",
        "https://host/#top",
        "https://user:5ecret@host",
        5,
        b"https://host",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_cannot_be_meant_is_refused(kind, url):
    """At construction, with what is allowed; a password in it is not shown."""
    with pytest.raises(errors.InvalidRequestError, match="base_url") as caught:
        kind("k", base_url=url)
    assert "5ecret" not in str(caught.value)


# Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_key_is_positional(kind):
    """As in the official client."""
    kind("k")
    kind(api_key="k")
    with pytest.raises(TypeError):
        kind("k", "https://api.cohere.com")


@pytest.mark.parametrize("kind", KINDS)
def test_official_settings_without_an_effect_are_taken(kind):
    """Programs that pass them run on."""
    with ThreadPoolExecutor(1) as executor:
        kind("k", log_warning_experimental_features=False, thread_pool_executor=executor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timeout", [0, -1, True, "5", float("nan")]),
        ("connect_timeout", [0, "5"]),
        ("deadline", [0, -0.1, "300"]),
        ("max_retries", [-1, 1.5, True, "2"]),
        ("max_documents_per_request", [0, 10_001, 2.0]),
        ("max_connections", [0, -1, None.__class__]),
        ("max_response_bytes", [0, 1e6]),
        ("fallback", ["remote", 5]),
        ("client_name", [5, "two\nlines", "naïve"]),
        ("base_url", [7]),
    ],
)
def test_a_setting_out_of_range_is_refused(kind, name, values):
    """By the constructor and by with_options, naming the setting."""
    for value in values:
        with pytest.raises(errors.InvalidRequestError, match=name):
            kind("k", **{name: value})
        with pytest.raises(errors.InvalidRequestError, match=name):
            kind("k").with_options(**{name: value})


@pytest.mark.parametrize(
    ("kind", "other"), [(ClientV2, httpx.AsyncClient), (AsyncClientV2, httpx.Client), (ClientV2, dict)]
)
def test_the_wrong_kind_of_httpx_client_is_refused(kind, other):
    """An asynchronous client in a blocking one is a common slip: it is named when the client is made."""
    with pytest.raises(
        errors.InvalidRequestError, match=f"httpx_client must be an httpx.{'Async' * (kind is AsyncClientV2)}Client"
    ):
        kind("k", httpx_client=other())


def test_a_repr_shows_the_address_alone(make_either, server):
    """No key, in reprs of the client and of what it holds."""
    client = make_either(SECRET).client
    assert repr(client) == f"<{type(client).__name__} {server.url}>"
    assert SECRET not in repr(vars(client))


# Requests ----------------------------------------------------------------------------------------


def test_none_means_not_given(server, make_either):
    """None is never sent as null: the body is what it is without the argument, to the byte."""
    optional = ["top_n", "max_tokens_per_doc", "relevant_spans", "priority", "request_options"]
    optional += ["rank_fields", "min_score", "max_documents_per_request", "deadline"]
    client = make_either()
    client.rerank(**CALL)
    client.rerank(**CALL, **dict.fromkeys(optional))
    client.rerank(**CALL, relevant_spans={"mode": "enabled", "threshold": None, "max_spans": None})
    bare, none, spans = (request.body for request in server.requests)
    assert bare == none == json.dumps(CALL, separators=(",", ":")).encode()
    assert json.loads(spans)["relevant_spans"] == {"mode": "enabled"}


@pytest.mark.parametrize("form", [dict, lambda **fields: RerankRelevantSpans(**fields)])
def test_every_argument_has_its_place_on_the_wire(server, make_either, form):
    """Names and values as Cohere's reference has them; what is ours alone stays here."""
    make_either().rerank(
        **CALL,
        top_n=2,
        max_tokens_per_doc=512,
        relevant_spans=form(mode="enabled", threshold=0.25, max_spans=3),
        priority=0,
        rank_fields=["text"],
        min_score=0.1,
        max_documents_per_request=1000,
        deadline=20,
    )
    assert server.requests[0].json == {
        **CALL,
        "top_n": 2,
        "max_tokens_per_doc": 512,
        "relevant_spans": {"mode": "enabled", "threshold": 0.25, "max_spans": 3},
        "priority": 0,
    }


def test_the_headers_say_what_is_needed_and_no_more(server, make_either):
    """JSON, the key, who asks; nothing about the machine."""
    make_either(client_name="shop").rerank(**CALL)
    headers = {name.lower(): value for name, value in server.requests[0].headers}
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer test-key"
    assert headers["x-client-name"] == "shop"
    assert headers["user-agent"] == f"cohere-rerank/{cohere_rerank.__version__}"
    assert headers.keys() - {"content-type", "authorization", "x-client-name", "user-agent"} <= {
        "host", "content-length", "accept", "accept-encoding", "connection",
    }  # fmt: skip


def test_rerank_takes_keywords_only(make_either):
    """As in the official client."""
    client = make_either().client
    with pytest.raises(TypeError):
        client.rerank("rerank-v3.5", "query", ["document"])


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"model": " "},
        {"query": 5},
        {"query": "\n"},
        {"documents": "one text"},
        {"documents": None},
        {"documents": ["a", ""]},
        {"documents": ["a", None]},
        {"documents": ["a", 5]},
        {"top_n": 0},
        {"top_n": 1.5},
        {"max_tokens_per_doc": 0},
        {"priority": 1000},
        {"priority": -1},
        {"relevant_spans": "enabled"},
        {"relevant_spans": {"threshold": 0.5}},
        {"min_score": "high"},
        {"min_score": float("nan")},
        {"max_documents_per_request": 0},
        {"deadline": 0},
        {"rank_fields": "text"},
    ],
    ids=str,
)
def test_bad_input_is_a_value_error_before_anything_is_sent(server, make_either, change):
    """Each names the argument; ``except ValueError`` catches them all."""
    client = make_either()
    name = next(iter(change)).removesuffix("s")
    with pytest.raises(ValueError, match=name) as caught:
        client.rerank(**{**CALL, **change})
    assert isinstance(caught.value, errors.InvalidRequestError)
    assert server.n_connections == 0


def test_the_local_engine_refuses_the_same_input(make_either):
    """What is refused for the API is refused offline, so that it is found offline."""
    client = make_either(base_url="local:")
    for change in [{"max_documents_per_request": 0}, {"top_n": 0}, {"priority": 1000}, {"documents": [""]}]:
        with pytest.raises(errors.InvalidRequestError):
            client.rerank(**{**CALL, **change})


def test_the_callers_objects_are_not_changed(server, clock, make_either):
    """Documents, options and spans are the same after a call that was repeated and split."""
    call = {
        "documents": [{"b": [3, 1], "a": {"z": None}}, "text", {"text": "x"}],
        "relevant_spans": {"mode": "enabled", "threshold": None},
        "rank_fields": ["text", "b"],
        "request_options": {
            "max_retries": 1,
            "timeout": None,
            "additional_headers": {"x-one": "1", "x-none": None},
            "additional_body_parameters": {"priority": 5},
            "additional_query_parameters": {"q": [1, 2]},
        },
        "max_documents_per_request": 2,
    }
    before = copy.deepcopy(call)
    server.script(error(503, "later"))
    make_either(clock=clock).rerank(**{**CALL, **call})
    assert call == before
    assert list(call["documents"][0]) == list(before["documents"][0])


# request_options ---------------------------------------------------------------------------------

OWN = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}  # httpx's defaults


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({}, {}, OWN),
        ({}, {"timeout": None, "timeout_in_seconds": None}, OWN),
        ({"timeout": 20}, {}, {"connect": 10, "read": 20, "write": 20, "pool": 20}),
        ({"timeout": 20}, {"timeout": 3}, dict.fromkeys(OWN, 3)),
        ({"timeout": 20}, {"timeout_in_seconds": 4}, dict.fromkeys(OWN, 4)),
        ({"timeout": 20}, {"timeout": None, "timeout_in_seconds": 4}, dict.fromkeys(OWN, 4)),
        ({}, {"timeout": 3, "timeout_in_seconds": 4}, dict.fromkeys(OWN, 3)),
        ({"timeout": 20, "connect_timeout": 1}, {}, {"connect": 1, "read": 20, "write": 20, "pool": 20}),
        ({"timeout": 20, "deadline": 2}, {}, dict.fromkeys(OWN, 2)),
        ({"timeout": 20}, {"deadline": 2}, dict.fromkeys(OWN, 2)),
        ({"deadline": 1}, {}, dict.fromkeys(OWN, 1)),
    ],
)
def test_timeouts_reach_the_transport(clock, make_either, settings, options, expected):
    """Per call before per client, ``timeout`` before its old name, and never more than the deadline leaves."""
    seen = []

    def answer(request):
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json={"results": []})

    client = own_client(make_either, answer, clock=clock, **settings)
    client.rerank(**CALL, request_options=options)
    assert seen == [expected]


@pytest.mark.parametrize("limit", [float("inf"), 10**9])
def test_no_limit_can_be_asked_for(server, make_either, limit):
    """Infinity and a billion seconds are numbers above 0, and work."""
    client = make_either(timeout=limit, deadline=limit)
    assert ranking(client.rerank(**CALL)) == BEST_FIRST


def test_a_timeout_of_a_call_is_kept(server, clock, make_either):
    """It ends a wait for a reply, in seconds."""
    server.default = hang()
    with pytest.raises(httpx.ReadTimeout):
        make_either(clock=clock, max_retries=0).rerank(**CALL, request_options={"timeout": 0.05})


def test_additional_headers_are_sent(server, make_either):
    """They outrank ours whatever their case; None is left out; other values are sent as text."""
    options = {"additional_headers": {"X-Trace": 7, "User-Agent": "mine", "AUTHORIZATION": "Basic x", "x-none": None}}
    make_either().rerank(**CALL, request_options=options)
    request = server.requests[0]
    assert request.header("x-trace") == "7"
    assert request.header("user-agent") == "mine"
    assert request.header("authorization") == "Basic x"
    assert request.header("x-none") is None


def test_additional_query_parameters_are_sent(server, make_either):
    """As httpx writes them: lists repeat a name, None is left out."""
    options = {"additional_query_parameters": {"tag": ["a", "b c"], "n": 1, "none": None}}
    make_either().rerank(**CALL, request_options=options)
    path, _, query = server.requests[0].path.partition("?")
    assert path == "/v2/rerank"
    assert parse_qsl(query) == [("tag", "a"), ("tag", "b c"), ("n", "1")]


def test_additional_body_parameters_are_sent(server, make_either):
    """New fields are added, given ones replaced, None left out."""
    options = {"additional_body_parameters": {"top_n": 1, "beta": {"x": None}, "none": None}}
    server.default = reply(json={"results": []})
    make_either().rerank(**CALL, top_n=2, request_options=options)
    assert server.requests[0].json == {**CALL, "top_n": 1, "beta": {"x": None}}


def test_options_for_what_rerank_does_not_do_are_taken(server, make_either):
    """Downloads and streams have options that a shared dict may hold."""
    options = {"chunk_size": 1024, "stream_reconnection_enabled": True, "max_stream_reconnection_attempts": 3}
    assert ranking(make_either().rerank(**CALL, request_options=options)) == BEST_FIRST


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_retry": 3}, "max_retry"),
        ("fast", "request_options"),
        ({"timeout": "5"}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"additional_headers": ["x"]}, "additional_headers"),
        ({"additional_headers": {"x-a": "1\r\nx-b: 2"}}, "x-a"),
        ({"additional_headers": {"x-a": "naïve"}}, "x-a"),
        ({"additional_headers": {"naïve": "x"}}, "additional_headers"),
        ({"additional_headers": {"x a": "x"}}, "additional_headers"),
        ({"additional_body_parameters": ["x"]}, "additional_body_parameters"),
        ({"additional_body_parameters": {"x": object()}}, "JSON"),
        ({"additional_query_parameters": ["x"]}, "additional_query_parameters"),
    ],
)
def test_a_bad_option_is_refused(server, make_either, options, says):
    """A typing mistake is named instead of being without effect."""
    with pytest.raises(errors.InvalidRequestError, match=says):
        make_either().rerank(**CALL, request_options=options)
    assert server.n_connections == 0


# Raw responses -----------------------------------------------------------------------------------


def test_a_raw_response_has_the_transports_side(server, make_either):
    """Data, headers (names in lower case), status and the httpx response, content included."""
    server.script(
        reply(json={"results": [{"index": 1, "relevance_score": 0.5}]}, headers={"X-Trace": "7"}, encoding="gzip")
    )
    raw = make_either().raw_rerank(**CALL)
    assert ranking(raw.data) == [1]
    assert raw.data.results[0].document == CALL["documents"][1]
    assert (raw.status_code, raw.headers["x-trace"]) == (200, "7")
    assert isinstance(raw.response, httpx.Response)
    assert raw.response.json()["results"][0]["relevance_score"] == 0.5
    assert raw.response.headers["x-trace"] == "7"


def test_v2_is_the_client(make_either, server):
    """``client.v2.rerank`` and ``client.v2.with_raw_response.rerank`` are what they are without v2."""
    face = make_either()
    assert ranking(settle(face, face.client.v2.rerank(**CALL))) == BEST_FIRST
    assert settle(face, face.client.v2.with_raw_response.rerank(**CALL)).status_code == 200


def test_raw_errors_are_the_same_errors(server, make_either):
    """with_raw_response raises what rerank raises."""
    server.default = error(401, "invalid api token")
    with pytest.raises(errors.UnauthorizedError, match="invalid api token"):
        make_either().raw_rerank(**CALL)


# Results -----------------------------------------------------------------------------------------


@dataclass
class Ticket:
    title: str


def test_results_give_back_the_callers_own_documents(server, make_either):
    """The very object that was ranked, whatever its kind, and not in any dump."""
    documents = [Ticket("a"), {"title": "b"}, "c"]
    response = make_either().rerank(**{**CALL, "documents": documents})
    assert sorted(ranking(response)) == [0, 1, 2]
    assert all(item.document is documents[item.index] for item in response.results)
    assert server.requests[0].json["documents"] == ["title: a\n", "title: b\n", "c"]
    assert "title" not in str(response.model_dump())


def test_span_texts_are_cut_from_what_was_sent(server, make_either):
    """Spans count code points; of a structured document they are stretches of its YAML."""
    documents = ["🦜 bird", {"text": "no bird"}, "train"]
    call = {**CALL, "query": "bird", "documents": documents, "relevant_spans": {"mode": "enabled", "threshold": 0}}
    response = make_either().rerank(**call)
    assert {item.index: item.span_texts for item in response.results} == {0: ["bird"], 1: ["bird"], 2: []}


def test_scores_are_in_the_order_of_the_documents(server, make_either):
    """One for each document; None for those that top_n left out."""
    whole = make_either().rerank(**CALL)
    assert whole.scores == [score(CALL["query"], text) for text in CALL["documents"]]
    best = make_either().rerank(**CALL, top_n=1)
    assert [value is not None for value in best.scores] == [index == BEST_FIRST[0] for index in range(3)]


def test_min_score_leaves_out_the_rest(server, make_either):
    """It keeps scores at the limit, counts after top_n, and is not sent."""
    results = [{"index": index, "relevance_score": value} for index, value in [(2, 0.9), (0, 0.5), (1, 0.1)]]
    server.default = reply(json={"results": results})
    client = make_either()
    assert ranking(client.rerank(**CALL, min_score=0.5)) == [2, 0]
    assert ranking(client.rerank(**CALL, min_score=0.91)) == []
    assert ranking(client.rerank(**CALL, min_score=0)) == [2, 0, 1]


class OneTime:
    """An iterable that may be read once."""

    def __init__(self, items):
        self.items = items
        self.n_reads = 0

    def __iter__(self):
        self.n_reads += 1
        yield from self.items


@pytest.mark.parametrize("limit", [None, 2])
def test_an_iterator_is_read_once(server, clock, make_either, limit):
    """Through repeats and splits, every request sends its whole share, and results know their documents."""
    documents = OneTime([{"text": text} for text in "abc"])
    server.script(error(503, "later"), hang_up())
    call = {**CALL, "documents": documents, "max_documents_per_request": limit}
    response = make_either(clock=clock).rerank(**call)
    assert documents.n_reads == 1
    assert sorted(item.document["text"] for item in response.results) == ["a", "b", "c"]
    shares = [["text: a\n", "text: b\n", "text: c\n"]] if limit is None else [["text: a\n"], ["text: b\n", "text: c\n"]]
    assert all(request.json["documents"] in shares for request in server.requests)
    assert len(server.requests) == len(shares) + 2


@pytest.mark.parametrize("documents", [[], (), iter([]), {}.values()], ids=["list", "tuple", "iterator", "view"])
def test_no_documents_rank_to_nothing_without_a_call(server, make_either, documents):
    """A search without hits needs no special case in the caller's code."""
    client = make_either()
    response = client.rerank(**{**CALL, "documents": documents, "top_n": 3, "min_score": 0.5})
    assert (response.results, response.scores, response.is_fallback) == ([], [], False)
    raw = client.raw_rerank(**{**CALL, "documents": []})
    assert (raw.data.results, raw.status_code, raw.headers, raw.response) == ([], None, {}, None)
    assert server.n_connections == 0


def test_bad_arguments_are_found_with_no_documents_too(make_either):
    """An empty list hides no mistake that the next list would show."""
    with pytest.raises(errors.InvalidRequestError, match="top_n"):
        make_either().rerank(**{**CALL, "documents": [], "top_n": 0})


# Closing and copying -----------------------------------------------------------------------------


def test_a_context_manager_closes(server):
    """At the end of the block the connection is gone, and a later call is an error that says so."""
    with ClientV2("k", base_url=server.url) as client:
        client.rerank(**CALL)
        assert server.n_open == 1
    server.wait_until(lambda s: s.n_open == 0)
    with pytest.raises(errors.ClientClosedError, match="closed") as caught:
        client.rerank(**CALL)
    assert isinstance(caught.value, RuntimeError)


def test_an_async_context_manager_closes(server):
    """The same with ``async with``."""

    async def main():
        async with AsyncClientV2("k", base_url=server.url) as client:
            await client.rerank(**CALL)
            assert server.n_open == 1
        with pytest.raises(errors.ClientClosedError):
            await client.rerank(**CALL)

    asyncio.run(main())
    server.wait_until(lambda s: s.n_open == 0)


def test_closing_twice_or_unused_is_fine(make_either):
    """close() before any call, and again."""
    face = make_either()
    settle(face, face.client.close())
    settle(face, face.client.close())
    with pytest.raises(errors.ClientClosedError):
        face.rerank(**CALL)


def test_a_copy_shares_the_connections(server, make_either):
    """with_options changes the copy alone; one connection serves both."""
    face = make_either()
    twin = face.client.with_options(client_name="twin", api_key="other", timeout=None).with_options(max_retries=0)
    face.rerank(**CALL)
    settle(face, twin.rerank(**CALL))
    face.rerank(**CALL)
    assert [request.header("x-client-name") for request in server.requests] == [None, "twin", None]
    assert [request.header("authorization") for request in server.requests][:2] == ["Bearer test-key", "Bearer other"]
    assert server.n_connections == 1
    assert type(twin) is type(face.client)


@pytest.mark.parametrize("is_used", [True, False])
def test_closing_closes_copies_too(server, make_either, is_used):
    """They share the connections, so they share their end; from either side."""
    face = make_either()
    twin = face.client.with_options(max_retries=0)
    if is_used:
        face.rerank(**CALL)
    settle(face, twin.close())
    with pytest.raises(errors.ClientClosedError):
        face.rerank(**CALL)


@pytest.mark.parametrize("name", ["httpx_client", "retries", "environment"])
def test_with_options_names_what_it_does_not_take(make_either, name):
    """A typing mistake is an error."""
    with pytest.raises(errors.InvalidRequestError, match=name):
        make_either().client.with_options(**{name: 1})


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_client_can_be_copied(server, make_either, duplicate):
    """Frameworks deep-copy what they hold: the copy works like the original, key included."""
    face = make_either(SECRET)
    twin = duplicate(face.client)
    assert ranking(settle(face, twin.rerank(**CALL))) == BEST_FIRST
    assert server.requests[0].header("authorization") == f"Bearer {SECRET}"


def test_a_client_with_its_own_httpx_client_can_be_copied(make_either):
    """What cannot be pickled can still be shared."""
    face = own_client(make_either, lambda request: httpx.Response(200, json={"results": []}))
    assert settle(face, copy.deepcopy(face.client).rerank(**CALL)).results == []


# Pickles and loops (more in test_concurrency) ----------------------------------------------------


def made_key() -> str:
    return "made at home"


def test_a_pickled_client_leaves_its_key_behind(server, make_either, monkeypatch):
    """A key has no place on a disk; the process that loads the client uses its own. Settings travel."""
    face = make_either(SECRET, client_name="shop", max_retries=0)
    face.rerank(**CALL)
    data = pickle.dumps(face.client)
    assert SECRET.encode() not in data
    monkeypatch.setenv("CO_API_KEY", "of this process")
    loaded = pickle.loads(data)
    assert ranking(settle(face, loaded.rerank(**CALL))) == BEST_FIRST
    settle(face, loaded.close())
    assert server.requests[1].header("authorization") == "Bearer of this process"
    assert server.requests[1].header("x-client-name") == "shop"
    assert face.rerank(**CALL) is not None  # closing the one closes nothing of the other


def test_a_pickled_client_without_a_key_at_its_new_home_says_so(make_either):
    """Not when it is loaded but when it is used, as a client that lacks one."""
    face = make_either(SECRET)
    loaded = pickle.loads(pickle.dumps(face.client))
    with pytest.raises(errors.MissingApiKeyError, match="CO_API_KEY"):
        settle(face, loaded.rerank(**CALL))


@pytest.mark.parametrize(("key", "sent"), [(made_key, "Bearer made at home"), ("", None)])
def test_a_key_function_and_an_empty_key_travel(server, make_either, monkeypatch, key, sent):
    """They are no secrets."""
    monkeypatch.setenv("CO_API_KEY", "other")
    face = make_either(key)
    loaded = pickle.loads(pickle.dumps(face.client))
    settle(face, loaded.rerank(**CALL))
    settle(face, loaded.close())
    assert server.requests[0].header("authorization") == sent


def test_what_cannot_travel_is_named(make_either):
    """A client that brings its own httpx client says why it cannot be pickled."""
    face = own_client(make_either, lambda request: httpx.Response(200))
    with pytest.raises(TypeError, match="httpx_client"):
        pickle.dumps(face.client)


def test_several_event_loops_in_a_row_share_a_client(server, make_async_client):
    """``asyncio.run`` may be called again and again; old loops leave nothing open."""
    client = make_async_client()
    for _ in range(3):
        assert ranking(asyncio.run(client.rerank(**CALL))) == BEST_FIRST
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


def test_trio_runs_the_async_client(server, clock, make_async_client):
    """Repeats, splits and the local engine included."""
    trio = pytest.importorskip("trio")

    class TrioClock(type(clock)):  # type: ignore[misc]
        async def async_sleep(self, seconds):
            self.sleep(seconds)
            await trio.lowlevel.checkpoint()

    async def main():
        async with make_async_client(clock=TrioClock()) as client:
            server.script(error(503, "later"))
            whole = await client.rerank(**CALL)
            split = await client.rerank(**CALL, max_documents_per_request=1)
        async with AsyncClientV2(base_url="local:") as local:
            assert (await local.rerank(**CALL)).results
        return whole, split

    whole, split = trio.run(main)
    assert ranking(whole) == ranking(split) == BEST_FIRST


# Names of the official package -------------------------------------------------------------------

OTHER_ENDPOINTS = {"GenerateStreamError"}


def test_official_names_are_ours():
    """What the official package has at its top level for v2 rerank, and in its errors module."""
    cohere = pytest.importorskip("cohere")
    starts = ("V2Rerank", "RerankRelevant", "ApiMeta", "ClientV2", "AsyncClientV2", "ClientEnvironment", "Default")
    wanted = {name for name in cohere.__all__ if name.startswith(starts) or name.endswith("Error")}
    assert len(wanted) > 20
    assert wanted - OTHER_ENDPOINTS <= set(cohere_rerank.__all__)
    import cohere.errors

    assert {name for name in dir(cohere.errors) if name.endswith("Error")} <= set(dir(cohere_rerank.errors))


def test_official_request_options_are_ours():
    """Every key of the official RequestOptions, and ``deadline``, which is ours."""
    pytest.importorskip("cohere")
    from cohere.core.request_options import RequestOptions

    assert set(RequestOptions.__annotations__) | {"deadline"} == set(cohere_rerank.RequestOptions.__annotations__)


def test_a_copy_for_another_local_scorer_is_answered_by_it():
    """Copies share a pool, not the engine of another address."""
    client = ClientV2(base_url="local:lexical")
    client.rerank(model="m", query="q", documents=["d"])
    with pytest.raises(errors.InvalidRequestError, match="nosuch"):
        client.with_options(base_url="local:nosuch").rerank(model="m", query="q", documents=["d"])


def test_the_deadline_bounds_an_asynchronous_key_too(server):
    """Fetching a key is part of the call."""

    async def key():
        await asyncio.sleep(60)
        return "k"

    async def scenario():
        async with AsyncClientV2(key, base_url=server.url, deadline=0.05) as client:
            with pytest.raises(errors.DeadlineExceededError):
                await client.rerank(**CALL)

    asyncio.run(scenario())
    assert server.requests == []


def test_a_failure_before_sending_counts_no_attempt(server, make_either):
    """``attempts`` is the number of requests sent."""

    def key():
        return 3

    with pytest.raises(errors.InvalidRequestError) as caught:
        make_either(key).rerank(**CALL)
    assert caught.value.attempts == 0


def test_an_asynchronous_fallback_is_refused():
    """It would run in a thread, where nobody awaits it."""

    async def scores(query, documents):
        return [0.5] * len(documents)

    with pytest.raises(errors.InvalidRequestError, match="async"):
        ClientV2("k", fallback=scores)
