"""Bodies that are too large, too slow, cut short or not valid HTTP, over real sockets."""

from __future__ import annotations

import json
import socket

import pytest

from tests.server.request_helpers import error_message, request_head
from tests.server.running_server import RERANK_BODY, RunningServer, wait_until

LIMIT = 100_000  # of the shared server

CHUNKED_HEAD = (
    b"POST /v2/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_a_declared_length_above_the_limit_is_rejected_at_once(open_server):
    """A declared length above the limit gets 413 before the body is sent."""
    with socket.create_connection(("127.0.0.1", open_server.port), 20) as connection:
        connection.sendall(request_head(LIMIT + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_above_the_limit_is_rejected_while_it_is_read(open_server):
    """A chunked body above the limit gets 413 before its end."""
    with socket.create_connection(("127.0.0.1", open_server.port), 20) as connection:
        connection.sendall(CHUNKED_HEAD)
        piece = b"%x\r\n%b\r\n" % (LIMIT // 2, b" " * (LIMIT // 2))
        connection.sendall(piece * 3)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_longest_body_allowed_is_read(open_server):
    """The limit is inclusive, and the connection stays usable after a 413."""
    body = json.dumps(RERANK_BODY).encode()
    assert open_server.post(body=body + b" " * (LIMIT - len(body))).status_code == 200
    assert str(LIMIT) in error_message(open_server.post(body=body + b" " * (LIMIT + 1 - len(body))), 413)
    assert open_server.post().status_code == 200


def test_a_slow_body_times_out():
    """A body that does not arrive in time gets 408, and its place becomes free."""
    with RunningServer(body_timeout_s=0.05, concurrency=1, queue=0) as running:
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(request_head(10) + b"{")
            reply = connection.makefile("rb").read()
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.05 seconds" in reply
        assert running.post().status_code == 200


def test_a_disconnect_inside_the_body_has_no_effect_on_others(open_server):
    """A client that disconnects inside the body is counted as 499, and the server keeps serving."""
    before = open_server.metric("cohere_rerank_requests_total")
    open_server.raw(request_head(1000) + b"{")
    wait_until(lambda: open_server.metric("cohere_rerank_requests_total") > before + 1)
    assert 'status="499"' in open_server.http.get("/metrics").text
    assert open_server.metric("cohere_rerank_admitted") == 0


NO_HTTP = [b"hello\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"]


@pytest.mark.parametrize("sent", NO_HTTP, ids=["a word", "HTTP/0.9", "no Host", "TLS"])
def test_invalid_http_does_not_stop_the_server(open_server, sent):
    """Invalid HTTP gets 400, and the next request is served."""
    assert open_server.raw(sent).startswith(b"HTTP/1.1 400 ")
    assert open_server.post().status_code == 200


def test_endless_headers_are_rejected(open_server):
    """Headers without end get 400 at a fixed size."""
    with socket.create_connection(("127.0.0.1", open_server.port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 8_200)  # 65,600 bytes
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_rejected_body_is_not_kept_in_memory():
    """A client may keep sending after a 413. The server discards the data, and the connection stays usable."""
    with RunningServer(max_body_bytes=1000) as running:
        before = running.metric("process_resident_memory_bytes")
        n_bytes = 200_000_000
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(request_head(n_bytes))
            for _ in range(n_bytes // 1_000_000):
                connection.sendall(b" " * 1_000_000)
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200 OK" in connection.recv(65536)
        assert running.metric("process_resident_memory_bytes") - before < 100_000_000
