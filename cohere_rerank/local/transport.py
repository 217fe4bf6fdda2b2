"""An httpx transport, sync and async, that answers inside this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from cohere_rerank._wire.contract import MAX_DOCUMENTS

from .endpoint import handle
from .registry import scorer_resolver
from .scorer import Scorer

if TYPE_CHECKING:
    from cohere_rerank._settings import Config


class LocalTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Serves every request from `endpoint.handle`.

    Usable on its own too: ``httpx.Client(transport=LocalTransport(scorer_for))``.

    Args:
        scorer_for: Gives the scorer for a model name.
        max_documents: Longer lists are refused, as the API does; None takes any.
    """

    def __init__(self, scorer_for: Callable[[str], Scorer], max_documents: int | None = MAX_DOCUMENTS) -> None:
        self._scorer_for = scorer_for
        self._max_documents = max_documents

    @classmethod
    def from_config(cls, config: Config) -> LocalTransport:
        """The transport for a client on a ``local:`` address."""
        # A client splits what is too long for the API, but never here, where a scorer may look at the whole list.
        return cls(scorer_resolver(config.base_url, config.scorer), max_documents=None)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in this thread."""
        status, headers, body = handle(request.read(), self._scorer_for, self._max_documents)
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in a worker thread."""
        from anyio import to_thread

        content = await request.aread()
        # Scoring a long list takes a while: the event loop must go on meanwhile.
        status, headers, body = await to_thread.run_sync(
            handle, content, self._scorer_for, self._max_documents, abandon_on_cancel=True
        )
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))
