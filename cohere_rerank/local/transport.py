"""An httpx transport, sync and async, that answers inside this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from .choose import chooser
from .endpoint import answer
from .scorer import Scorer

if TYPE_CHECKING:
    from cohere_rerank._config import Config


class LocalTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Serves every request from `endpoint.answer`.

    Usable on its own too: ``httpx.Client(transport=LocalTransport(pick))``.
    """

    def __init__(self, pick: Callable[[str], Scorer]) -> None:
        self._pick = pick

    @classmethod
    def from_config(cls, config: Config) -> LocalTransport:
        """The transport for a client on a ``local:`` address."""
        return cls(chooser(config.base_url, config.scorer))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in this thread."""
        status, headers, body = answer(request.read(), self._pick)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in a worker thread."""
        from anyio import to_thread

        content = await request.aread()
        # Scoring a long list takes a while: the event loop must go on meanwhile.
        status, headers, body = await to_thread.run_sync(answer, content, self._pick, abandon_on_cancel=True)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
