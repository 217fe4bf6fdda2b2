"""What a batch does with its rows, whoever waits: how a row reads, when it is given back, which failures end it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from cohere_rerank._progress import progress_bar
from cohere_rerank._validators import whole_number
from cohere_rerank.errors import (
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
    from cohere_rerank._base_client import BaseClient
    from cohere_rerank._clock import Clock
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    Outcome = tuple[Any, V2RerankResponse | CohereRerankError]  # a row's id, and what became of it
    Batch = Generator[Outcome, None, None]
    AsyncBatch = AsyncGenerator[Outcome, None]
    Progress = bool | Callable[["BatchProgress"], object] | None

ARGUMENTS = RerankArguments.__required_keys__ | RerankArguments.__optional_keys__
_NEEDED = ("model", "query", "documents")
_ROOM = 2  # rows taken and not yet given back, as a multiple of the concurrency: one is under way, one waits
# These are about the client: every further row would fail the same way, or cost money for nothing.
ENDING = (
    ClientClosedError,
    MissingApiKeyError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitStoreError,
    UnauthorizedError,
)
LONGEST_NAP_S = 60.0  # before looking again whether a row's turn has come near, or the batch has ended

_short = Repr()
_short.maxstring = _short.maxother = 60


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch has come.

    Attributes:
        n_done: Outcomes given so far, errors included.
        n_failed: Errors among them.
        n_total: How many there will be; None where the rows do not say (they have no ``len``).
        elapsed_s: Seconds since the first row was asked for.
    """

    n_done: int
    n_failed: int
    n_total: int | None
    elapsed_s: float


class Rules:
    """The checked settings of one batch.

    Raises:
        InvalidRequestError: One of them is of the wrong type or out of its range.
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
            raise InvalidRequestError(f"requests must be an iterable of mappings, got {type(requests).__name__}")
        n_at_once = whole_number("concurrency", concurrency, 1)
        if n_at_once is None:
            raise InvalidRequestError("concurrency must be a whole number, at least 1, got None")
        if on_error not in ("return", "raise"):
            raise InvalidRequestError(f"on_error must be 'return' or 'raise', got {_short.repr(on_error)}")
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise InvalidRequestError(f"progress must be a bool or a function, got {type(progress).__name__}")
        check_names(common)
        self.concurrency = n_at_once
        self.room = _ROOM * n_at_once
        self.ordered = bool(ordered)
        self.raises = on_error == "raise"
        self.n_total = len(requests) if hasattr(requests, "__len__") else None
        self.progress = progress
        self._common = {name: value for name, value in common.items() if value is not None}

    def read(self, client: BaseClient, position: int, row: object) -> tuple[Any, Call | CohereRerankError]:
        """A row's id, and its checked call or what is wrong with it."""
        row_id = row.get("id") if isinstance(row, Mapping) else None
        row_id = position if row_id is None else row_id
        try:
            return row_id, client._encode_bulk(**self._arguments(row))
        except CohereRerankError as error:
            return row_id, error.with_traceback(None)

    def _arguments(self, row: object) -> dict[str, Any]:
        if not isinstance(row, Mapping):
            raise InvalidRequestError(f"a request must be a mapping of rerank's arguments, got {type(row).__name__}")
        own = {name: value for name, value in row.items() if value is not None and name != "id"}
        check_names(own)
        arguments = {**self._common, **own}
        missing = [name for name in _NEEDED if name not in arguments]
        if missing:
            raise InvalidRequestError(f"the request has no {' and no '.join(missing)}")
        return arguments

    def ends(self, error: Exception) -> bool:
        """Whether no further row should be sent after this failure, whatever ``on_error`` says."""
        return not isinstance(error, CohereRerankError) or isinstance(error, ENDING)

    def order(self) -> InOrder | AsDone:
        """In which order outcomes are given."""
        return InOrder() if self.ordered else AsDone()

    @contextmanager
    def giving(self, clock: Clock) -> Iterator[Callable[[Outcome], Outcome]]:
        """A function that each outcome passes on its way out: with ``on_error="raise"`` it raises the errors.

        Raises:
            ImportError: A progress bar is asked for, and tqdm is not installed.
        """
        with _told(self.progress, self.n_total, clock) as tell:

            def give(outcome: Outcome) -> Outcome:
                row_id, result = outcome
                tell(isinstance(result, CohereRerankError))
                if self.raises and isinstance(result, CohereRerankError):
                    result.message = f"request {_short.repr(row_id)}: {result.message}"
                    raise result
                return outcome

            yield give


def iterator(requests: Any) -> Any:
    """An iterator over the rows, asynchronous if they are.

    Raises:
        InvalidRequestError: They are not iterable.
    """
    try:
        return requests.__aiter__() if hasattr(requests, "__aiter__") else iter(requests)
    except TypeError:
        raise InvalidRequestError(f"requests must be an iterable of mappings, got {type(requests).__name__}") from None


class InOrder:
    """Outcomes in the order of their rows: one that is early waits."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, Outcome] = {}

    def put(self, position: int, outcome: Outcome) -> Iterator[Outcome]:
        """Take the outcome of the row at *position*; give what is now due."""
        self._waiting[position] = outcome
        while self._next in self._waiting:
            self._next += 1
            yield self._waiting.pop(self._next - 1)

    def rest(self) -> Iterator[Outcome]:
        """What still waits for a row that will never have an outcome."""
        for position in sorted(self._waiting):
            yield self._waiting.pop(position)


class AsDone:
    """Outcomes as they come."""

    def put(self, position: int, outcome: Outcome) -> Iterator[Outcome]:  # noqa: ARG002 - the face of InOrder
        """Give it at once."""
        yield outcome

    def rest(self) -> Iterator[Outcome]:
        """Nothing ever waits."""
        return iter(())


def check_names(arguments: Mapping[str, Any]) -> None:
    """Refuse what `rerank` does not take."""
    unknown = sorted(_short.repr(name) for name in arguments.keys() - ARGUMENTS)
    if unknown:
        known = ", ".join(sorted(ARGUMENTS))
        raise InvalidRequestError(
            f"rerank takes no {', '.join(unknown)}; a request may have an id and {known}; "
            "a batch also takes concurrency, ordered, on_error, progress"
        )


@contextmanager
def _told(progress: Progress, n_total: int | None, clock: Clock) -> Iterator[Callable[[bool], object]]:
    """A function to call with each outcome, whether it is an error: it tells whoever wants to know."""
    if callable(progress):
        yield _counter(progress, n_total, clock)
    elif progress:
        with progress_bar(n_total, "request") as advance:
            yield lambda _: advance()
    else:
        yield lambda _: None


def _counter(tell: Callable[[BatchProgress], object], n_total: int | None, clock: Clock) -> Callable[[bool], object]:
    start_s, n_done, n_failed = clock.monotonic(), 0, 0

    def count(is_error: bool) -> None:
        nonlocal n_done, n_failed
        n_done += 1
        n_failed += is_error
        tell(BatchProgress(n_done, n_failed, n_total, clock.monotonic() - start_s))

    return count
