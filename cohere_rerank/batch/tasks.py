"""A batch of the asynchronous client: several tasks read rows and answer them, under asyncio and trio.

They run in a task of the batch and not in the task of the caller, because a generator must not yield inside an open
task group. Closing the generator cancels that task and waits for it.
"""

from __future__ import annotations

import sys
from collections import deque
from contextvars import copy_context
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any

import anyio

from cohere_rerank.errors import CircuitOpenError, CohereRerankError, RateLimitWaitError

from .rules import MAX_SLEEP_S, BatchRules, BatchState, iterator

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
    from contextvars import Context

    from cohere_rerank._calls import AsyncCalls
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    from .rules import AsyncBatch, Outcome, Progress

_EXHAUSTED = object()


def rerank_many_async(
    calls: AsyncCalls,
    requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    *,
    concurrency: int,
    ordered: bool,
    on_error: str,
    progress: Progress,
    common: Mapping[str, Any],
) -> AsyncBatch:
    """See `AsyncClientV2.rerank_many`."""
    rules = BatchRules(
        requests, concurrency=concurrency, ordered=ordered, on_error=on_error, progress=progress, common=common
    )
    return _outcomes(calls, rules, iterator(requests), copy_context())


async def _outcomes(calls: AsyncCalls, rules: BatchRules, rows: Any, context: Context) -> AsyncBatch:
    batch = _TaskBatch(calls, rules, rows)
    _spawn(batch.run, context)
    try:
        with rules.reporting(calls.clock) as emit:
            while await batch.has_outcomes():
                while batch.ready:
                    outcome = batch.ready.popleft()
                    batch.release()
                    yield emit(outcome)
            for outcome in batch.buffer.flush():
                yield emit(outcome)
            if batch.state.failure is not None:
                raise batch.state.failure
    finally:
        batch.scope.cancel()
        with anyio.CancelScope(shield=True):
            await batch.finished.wait()


def _spawn(task: Callable[[], Awaitable[None]], context: Context) -> None:
    """Run a coroutine function in a task of its own. It ends through its own scope and raises nothing.

    Args:
        task: The coroutine function.
        context: The context of the caller of `rerank_many`, whose trace the rows continue.
    """
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(task, context=context)
        return
    from asyncio import ensure_future

    future = context.run(lambda: ensure_future(task()))  # a task runs in a copy of the context that creates it
    _running.add(future)  # the event loop keeps only weak references
    future.add_done_callback(_running.discard)


_running: set[Any] = set()


