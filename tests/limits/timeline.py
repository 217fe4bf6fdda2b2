"""Time for tasks: it stands still while any of them can go on, then leaps to the next one's waking."""

from __future__ import annotations

import heapq
import itertools

import anyio


class Timeline:
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
        """Run coroutine functions side by side until all have ended."""

        async def main():
            async with anyio.create_task_group() as clockwork:
                async with anyio.create_task_group() as work:
                    for task in tasks:
                        work.start_soon(task)
                        await _all_others_wait()  # trio starts tasks in no order of its own
                    clockwork.start_soon(self._go_on)
                clockwork.cancel_scope.cancel()

        anyio.run(main, backend=backend)

    async def _go_on(self):
        while True:
            await _all_others_wait()
            if self._sleepers:
                at_s, _, woken = heapq.heappop(self._sleepers)
                self.now_s = max(self.now_s, at_s)
                woken.set()


async def _all_others_wait():
    # anyio's own function of that purpose sleeps for a tenth of a second at a time.
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
