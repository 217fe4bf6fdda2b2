"""Backends rank the documents of a request: the local engine here, another API in `upstream`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from cohere_rerank.errors import InvalidRequestError, ScorerError
from cohere_rerank.local import endpoint
from cohere_rerank.local.registry import as_scorer, scorer_resolver

from .http import HttpError
from .logs import log_failure

if TYPE_CHECKING:
    from cohere_rerank.local.scorer import Scorer

    from .dialects import Parser, V2Request
    from .executor import BoundedExecutor
    from .settings import ServerSettings

_log = logging.getLogger("cohere_rerank.server")
_OK = 200
# Validation needs a scorer, but it must not do the work of one.
_NO_SCORING = as_scorer(lambda _query, documents: [0.0] * len(documents))


class BackendResponse(NamedTuple):
    """The status and the body of a response, and the number of documents that were ranked."""

    status: int
    body: bytes
    n_documents: int = 0


@dataclass(frozen=True)
class RawRequest:
    """The body of a request, and what is needed to parse it and to encode its reply."""

    content: bytes
    parser: Parser
    model: str
    is_strict: bool
    request_id: str

    def parse(self) -> V2Request | None:
        """Return the request in the terms of v2, or None if the body is not a JSON object.

        Raises:
            HttpError: A field that only this dialect has is not valid.
        """
        try:
            fields = from_json(self.content, allow_inf_nan=False)
        except (ValueError, RecursionError):
            return None
        return self.parser(fields, self.model, self.is_strict) if isinstance(fields, dict) else None

    def encode_reply(self, request: V2Request, reply: dict[str, Any]) -> BackendResponse:
        """Return the v2 reply in the dialect of the request, with the request id."""
        data = request.encode_reply({**reply, "id": self.request_id})
        return BackendResponse(_OK, to_json(data), len(request.body["documents"]))


class Backend(Protocol):
    """Ranks the documents of requests."""

    async def rerank(self, raw: RawRequest) -> BackendResponse:
        """Return the response.

        Raises:
            HttpError: The request is not valid, or the backend failed.
        """
        ...

    def load(self) -> None:
        """Load what the first request needs."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class LocalBackend:
    """The local engine."""

    def __init__(self, settings: ServerSettings, executor: BoundedExecutor) -> None:
        self._executor, self._model = executor, settings.model
        self._scorer_for = _scorer_resolver(settings)

    async def rerank(self, raw: RawRequest) -> BackendResponse:
        """Rank in a thread."""
        return await self._executor.run(rank_locally, raw, self._scorer_for)

    def load(self) -> None:
        """Load the scorer."""
        self._scorer_for(self._model)

    async def aclose(self) -> None:
        """Do nothing. The local engine has no connections."""


def _scorer_resolver(settings: ServerSettings) -> Callable[[str], Scorer]:
    scorer = settings.scorer or ""
    resolve = scorer_resolver(f"local:{scorer}") if isinstance(scorer, str) else scorer_resolver("local:", scorer)

    def scorer_for(model: str) -> Scorer:
        try:
            return resolve(model)
        except (ImportError, InvalidRequestError) as error:
            raise HttpError(404, f"model {model!r} not found: {error}") from None

    return scorer_for


def rank_locally(raw: RawRequest, scorer_for: Callable[[str], Scorer], warning: str | None = None) -> BackendResponse:
    """Rank with the local engine. *warning* becomes the first warning of the reply.

    Raises:
        HttpError: The request is not valid, or the scorer failed.
    """
    request = raw.parse()
    content = raw.content if request is None else to_json(request.body)
    try:
        status, _, reply = endpoint.handle(content, scorer_for)
    except ScorerError as error:
        log_failure(_log, "a scorer failed", error, raw.request_id)
        raise HttpError(500, "the scorer failed; the server's log has the request's id") from None
    if request is None or status != _OK:
        raise _http_error(status, reply)
    data = from_json(reply)
    if warning is not None:
        data["meta"]["warnings"].insert(0, warning)
    return raw.encode_reply(request, data)


def validate(raw: RawRequest) -> V2Request:
    """Return the parsed request after the checks of the endpoint, without ranking.

    Raises:
        HttpError: The request is not valid.
    """
    request = raw.parse()
    content = raw.content if request is None else to_json(request.body)
    status, _, reply = endpoint.handle(content, lambda _model: _NO_SCORING)
    if request is None or status != _OK:
        raise _http_error(status, reply)
    return request


def _http_error(status: int, reply: bytes) -> HttpError:
    return HttpError(status, from_json(reply)["message"])
