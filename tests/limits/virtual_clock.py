"""A clock for tasks: it stands still while any task can run, then jumps to the next wake-up."""

from __future__ import annotations

import heapq
import itertools

import anyio


class VirtualClock:
    """The clock protocol of the client, for one event loop."""

    def __init__(self, now_s=1_000.0):
        self.now_s = now_s
        self._sleepers = []
        self._numbers = itertools.count()

    def monotonic(self):
        return self.now_s

    def time(self):
        return self.now_s

    def sleep(self, seconds):
        raise AssertionError("a task must not block its loop")

    async def async_sleep(self, seconds):
        woken = anyio.Event()
        heapq.heappush(self._sleepers, (self.now_s + seconds, next(self._numbers), woken))
        await woken.wait()

    def run(self, backend, *tasks):
        """Run coroutine functions concurrently until all have ended."""

        async def main():
            async with anyio.create_task_group() as clock_group:
                async with anyio.create_task_group() as task_group:
                    for task in tasks:
                        task_group.start_soon(task)
                        await _until_idle()  # trio starts tasks in random order
                    clock_group.start_soon(self._advance)
                clock_group.cancel_scope.cancel()

        anyio.run(main, backend=backend)

    async def _advance(self):
        while True:
            await _until_idle()
            if self._sleepers:
                at_s, _, woken = heapq.heappop(self._sleepers)
                self.now_s = max(self.now_s, at_s)
                woken.set()


async def _until_idle():
    # anyio's own wait_all_tasks_blocked sleeps for a tenth of a second at a time.
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
