"""The rules of a batch, without threads, tasks or I/O: how a row is read, when it is emitted, what stops the batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from cohere_rerank._progress import progress_bar
from cohere_rerank._validators import choice, describe, flag, needed_whole_number
from cohere_rerank._wire.documents import rows_of_table
from cohere_rerank.errors import (
    BudgetExceededError,
    ClientClosedError,
    CohereRerankError,
    InvalidRequestError,
    MissingApiKeyError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitStoreError,
    UnauthorizedError,
)
from cohere_rerank.types import RerankArguments

if TYPE_CHECKING:
    from cohere_rerank._calls import BaseCalls
    from cohere_rerank._clock import Clock
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    Progress = bool | Callable[["BatchProgress"], object] | None

Outcome = tuple[Any, "V2RerankResponse | CohereRerankError"]  # the id of a row, and its response or its error
Batch = Generator[Outcome, None, None]
AsyncBatch = AsyncGenerator[Outcome, None]

ARGUMENTS = RerankArguments.__required_keys__ | RerankArguments.__optional_keys__
_REQUIRED = dict.fromkeys(("model", "query", "documents"))
_OUTSTANDING_PER_WORKER = 2  # one row in flight and one that waits
# These concern the client: every further row would fail in the same way, or would cost money for nothing.
FATAL_ERRORS = (
    BudgetExceededError,
    ClientClosedError,
    MissingApiKeyError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitStoreError,
    UnauthorizedError,
)
MAX_SLEEP_S = 60.0  # between two checks whether a row that waits for the limit may be sent

_short = Repr()
_short.maxstring = _short.maxother = 60


@dataclass(frozen=True)
class BatchProgress:
    """The progress of a batch.

    Attributes:
        n_done: Number of outcomes so far, errors included.
        n_failed: Number of errors among them.
        n_total: Number of outcomes to expect. None if the rows have no ``len``.
        elapsed_s: Seconds since the first row was read.
    """

    n_done: int
    n_failed: int
    n_total: int | None
    elapsed_s: float


class BatchRules:
    """The validated settings of one batch.

    Raises:
        InvalidRequestError: A setting is of the wrong type or out of its range.
    """

    def __init__(
        self,
        requests: Any,
        *,
        concurrency: int,
        ordered: bool,
        on_error: str,
        progress: Progress,
        common: Mapping[str, Any],
    ) -> None:
        if isinstance(requests, (str, bytes, Mapping)):
            raise InvalidRequestError(f"requests must be an iterable of mappings, got {describe(requests)}")
        if (rows := rows_of_table(requests)) is not None:  # iterating over a table yields its columns
            raise InvalidRequestError(
                f"requests must be an iterable of mappings, got {type(requests).__name__}; pass requests.{rows}"
            )
        n_workers = needed_whole_number("concurrency", concurrency, 1)
        if choice("on_error", on_error, ("return", "raise")) is None:
            raise InvalidRequestError("on_error must be 'return' or 'raise', got None")
        if flag("ordered", ordered) is None:
            raise InvalidRequestError("ordered must be True or False, got None")
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise InvalidRequestError(f"progress must be True, False or a function, got {describe(progress)}")
        check_names(common)
        self.concurrency = n_workers
        self.max_outstanding = _OUTSTANDING_PER_WORKER * n_workers
        self.ordered = ordered
        self.raises = on_error == "raise"
        self.n_total = len(requests) if hasattr(requests, "__len__") else None
        self.progress = progress
        self._common = {name: value for name, value in common.items() if value is not None}

    def read(self, calls: BaseCalls, position: int, row: object) -> tuple[Any, Call | CohereRerankError]:
        """Return the id of a row, and its encoded call or the error that makes it invalid."""
        row_id = row.get("id") if isinstance(row, Mapping) else None
        row_id = position if row_id is None else row_id
        try:
            return row_id, calls.encode_batch_call(**self._arguments(row))
        except CohereRerankError as error:
            return row_id, error.with_traceback(None)

    def _arguments(self, row: object) -> dict[str, Any]:
        if not isinstance(row, Mapping):
            raise InvalidRequestError(f"a request must be a mapping of rerank's arguments, got {describe(row)}")
        own = {name: value for name, value in row.items() if value is not None and name != "id"}
        if not own.keys() <= ARGUMENTS:
            check_names(own)
        arguments = {**self._common, **own}
        if not arguments.keys() >= _REQUIRED.keys():
            missing = " and no ".join(name for name in _REQUIRED if name not in arguments)
            raise InvalidRequestError(f"the request has no {missing}; add it to the request or pass it to rerank_many")
        return arguments

    def buffer(self) -> OrderedBuffer | AsCompleted:
        """Return the buffer that decides in which order outcomes are emitted."""
        return OrderedBuffer() if self.ordered else AsCompleted()

    @contextmanager
    def reporting(self, clock: Clock) -> Iterator[Callable[[Outcome], Outcome]]:
        """Yield a function that reports each outcome as progress and returns it, or raises it as *on_error* says.

        Raises:
            ImportError: A progress bar is wanted and tqdm is not installed.
        """
        with _progress_reporter(self.progress, self.n_total, clock) as report:

            def emit(outcome: Outcome) -> Outcome:
                row_id, result = outcome
                report(isinstance(result, CohereRerankError))
                if self.raises and isinstance(result, CohereRerankError):
                    result.message = f"request {_short.repr(row_id)}: {result.message}"
                    raise result
                return outcome

            yield emit


class BatchState:
    """Whether a batch still sends requests, and the failure to raise at its end.

    Args:
        rules: The settings of the batch.
        on_stop: Called when the batch stops sending, in the thread or task of the failure.
    """

    def __init__(self, rules: BatchRules, on_stop: Callable[[], object] = lambda: None) -> None:
        self._raises = rules.raises
        self._on_stop = on_stop
        self.is_stopping = False
        self.failure: BaseException | None = None

    def stop(self, failure: BaseException | None = None) -> None:
        """Send no further request. The first failure is raised after the outcomes of the requests in flight."""
        self.failure = self.failure or failure
        self.is_stopping = True
        self._on_stop()

    def record_failure(self, error: Exception) -> CohereRerankError | None:
        """Return the error to emit for a row that failed, or None if the batch stops because of it."""
        if not isinstance(error, CohereRerankError) or isinstance(error, FATAL_ERRORS):
            self.stop(error)
            return None
        if self._raises:
            self.stop()
            return error
        return error.with_traceback(None)  # the frames of the traceback hold the documents


class OrderedBuffer:
    """Emits outcomes in the order of their rows, and holds back those that come early."""

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Outcome] = {}

    def add(self, position: int, outcome: Outcome) -> Iterator[Outcome]:
        """Add the outcome of the row at *position*, and yield the outcomes that are due."""
        self._early[position] = outcome
        while self._next in self._early:
            self._next += 1
            yield self._early.pop(self._next - 1)

    def flush(self) -> Iterator[Outcome]:
        """Yield the outcomes behind a row that will never have one."""
        for position in sorted(self._early):
            yield self._early.pop(position)


class AsCompleted:
    """Emits outcomes as they come. It has the methods of `OrderedBuffer`."""

    def add(self, position: int, outcome: Outcome) -> Iterator[Outcome]:  # noqa: ARG002 - the same interface
        """Yield the outcome at once."""
        yield outcome

    def flush(self) -> Iterator[Outcome]:
        """Yield nothing: no outcome is held back."""
        return iter(())


def iterator(requests: Any) -> Any:
    """Return an iterator over the rows, an asynchronous one if they are asynchronous.

    Raises:
        InvalidRequestError: The rows are not iterable.
    """
    try:
        return requests.__aiter__() if hasattr(requests, "__aiter__") else iter(requests)
    except TypeError:
        raise InvalidRequestError(f"requests must be an iterable of mappings, got {describe(requests)}") from None


def check_names(arguments: Mapping[str, Any]) -> None:
    """Check that all names are arguments of `rerank`.

    Raises:
        InvalidRequestError: Some are not.
    """
    unknown = sorted(_short.repr(name) for name in arguments.keys() - ARGUMENTS)
    if unknown:
        known = ", ".join(sorted(ARGUMENTS))
        raise InvalidRequestError(
            f"rerank takes no {', '.join(unknown)}; a request may have an id and {known}; "
            "a batch also takes concurrency, ordered, on_error, progress"
        )


@contextmanager
def _progress_reporter(progress: Progress, n_total: int | None, clock: Clock) -> Iterator[Callable[[bool], object]]:
    """Yield a function to call for each outcome with whether it is an error. It reports progress."""
    if callable(progress):
        yield _counter(progress, n_total, clock)
    elif progress:
        with progress_bar(n_total, "request") as advance:
            yield lambda _: advance()
    else:
        yield lambda _: None


def _counter(report: Callable[[BatchProgress], object], n_total: int | None, clock: Clock) -> Callable[[bool], object]:
    start_s, n_done, n_failed = clock.monotonic(), 0, 0

    def count(is_error: bool) -> None:
        nonlocal n_done, n_failed
        n_done += 1
        n_failed += is_error
        report(BatchProgress(n_done, n_failed, n_total, clock.monotonic() - start_s))

    return count
