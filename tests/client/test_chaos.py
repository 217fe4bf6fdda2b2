"""Hostile servers and a client with nothing but ``timeout=``: no call is late, untyped or wrong."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, CohereRerankError, RetryPolicy
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
    raw,
    redirect,
    reply,
    reset,
    respond,
    score,
    truncated,
)

CALL = {"model": "m", "query": "which bird", "documents": ["a penguin", "a swallow", "a train"]}
TIMEOUT_S = 0.4
MARGIN_S = 1.0  # of the default deadline
SLACK_S = 15.0  # for a busy machine; what drips does so for minutes


def slowly(start, again, interval_s=0.02):
    """Send the start, then the other bytes again and again without end."""

    async def send(exchange):
        await exchange.send(start)
        while True:
            await exchange.send(again)
            await asyncio.sleep(interval_s)

    return send


def slow_whole_reply(interval_s=0.05):
    """A valid reply, one byte after another: it takes longer than any timeout here."""

    async def send(exchange):
        _, data = respond(exchange.request.body)
        body = json.dumps(data).encode()
        await exchange.send_head(200, [("content-length", str(len(body)))])
        for byte in body:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(interval_s)

    return send


JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BEHAVIOURS = {
    "good": good_reply(),
    "slow but in time": delayed(TIMEOUT_S / 8, good_reply()),
    "drips a body": drip("body"),
    "drips a head": drip("head"),
    "drips informational replies": drip("1xx"),
    "drips chunks": slowly(JSON + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "drips an error": slowly(b"HTTP/1.1 503 Down\r\ncontent-length: 99999\r\n\r\n", b"x"),
    "drips gzip": slowly(
        JSON + b"content-encoding: gzip\r\ncontent-length: 99999\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\0"
    ),
    "drips a valid reply": slow_whole_reply(),
    "sends headers without end": slowly(b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 4000 + b"\r\n", 0),
    "sends a body without end": slowly(
        JSON + b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n", 0
    ),
    "never answers": hang(),
    "answers too late": delayed(60, good_reply()),
    "hangs inside the body": slowly(JSON + b"content-length: 99\r\n\r\n{", b"", 600),
    "hangs up": hang_up(),
    "resets": reset("start"),
    "resets inside the head": reset("head"),
    "resets inside the body": reset("body"),
    "truncates": truncated(),
    "truncates chunks": truncated(chunked=True),
    "closes after each reply": raw(b"HTTP/1.0 200 OK\r\n\r\n{}"),
    "speaks SSH": raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "sends random bytes": raw(random.Random(1).randbytes(5000)),
    "sends a huge reply": huge(64_000_000),
    "sends a bomb": gzip_bomb(50_000_000),
    "sends deep JSON": deep_json(),
    "sends an empty reply": reply(200),
    "sends a page": html(200),
    "sends a page with 404": html(404),
    "sends a page with 502": html(502),
    "is overloaded": error(503, "Model is overloaded"),
    "asks to wait for days": error(503, "later", headers={"retry-after": "999999"}),
    "asks to wait for a minute": error(429, "slow down", headers={"retry-after": "60"}),
    "asks to wait until a past date": error(429, "slow down", headers={"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    "asks for an epoch in milliseconds": error(429, "slow down", headers={"x-ratelimit-reset": "1795996800000"}),
    "limits without a hint": error(429, "slow down"),
    "refuses the key": error(401, "no"),
    "redirects to itself": redirect(307, ""),
    "redirects for ever": redirect(308, "/redirects for ever/v2/rerank"),
    "answers with other indices": reply(json={"results": [{"index": 7, "relevance_score": 0.5}] * 3}),
    "answers with NaN": reply(text='{"results": [{"index": 0, "relevance_score": NaN}]}'),
    "answers too little": reply(json={"results": []}),
}


class HostileServer(Server):
    """A server whose behaviour is the first part of the path."""

    def __init__(self):
        super().__init__()
        self.keeps_requests = False

    def next_reply(self, request):
        return BEHAVIOURS[urlsplit(request.path).path.split("/")[1].replace("%20", " ")]

    def respond(self, request):
        return respond(request.body)


@contextmanager
def port_that(name):
    """A port below HTTP: it accepts nothing, reads nothing, or drips a TLS handshake."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if name == "accepts nothing" else 64)
        port = listener.getsockname()[1]
        if name == "accepts nothing":
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
        if name == "drips TLS":
            stop = threading.Event()
            stack.callback(stop.set)
            threading.Thread(target=drip_tls, args=(listener, stop), daemon=True).start()
        yield port


