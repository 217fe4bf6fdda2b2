"""A batch that is closed, cancelled or interrupted stops at once and leaves no task, thread or connection."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import aclosing
from itertools import count

import anyio
import anyio.lowlevel
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from tests.batch.helpers import BACKENDS, CANCELS_UPLOADS, COMMON, DOCUMENTS, TIMEOUT_S, row, rows, until
from tests.fake_server import error, hang


def only_the_first_succeeds(server):
    """Answer the first row after another one has arrived; the others get a 503 with a hint of 100 seconds."""
    good, later = server.default, error(503, "down", headers={"retry-after": "100"})

    async def reply(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) >= 2)
            await good(exchange)
        else:
            await later(exchange)

    server.default = reply


@pytest.mark.parametrize("how", ["close", "break"])
def test_leaving_early_stops_the_threads_and_sends_nothing_more(server, no_threads_left, how):
    """Requests in flight are not awaited and failed ones are not retried after their 100 seconds."""
    only_the_first_succeeds(server)
    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(rows(50), concurrency=4, **COMMON)
        assert next(batch)[0] == "row 0"
        server.wait_until(lambda s: len(s.requests) >= 2 and s.n_in_flight == 0)
        if how == "close":
            batch.close()
        del batch
        for thread in [thread for thread in threading.enumerate() if thread.name == "cohere_rerank batch"]:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
        assert len(server.requests) <= 8
        assert client.rerank(**COMMON, query="query 0", documents=DOCUMENTS).results


@CANCELS_UPLOADS
@BACKENDS
@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_leaving_early_leaves_no_task_and_no_connection(server, backend, how):
    """This holds for ``aclose`` and for a cancelled scope of the caller."""
    only_the_first_succeeds(server)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(50), concurrency=4, **COMMON)
            assert (await anext(batch))[0] == "row 0"
            if how == "aclose":
                await batch.aclose()
            else:
                with anyio.move_on_after(0.05) as scope:
                    await anext(batch)
                assert scope.cancelled_caught
            if backend == "asyncio":
                assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.rerank(**COMMON, query="query 0", documents=DOCUMENTS)).results
            with pytest.raises(StopAsyncIteration):
                await anext(batch)

    anyio.run(main, backend=backend)
    server.wait_until(lambda s: s.n_open == 0)
    assert len(server.requests) <= 1 + 8 + 1


@CANCELS_UPLOADS
@BACKENDS
def test_aclose_does_not_wait_for_replies(server, backend):
    """Requests in flight are cancelled."""
    good = server.default

    async def some_never(exchange):
        await (hang() if exchange.request.json["query"] > "query 4" else good)(exchange)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(9), concurrency=4, **COMMON)
            for _ in range(5):
                await anext(batch)
            await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 4)
            await batch.aclose()
            await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 0)

    server.default = some_never
    anyio.run(main, backend=backend)


def test_a_batch_that_is_dropped_midway_ends_with_its_loop(server):
    """After a ``break`` without ``aclosing`` asyncio cleans up without a warning."""

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            async for row_id, _ in client.rerank_many(rows(50), **COMMON):
                assert row_id == "row 0"
                break
            for _ in range(100):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_batch_whose_task_is_cancelled_from_outside_raises(server):
    """Some programs cancel all foreign tasks of a loop; the batch does not look complete then."""

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(50), concurrency=2, **COMMON)
            await anext(batch)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            with pytest.raises(RuntimeError, match="cancelled from outside"):
                async for _ in batch:
                    pass

    asyncio.run(main())


def test_ctrl_c_stops_a_batch_at_once(server, no_threads_left):
    """Even while all replies are still to come."""

    def interrupt():
        server.wait_until(lambda s: s.n_in_flight == 4)
        os.kill(os.getpid(), signal.SIGINT)

    with ClientV2("test-key", base_url=server.url) as client, server.hold_replies():
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            list(client.rerank_many(rows(50), concurrency=4, **COMMON))
        assert server.n_in_flight == 4


@CANCELS_UPLOADS
@BACKENDS
def test_an_asynchronous_source_runs_and_closes_in_one_task(server, backend):
    """A source may keep cancel scopes open, and is closed when the batch is left early."""
    ended = []

    async def source():
        try:
            with anyio.fail_after(60):
                for number in count():
                    await anyio.lowlevel.checkpoint()
                    yield row(number)
        finally:
            ended.append(True)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            async with aclosing(client.rerank_many(source(), **COMMON)) as batch:
                assert [(await anext(batch))[0] for _ in range(10)] == [f"row {number}" for number in range(10)]

    anyio.run(main, backend=backend)
    assert ended == [True]
