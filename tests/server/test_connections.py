"""Hostile connections: too many, silent, slow, in tiny pieces, or with ambiguous framing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from cohere_rerank.server import protocol
from tests.server.request_helpers import request_head
from tests.server.running_server import (
    RERANK_BODY,
    TIMEOUT_S,
    RunningServer,
    ServeProgram,
    command_line,
    program,
    wait_until,
    workers_of,
)

HEAD = b"POST /v2/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="uses /proc and limits of POSIX")


@pytest.fixture
def running():
    with RunningServer() as started:
        yield started


@contextmanager
def connected(port, sent=b""):
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(sent)
        yield connection


def read_all(connection):
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionResetError:
        return b""


# Framing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], ids=["first", "second"])
def test_two_framings_close_the_connection(running, first):
    """A request with Content-Length and Transfer-Encoding gets 400, and nothing after it is read (RFC 9112, 6.3)."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    body = b"2\r\n{}\r\n0\r\n\r\n"
    got = running.raw(first + HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + body + smuggled)
    answers = got.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == ([b"200"] if first else []) + [b"400"]


def test_a_body_in_one_byte_chunks_is_rejected(running):
    """h11 needs as long for a chunk of one byte as for a large one, so a body may have 20,000 tiny chunks."""
    with connected(running.port, CHUNKED) as connection:
        sender = threading.Thread(target=send_quietly, args=(connection, b"1\r\n \r\n" * 200_000), daemon=True)
        sender.start()
        got = read_all(connection)
        sender.join(TIMEOUT_S)
    assert not got or b" 400 " in got[:20]
    assert running.post().status_code == 200


