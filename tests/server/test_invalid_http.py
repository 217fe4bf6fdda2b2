"""Data that is not valid HTTP, on a raw socket. It gets a JSON error with a message and an id."""

from __future__ import annotations

import json
import re
import socket

import h11
import httpx
import pytest

from tests.server.running_server import TIMEOUT_S, RunningServer, program

HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
BAD_CHUNK = b"no size\r\n{}\r\n"
NO_HTTP = {
    "garbage": b"GARBAGE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "length": HEAD + b"content-length: many\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n" + BAD_CHUNK,
}


def test_a_client_that_speaks_tls_is_named_in_the_log(running, caplog):
    """An operator sees that the address of a client begins with https://."""
    running.raw(NO_HTTP["TLS"])
    assert [
        record
        for record in caplog.records
        if "a client speaks TLS, but this server needs http://" in record.getMessage()
    ]


@pytest.fixture(scope="module")
def running():
    with RunningServer(max_body_bytes=1000) as started:
        yield started


def read(answer):
    """Return the status, headers and body of exactly one response. A strict parser must accept it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers={"host": "x"}.items()))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer)
    connection.receive_data(b"")
    response, body = connection.next_event(), b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert connection.next_event() in (h11.NEED_DATA, h11.PAUSED) or connection.their_state is h11.CLOSED
    return response.status_code, {name.decode(): value.decode() for name, value in response.headers}, json.loads(body)


@pytest.mark.parametrize("name", NO_HTTP)
def test_invalid_http_gets_json(running, name):
    """Invalid HTTP gets a 400 with the usual headers. The connection closes, and the server keeps serving."""
    status, headers, body = read(running.raw(NO_HTTP[name]))
    assert (status, headers["content-type"], headers["connection"]) == (400, "application/json", "close")
    assert headers["x-content-type-options"] == "nosniff"
    assert body == {"id": headers["x-request-id"], "message": "the server cannot read this as an HTTP request"}
    assert running.post().status_code == 200


@pytest.mark.parametrize("method", ["POST", "GET", "CONNECT", "HEAD"])
def test_a_broken_body_gets_one_response_and_logs_no_error(running, caplog, method):
    """The application may already respond, so only one response is sent. The response to HEAD has no body."""
    sent = HEAD.replace(b"POST", method.encode()) + b"transfer-encoding: chunked\r\n\r\n" + BAD_CHUNK
    got = running.raw(sent)
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.endswith(b"\r\n\r\n" if method == "HEAD" else b"}")
    assert running.post().status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_log_has_the_id_of_the_response_and_no_data_of_the_client():
    """The log line is JSON with the id of the response, without the data of the client."""
    with program() as started:
        address = httpx.URL(started.url)
        for sent in (
            b"SECRET\r\n\r\n",
            HEAD.replace(b"POST", b"HEAD") + b"transfer-encoding: chunked\r\n\r\nSECRET\r\n",
        ):
            with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
                connection.sendall(sent)
                got = b"".join(iter(lambda: connection.recv(65536), b""))
        started.stop()
    request_id = re.search(rb"x-request-id: (\S+)", got, re.IGNORECASE)[1].decode()
    assert request_id in [record.get("request_id") for record in started.records()]
    assert "SECRET" not in "".join(started.lines)


def test_data_after_a_response_causes_no_error(running, caplog):
    """A body that breaks HTTP after its 413 causes no second response and no logged error."""
    with socket.create_connection(("127.0.0.1", running.port), TIMEOUT_S) as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n7d0\r\n" + b" " * 2000 + b"\r\n")
        got = b""
        while b"body must be at most" not in got:
            got += connection.recv(65536)
        connection.sendall(BAD_CHUNK)
        got += b"".join(iter(lambda: connection.recv(65536), b""))
    assert got.count(b"HTTP/1.1 ") == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_workers_respond_in_json_too():
    """Workers respond to invalid HTTP in JSON too."""
    with program("--workers", "2") as started:
        address = httpx.URL(started.url)
        with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
            connection.sendall(NO_HTTP["garbage"])
            status, _, body = read(b"".join(iter(lambda: connection.recv(65536), b"")))
    assert (status, list(body)) == (400, ["id", "message"])
