"""ClientV2 and AsyncClientV2 are one client with and without ``await``: same surface, same behaviour."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from cohere_rerank import (
    AsyncClientV2,
    ClientOptions,
    ClientV2,
    CommonArguments,
    InvalidRequestError,
    RerankArguments,
    RetryPolicy,
)
from cohere_rerank import _raw_response as _raw
from cohere_rerank.testing import FakeClock
from tests.fake_server import Server, good_reply, hang_up, html, redirect, reply, reset, truncated

CALL: dict[str, Any] = {"model": "rerank-v3.5", "query": "q", "documents": ["a", {"text": "b"}, "c"]}
PAIRS = [(ClientV2, AsyncClientV2), (_raw.RawClientV2, _raw.AsyncRawClientV2)]
ONLY_BLOCKING = {"__enter__", "__exit__"}
ONLY_ASYNC = {"__aenter__", "__aexit__", "aclose"}
SHARED_PUBLIC = ["__init__", "close", "rerank", "with_options", "with_raw_response", "v2"]


def members(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


# Surface -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS)
def test_both_have_the_same_members(blocking, asynchronous):
    """Only ``aclose`` and the kind of context manager differ."""
    assert members(blocking) == members(asynchronous) - ONLY_ASYNC
    for kind, own in [(ClientV2, ONLY_BLOCKING), (AsyncClientV2, ONLY_ASYNC)]:
        assert all(hasattr(kind, name) for name in own)


@pytest.mark.parametrize("name", SHARED_PUBLIC)
def test_signatures_are_the_same(name):
    """Parameters, kinds, defaults and annotations; what is returned may name the asynchronous twin."""
    blocking, asynchronous = (inspect.getattr_static(kind, name) for kind in (ClientV2, AsyncClientV2))
    if isinstance(blocking, property):
        blocking, asynchronous = blocking.fget, asynchronous.fget
    ours, theirs = inspect.signature(blocking), inspect.signature(asynchronous)
    assert ours.parameters == theirs.parameters
    assert str(theirs.return_annotation).replace("Async", "") == str(ours.return_annotation)


def test_common_arguments_of_a_batch_are_those_of_rerank():
    """All of them, none required."""
    assert CommonArguments.__annotations__.keys() == RerankArguments.__annotations__.keys()
    assert not CommonArguments.__required_keys__


def test_client_options_are_the_settings():
    """``with_options`` names for type checkers what it takes: the constructor's settings that a copy can change."""
    of_connections = {"max_connections": 1, "proxy": "http://127.0.0.1:9", "verify": False}
    settings = vars(ClientV2("k")._config).keys() - of_connections.keys() - {"cloud"}  # it follows from the address
    assert ClientOptions.__annotations__.keys() == settings
    for name, value in of_connections.items():
        with pytest.raises(InvalidRequestError, match=f"cannot change {name}"):
            ClientV2("k").with_options(**{name: value})


def test_raw_responses_take_the_same_arguments():
    """``with_raw_response.rerank`` names for type checkers what rerank takes, and what it needs."""
    parameters = dict(list(inspect.signature(ClientV2.rerank).parameters.items())[1:])
    assert parameters.pop("others").kind is inspect.Parameter.VAR_KEYWORD
    assert RerankArguments.__annotations__.keys() == parameters.keys()
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert RerankArguments.__required_keys__ == required
    with pytest.raises(TypeError, match="model"):
        ClientV2("k").with_raw_response.rerank(query="q", documents=[])


def test_what_needs_await_is_a_coroutine():
    """And the blocking client has none."""
    for name in ("rerank", "close", "__aenter__", "__aexit__", "aclose"):
        assert inspect.iscoroutinefunction(getattr(AsyncClientV2, name))
    assert inspect.iscoroutinefunction(_raw.AsyncRawClientV2.rerank)
    for kind in (ClientV2, _raw.RawClientV2):
        assert not any(inspect.iscoroutinefunction(getattr(kind, name)) for name in members(kind))


@pytest.mark.parametrize("kind", [*PAIRS[0], *PAIRS[1]])
def test_every_public_member_has_a_docstring(kind):
    """In one sentence at least; the asynchronous one may point to its twin."""
    assert kind.__doc__
    for name in members(kind):
        assert inspect.getdoc(inspect.getattr_static(kind, name)), name
    assert inspect.getdoc(kind.__init__)


@pytest.mark.parametrize("name", ["__init__", "rerank"])
def test_docstrings_name_every_parameter(name):
    """Of the constructor and of rerank: each has a line in Args."""
    function = getattr(ClientV2, name)
    documented = inspect.getdoc(function)
    for parameter in list(inspect.signature(function).parameters)[1:]:
        assert f"{parameter}:" in documented, parameter


# Behaviour ---------------------------------------------------------------------------------------


class Scenario:
    """Replies of the server, options of the client, arguments of the calls."""

    def __init__(self, *replies: Any, options: dict[str, Any] | None = None, calls: Any = ({},)) -> None:
        self.replies = replies
        self.options = {"retry_policy": RetryPolicy(jitter=0), **(options or {})}
        self.calls = calls


