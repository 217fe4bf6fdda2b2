"""What runs beside a job's rows."""

from __future__ import annotations

import anyio
import pytest

from cohere_rerank import AsyncClientV2
from cohere_rerank.jobs.watch import GivenUp, beside, impatient
from cohere_rerank.testing import FakeClock


async def fail(error):
    raise error


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [LookupError(), KeyboardInterrupt()])
def test_what_either_raises_comes_as_it_is_and_ends_the_other(backend, error):
    """In no group: a KeyboardInterrupt in one would be a traceback, not an interrupt."""
    for tasks in ((lambda: fail(error), anyio.sleep_forever), (anyio.sleep_forever, lambda: fail(error))):
        with pytest.raises(type(error)) as raised:
            anyio.run(beside, *tasks, backend=backend)
        assert raised.value is error


def test_the_companion_ends_with_the_work():
    """However long it would go on."""
    done = []

    async def work():
        done.append(True)

    anyio.run(beside, anyio.sleep_forever, work)
    assert done


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("clock", [None, FakeClock()])
def test_nobody_sleeps_once_there_is_hurry(backend, clock):
    """Neither who sleeps already nor who is about to; the client itself is as patient as before."""
    client = AsyncClientV2("k", clock=clock)

    async def sleep(hurry):
        with pytest.raises(GivenUp):
            await impatient(client, hurry)._clock().async_sleep(3600)

    async def scenario():
        hurry = anyio.Event()
        async with anyio.create_task_group() as group:
            if clock is None:
                group.start_soon(sleep, hurry)
                await anyio.wait_all_tasks_blocked()
            hurry.set()
            await sleep(hurry)
            await client._clock().async_sleep(0)

    anyio.run(scenario, backend=backend)
