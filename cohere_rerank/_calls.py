"""What batches, jobs, caches and raw responses may ask of a client, as one protocol for each kind of client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._clock import Clock, Deadline
    from ._settings import Config
    from ._transport.reply import Reply
    from ._wire.call import Call
    from .cost.prices import Pricing
    from .errors import CohereRerankError
    from .types import RerankArguments, V2RerankResponse


class BaseCalls(Protocol):
    """The methods that need no waiting."""

    @property
    def config(self) -> Config:
        """The settings of the client."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of the client."""
        ...

    @property
    def pricing(self) -> Pricing:
        """The caller's prices, and whether the built-in ones apply to the address."""
        ...

    def with_clock(self, clock: Clock) -> Self:
        """Return a copy whose waits use this clock. It shares connections, limits and counts with this one."""
        ...

    def encode(self, **arguments: Unpack[RerankArguments]) -> Call:
        """Check the arguments of one call and encode them.

        Raises:
            InvalidRequestError: An argument is not valid.
        """
        ...

    def encode_batch_call(self, **arguments: Unpack[RerankArguments]) -> Call:
        """As `encode`, for a call that lets interactive calls pass where requests wait for a rate limit."""
        ...

    def deadline(self, call: Call) -> Deadline:
        """Return the deadline of a call that starts now."""
        ...

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a count of ``client.usage``."""
        ...


class Calls(BaseCalls, Protocol):
    """The calls of a ClientV2."""

    def rerank(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """Answer a call from the cache, the API or the fallback, and count it.

        Returns:
            The response, and the reply of the first request; None if no request was sent or a fallback answered.
        """
        ...

    def rerank_uncached(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """As `rerank`, for a call with documents, without the cache and without counting the call."""
        ...

    def fall_back(self, call: Call, error: CohereRerankError, deadline: Deadline) -> V2RerankResponse:
        """Return the answer of the first member of the fallback chain that has one.

        Args:
            call: The call that failed.
            error: Why it failed.
            deadline: The deadline of the whole call.

        Raises:
            CohereRerankError: Every member failed too.
        """
        ...


class AsyncCalls(BaseCalls, Protocol):
    """The calls of an AsyncClientV2."""

    async def rerank(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """As `Calls.rerank`."""
        ...

    async def rerank_uncached(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """As `Calls.rerank_uncached`."""
        ...

    async def fall_back(self, call: Call, error: CohereRerankError, deadline: Deadline) -> V2RerankResponse:
        """As `Calls.fall_back`."""
        ...


C_co = TypeVar("C_co", covariant=True)


class _HasCalls(Protocol[C_co]):
    @property
    def _calls(self) -> C_co: ...


def calls_of(client: _HasCalls[C_co]) -> C_co:
    """Return the calls of a client."""
    return client._calls
