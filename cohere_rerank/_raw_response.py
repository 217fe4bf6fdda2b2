"""``client.with_raw_response``: a response together with its status and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InvalidResponseError

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Unpack

    from ._calls import AsyncCalls, Calls
    from ._wire.call import Call
    from .types import RerankArguments, V2RerankResponse


class RawResponse:
    """A response together with the HTTP response that it came from.

    A reply with status 200 that breaks the contract is returned too. Then ``data`` raises the ``error``.

    Attributes:
        response: The ``httpx.Response``. If a long list was split, it is that of the first part, or of the part that
            was refused. None if nothing was sent, or if the fallback answered.
        error: Why the reply was refused. None if it was accepted.
    """

    def __init__(
        self,
        data: V2RerankResponse | None,
        response: httpx.Response | None,
        error: InvalidResponseError | None = None,
    ) -> None:
        self._data = data
        self.response = response
        self.error = error

    @property
    def data(self) -> V2RerankResponse:
        """The parsed response.

        Raises:
            InvalidResponseError: The reply was refused.
        """
        if self._data is None:
            assert self.error is not None, "there is either a response or an error"
            raise self.error
        return self._data

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the reply, with names in lower case. Empty without a reply."""
        return {} if self.response is None else dict(self.response.headers)

    @property
    def status_code(self) -> int | None:
        """The status of the reply. None without a reply."""
        return None if self.response is None else self.response.status_code

    def __repr__(self) -> str:
        content = f"data={self._data!r}" if self.error is None else f"error={self.error!r}"
        return f"RawResponse(status_code={self.status_code}, {content})"


class RawClientV2:
    """The client that ``ClientV2.with_raw_response`` returns."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `ClientV2.rerank`. Returns the response together with its status and headers."""
        call = self._calls.encode(**arguments)
        try:
            response, reply = self._calls.rerank(call)
        except InvalidResponseError as error:
            return _refused(call, error)
        return RawResponse(response, None if reply is None else reply.to_httpx_response())


class AsyncRawClientV2:
    """The client that ``AsyncClientV2.with_raw_response`` returns."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def rerank(self, **arguments: Unpack[RerankArguments]) -> RawResponse:
        """As `AsyncClientV2.rerank`. Returns the response together with its status and headers."""
        call = self._calls.encode(**arguments)
        try:
            response, reply = await self._calls.rerank(call)
        except InvalidResponseError as error:
            return _refused(call, error)
        return RawResponse(response, None if reply is None else reply.to_httpx_response())


def _refused(call: Call, error: InvalidResponseError) -> RawResponse:
    """Return the reply that broke the contract, or raise the error if its body could not be read."""
    reply = call.trace.refused_reply
    if reply is None:
        raise error
    return RawResponse(None, reply.to_httpx_response(is_refused=True), error)
