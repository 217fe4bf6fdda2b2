"""``client.with_raw_response``: a response with status and headers beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Unpack

    from ._calls import AsyncCalls, Calls
    from ._transport.http import Reply
    from .types import RerankArguments, V2RerankResponse


class RawResponse:
    """A response with its transport's side.

    Attributes:
        data: The parsed response.
        response: The ``httpx.Response``; of the first part when a long list was split, None when nothing was sent
            or a fallback answered.
    """

    def __init__(self, data: V2RerankResponse, reply: Reply | None) -> None:
        self.data = data
        self.response: httpx.Response | None = None if reply is None else reply.to_httpx_response()

    @property
    def headers(self) -> dict[str, str]:
        """The reply's headers, names in lower case; empty without a reply."""
        return {} if self.response is None else dict(self.response.headers)

    @property
    def status_code(self) -> int | None:
        """The reply's status; None without a reply."""
        return None if self.response is None else self.response.status_code

    def __repr__(self) -> str:
        return f"RawResponse(status_code={self.status_code}, data={self.data!r})"


class RawClientV2:
    """What ``client.with_raw_response`` gives."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `ClientV2.rerank`, with status and headers beside the response."""
        return RawResponse(*self._calls.rerank(self._calls.encode(**arguments)))


class AsyncRawClientV2:
    """What ``client.with_raw_response`` gives."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `AsyncClientV2.rerank`, with status and headers beside the response."""
        return RawResponse(*await self._calls.rerank(self._calls.encode(**arguments)))