def test_a_body_in_small_chunks_is_read(running):
    """A JSON encoder may send a chunk for each token."""
    pieces = json.dumps({**RERANK_BODY, "query": "green tea " * 1500}).encode()
    with connected(running.port, CHUNKED) as connection:
        connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in pieces) + b"0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_tiny_chunks_let_other_connections_have_their_turn(running, monkeypatch):
    """After the first 4 KiB, the server reads at most 64 chunks at once. 64 KiB of them took a second."""
    sizes = []
    receive_data = protocol._StrictConnection.receive_data

    def record(self, data):
        sizes.append(len(data))
        receive_data(self, data)

    monkeypatch.setattr(protocol._StrictConnection, "receive_data", record)
    with connected(running.port, CHUNKED + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert sizes[0] <= 4096
    assert max(sizes[1:]) <= 64 * 6


def test_large_chunks_are_read_in_large_parts(running, monkeypatch):
    """A chunk of 64 KiB does not cost 200 reads."""
    sizes = []
    receive_data = protocol._StrictConnection.receive_data
    monkeypatch.setattr(
        protocol._StrictConnection,
        "receive_data",
        lambda self, data: (sizes.append(len(data)), receive_data(self, data))[1],
    )
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with connected(running.port, CHUNKED + chunk * 20 + b"0\r\n\r\n") as connection:
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert len(sizes) < 200


def test_a_response_is_sent_at_once(running):
    """Its head and its body are one packet, which the system does not delay."""
    with connected(running.port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as connection:
        assert connection.recv(65_536).endswith(b'{"status":"ok"}')
        (served,) = running.connections()
        served_socket = served.transport.get_extra_info("socket")
        assert served_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize("path", [b"/health", b"/nowhere"])
def test_a_response_without_a_body_is_sent(running, path):
    """The response to HEAD has only a head, and the connection stays open."""
    head = b"HEAD " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(running.port) as connection:
        for _ in range(2):
            connection.sendall(head)
            assert connection.recv(65_536).endswith(b"\r\n\r\n")


def send_quietly(connection, data):
    with suppress(OSError):  # the server closed the connection
        connection.sendall(data)


# Time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["silent", "half a head"])
def test_a_connection_without_a_request_is_closed(monkeypatch, sent):
    """The head of a request must arrive in time, 10 seconds by default."""
    monkeypatch.setattr(protocol, "_HEAD_TIMEOUT_S", 0.05)
    with RunningServer() as running, connected(running.port, sent) as connection:
        assert read_all(connection) == b""


def test_a_slow_second_head_is_closed_too(monkeypatch):
    """One byte of a next request does not keep the connection open."""
    monkeypatch.setattr(protocol, "_HEAD_TIMEOUT_S", 0.2)
    with RunningServer() as running:
        with connected(running.port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as connection:
            got = b""
            while b"}" not in got:
                got += connection.recv(65536)
            connection.sendall(b"G")
            assert read_all(connection) == b""


def test_a_body_without_progress_times_out(monkeypatch):
    """A client that stops inside its body gets 408 long before the time for the whole body."""
    monkeypatch.setattr("cohere_rerank.server.http._PROGRESS_TIMEOUT_S", 0.05)
    with RunningServer(body_timeout_s=1000) as running, connected(running.port, request_head(10) + b"{") as connection:
        assert b"no data of the request's body arrived for 0.05 seconds" in read_all(connection)


def test_the_rest_of_a_rejected_body_is_not_read_for_ever(monkeypatch):
    """After a response, the client has a limited time to finish its body."""
    monkeypatch.setattr(protocol, "_DISCARD_TIMEOUT_S", 0.05)
    with RunningServer() as running:
        with connected(running.port, request_head(10**6, "/nowhere")) as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 404")
            wait_until(lambda: is_broken(connection))


def is_broken(connection):
    try:
        connection.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch):
    """A response that is not read does not stay in memory."""
    monkeypatch.setattr(protocol, "_STALL_TIMEOUT_S", 0.1)
    documents = ["green tea " * 500] * 2000
    body = json.dumps({"query": "tea", "documents": documents}).encode()  # Jina's form returns all documents
    with RunningServer() as running:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        with connection:
            connection.sendall(request_head(len(body), "/rerank") + body)
            wait_until(lambda: running.metric("cohere_rerank_documents_total") == 2000)
            wait_until(lambda: not any(c.transport.get_write_buffer_size() for c in running.connections()))


# Number -------------------------------------------------------------------------------------------


def test_a_new_connection_replaces_the_one_that_is_idle_for_longest(monkeypatch):
    """At the limit, an idle connection is closed and a busy one is kept."""
    monkeypatch.setattr(protocol, "max_connections", lambda: 3)
    with RunningServer() as running, ExitStack() as stack:
        busy = stack.enter_context(connected(running.port, request_head(10) + b"{"))
        wait_until(lambda: len(running.connections()) == 1)
        idle = [stack.enter_context(connected(running.port)) for _ in range(2)]
        wait_until(lambda: len(running.connections()) == 3)
        new = stack.enter_context(connected(running.port, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
        assert new.recv(12) == b"HTTP/1.1 200"
        assert read_all(idle[0]) == b""
        busy.sendall(b" " * 9)
        assert busy.recv(12) == b"HTTP/1.1 400"


@on_linux
def test_more_connections_than_descriptors_do_no_harm():
    """With 128 descriptors and 300 silent connections, the server responds and its log stays short and JSON."""
    with ExitStack() as stack:
        started = stack.enter_context(program(limit=128))
        address = httpx.URL(started.url)
        for _ in range(300):
            stack.enter_context(socket.create_connection((address.host, address.port), TIMEOUT_S))
        for _ in range(3):
            with httpx.Client(timeout=TIMEOUT_S) as client:
                assert client.get(f"{started.url}/health").status_code == 200
        started.stop()
        assert len(started.records()) < 100


# A blocked log ------------------------------------------------------------------------------------


@on_linux
def test_a_blocked_standard_error_does_not_block_requests():
    """The log waits in a bounded queue of its own."""
    with program("--queue", "1000") as started:
        started.stop_reading()
        with httpx.Client(base_url=started.url, timeout=TIMEOUT_S) as client:
            for _ in range(1000):  # a pipe holds 64 KiB
                client.get("/health", headers={"x-request-id": "x" * 128})
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(TIMEOUT_S) == 0


# The end ------------------------------------------------------------------------------------------


@on_linux
def test_workers_end_with_their_supervisor():
    """After kill -9 of the supervisor, the workers stop and release the port."""
    started = ServeProgram("--workers", "2")
    wait_until(lambda: len(started.workers()) == 2)
    workers = started.workers()
    started.http.close()
    started.stop(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    address = httpx.URL(started.url)
    with socket.create_server((address.host, address.port)):
        pass


def test_scoring_past_the_deadline_gets_503():
    """The scoring loops of the local engine check the deadline of the request."""
    documents = ["green tea and black coffee " * 500] * 500
    with RunningServer(request_timeout_s=0.001) as running:
        response = running.post(body={**RERANK_BODY, "documents": documents})
        assert response.status_code == 503
        assert "scoring took longer than 0.001 s" in response.text


STUCK = """
import sys, time
from cohere_rerank.server import ServerSettings, run, serve, shutdown

def stuck(query, documents):
    print("scoring", file=sys.stderr, flush=True)
    while True:
        pass

run.GRACE_S = 0.1
shutdown.EXIT_S = 15.0
serve(ServerSettings(scorer=stuck, concurrency=1), port=0)
"""


@on_linux
def test_sigterm_ends_the_process_while_a_scorer_has_no_end():
    """A running scorer cannot be stopped, but it does not keep the process from exiting with 0."""
    process = subprocess.Popen([sys.executable, "-c", STUCK], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "running on" in line).partition("running on ")[2].split('"')[0]
        sender = threading.Thread(target=lambda: _post_quietly(f"{url}/v2/rerank"), daemon=True)
        sender.start()
        assert next(line for line in lines if "scoring" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.communicate()


LOCKED = """
import re, sys
from cohere_rerank.server import ServerSettings, run, serve, shutdown

def locked(query, documents):
    print("scoring", file=sys.stderr, flush=True)
    re.match("(a+)+$", "a" * 60 + "b")

run.GRACE_S = 0.1
shutdown.EXIT_S = 0.5
serve(ServerSettings(scorer=locked, concurrency=1), port=0)
"""


@on_linux
def test_sigterm_ends_the_process_while_native_code_keeps_the_lock():
    """A regular expression never releases the interpreter's lock in a thread, so no code of Python could react."""
    process = subprocess.Popen([sys.executable, "-c", LOCKED], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "running on" in line).partition("running on ")[2].split('"')[0]
        sender = threading.Thread(target=lambda: _post_quietly(f"{url}/v2/rerank"), daemon=True)
        sender.start()
        assert next(line for line in lines if "scoring" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()


@on_linux
def test_the_watchdog_ends_with_the_server():
    """Whether the server stops or is killed, its second process does not stay."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with program() as started:
            children = Path(f"/proc/{started.process.pid}/task/{started.process.pid}/children")
            (watchdog,) = children.read_text().split()
            started.stop(how)
            wait_until(lambda: b"select" not in command_line(int(watchdog)))  # noqa: B023


STUCK_WORKER = """
from cohere_rerank.server import ServerSettings, run, serve, shutdown

if __name__ == "__main__":
    run.GRACE_S = 0.1
    shutdown.EXIT_S = 0.5
    serve(ServerSettings(), port=0, workers=2)
"""


@on_linux
def test_the_supervisor_kills_a_worker_that_does_not_stop(tmp_path):
    """A worker that handles no signal is killed when its time is over. SIGSTOP makes such a worker."""
    (tmp_path / "served.py").write_text(STUCK_WORKER, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "served.py"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(workers_of(process.pid)) == 2)
        worker = workers_of(process.pid)[0]
        os.kill(worker, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT_S)
        assert not Path(f"/proc/{worker}").exists()
    finally:
        process.kill()
        process.wait()


def _post_quietly(url):
    with suppress(httpx.TransportError):  # the process ends without a response
        httpx.post(url, json=RERANK_BODY, timeout=TIMEOUT_S)


def test_ready_fails_while_all_threads_are_stuck():
    """A load balancer then sends requests elsewhere. /health still succeeds."""
    go = threading.Event()

    def blocked(query, documents):
        assert go.wait(TIMEOUT_S)
        return [0.0] * len(documents)

    with RunningServer(scorer=blocked, concurrency=2, stuck_after_s=0.01) as running:
        responses = []
        senders = [threading.Thread(target=lambda: responses.append(running.post())) for _ in range(2)]
        senders[0].start()
        wait_until(lambda: running.metric("cohere_rerank_running") == 1)
        assert running.http.get("/ready").status_code == 200
        senders[1].start()
        wait_until(lambda: running.http.get("/ready").status_code == 503)
        assert "all threads have been busy" in running.http.get("/ready").text
        assert running.http.get("/health").status_code == 200
        go.set()
        for sender in senders:
            sender.join(TIMEOUT_S)
        assert running.http.get("/ready").status_code == 200
