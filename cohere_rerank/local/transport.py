"""An httpx transport, sync and async, that answers requests inside this process."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from .endpoint import API_LIMITS, Limits, handle
from .scorer import Scorer


class LocalTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers every request with `endpoint.handle`.

    It also works in a client of httpx: ``httpx.Client(transport=LocalTransport(scorer_for))``.

    Args:
        scorer_for: Returns the scorer for a model name.
        limits: The most that a request may have. Default: the limits of the API.
    """

    def __init__(self, scorer_for: Callable[[str], Scorer], limits: Limits = API_LIMITS) -> None:
        self._scorer_for = scorer_for
        self._limits = limits

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request in this thread."""
        status, headers, body = handle(request.read(), self._scorer_for, self._limits)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request in a worker thread."""
        from anyio import to_thread

        content = await request.aread()
        # Scoring a long list takes a while, and the event loop must not wait for it.
        status, headers, body = await to_thread.run_sync(
            handle, content, self._scorer_for, self._limits, abandon_on_cancel=True
        )
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
