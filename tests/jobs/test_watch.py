"""The task that runs beside the rows of a job."""

from __future__ import annotations

import anyio
import pytest

from cohere_rerank import AsyncClientV2
from cohere_rerank._calls import calls_of
from cohere_rerank.jobs.watch import WaitAbandoned, interruptible, run_with_companion
from cohere_rerank.testing import FakeClock


async def fail(error):
    raise error


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [LookupError(), KeyboardInterrupt()])
def test_an_error_of_either_task_is_raised_as_it_is_and_ends_the_other(backend, error):
    """It is not in an exception group: in one, a KeyboardInterrupt would print a traceback."""
    for tasks in ((lambda: fail(error), anyio.sleep_forever), (anyio.sleep_forever, lambda: fail(error))):
        with pytest.raises(type(error)) as raised:
            anyio.run(run_with_companion, *tasks, backend=backend)
        assert raised.value is error


def test_the_companion_ends_with_the_work():
    """A companion that never ends is cancelled."""
    done = []

    async def work():
        done.append(True)

    anyio.run(run_with_companion, anyio.sleep_forever, work)
    assert done


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("clock", [None, FakeClock()])
def test_no_sleep_continues_after_a_stop(backend, clock):
    """Running and new sleeps end at once. The client itself still sleeps."""
    client = AsyncClientV2("k", clock=clock)

    async def sleep(stop_event):
        with pytest.raises(WaitAbandoned):
            await interruptible(client, stop_event).clock.async_sleep(3600)

    async def scenario():
        stop_event = anyio.Event()
        async with anyio.create_task_group() as group:
            if clock is None:
                group.start_soon(sleep, stop_event)
                await anyio.wait_all_tasks_blocked()
            stop_event.set()
            await sleep(stop_event)
            await calls_of(client).clock.async_sleep(0)

    anyio.run(scenario, backend=backend)