def drip_tls(listener, stop):
    """Begin a TLS record of 16 kB on each connection, and send one byte of it after another."""
    listener.settimeout(0.02)
    connections = []
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
            connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
            connections.append(connection)
        except OSError:  # also the timeout of accept()
            pass
        for connection in connections:
            try:
                connection.send(b"x")
            except OSError:
                continue
    for connection in connections:
        connection.close()


PORTS = ("accepts nothing", "reads nothing", "drips TLS", "reads no TLS")


@pytest.fixture(scope="module")
def addresses():
    """The address of each behaviour."""
    with HostileServer() as server, ExitStack() as stack:
        found = {name: f"{server.url}/{name.replace(' ', '%20')}" for name in BEHAVIOURS}
        found["speaks no TLS"] = server.url.replace("http://", "https://")
        for name in PORTS:
            scheme = "https" if "TLS" in name else "http"
            found[name] = f"{scheme}://127.0.0.1:{stack.enter_context(port_that(name))}"
        yield found


class Outcomes:
    """What the calls came to, checked one by one.

    Attributes:
        late_s: Seconds that each call took beyond its bound; negative if it was in time.
    """

    def __init__(self):
        self.late_s = {}
        self.wrong = []
        self.n_answers = 0

    def add(self, name, outcome, elapsed_s, bound_s, documents):
        self.late_s[name] = elapsed_s - bound_s
        if isinstance(outcome, BaseException):
            if not isinstance(outcome, CohereRerankError):
                self.wrong.append((name, repr(outcome)))
            return
        self.n_answers += 1
        right = sorted(range(len(documents)), key=lambda i: (-score(CALL["query"], documents[i]), i))
        if [item.index for item in outcome.results] != right:
            self.wrong.append((name, outcome))

    def check(self):
        assert not self.wrong
        late = {name: f"{late_s:.1f} s" for name, late_s in self.late_s.items() if late_s > SLACK_S}
        assert not late, late


def bound_s(timeout_s, n_retries=2, n_rounds=1):
    """The documented bound: all attempts, and the longest backoffs between them."""
    return n_rounds * ((n_retries + 1) * timeout_s + RetryPolicy().max_backoffs_s(n_retries)) + MARGIN_S


def run_blocking(jobs, outcomes):
    """Make each call in a thread of its own."""

    def one(job):
        name, url, timeout_s, call, bound = job
        start_s = time.monotonic()
        try:
            with ClientV2("k", base_url=url, timeout=timeout_s) as client:
                outcome = client.rerank(**call)
        except Exception as failure:
            outcome = failure
        outcomes.add(name, outcome, time.monotonic() - start_s, bound, call["documents"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, jobs))


def run_async(jobs, outcomes):
    """Make the calls as tasks of one loop, sixteen at once."""

    async def one(job, places):
        name, url, timeout_s, call, bound = job
        async with places:
            start_s = time.monotonic()
            try:
                async with AsyncClientV2("k", base_url=url, timeout=timeout_s) as client:
                    outcome = await client.rerank(**call)
            except Exception as failure:
                outcome = failure
            outcomes.add(name, outcome, time.monotonic() - start_s, bound, call["documents"])

    async def main():
        places = asyncio.Semaphore(16)
        await asyncio.gather(*(one(job, places) for job in jobs))

    asyncio.run(main())


RUNS = {"sync": run_blocking, "async": run_async}


@pytest.mark.parametrize("kind", RUNS)
def test_a_timeout_alone_bounds_every_call(addresses, kind):
    """Each behaviour once. A call ends in time, with the right answer or with one of our errors."""
    outcomes = Outcomes()
    jobs = [(name, url, TIMEOUT_S, CALL, bound_s(TIMEOUT_S)) for name, url in addresses.items()]
    RUNS[kind](jobs, outcomes)
    assert outcomes.n_answers == 2
    assert len(outcomes.late_s) == len(addresses)
    outcomes.check()


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", RUNS)
def test_a_timeout_alone_bounds_many_calls(addresses, kind, seed):
    """With several timeouts, retries and parts, and large bodies too."""
    chance, outcomes, jobs = random.Random(seed), Outcomes(), []
    for number in range(200):
        name, url = chance.choice(list(addresses.items()))
        timeout_s, n_retries = chance.choice([0.1, 0.5, 1.0]), chance.randrange(4)
        documents = [f"document {i} " + "x" * chance.choice([1, 100_000]) for i in range(chance.randrange(1, 30))]
        call = {**CALL, "documents": documents, "request_options": {"max_retries": n_retries}}
        n_parts = 1
        if chance.random() < 0.3:
            call["max_documents_per_request"] = 3
            n_parts = -(-len(documents) // 3)
        jobs.append((f"{number}: {name}", url, timeout_s, call, bound_s(timeout_s, n_retries, -(-n_parts // 8))))
    RUNS[kind](jobs, outcomes)
    outcomes.check()
