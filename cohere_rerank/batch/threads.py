"""A batch of the blocking client: worker threads, fed from the thread of the caller."""

from __future__ import annotations

from collections import deque
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from cohere_rerank._clock import SystemClock
from cohere_rerank.errors import CircuitOpenError, CohereRerankError, InvalidRequestError, RateLimitWaitError

from .rules import MAX_SLEEP_S, BatchRules, BatchState, iterator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cohere_rerank._calls import Calls
    from cohere_rerank._clock import Clock
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    from .rules import Batch, Outcome, Progress


def rerank_many(
    calls: Calls,
    requests: Iterable[Mapping[str, Any]],
    *,
    concurrency: int,
    ordered: bool,
    on_error: str,
    progress: Progress,
    common: Mapping[str, Any],
) -> Batch:
    """See `ClientV2.rerank_many`."""
    if hasattr(requests, "__aiter__"):
        raise InvalidRequestError("asynchronous requests need AsyncClientV2, and this is a ClientV2")
    rules = BatchRules(
        requests, concurrency=concurrency, ordered=ordered, on_error=on_error, progress=progress, common=common
    )
    return _ThreadBatch(calls, rules, iterator(requests)).outcomes()


class _Stopped(Exception):
    """The batch has ended, so a worker need not wait any longer."""


class _ThreadBatch:
    """A running batch. All methods but `_work` and what it calls run in the thread of the caller."""

    def __init__(self, calls: Calls, rules: BatchRules, rows: Iterator[Any]) -> None:
        self._closed = Event()
        self._calls = calls.with_clock(_InterruptibleClock(calls.clock, self._closed))
        self._rules = rules
        self._rows = rows
        self._context = copy_context()  # of the caller of `rerank_many`, whose trace the rows continue
        self._buffer = rules.buffer()
        self._state = BatchState(rules)
        self._ready: deque[Outcome] = deque()
        self._waiting: SimpleQueue[tuple[int, Any, Call | CohereRerankError] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Outcome | None]] = SimpleQueue()  # None: the row has no outcome
        self._n_threads = self._n_read = self._n_finished = self._n_emitted = 0
        self._input_exhausted = False

    def outcomes(self) -> Batch:
        """Yield the outcomes in the order that the rules say."""
        try:
            with self._rules.reporting(self._calls.clock) as emit:
                for outcome in self._due():
                    yield emit(outcome)
                if self._state.failure is not None:
                    raise self._state.failure
        finally:
            self._closed.set()
            for _ in range(self._n_threads):
                self._waiting.put(None)

    def _due(self) -> Iterator[Outcome]:
        # At most one row is read for each outcome, so a slow source never holds back two outcomes.
        while True:
            is_reading = not self._input_exhausted and not self._state.is_stopping
            may_read = is_reading and self._n_read - self._n_emitted < self._rules.max_outstanding
            if may_read:
                self._read_row()
            self._collect(wait=not may_read and not self._ready)
            if self._ready:
                self._n_emitted += 1
                yield self._ready.popleft()
            elif not is_reading and self._n_read == self._n_finished:
                break
        yield from self._buffer.flush()

    def _read_row(self) -> None:
        """Read one row and pass it to the worker threads."""
        try:
            row = next(self._rows)
            row_id, call = self._rules.read(self._calls, self._n_read, row)
        except StopIteration:
            self._input_exhausted = True
            return
        except Exception as error:  # noqa: BLE001 - raised after the outcomes of the rows that were read
            self._state.failure = self._state.failure or error
            self._input_exhausted = True
            return
        self._waiting.put((self._n_read, row_id, call))
        self._n_read += 1
        if self._n_threads < self._rules.concurrency:
            self._n_threads += 1
            # Daemon threads: after a failure or an early close the program does not wait for them, not even at exit.
            context = self._context.copy()  # two threads cannot run in one
            Thread(target=context.run, args=(self._work,), name="cohere_rerank batch", daemon=True).start()

    def _collect(self, *, wait: bool) -> None:
        """Move finished outcomes to the buffer. Wait for one if *wait* is true."""
        try:
            while self._n_finished < self._n_read:
                position, outcome = self._done.get(block=wait)
                wait = False
                self._n_finished += 1
                if outcome is not None:
                    self._ready.extend(self._buffer.add(position, outcome))
        except Empty:
            pass

    def _work(self) -> None:
        """Answer one row after the other. Several threads run this at the same time."""
        while (row := self._waiting.get()) is not None and not self._closed.is_set():
            position, row_id, call = row
            try:
                result = self._answer(call)
            except _Stopped:
                return
            self._done.put((position, None if result is None else (row_id, result)))

    def _answer(self, call: Call | CohereRerankError) -> V2RerankResponse | CohereRerankError | None:
        """Return a response or an error, or None if the batch stops before this row has an outcome."""
        if self._state.is_stopping:
            return None
        if isinstance(call, CohereRerankError):
            return self._state.record_failure(call)
        try:
            return self._response(call)
        except _Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - emitted, or raised in the thread of the caller
            return self._state.record_failure(error)

    def _response(self, call: Call) -> V2RerankResponse | None:
        """Send the call. If the client's own limit or its circuit breaker holds it back, wait and send it again."""
        while not self._state.is_stopping:
            try:
                return self._calls.rerank(call)[0]
            except (CircuitOpenError, RateLimitWaitError) as error:
                self._calls.clock.sleep(min(error.wait_s, MAX_SLEEP_S))
        return None


class _InterruptibleClock:
    """The clock of the client, on which a sleep ends when the batch ends."""

    def __init__(self, clock: Clock, closed: Event) -> None:
        self._clock = clock
        self._closed = closed
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.async_sleep = clock.async_sleep

    def sleep(self, seconds: float) -> None:
        """Block this thread for a time. Stop early if the batch ends."""
        if isinstance(self._clock, SystemClock):
            self._closed.wait(seconds)
        else:
            self._clock.sleep(seconds)
        if self._closed.is_set():
            raise _Stopped
