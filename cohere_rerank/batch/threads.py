"""A batch through the blocking client: worker threads, fed from the caller's own thread."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from cohere_rerank._clock import SystemClock
from cohere_rerank.errors import CohereRerankError, InvalidRequestError, RateLimitWaitError

from .rules import LONGEST_NAP_S, Rules, iterator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cohere_rerank._clock import Clock
    from cohere_rerank._wire.call import Call
    from cohere_rerank.client import ClientV2
    from cohere_rerank.types import V2RerankResponse

    from .rules import Batch, Outcome, Progress


def rerank_many(
    client: ClientV2,
    requests: Iterable[Mapping[str, Any]],
    *,
    concurrency: int,
    ordered: bool,
    on_error: str,
    progress: Progress,
    common: Mapping[str, Any],
) -> Batch:
    """`ClientV2.rerank_many`."""
    if hasattr(requests, "__aiter__"):
        raise InvalidRequestError("requests that come asynchronously work with AsyncClientV2")
    rules = Rules(
        requests, concurrency=concurrency, ordered=ordered, on_error=on_error, progress=progress, common=common
    )
    return _Batch(client, rules, iterator(requests)).outcomes()


class _Stopped(Exception):
    """The batch is over: what a worker waits for need not happen any more."""


class _Batch:
    """One batch. All but `_work` and `_answer` runs in the thread of the caller, who takes the outcomes."""

    def __init__(self, client: ClientV2, rules: Rules, rows: Iterator[Any]) -> None:
        self._stop = Event()
        self._client = client._on_clock(_BatchClock(client._clock(), self._stop))
        self._rules = rules
        self._rows = rows
        self._order = rules.order()
        self._ready: deque[Outcome] = deque()
        self._waiting: SimpleQueue[tuple[int, Any, Call | CohereRerankError] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Outcome | None]] = SimpleQueue()  # None: the row is not given back
        self._n_threads = self._n_taken = self._n_finished = self._n_given = 0
        self._is_fed = False  # no row will be taken any more
        self._is_ending = False  # because of a failure; nor will those that wait be sent
        self._failure: Exception | None = None

    def outcomes(self) -> Batch:
        """The outcomes, as the rules say."""
        try:
            with self._rules.giving(self._client._clock()) as give:
                for outcome in self._due():
                    yield give(outcome)
                if self._failure is not None:
                    raise self._failure
        finally:
            self._stop.set()
            for _ in range(self._n_threads):
                self._waiting.put(None)

    def _due(self) -> Iterator[Outcome]:
        # At most one row is taken for each outcome given: a source that is slow never holds back two.
        while True:
            may_take = not self._is_fed and self._n_taken - self._n_given < self._rules.room
            if may_take:
                self._take()
            self._collect(wait=not may_take and not self._ready)
            if self._ready:
                self._n_given += 1
                yield self._ready.popleft()
            elif self._is_fed and self._n_taken == self._n_finished:
                break
        yield from self._order.rest()

    def _take(self) -> None:
        """Read one row and hand it to the threads."""
        try:
            row = next(self._rows)
            row_id, call = self._rules.read(self._client, self._n_taken, row)
        except StopIteration:
            self._is_fed = True
            return
        except Exception as error:  # noqa: BLE001 - raised once the rows taken have been given back
            self._failure = self._failure or error
            self._is_fed = True
            return
        self._waiting.put((self._n_taken, row_id, call))
        self._n_taken += 1
        if self._n_threads < self._rules.concurrency:
            self._n_threads += 1
            # Daemons: nobody waits for them after a failure or an early end, not even at exit.
            Thread(target=self._work, name="cohere_rerank batch", daemon=True).start()

    def _collect(self, *, wait: bool) -> None:
        """Put in order what the threads have done, waiting for one outcome if need be."""
        try:
            while self._n_finished < self._n_taken:
                position, outcome = self._done.get(block=wait)
                wait = False
                self._n_finished += 1
                if outcome is not None:
                    self._ready.extend(self._order.put(position, outcome))
        except Empty:
            pass

    def _work(self) -> None:
        """Answer one row after the other, in a thread of its own."""
        while (row := self._waiting.get()) is not None and not self._stop.is_set():
            position, row_id, call = row
            try:
                result = self._answer(call)
            except _Stopped:
                return
            self._done.put((position, None if result is None else (row_id, result)))

    def _answer(self, call: Call | CohereRerankError) -> Any:
        """A response or an error; None for a row that the batch ends with."""
        if self._is_ending:
            return None
        if isinstance(call, CohereRerankError):
            error: Exception = call
        else:
            try:
                return self._response(call)
            except _Stopped:
                raise
            except Exception as failure:  # noqa: BLE001 - given or raised in the caller's thread
                error = failure
        if self._rules.ends(error):
            self._end(error)
            return None
        if self._rules.raises:
            self._is_fed = self._is_ending = True
            return error
        return error.with_traceback(None)  # whose frames hold the documents

    def _response(self, call: Call) -> V2RerankResponse | None:
        """The answer, however long it takes until the client's own limit lets the row go."""
        while not self._is_ending:
            try:
                return self._client._answer(call)[0]
            except RateLimitWaitError as error:
                self._client._clock().sleep(min(error.wait_s, LONGEST_NAP_S))
        return None

    def _end(self, error: Exception) -> None:
        """Send nothing more; the error is raised once all that is under way has been given."""
        self._failure = self._failure or error
        self._is_fed = self._is_ending = True


class _BatchClock:
    """The client's clock, on which no worker sleeps longer than the batch lasts."""

    def __init__(self, clock: Clock, stop: Event) -> None:
        self._clock = clock
        self._stop = stop
        self.monotonic = clock.monotonic
        self.time = clock.time
        self.async_sleep = clock.async_sleep

    def sleep(self, seconds: float) -> None:
        """Wait in a thread, unless the batch is over."""
        if isinstance(self._clock, SystemClock):
            self._stop.wait(seconds)
        else:
            self._clock.sleep(seconds)
        if self._stop.is_set():
            raise _Stopped
