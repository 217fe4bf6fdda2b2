"""A batch through the awaiting client: a task that reads rows, and tasks that answer them, under asyncio and trio.

They run in a task of the batch's own, not in the caller's: a task group must not be open where a generator yields.
The generator ends that task whenever it is closed, and waits for it.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any

import anyio

from cohere_rerank.errors import CohereRerankError, RateLimitWaitError

from .rules import LONGEST_NAP_S, Rules, iterator

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream

    from cohere_rerank._wire.call import Call
    from cohere_rerank.async_client import AsyncClientV2
    from cohere_rerank.types import V2RerankResponse

    from .rules import AsyncBatch, Outcome, Progress

_END = object()


def rerank_many_async(
    client: AsyncClientV2,
    requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    *,
    concurrency: int,
    ordered: bool,
    on_error: str,
    progress: Progress,
    common: Mapping[str, Any],
) -> AsyncBatch:
    """`AsyncClientV2.rerank_many`."""
    rules = Rules(
        requests, concurrency=concurrency, ordered=ordered, on_error=on_error, progress=progress, common=common
    )
    return _outcomes(client, rules, iterator(requests))


async def _outcomes(client: AsyncClientV2, rules: Rules, rows: Any) -> AsyncBatch:
    batch = _Batch(client, rules, rows)
    order = rules.order()
    _spawn(batch.run)
    try:
        with rules.giving(client._clock()) as give:
            async for position, outcome in batch.done:
                for due in order.put(position, outcome):
                    batch.room.release()
                    yield give(due)
            for due in order.rest():
                yield give(due)
            if batch.failure is not None:
                raise batch.failure
    finally:
        batch.scope.cancel()
        with anyio.CancelScope(shield=True):
            await batch.is_over.wait()
        batch.done.close()


def _spawn(task: Callable[[], Awaitable[None]]) -> None:
    """Run it beside the caller; it is ended by its scope alone, and raises nothing."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(task, context=copy_context())
        return
    from asyncio import ensure_future

    future = ensure_future(task())
    _running.add(future)  # the loop itself keeps only weak references
    future.add_done_callback(_running.discard)


_running: set[Any] = set()


class _Batch:
    """One batch at work."""

    done: MemoryObjectReceiveStream[tuple[int, Outcome]]

    def __init__(self, client: AsyncClientV2, rules: Rules, rows: Any) -> None:
        self._client = client
        self._rules = rules
        self._rows = rows
        self._feeding = anyio.CancelScope()
        self.scope = anyio.CancelScope()
        self.room = anyio.Semaphore(rules.room)
        self.failure: BaseException | None = None
        self._is_ending = False  # because of a failure: nothing more is sent
        self.is_over = anyio.Event()
        # No row waits between the reader and the workers; outcomes are as many as there is room for.
        self._to_work, self._work = anyio.create_memory_object_stream[tuple[int, Any, Any]](0)
        self._to_done, self.done = anyio.create_memory_object_stream[tuple[int, Any]](rules.room)

    async def run(self) -> None:
        """Read rows and answer them until all are done, or until the scope is cancelled."""
        try:
            with self.scope:
                async with anyio.create_task_group() as group:
                    for _ in range(self._rules.concurrency):
                        group.start_soon(self._answer_rows)
                    await self._read_rows()
        except BaseException:
            self._end(RuntimeError("the task of a batch was cancelled from outside, before all rows were answered"))
            raise
        finally:
            for stream in (self._to_work, self._work, self._to_done):
                stream.close()
            self.is_over.set()

    async def _read_rows(self) -> None:
        with self._to_work:
            try:
                with self._feeding:
                    await self._hand_out()
            except Exception as error:  # noqa: BLE001 - raised once the rows taken have been given back
                self.failure = self.failure or error
            finally:
                await self._close_rows()

    async def _hand_out(self) -> None:
        position = 0
        await self.room.acquire()
        while (row := await self._next_row()) is not _END:
            row_id, call = self._rules.read(self._client, position, row)
            await self._to_work.send((position, row_id, call))
            position += 1
            await self.room.acquire()

    async def _next_row(self) -> Any:
        if hasattr(self._rows, "__anext__"):
            return await anext(self._rows, _END)
        return next(self._rows, _END)

    async def _close_rows(self) -> None:
        """End an asynchronous generator in the task that ran it, as the scopes inside of it demand."""
        if isasyncgen(self._rows):
            try:
                with anyio.CancelScope(shield=True):
                    await self._rows.aclose()
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 - a group, where it yields within a task group
                self._end(error)

    async def _answer_rows(self) -> None:
        """Answer one row after the other, beside other tasks that do the same."""
        async for position, row_id, call in self._work:
            result = await self._answer(call)
            if result is not None:
                self._to_done.send_nowait((position, (row_id, result)))

    async def _answer(self, call: Call | CohereRerankError) -> Any:
        """A response or an error; None for a row that the batch ends with."""
        if self._is_ending:
            return None
        if isinstance(call, CohereRerankError):
            error: Exception = call
        else:
            try:
                return await self._response(call)
            except Exception as failure:  # noqa: BLE001 - given or raised in the caller's task
                error = failure
        if self._rules.ends(error):
            self._end(error)
            return None
        if self._rules.raises:
            self._stop_sending()
            return error
        return error.with_traceback(None)  # whose frames hold the documents

    async def _response(self, call: Call) -> V2RerankResponse | None:
        """The answer, however long it takes until the client's own limit lets the row go."""
        while not self._is_ending:
            try:
                return (await self._client._answer(call))[0]
            except RateLimitWaitError as error:
                await self._client._clock().async_sleep(min(error.wait_s, LONGEST_NAP_S))
        return None

    def _end(self, error: BaseException) -> None:
        """Send nothing more; the error is raised once all that is under way has been given."""
        self.failure = self.failure or error
        self._stop_sending()

    def _stop_sending(self) -> None:
        self._is_ending = True
        self._feeding.cancel()
