"""Answer the requests of a client with a ``local:`` address inside this process, without httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohere_rerank.local.endpoint import UNLIMITED, handle
from cohere_rerank.local.registry import scorer_resolver

from .reply import Reply

if TYPE_CHECKING:
    from cohere_rerank._settings import Config
    from cohere_rerank._wire.call import Part
    from cohere_rerank.local.endpoint import EndpointResponse


class LocalAnswers:
    """Answers every request with `local.endpoint.handle`."""

    def __init__(self, config: Config) -> None:
        self._scorer_for = scorer_resolver(config.base_url, config.scorer)

    def reply(self, part: Part) -> Reply:
        """Answer a request in this thread."""
        # A client does not split long lists here, because a scorer may compare all documents of a list.
        return _as_reply(part, handle(part.content, self._scorer_for, UNLIMITED))

    async def reply_async(self, part: Part) -> Reply:
        """Answer a request in a worker thread."""
        from anyio import to_thread

        # Scoring a long list takes a while, and the event loop must not wait for it.
        answer = await to_thread.run_sync(handle, part.content, self._scorer_for, UNLIMITED, abandon_on_cancel=True)
        return _as_reply(part, answer)


class _LocalReply:
    """What a raw response of httpx is made of."""

    http_version = b"HTTP/1.1"
    reason = b""

    def __init__(self, headers: dict[str, str]) -> None:
        self.fields = list(headers.items())


def _as_reply(part: Part, answer: EndpointResponse) -> Reply:
    status, headers, body = answer
    lowercase = {name.lower(): value for name, value in headers.items()}
    return Reply(_LocalReply(headers), status, lowercase, body, None, part.call.headers)
