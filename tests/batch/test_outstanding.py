"""The number of rows in flight, read ahead and in memory is bounded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import aclosing
from itertools import count, islice

import anyio
import anyio.lowlevel
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from tests.batch.helpers import BACKENDS, CANCELS_UPLOADS, COMMON, TIMEOUT_S, row, rows


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_read_as_outcomes_are_used(server, ordered):
    """At most 2 x concurrency rows are outstanding, and at most concurrency requests are in flight."""
    n_read = 0

    def source():
        nonlocal n_read
        for number in count():
            n_read += 1
            yield row(number)

    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
        assert n_read == 0
        for n_yielded, _ in enumerate(islice(batch, 30), start=1):
            assert n_read <= n_yielded - 1 + 6
        batch.close()
    assert server.max_in_flight <= 3


@CANCELS_UPLOADS
@BACKENDS
@pytest.mark.parametrize("ordered", [True, False])
def test_tasks_read_rows_as_outcomes_are_used(server, backend, ordered):
    """The same bounds hold; one more row may have been read."""
    n_read = 0

    async def source():
        nonlocal n_read
        for number in count():
            n_read += 1
            yield row(number)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
            n_yielded = 0
            async with aclosing(batch):
                async for _ in batch:
                    n_yielded += 1
                    for _ in range(50):
                        await anyio.lowlevel.checkpoint()
                    assert n_read <= n_yielded + 6
                    if n_yielded == 30:
                        break

    anyio.run(main, backend=backend)
    assert server.max_in_flight <= 3


def test_as_many_requests_are_in_flight_as_the_concurrency(server, driver):
    """Not fewer and not one more."""
    with server.hold_replies():
        done = threading.Thread(target=driver.run, args=(rows(8),), kwargs={"concurrency": 4}, daemon=True)
        done.start()
        server.wait_until(lambda s: s.n_in_flight == 4)
        assert server.max_in_flight == 4
    done.join(TIMEOUT_S)
    assert len(driver.outcomes) == 8


def test_a_slow_row_holds_back_a_bounded_number_of_rows(server):
    """With ordered=True, rows beyond 2 x concurrency stay unread until the first row is answered."""
    n_read = 0

    def source():
        nonlocal n_read
        for number in range(100):
            n_read += 1
            yield row(number)

    async def late(exchange):
        await released.wait()
        await server.default(exchange)

    released = asyncio.Event()
    server.script(late)
    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(source(), concurrency=2, **COMMON)
        first = threading.Thread(target=next, args=(batch,), daemon=True)
        first.start()
        server.wait_until(lambda s: len(s.requests) == 4 and s.n_in_flight == 1)
        assert n_read == 4
        server._loop.call_soon_threadsafe(released.set)
        first.join(TIMEOUT_S)
        assert len(list(batch)) == 99


MEMORY = """
import asyncio, os, sys
from contextlib import aclosing
from cohere_rerank import AsyncClientV2, ClientV2

def rows(n):
    for number in range(n):
        yield {"query": f"query {number}", "documents": [f"document {i} of {number} " * 20 for i in range(4)]}

def now_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

marks = []
def mark(number):
    if number in (N // 10, N - 1):
        marks.append(now_mb())

async def main():
    async with AsyncClientV2(base_url="local:", scorer=scorer) as client:
        async with aclosing(client.rerank_many(rows(N), concurrency=64, model="m")) as batch:
            async for number, _ in batch:
                mark(number)

def scorer(query, documents):
    return [0.5] * len(documents)

kind, N = sys.argv[1], int(sys.argv[2])
if kind == "async":
    asyncio.run(main())
else:
    with ClientV2(base_url="local:", scorer=scorer) as client:
        for number, _ in client.rerank_many(rows(N), concurrency=64, model="m"):
            mark(number)
print((marks[1] - marks[0]) / (N * 0.9) * 100_000)
"""


@pytest.mark.exhaustive
@pytest.mark.timeout(900)  # 2 minutes alone; other programs may use the cores
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_memory_does_not_grow_with_the_rows(kind):
    """At most 5 MB for 100,000 rows, with 64 in flight. 40,000 rows are measured."""
    command = [sys.executable, "-c", MEMORY, kind, "40000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=True)
    assert float(done.stdout) < 5