def error(status, message, **options):
    """An error whose id is always the same."""
    return reply(status, json={"id": "r1", "message": message}, **options)


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "answer": Scenario,
    "several calls": lambda: Scenario(calls=[{}, {"top_n": 1}, {"documents": []}]),
    "every argument": lambda: Scenario(
        calls=[
            {
                "top_n": 2,
                "max_tokens_per_doc": 9,
                "priority": 1,
                "min_score": 0.1,
                "rank_fields": ["text"],
                "relevant_spans": {"mode": "enabled", "threshold": 0},
                "request_options": {
                    "additional_headers": {"x-a": 1},
                    "additional_body_parameters": {"priority": 2},
                    "additional_query_parameters": {"b": ["c", "d"]},
                    "timeout": 9,
                },
            }
        ]
    ),
    "split": lambda: Scenario(options={"max_documents_per_request": 1}),
    "split in part": lambda: Scenario(calls=[{"max_documents_per_request": 2, "top_n": 1}]),
    "one repeat": lambda: Scenario(error(503, "later")),
    "two repeats": lambda: Scenario(hang_up(), reset("body")),
    "too many failures": lambda: Scenario(error(503, "1"), truncated(), error(500, "3", headers={"x-request-id": "r"})),
    "a repeat that fails for good": lambda: Scenario(error(503, "later"), error(400, "no")),
    "hints": lambda: Scenario(
        error(429, "slow", headers={"retry-after": "7"}), error(429, "slow", headers={"retry-after-ms": "50"})
    ),
    "a hint too long": lambda: Scenario(error(429, "slow", headers={"retry-after": "999"})),
    "429 without a hint": lambda: Scenario(error(429, "slow")),
    "monthly quota": lambda: Scenario(error(429, "1000 API calls / month")),
    "wrong key": lambda: Scenario(error(401, "invalid api token")),
    "no results": lambda: Scenario(reply(json={"results": None, "id": "x"})),
    "index out of range": lambda: Scenario(reply(json={"results": [{"index": 9, "relevance_score": 0.5}]})),
    "a page": lambda: Scenario(html(200)),
    "moved for now": lambda: Scenario(redirect(307, "/v2/rerank")),
    "moved away": lambda: Scenario(redirect(307, "http://127.0.0.1:9/v2/rerank")),
    "too large": lambda: Scenario(reply(json={"results": [], "pad": "x" * 999}), options={"max_response_bytes": 500}),
    "fallback": lambda: Scenario(*[error(503, "no")] * 3, options={"fallback": "local"}),
    "fallback that fails": lambda: Scenario(
        *[error(503, "no")] * 3, options={"fallback": lambda query, documents: [2] * 3}
    ),
    "budget": lambda: Scenario(
        *[error(503, "no")] * 4, options={"retry_policy": RetryPolicy(budget=1, jitter=0)}, calls=[{}, {}, {}, {}]
    ),
    "no repeats": lambda: Scenario(error(503, "no"), calls=[{"request_options": {"max_retries": 0}}, {}]),
    "bad input": lambda: Scenario(calls=[{"top_n": 0}, {"documents": "a"}, {"request_options": {"x": 1}}]),
    "local": lambda: Scenario(options={"base_url": "local:"}),
    "local scorer that fails": lambda: Scenario(
        options={"base_url": "local:", "scorer": lambda query, documents: [0.5]}
    ),
}


def outcome(response=None, failure=None):
    """What a call came to, as values that can be compared."""
    if failure is None:
        documents = [item.document for item in response.data.results]
        status = response.status_code
        return response.data.model_dump(exclude={"id"}), documents, response.data.is_fallback, status
    facts = ("status_code", "body", "attempts", "waited_s", "retry_after", "part")
    return type(failure).__name__, str(failure), {name: getattr(failure, name, None) for name in facts}


def run_blocking(server, scenario, clock):
    outcomes = []
    with ClientV2("key", **{"base_url": server.url, "clock": clock, **scenario.options}) as client:
        for change in scenario.calls:
            try:
                outcomes.append(outcome(client.with_raw_response.rerank(**{**CALL, **change})))
            except Exception as failure:
                outcomes.append(outcome(failure=failure))
    return outcomes


async def run_async(server, scenario, clock):
    outcomes = []
    async with AsyncClientV2("key", **{"base_url": server.url, "clock": clock, **scenario.options}) as client:
        for change in scenario.calls:
            try:
                outcomes.append(outcome(await client.with_raw_response.rerank(**{**CALL, **change})))
            except Exception as failure:
                outcomes.append(outcome(failure=failure))
    return outcomes


def seen(server):
    """What the server was asked, in an order that does not depend on who was first."""
    names = ("authorization", "content-type", "user-agent", "accept-encoding", "x-a", "x-client-name")
    return sorted((r.method, r.path, r.body, *(r.header(name) or "" for name in names)) for r in server.requests)


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_do_the_same(name):
    """Same requests, same outcomes down to the text of an error, same waits."""
    results = []
    for run in (run_blocking, lambda *arguments: asyncio.run(run_async(*arguments))):
        with Server() as server:
            scenario, clock = SCENARIOS[name](), FakeClock()
            server.script(*scenario.replies)
            server.default = good_reply()
            outcomes = run(server, scenario, clock)
            results.append((outcomes, seen(server), clock.sleeps))
    assert results[0] == results[1]
    assert len(results[0][0]) == len(list(SCENARIOS[name]().calls))