class _TaskBatch:
    """A running batch: its rows, its outcomes and its tasks.

    The tasks that answer rows also read them, because passing a row from task to task costs more than reading it. Only
    an asynchronous source has a task of its own. Tasks wait only if they have nothing to do.

    Attributes:
        ready: Outcomes to emit.
        buffer: Outcomes that come before their turn.
        finished: Is set when all tasks have ended.
        scope: Cancels all tasks.
    """

    def __init__(self, calls: AsyncCalls, rules: BatchRules, rows: Any) -> None:
        self._calls = calls
        self._rules = rules
        self._rows = rows
        self._is_async = hasattr(rows, "__anext__")
        self._context = copy_context()  # the one in which a source that is not asynchronous runs
        self._reading = anyio.CancelScope()
        self._n_outstanding = self._n_read = 0
        self._input_exhausted = False
        self._waiting_rows: deque[tuple[int, Any, Call | CohereRerankError]] = deque()  # of an asynchronous source
        self._idle: deque[anyio.Event] = deque()  # tasks that wait for a row
        self._blocked: deque[anyio.Event] = deque()  # tasks that wait until fewer rows are outstanding
        self._consumer: anyio.Event | None = None  # the caller, if it waits for an outcome
        self.ready: deque[Outcome] = deque()
        self.buffer = rules.buffer()
        self.state = BatchState(rules, on_stop=self._stop)
        self.finished = anyio.Event()
        self.scope = anyio.CancelScope()

    async def has_outcomes(self) -> bool:
        """Wait for an outcome. Return False when all tasks have ended and there is none."""
        while not self.ready:
            if self.finished.is_set():
                return False
            self._consumer = anyio.Event()
            await self._consumer.wait()
        return True

    def release(self) -> None:
        """Let one more row be read, because an outcome was emitted."""
        self._n_outstanding -= 1
        if self._blocked:
            self._blocked.popleft().set()

    async def run(self) -> None:
        """Read rows and answer them until all are done or the scope is cancelled."""
        try:
            with self.scope:
                async with anyio.create_task_group() as group:
                    for _ in range(self._rules.concurrency):
                        group.start_soon(self._answer_rows)
                    if self._is_async:
                        await self._read_rows()
        except BaseException:
            self.state.stop(
                RuntimeError("the task of a batch was cancelled from outside before all rows were answered")
            )
            raise
        finally:
            self.finished.set()
            self._wake_consumer()

    def _wake_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.set()
            self._consumer = None

    def _stop(self) -> None:
        """Read no more rows."""
        self._input_exhausted = True
        self._reading.cancel()
        for waiting in (self._idle, self._blocked):
            while waiting:
                waiting.popleft().set()

    def _fail(self, error: BaseException) -> None:
        """Record a failure of the source. It is raised after the outcomes of the rows that were read."""
        self.state.failure = self.state.failure or error

    async def _room(self) -> bool:
        """Wait until a row may be read. Return False if there are no more rows to read."""
        while self._n_outstanding >= self._rules.max_outstanding and not self._input_exhausted:
            event = anyio.Event()
            self._blocked.append(event)
            await event.wait()
        return not self._input_exhausted

    async def _next_row(self) -> tuple[int, Any, Call | CohereRerankError] | None:
        """Return the position, the id and the call of a row; None if there are no more."""
        if not self._is_async:
            return self._context.run(self._read_row) if await self._room() else None
        while not self._waiting_rows and not self._input_exhausted:
            event = anyio.Event()
            self._idle.append(event)
            await event.wait()
        return self._waiting_rows.popleft() if self._waiting_rows else None

    def _read_row(self) -> tuple[int, Any, Call | CohereRerankError] | None:
        try:
            row = next(self._rows, _EXHAUSTED)
            if row is not _EXHAUSTED:
                return self._encoded(row)
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        self._stop()
        return None

    def _encoded(self, row: object) -> tuple[int, Any, Call | CohereRerankError]:
        position = self._n_read
        self._n_outstanding += 1
        row_id, call = self._rules.read(self._calls, position, row)
        self._n_read += 1
        return position, row_id, call

    async def _read_rows(self) -> None:
        """Read the rows of an asynchronous source."""
        try:
            with self._reading:
                while await self._room() and (row := await anext(self._rows, _EXHAUSTED)) is not _EXHAUSTED:
                    self._waiting_rows.append(self._encoded(row))
                    if self._idle:
                        self._idle.popleft().set()
        except Exception as error:  # noqa: BLE001 - see `_fail`
            self._fail(error)
        finally:
            self._stop()
            await self._close_rows()

    async def _close_rows(self) -> None:
        """Close an asynchronous generator in the task that ran it, because its cancel scopes require that."""
        if isasyncgen(self._rows):
            try:
                with anyio.CancelScope(shield=True):
                    await self._rows.aclose()
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 - a group, if the generator yields inside a task group
                self.state.stop(error)

    async def _answer_rows(self) -> None:
        """Answer one row after the other. Several tasks run this at the same time."""
        while (row := await self._next_row()) is not None:
            position, row_id, call = row
            result = await self._answer(call)
            if result is not None:
                self.ready.extend(self.buffer.add(position, (row_id, result)))
                if self.ready:
                    self._wake_consumer()

    async def _answer(self, call: Call | CohereRerankError) -> V2RerankResponse | CohereRerankError | None:
        """Return a response or an error, or None if the batch stops before this row has an outcome."""
        if self.state.is_stopping:
            return None
        if isinstance(call, CohereRerankError):
            return self.state.record_failure(call)
        try:
            return await self._response(call)
        except Exception as error:  # noqa: BLE001 - emitted, or raised in the task of the caller
            return self.state.record_failure(error)

    async def _response(self, call: Call) -> V2RerankResponse | None:
        """Send the call. If the client's own limit or its circuit breaker holds it back, wait and send it again."""
        while not self.state.is_stopping:
            try:
                return (await self._calls.rerank(call))[0]
            except (CircuitOpenError, RateLimitWaitError) as error:
                await self._calls.clock.async_sleep(min(error.wait_s, MAX_SLEEP_S))
        return None
