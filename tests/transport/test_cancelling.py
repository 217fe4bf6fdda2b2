"""A request can be cancelled at any step. Its slot is free afterwards, and nothing leaks."""

from __future__ import annotations

import asyncio
import random

import anyio
import anyio.lowlevel
import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport
from tests.fake_server import Server
from tests.transport.request_helpers import ignore_httpx_body, rerank_request, send_async


def test_a_request_may_be_cancelled_at_any_step(server):
    """The request may be connecting, waiting, writing, reading or releasing. Its slot is free afterwards."""

    async def scenario(transport, n_steps):
        task = asyncio.create_task(send_async(transport, server.url))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await send_async(transport, server.url, pool=5)
        return finished

    async def at_every_step(is_fresh):
        transport = AsyncPooledTransport(max_connections=1)
        n_steps, finished = 0, False
        while not finished:
            if is_fresh:
                await transport.aclose()
            finished = await scenario(transport, n_steps)
            n_steps += 1
        await transport.aclose()
        return n_steps

    assert asyncio.run(at_every_step(is_fresh=True)) > 5
    assert asyncio.run(at_every_step(is_fresh=False)) > 3
    server.wait_until(lambda s: s.n_open == 0)


@ignore_httpx_body
def test_a_request_may_be_cancelled_at_any_checkpoint_of_trio(server):
    """Trio cancels every wait in a cancelled scope again."""

    async def scenario(transport, n_steps):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_async, transport, server.url)
            for _ in range(n_steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await send_async(transport, server.url, pool=5)

    async def at_every_step():
        transport = AsyncPooledTransport(max_connections=1)
        for n_steps in range(40):
            await scenario(transport, n_steps)
        await transport.aclose()

    anyio.run(at_every_step, backend="trio")
    server.wait_until(lambda s: s.n_open == 0)


def test_a_cancelled_waiter_passes_its_slot_on(server):
    """Also if it was notified in the same step in which it was cancelled."""

    async def scenario(n_steps, order):
        transport = AsyncPooledTransport(max_connections=1)
        busy = await transport.handle_async_request(rerank_request(server.url))
        await busy.aread()
        waiters = [asyncio.create_task(send_async(transport, server.url, pool=5)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        closing = asyncio.create_task(busy.aclose())
        for _ in range(n_steps):
            await asyncio.sleep(0)
        for i in order:
            waiters[i].cancel()
        await asyncio.gather(closing, *waiters, return_exceptions=True)
        await send_async(transport, server.url, pool=5)
        await transport.aclose()
        return [waiter.cancelled() for waiter in waiters]

    async def at_every_step():
        return [await scenario(n_steps, order) for n_steps in range(12) for order in ([0], [1, 0], [0, 1, 2])]

    outcomes = asyncio.run(at_every_step())
    assert [False, False, False] not in outcomes[:3] and [True, False, False] in outcomes


@pytest.mark.parametrize(("seed", "tls"), [(0, None), (1, None), (2, "trusted")])
def test_many_cancellations_leave_the_pool_usable(seed, tls):
    """Some requests are cancelled twice, some while they close. Afterwards exactly all slots are free."""
    chance = random.Random(seed)

    async def disturb(task):
        for _ in range(chance.randrange(3)):
            for _ in range(chance.randrange(25)):
                await asyncio.sleep(0)
            task.cancel()

    async def scenario(server, transport):
        for _ in range(5):
            tasks = [asyncio.create_task(send_async(transport, server.url)) for _ in range(30)]
            await asyncio.gather(*(disturb(task) for task in tasks))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {httpx.Response, asyncio.CancelledError}
        await asyncio.to_thread(server.wait_until, lambda s: s.n_open <= 4)
        with server.hold_replies():
            all_at_once = asyncio.gather(*(send_async(transport, server.url, pool=5) for _ in range(9)))
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 4)
        await all_at_once
        assert server.n_open <= 4
        await transport.aclose()

    with Server(tls=tls) as server:
        verify = server.client_ssl_context() if tls else None
        asyncio.run(scenario(server, AsyncPooledTransport(max_connections=4, verify=verify)))
        server.wait_until(lambda s: s.n_open == 0)
