"""The test server behaves like the documented API and fails on demand."""

from __future__ import annotations

import gc
import socket
import threading
import zlib
from contextlib import ExitStack, suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.testing import FakeClock
from tests.fake_server import (
    Server,
    deep_json,
    delayed,
    drip,
    error,
    good_reply,
    gzip_bomb,
    hang,
    hang_up,
    html,
    huge,
    redirect,
    reply,
    reset,
    score,
    truncated,
)

ASK = {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b", "c"]}


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=5) as client:
        yield client


def ask(http, **changes):
    body = {name: value for name, value in {**ASK, **changes}.items() if value is not ...}
    return http.post("/v2/rerank", json=body)


def test_a_valid_request_is_ranked(http):
    """Results are sorted by scores that depend on the texts alone. A hundred documents cost one search unit."""
    got = ask(http, documents=[str(i) for i in range(101)], top_n=7).json()
    expected = sorted(range(101), key=lambda i: -score("q", str(i)))[:7]
    assert [item["index"] for item in got["results"]] == expected
    assert got["results"][0]["relevance_score"] == score("q", str(expected[0]))
    assert got["meta"] == {"api_version": {"version": "2"}, "billed_units": {"search_units": 2.0}}


def test_spans_point_into_the_text(http):
    """Spans are code point offsets of the query's words, best first."""
    text = "𝒳 words of q and words"
    options = {"mode": "enabled", "threshold": 0.0}
    got = ask(http, query="words q", documents=[text], relevant_spans=options).json()
    spans = got["results"][0]["relevant_spans"]
    assert sorted(text[span["start"] : span["end"]] for span in spans) == ["q", "words", "words"]
    assert [span["score"] for span in spans] == sorted((span["score"] for span in spans), reverse=True)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"top_k": 3}, 422, "unknown field: parameter 'top_k' is not a valid field"),
        ({"top_n": None}, 422, "'top_n' must not be null"),
        ({"top_n": 0}, 400, "top_n is out of range"),
        ({"top_n": "3"}, 422, "must be an integer"),
        ({"priority": 1000}, 400, "priority is out of range"),
        ({"query": "  "}, 400, "query must not be empty or be only whitespace"),
        ({"documents": []}, 400, "list of documents must not be empty"),
        ({"documents": ["a", ""]}, 400, "document at index 1 cannot be empty"),
        ({"documents": [{"text": "a"}]}, 422, "document at index 0 must be a string"),
        ({"documents": ["a"] * 10_001}, 400, "number of total max chunks"),
        ({"model": ...}, 400, "a model parameter is required for this endpoint."),
    ],
)
def test_an_invalid_request_is_rejected_as_documented(http, changes, status, message):
    """Invalid bodies get the documented status and message."""
    got = ask(http, **changes)
    assert got.status_code == status
    assert message in got.json()["message"]
    assert set(got.json()) == {"id", "message"}


def test_keys_and_paths_are_checked(server, http):
    """An unknown key gets 401, an unknown path 404, and broken JSON 400."""
    assert http.post("/v3/rerank", json=ASK).status_code == 404
    assert http.get("/v2/rerank").status_code == 404
    assert http.post("/v2/rerank", content=b"{").status_code == 400
    server.keys = {"right"}
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer right"}, 200),
    ):
        assert http.post("/v2/rerank", json=ASK, headers=headers).status_code == status


def test_requests_are_recorded(server, http):
    """Method, path with query, headers in order, body and connection number are kept."""
    http.post("/v2/rerank?a=1", json=ASK, headers={"X-One": "1"})
    ask(http)
    first, second = server.requests
    assert (first.method, first.path, first.json) == ("POST", "/v2/rerank?a=1", ASK)
    assert ("X-One", "1") in first.headers and first.header("x-one") == "1" and first.header("x-two") is None
    assert (first.connection, second.connection, server.n_connections) == (1, 1, 1)
    assert first.time <= second.time


def test_a_script_is_used_up_in_order(server, http):
    """Each scripted reply is sent once, and then the default."""
    server.script(error(503, "later"), reply(418, text="teapot"), good_reply())
    assert [ask(http).status_code for _ in range(4)] == [503, 418, 200, 200]
    server.default = html(502)
    assert ask(http).headers["content-type"] == "text/html"


@pytest.mark.parametrize("options", [{"chunked": True}, {"encoding": "gzip"}, {"encoding": "deflate", "chunked": True}])
def test_a_body_arrives_in_any_framing(server, http, options):
    """Chunked and compressed bodies arrive as declared."""
    server.script(reply(json={"text": "x" * 5000}, **options))
    got = ask(http)
    assert got.json() == {"text": "x" * 5000}
    assert ("content-length" in got.headers) != ("chunked" in options)
    assert ask(http).status_code == 200


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (hang_up(), httpx.RemoteProtocolError),
        (reset("start"), httpx.ReadError),
        (reset("head"), httpx.ReadError),
        (reset("body"), httpx.ReadError),
        (truncated(), httpx.RemoteProtocolError),
        (truncated(chunked=True), httpx.RemoteProtocolError),
        (reply(body=b"plain", headers={"content-encoding": "gzip"}), httpx.DecodingError),
    ],
)
def test_faults_are_what_they_say(server, http, fault, raised):
    """httpx reports each broken connection by its name, and the server keeps serving."""
    server.script(fault)
    with pytest.raises(raised):
        ask(http)
    assert ask(http).status_code == 200


