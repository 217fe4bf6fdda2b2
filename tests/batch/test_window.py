"""A bounded window of rows at a time: under way, read ahead, and in memory."""

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
from tests.batch.driving import BACKENDS, COMMON, CUT_OFF, PATIENCE_S, row, rows


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_taken_as_there_is_room(server, ordered):
    """Never more than twice the concurrency beyond what was given, and never more under way than that."""
    taken = 0

    def source():
        nonlocal taken
        for number in count():
            taken += 1
            yield row(number)

    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
        assert taken == 0
        for n_given, _ in enumerate(islice(batch, 30), start=1):
            assert taken <= n_given - 1 + 6
        batch.close()
    assert server.max_in_flight <= 3


@CUT_OFF
@BACKENDS
@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_taken_as_there_is_room_by_tasks(server, backend, ordered):
    """The same; one more row may have been read."""
    taken = 0

    async def source():
        nonlocal taken
        for number in count():
            taken += 1
            yield row(number)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
            n_given = 0
            async with aclosing(batch):
                async for _ in batch:
                    n_given += 1
                    for _ in range(50):
                        await anyio.lowlevel.checkpoint()
                    assert taken <= n_given + 6
                    if n_given == 30:
                        break

    anyio.run(main, backend=backend)
    assert server.max_in_flight <= 3


def test_as_many_are_under_way_as_asked_for(server, driver):
    """And not one more."""
    with server.hold_replies():
        done = threading.Thread(target=driver.run, args=(rows(8),), kwargs={"concurrency": 4}, daemon=True)
        done.start()
        server.wait_until(lambda s: s.n_in_flight == 4)
        assert server.max_in_flight == 4
    done.join(PATIENCE_S)
    assert len(driver.given) == 8


def test_a_slow_row_holds_back_a_bounded_number(server):
    """In order, rows beyond the window wait unread until the first one is answered."""
    taken = 0

    def source():
        nonlocal taken
        for number in range(100):
            taken += 1
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
        assert taken == 4
        server._loop.call_soon_threadsafe(released.set)
        first.join(PATIENCE_S)
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
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_memory_does_not_grow_with_the_rows(kind):
    """At most 5 MB for each 100,000, with 64 under way."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, "100000"], capture_output=True, text=True, timeout=110, check=True
    )
    assert float(done.stdout) < 5
