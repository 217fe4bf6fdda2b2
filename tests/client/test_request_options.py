"""The official client's per-call options: timeouts, headers, parameters of query and body."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest

from cohere_rerank import errors
from tests.adapters import client_with_handler
from tests.client.calls import BEST_FIRST, CALL, ranking
from tests.fake_server import hang, reply

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

    client = client_with_handler(make_either, answer, clock=clock, strict=False, **settings)
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
    make_either(strict=False).rerank(**CALL, top_n=2, request_options=options)
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