@pytest.mark.parametrize("fault", [hang(), drip("head")])
def test_an_endless_reply_ends_with_the_client(server, http, fault):
    """A reply without an end stops when the client disconnects."""
    server.script(fault)
    with pytest.raises(httpx.ReadTimeout):
        # Each byte resets httpx's timer, so only a timeout below the interval fires.
        http.post("/v2/rerank", json=ASK, timeout=httpx.Timeout(5, read=0.005))
    server.wait_until(lambda s: s.n_open == 0 and s.n_in_flight == 0)


@pytest.mark.parametrize("where", ["body", "1xx"])
def test_a_drip_continues_until_the_client_disconnects(server, where):
    """Bytes keep arriving until the client disconnects."""
    server.script(drip(where, interval_s=0.001))
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        for _ in range(10):
            assert raw.recv(65536)
    server.wait_until(lambda s: s.n_open == 0)


def test_a_connection_that_arrives_while_the_server_stops_is_closed():
    """The event loop accepts the connection in the turn in which the server stops."""
    with ExitStack() as sockets:
        with Server() as running:
            go = threading.Event()
            running._loop.call_soon_threadsafe(go.wait)
            late = [sockets.enter_context(socket.create_connection(("127.0.0.1", running.port), 5)) for _ in range(3)]
            releasing = threading.Timer(0.05, go.set)
            releasing.start()
        releasing.join()
        for connection in late:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        gc.collect()  # warns of what was left open, and a warning fails the test


def test_a_disconnect_inside_a_request_causes_no_logged_error(caplog):
    """The error response goes to a closed socket, and nothing is logged as unhandled."""
    with Server() as running:
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", running.port), timeout=5) as raw:
                raw.sendall(b"POST /v2/rerank HT")
        running.wait_until(lambda s: s.n_connections == 100 and s.n_open == 0)
    assert not caplog.records


def test_large_bodies_are_valid_replies(server, http):
    """Huge bodies and compression bombs are valid JSON, so that only a size limit can reject them."""
    server.script(huge(300_000), huge(300_000, chunked=True), gzip_bomb(2_000_000))
    for at_least in (190_000, 190_000, 2_000_000):
        got = ask(http)
        assert len(got.content) > at_least and got.json() == {"results": []}
    assert len(zlib.compress(got.content)) < 10_000


def test_deep_json_is_too_deep(server, http):
    """Python's own parser fails on the nesting."""
    server.script(deep_json())
    with pytest.raises(RecursionError):
        ask(http).json()


def test_a_redirect_names_its_target(server, http):
    """Status and location arrive as given."""
    server.script(redirect(307, "/v2/other"))
    got = ask(http)
    assert (got.status_code, got.headers["location"]) == (307, "/v2/other")


def test_held_replies_are_sent_after_the_block(server):
    """Held requests are all in flight at once, and all get their replies afterwards."""
    statuses = []

    def one():
        statuses.append(httpx.post(server.url + "/v2/rerank", json=ASK).status_code)

    threads = [threading.Thread(target=one) for _ in range(4)]
    with server.hold_replies():
        for thread in threads:
            thread.start()
        server.wait_until(lambda s: s.n_in_flight == 4)
        assert statuses == []
    for thread in threads:
        thread.join(5)
    assert statuses == [200] * 4 and server.max_in_flight == 4 and server.n_connections == 4


def test_a_dropped_connection_is_replaced(server, http):
    """A client connects again after a restart of the server or an unannounced close."""
    ask(http)
    server.drop_connections()
    ask(http)
    server.script(reply(json={}, close=True), delayed(0.0, good_reply()))
    ask(http)
    server.wait_until(lambda s: s.n_open == 0)
    assert ask(http).status_code == 200 and server.n_connections == 3


def test_tls_needs_the_authority():
    """The trusted certificate needs its authority. The self-signed one is never trusted."""
    with Server(tls="trusted") as server:
        assert httpx.post(server.url + "/v2/rerank", json=ASK, verify=server.client_ssl_context()).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.post(server.url + "/v2/rerank", json=ASK)
    with (
        Server(tls="self-signed") as server,
        pytest.raises(httpx.ConnectError, match="self-signed"),
    ):
        httpx.post(server.url + "/v2/rerank", json=ASK, verify=server.client_ssl_context())


@given(st.lists(st.floats(0, 100)))
def test_the_clock_passes_only_by_sleeping(waits):
    """The time is the sum of the sleeps."""
    clock = FakeClock(now=0.0)
    for wait in waits:
        clock.sleep(wait)
    assert clock.sleeps == waits
    assert clock.monotonic() == clock.time() == pytest.approx(sum(waits))
