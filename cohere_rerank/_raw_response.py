"""``client.with_raw_response``: a response together with its status and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Unpack

    from ._calls import AsyncCalls, Calls
    from ._transport.http import Reply
    from .types import RerankArguments, V2RerankResponse


class RawResponse:
    """A response together with the HTTP response that it came from.

    Attributes:
        data: The parsed response.
        response: The ``httpx.Response``. If a long list was split, it is that of the first part. None if nothing was
            sent, or if the fallback answered.
    """

    def __init__(self, data: V2RerankResponse, reply: Reply | None) -> None:
        self.data = data
        self.response: httpx.Response | None = None if reply is None else reply.to_httpx_response()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the reply, with names in lower case. Empty without a reply."""
        return {} if self.response is None else dict(self.response.headers)

    @property
    def status_code(self) -> int | None:
        """The status of the reply. None without a reply."""
        return None if self.response is None else self.response.status_code

    def __repr__(self) -> str:
        return f"RawResponse(status_code={self.status_code}, data={self.data!r})"


class RawClientV2:
    """The client that ``ClientV2.with_raw_response`` returns."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `ClientV2.rerank`. Returns the response together with its status and headers."""
        return RawResponse(*self._calls.rerank(self._calls.encode(**arguments)))


class AsyncRawClientV2:
    """The client that ``AsyncClientV2.with_raw_response`` returns."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `AsyncClientV2.rerank`. Returns the response together with its status and headers."""
        return RawResponse(*await self._calls.rerank(self._calls.encode(**arguments)))
