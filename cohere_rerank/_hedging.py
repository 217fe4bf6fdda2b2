"""Send a request a second time if its response is late, and return the first good response: in threads or tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._clock import Clock, Deadline
    from ._transport.reply import Reply

    Outcome = Reply | Exception


def race(
    first: Callable[[Deadline], Reply],
    second: Callable[[Deadline], Reply | None],
    deadline: Deadline,
    delay_s: float,
) -> tuple[Reply, int]:
    """Return the reply that counts, with 0 for the first request and 1 for the second.

    Run *first* in a thread and, if it takes longer than *delay_s*, *second* in another one.

    *second* returns None if it may not send. The request that loses is cancelled: its connection is closed.
    """
    from contextvars import copy_context
    from queue import Empty, SimpleQueue
    from threading import Thread

    from ._transport.cancellation import Cancellation

    done: SimpleQueue[tuple[int, Outcome | None]] = SimpleQueue()
    deadlines: list[Deadline] = []

    def start(function: Callable[[Deadline], Reply | None]) -> None:
        index, own = len(deadlines), deadline.fork(Cancellation())
        deadlines.append(own)

        def run() -> None:
            try:
                done.put((index, function(own)))
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                done.put((index, error))

        Thread(target=copy_context().run, args=(run,), name="cohere_rerank", daemon=True).start()

    outcomes: dict[int, Outcome | None] = {}
    try:
        start(first)
        try:
            index, outcome = done.get(timeout=delay_s)
        except Empty:
            start(second)
            index, outcome = done.get()
        outcomes[index] = outcome
        while not is_good(outcome) and len(outcomes) < len(deadlines):
            index, outcome = done.get()
            outcomes[index] = outcome
    finally:
        for own in deadlines:
            own.expire()
    return result_of(outcomes)


async def race_async(
    first: Callable[[Deadline], Awaitable[Reply]],
    second: Callable[[Deadline], Awaitable[Reply | None]],
    deadline: Deadline,
    delay_s: float,
    clock: Clock,
) -> tuple[Reply, int]:
    """As `race`, with tasks."""
    from anyio import create_task_group

    outcomes: dict[int, Outcome | None] = {}
    started = [True, False]

    async def run(index: int, function: Callable[[Deadline], Awaitable[Reply | None]]) -> None:
        try:
            outcomes[index] = await function(deadline)
        except Exception as error:  # noqa: BLE001 - raised below, bare of the group's wrapping
            outcomes[index] = error
        if is_good(outcomes[index]) or len(outcomes) == sum(started):
            group.cancel_scope.cancel()

    async def run_second() -> None:
        await clock.async_sleep(delay_s)
        started[1] = True
        await run(1, second)

    async with create_task_group() as group:
        group.start_soon(run, 0, first)
        group.start_soon(run_second)
    return result_of(outcomes)


def is_good(outcome: Outcome | None) -> bool:
    """Return whether an outcome is a reply that is not an error."""
    return outcome is not None and not isinstance(outcome, Exception) and outcome.status_code < 400


def result_of(outcomes: dict[int, Any]) -> tuple[Reply, int]:
    """Return the good reply, else what came of the first request: its reply with an error, or its exception."""
    winner = next((index for index, outcome in outcomes.items() if is_good(outcome)), 0)
    if isinstance(outcomes[winner], Exception):
        raise outcomes[winner]
    return outcomes[winner], winner
