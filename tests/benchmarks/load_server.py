"""Put the server under load and faults, and print the results.

    python tests/benchmarks/load_server.py [--seconds 60]

The server runs as ``cohere-rerank serve`` in its own processes. The callers share one asyncio loop on the same machine,
with a connection each. Linux only, because memory is read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a script finds `tests` only with this

from tests.server.running_server import RERANK_BODY, ServeProgram, program, wait_until

N_CLIENTS = 64
WORDS = ["green", "black", "tea", "coffee", "leaf", "cup", "hot", "cold", "water", "garden", "of", "the", "in", "and"]
OVERLOAD = ("--concurrency", "1", "--queue", "8")


def body(n_documents: int = 20, n_words: int = 60) -> bytes:
    """A request of usual size: 20 documents of 60 words, the same ones every time."""
    draw = random.Random(0)
    documents = [" ".join(draw.choices(WORDS, k=n_words)) for _ in range(n_documents)]
    return posted(json.dumps({"model": "m", "query": "tea from a mountain garden", "documents": documents}).encode())


def posted(body: bytes, path: str = "/v2/rerank", kind: str = "application/json") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Result:
    """What the callers received.

    Attributes:
        statuses: How often each status was received. 0 means that the connection broke.
        seconds: The duration of each call with status 200, in order of arrival.
        hinted: How many responses with status 503 had a Retry-After.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    hinted: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.seconds)[int(share * (len(self.seconds) - 1))]

    def note(self, status: int, head: bytes, seconds: float) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)
        self.hinted += status == 503 and b"\r\nretry-after: " in head


class Caller:
    """One connection that is opened again when it breaks."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the head of the response. The status is 0 if the connection broke."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " in head:
                await self._reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            if b"connection: close" in head or b" 413 " in head[:13]:  # the server does not read the rest of the body
                self.close()
            return int(head[9:12]), head
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0, b""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()  # closes at once, even if the server does not read
        self._writer = None


async def hammer(url: str, requests: list[bytes], n_clients: int, seconds: float, n_most: int = 10**9) -> Result:
    """Send the requests in turn. A caller sends the next one when it has a response."""
    result, end = Result(), time.monotonic() + seconds
    turn = iter(itertools.cycle(requests))
    left = iter(range(n_most))

    async def calls() -> None:
        caller = Caller(url)
        while time.monotonic() < end and next(left, None) is not None:
            began = time.perf_counter()
            status, head = await caller.call(next(turn))
            result.note(status, head, time.perf_counter() - began)
        caller.close()

    await asyncio.gather(*(calls() for _ in range(n_clients)))
    await asyncio.sleep(0)  # lets the loop close aborted connections
    return result


def resident_mib(started: ServeProgram) -> float:
    """The memory of the server and its workers."""
    total = 0
    for process in (started.process.pid, *started.workers()):
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        total += int(status.partition("VmRSS:")[2].split()[0])
    return total / 1024


MALFORMED = [
    posted(b'{"model": "m", "query": '),
    posted(b"[" * 50_000),
    posted(b'{"query": "\xff\xfe"}'),
    posted(b"{}", path="/v1/rerank"),
    posted(b'{"texts": 5, "query": "q"}', path="/rerank"),
    posted(b"x", kind="text/plain"),
    posted(json.dumps({**RERANK_BODY, "documents": [[]] * 1000}).encode()),
    posted(json.dumps({**RERANK_BODY, "top_n": -1}).encode(), path="/nowhere"),
    b"DELETE /v2/rerank HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    posted(b"").replace(b"Content-Length: 0", b"Content-Length: 99999999999"),
    b"\x16\x03\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx-long: " + b"x" * 70_000,
]


def steady(seconds: float, *options: str) -> tuple[Result, float, float]:
    """Run 64 callers. Return what they received, and the memory before and after in MiB."""
    with program(*options) as started:
        request = body()
        asyncio.run(hammer(started.url, [request], N_CLIENTS, seconds, 500))  # loads everything
        before = resident_mib(started)
        result = asyncio.run(hammer(started.url, [request], N_CLIENTS, seconds))
        return result, before, resident_mib(started)


def overloaded(seconds: float) -> tuple[Result, Result]:
    """Run 64 callers on a server that admits 9. Return what they received, and what one caller received afterwards."""
    with program(*OVERLOAD) as started:
        during = asyncio.run(hammer(started.url, [body()], N_CLIENTS, seconds))
        return during, asyncio.run(hammer(started.url, [body()], 1, seconds, 50))


def killed(seconds: float) -> tuple[Result, Result]:
    """Run 16 callers on two workers, and kill each worker once. Return what they received then and afterwards."""
    with program("--workers", "2") as started:
        wait_until(lambda: len(started.workers()) == 2)
        victims = started.workers()  # either one may have all connections

        async def scenario() -> Result:
            load = asyncio.ensure_future(hammer(started.url, [body()], 16, seconds))
            for victim in victims:
                await asyncio.sleep(seconds / 3)
                os.kill(victim, signal.SIGKILL)
            return await load

        during = asyncio.run(scenario())
        wait_until(lambda: len(started.workers()) == 2 and not set(victims) & set(started.workers()))
        return during, asyncio.run(hammer(started.url, [body()], 16, seconds, 100))


def malformed(n_requests: int) -> tuple[Result, Result, float, float]:
    """Send malformed requests, then good ones. Return what 16 callers received, and the memory around it in MiB."""
    with program() as started:
        asyncio.run(hammer(started.url, MALFORMED, 16, 60, 50 * len(MALFORMED)))
        before = resident_mib(started)
        bad = asyncio.run(hammer(started.url, MALFORMED, 16, 600, n_requests))
        good = asyncio.run(hammer(started.url, [body()], 4, 60, 50))
        return bad, good, before, resident_mib(started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of steady load; default 60")
    seconds = parser.parse_args().seconds
    for options in ((), ("--workers", "2")):
        result, before, after = steady(seconds, *options)
        print(
            f"steady {' '.join(options) or '--workers 1'}: {N_CLIENTS} callers, {seconds:g} s, "
            f"{dict(result.statuses)}, {sum(result.statuses.values()) / seconds:.0f} a second, "
            f"p50 {result.percentile(0.5):.0f} ms, p99 {result.percentile(0.99):.0f} ms, "
            f"max {result.percentile(1):.0f} ms, memory {before:.1f} -> {after:.1f} MiB"
        )
    during, later = overloaded(10)
    print(f"overload: {dict(during.statuses)}, {during.hinted} with Retry-After; then {dict(later.statuses)}")
    during, later = killed(9)
    print(
        f"kill -9 of two workers, one after the other: {dict(during.statuses)} (0: broken); then {dict(later.statuses)}"
    )
    bad, good, before, after = malformed(10_000)
    print(f"malformed: {dict(bad.statuses)}; then {dict(good.statuses)}, memory {before:.1f} -> {after:.1f} MiB")


if __name__ == "__main__":
    main()
