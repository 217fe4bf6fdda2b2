"""A batch of the asynchronous client: one task reads rows and others answer them, under asyncio and trio.

They run in a task of the batch and not in the task of the caller, because a generator must not yield inside an open
task group. Closing the generator cancels that task and waits for it.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any

import anyio

from cohere_rerank.errors import CircuitOpenError, CohereRerankError, RateLimitWaitError

from .rules import MAX_SLEEP_S, BatchRules, BatchState, iterator

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream

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
    return _outcomes(calls, rules, iterator(requests))


async def _outcomes(calls: AsyncCalls, rules: BatchRules, rows: Any) -> AsyncBatch:
    batch = _TaskBatch(calls, rules, rows)
    buffer = rules.buffer()
    _spawn(batch.run)
    try:
        with rules.reporting(calls.clock) as emit:
            async for position, outcome in batch.done:
                for due in buffer.add(position, outcome):
                    batch.outstanding.release()
                    yield emit(due)
            for due in buffer.flush():
                yield emit(due)
            if batch.state.failure is not None:
                raise batch.state.failure
    finally:
        batch.scope.cancel()
        with anyio.CancelScope(shield=True):
            await batch.finished.wait()
        batch.done.close()


def _spawn(task: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in a task of its own. It ends through its own scope and raises nothing."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(task, context=copy_context())
        return
    from asyncio import ensure_future

    future = ensure_future(task())
    _running.add(future)  # the event loop keeps only weak references
    future.add_done_callback(_running.discard)


_running: set[Any] = set()


class _TaskBatch:
    """A running batch: its streams, its state and its tasks."""

    done: MemoryObjectReceiveStream[tuple[int, Outcome]]

    def __init__(self, calls: AsyncCalls, rules: BatchRules, rows: Any) -> None:
        self._calls = calls
        self._rules = rules
        self._rows = rows
        self._feeding = anyio.CancelScope()
        self.scope = anyio.CancelScope()
        self.outstanding = anyio.Semaphore(rules.max_outstanding)
        self.state = BatchState(rules, on_stop=self._feeding.cancel)
        self.finished = anyio.Event()
        # No row waits between the reader and the workers. The outcomes are bounded by the semaphore.
        self._to_work, self._work = anyio.create_memory_object_stream[tuple[int, Any, Any]](0)
        self._to_done, self.done = anyio.create_memory_object_stream[tuple[int, Any]](rules.max_outstanding)

    async def run(self) -> None:
        """Read rows and answer them until all are done or the scope is cancelled."""
        try:
            with self.scope:
                async with anyio.create_task_group() as group:
                    for _ in range(self._rules.concurrency):
                        group.start_soon(self._answer_rows)
                    await self._read_rows()
        except BaseException:
            self.state.stop(
                RuntimeError("the task of a batch was cancelled from outside before all rows were answered")
            )
            raise
        finally:
            for stream in (self._to_work, self._work, self._to_done):
                stream.close()
            self.finished.set()

    async def _read_rows(self) -> None:
        with self._to_work:
            try:
                with self._feeding:
                    await self._feed_workers()
            except Exception as error:  # noqa: BLE001 - raised after the outcomes of the rows that were read
                self.state.failure = self.state.failure or error
            finally:
                await self._close_rows()

    async def _feed_workers(self) -> None:
        position = 0
        await self.outstanding.acquire()
        while (row := await self._next_row()) is not _EXHAUSTED:
            row_id, call = self._rules.read(self._calls, position, row)
            await self._to_work.send((position, row_id, call))
            position += 1
            await self.outstanding.acquire()

    async def _next_row(self) -> Any:
        if hasattr(self._rows, "__anext__"):
            return await anext(self._rows, _EXHAUSTED)
        return next(self._rows, _EXHAUSTED)

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
        async for position, row_id, call in self._work:
            result = await self._answer(call)
            if result is not None:
                self._to_done.send_nowait((position, (row_id, result)))

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
