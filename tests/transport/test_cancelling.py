"""A request may be cancelled at any step: its slot is free again and nothing leaks."""

from __future__ import annotations

import asyncio
import random

import anyio
import anyio.lowlevel
import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport
from tests.fake_server import Server
from tests.transport.asking import asend, ask, ignore_httpx_body


def test_a_request_may_be_cancelled_at_any_step(server):
    """Whether it connects, queues, writes, reads or gives back: one slot, and it is free again."""

    async def scenario(transport, n_steps):
        task = asyncio.create_task(asend(transport, server.url))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        finished = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asend(transport, server.url, pool=5)
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
    assert asyncio.run(at_every_step(is_fresh=False)) > 5
    server.wait_until(lambda s: s.n_open == 0)


@ignore_httpx_body
def test_a_request_may_be_cancelled_at_any_checkpoint_of_trio(server):
    """The same by trio's rules, where every wait in a cancelled scope is cancelled again."""

    async def scenario(transport, n_steps):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asend, transport, server.url)
            for _ in range(n_steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await asend(transport, server.url, pool=5)

    async def at_every_step():
        transport = AsyncPooledTransport(max_connections=1)
        for n_steps in range(40):
            await scenario(transport, n_steps)
        await transport.aclose()

    anyio.run(at_every_step, backend="trio")
    server.wait_until(lambda s: s.n_open == 0)


def test_a_cancelled_waiter_passes_its_slot_on(server):
    """Even when it was called in the very step in which it was cancelled."""

    async def scenario(n_steps, order):
        transport = AsyncPooledTransport(max_connections=1)
        busy = await transport.handle_async_request(ask(server.url))
        await busy.aread()
        waiters = [asyncio.create_task(asend(transport, server.url, pool=5)) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        closing = asyncio.create_task(busy.aclose())
        for _ in range(n_steps):
            await asyncio.sleep(0)
        for i in order:
            waiters[i].cancel()
        await asyncio.gather(closing, *waiters, return_exceptions=True)
        await asend(transport, server.url, pool=5)
        await transport.aclose()
        return [waiter.cancelled() for waiter in waiters]

    async def at_every_step():
        return [await scenario(n_steps, order) for n_steps in range(12) for order in ([0], [1, 0], [0, 1, 2])]

    outcomes = asyncio.run(at_every_step())
    assert [False, False, False] not in outcomes[:3] and [True, False, False] in outcomes


@pytest.mark.parametrize(("seed", "tls"), [(0, None), (1, None), (2, "trusted")])
def test_a_storm_of_cancellations_leaves_the_stack_usable(seed, tls):
    """Some are cancelled twice, some in the middle of closing; afterwards the whole cap is there, and no more."""
    chance = random.Random(seed)

    async def disturb(task):
        for _ in range(chance.randrange(3)):
            for _ in range(chance.randrange(25)):
                await asyncio.sleep(0)
            task.cancel()

    async def scenario(server, transport):
        for _ in range(5):
            tasks = [asyncio.create_task(asend(transport, server.url)) for _ in range(30)]
            await asyncio.gather(*(disturb(task) for task in tasks))
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {httpx.Response, asyncio.CancelledError}
        await asyncio.to_thread(server.wait_until, lambda s: s.n_open <= 4)
        with server.hold_replies():
            all_at_once = asyncio.gather(*(asend(transport, server.url, pool=5) for _ in range(9)))
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 4)
        await all_at_once
        assert server.n_open <= 4
        await transport.aclose()

    with Server(tls=tls) as server:
        verify = server.client_ssl_context() if tls else None
        asyncio.run(scenario(server, AsyncPooledTransport(max_connections=4, verify=verify)))
        server.wait_until(lambda s: s.n_open == 0)
