"""A hostile reply to a small request costs little memory, little CPU time, and never the event loop."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from importlib.metadata import version

import pytest

MIB = 2**20
# pydantic 2.8, the lowest version, keeps more of a reply that it rejects.
MAX_MEMORY = (40 if tuple(map(int, version("pydantic").split(".")[:2])) >= (2, 10) else 80) * MIB
MAX_CPU_S = 1.0
MAX_LAG_S = 0.3  # of CPU time between two turns of the event loop

CHILD = """
import asyncio, json, sys, time
import cohere_rerank._transport.errors  # loads httpx, as the first failure would
from cohere_rerank import AsyncClientV2, ClientV2, errors

kind, url, n_attacks = sys.argv[1:]
call = dict(model="m", query="q", documents=["a", "b", "c"])
options = dict(base_url=url, max_retries=0, deadline=20, strict=False)


def peak():
    # Not getrusage: a child inherits its parent's peak there.
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


lags = [0.0]


def blocking(client):
    client.rerank(**call)


async def watched(client):

    async def watch():
        while True:
            at = time.process_time()
            await asyncio.sleep(0)
            lags.append(time.process_time() - at)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    try:
        await client.rerank(**call)
    finally:
        watching.cancel()


def attacks(rank):
    rank()  # everything is imported and allocated
    lags[:] = [0.0]
    start = peak()
    for _ in range(int(n_attacks)):
        started = time.process_time()
        try:
            name = rank()
        except errors.CohereRerankError as error:
            name = type(error).__name__
        print(json.dumps([name, peak() - start, time.process_time() - started, max(lags)]))
        lags[:] = [0.0]


if kind == "sync":
    with ClientV2("k", **options) as client:
        attacks(lambda: blocking(client))
else:
    client = AsyncClientV2("k", **options)
    attacks(lambda: asyncio.run(watched(client)))
"""


def endless(start, again, n=2000):
    """A reply that goes on until the client closes the connection."""

    async def send(exchange):
        await exchange.send(start)
        for _ in range(n):
            await exchange.send(again)

    return send


HEAD = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\n"
LENGTH = HEAD + b"content-length: %d\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BLOCK = 64 * 1024


def whole(status, body, headers=b""):
    return endless(HEAD % status + headers + b"content-length: %d\r\n\r\n" % len(body), body, 1)


def filled(start, item, end, size=256 * 1024):
    return start + b",".join([item] * ((size - len(start + end)) // (len(item) + 1))) + end


BOMB = gzip.compress(b"[" * 100 * MIB, 9)
REPLIES = {
    "results without end": endless(LENGTH % (200, 250 * MIB), b'{"index":0,"relevance_score":0.5},' * 2000),
    "results without end, chunked": endless(CHUNKED % 200, b"10000\r\n" + b"[" * BLOCK + b"\r\n"),
    "chunks of one byte": endless(CHUNKED % 200, b"1\r\n[\r\n" * 10_000),
    "chunks of one byte with extensions": endless(CHUNKED % 200, b"1;a\r\n[\r\n" * 10_000),
    "a head without end": endless(b"HTTP/1.1 200 OK\r\n", b"x-a: 1\r\n" * 8000),
    "a line without end": endless(CHUNKED % 200, b"1" * BLOCK),
    "informational replies": endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 3000),
    "an error without end": endless(LENGTH % (503, 250 * MIB), b"x" * BLOCK),
    "an error of lists": whole(400, filled(b"[", b"[]", b"]")),
    "a bomb": whole(200, BOMB, b"content-encoding: gzip\r\n"),
    "a bomb in an error": whole(500, BOMB, b"content-encoding: gzip\r\n"),
    "empty members of gzip": endless(
        HEAD % 200 + b"content-encoding: gzip\r\ncontent-length: 262144000\r\n\r\n", gzip.compress(b"") * 3000
    ),
    "wrong results": whole(200, filled(b'{"results":[', b"{}", b"]}")),
    "wrong spans": whole(200, filled(b'{"results":[{"index":0,"relevance_score":1,"relevant_spans":[', b"{}", b"]}]}")),
    "wrong warnings": whole(200, filled(b'{"results":[],"meta":{"warnings":[', b"{}", b"]}}")),
    "lists in an unknown field": whole(200, filled(b'{"results":[],"x":[', b"[]", b"]}")),
    "many results": whole(200, filled(b'{"results":[', b'{"index":0,"relevance_score":1}', b"]}")),
    "many names": whole(200, b'{"results":[]%s}' % b"".join(b',"%x":0' % i for i in range(25_000))),
    "deep": whole(200, b"[" * 250_000),
}


READABLE = ("lists in an unknown field", "many names", "wrong warnings")


def attack(server, kind, replies):
    """Let a process of its own read these replies. Return what it made of each, and what each cost."""
    server.script(server.default, *replies.values())
    command = [sys.executable, "-c", CHILD, kind, server.url, str(len(replies))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    outcomes = dict(zip(replies, map(json.loads, run.stdout.splitlines()), strict=True))
    sys.stdout.write("".join(f"{name}: {outcome}\n" for name, outcome in outcomes.items()))
    for name, (error, n_bytes, cpu_s, lag_s) in outcomes.items():
        assert n_bytes < MAX_MEMORY, name
        assert lag_s < MAX_LAG_S, name
        assert cpu_s < MAX_CPU_S, name
        assert (error is None) == (name in READABLE), name


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")


@needs_proc
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_hostile_reply_costs_little(server, kind):
    """At most 40 MB in all and a second of CPU time each, measured in a process of its own."""
    attack(server, kind, REPLIES)


@needs_proc
@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", REPLIES)
def test_each_hostile_reply_alone_costs_little(server, kind, name):
    """In a process of its own, so that no reply profits from the memory that another one has left."""
    attack(server, kind, {name: REPLIES[name]})
