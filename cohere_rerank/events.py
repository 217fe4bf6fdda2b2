"""The events of a call, which the client passes to the function in ``on_event``.

An event shows no key, no query and no document. The function is called in the thread or task of the call, so it must
be quick. An exception that it raises is logged, and the call continues. Only KeyboardInterrupt, SystemExit and a
cancellation end the call.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import CohereRerankError

__all__ = ["BreakerEvent", "Event", "FallbackEvent", "HedgeEvent", "RequestEvent", "ResponseEvent", "RetryEvent"]


@dataclass(frozen=True)
class Event:
    """The base of all events.

    Attributes:
        tag: The ``tag=`` of the client.
    """

    tag: str | None


@dataclass(frozen=True)
class RequestEvent(Event):
    """A request is about to be sent.

    Attributes:
        address: The base URL of the client, without its query.
        attempt: The number of the request within its call, from 1. Parts of a split list count too.
        n_documents: The number of documents in the request.
        key_index: The position of the key in ``api_key=[...]``. None if the client has one key.
    """

    address: str
    attempt: int
    n_documents: int
    key_index: int | None = None


@dataclass(frozen=True)
class ResponseEvent(Event):
    """A whole reply arrived, whatever its status.

    Attributes:
        status_code: The HTTP status.
        request_id: The server's id of the request, from the headers.
        elapsed_s: Seconds from the request to the end of the reply.
    """

    status_code: int
    request_id: str | None
    elapsed_s: float


@dataclass(frozen=True)
class RetryEvent(Event):
    """A request failed and is about to be sent again, after its wait.

    Attributes:
        error: The failure.
        waited_s: Seconds that all waits before retries of this request took so far.
    """

    error: CohereRerankError
    waited_s: float


@dataclass(frozen=True)
class HedgeEvent(Event):
    """A request is about to be sent a second time, because its answer takes longer than usual.

    Attributes:
        after_s: Seconds since the request was sent.
    """

    after_s: float


@dataclass(frozen=True)
class FallbackEvent(Event):
    """The API failed, and the fallback is about to answer.

    Attributes:
        error: The failure of the API.
    """

    error: CohereRerankError


@dataclass(frozen=True)
class BreakerEvent(Event):
    """The circuit breaker of an address changed its state, because of a request of this client.

    Attributes:
        address: The base URL, without its query.
        state: ``"open"``, ``"half-open"`` or ``"closed"``.
    """

    address: str
    state: str
