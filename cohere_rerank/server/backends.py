"""Backends rank the documents of a request: the local engine here, another API in `upstream`."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic_core import to_json

from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank.errors import InvalidRequestError, ScorerError
from cohere_rerank.local.endpoint import API_LIMITS, handle_parsed
from cohere_rerank.local.registry import scorer_resolver
from cohere_rerank.local.request import RequestError, parse_json
from cohere_rerank.local.request import validate as validate_fields

from .http import HttpError
from .logs import log_failure

if TYPE_CHECKING:
    from cohere_rerank.local.scorer import Scorer

    from .dialects import Parser, V2Request
    from .executor import BoundedExecutor
    from .settings import ServerSettings

_log = logging.getLogger("cohere_rerank.server")
_OK = 200
_MAX_NAME = 100
_MAX_BYTES_NOW = 4096  # a hostile body of this size takes 8 ms
_MAX_SECONDS_PER_TURN = 0.01
_WARM_UP = ("green tea", ("green tea", "coffee"))


class BackendResponse(NamedTuple):
    """The body of a response, the number of documents that were ranked, and the engine that ranked them.

    A fallback is the local engine in place of the upstream.
    """

    body: bytes
    n_documents: int
    answered_by: str
    is_fallback: bool = False


@dataclass
class RawRequest:
    """The body of a request, and what is needed to parse it and to encode its reply."""

    content: bytes
    parser: Parser
    model: str
    is_strict: bool
    request_id: str
    deadline: Deadline | None = None  # of the caller
    parsed: V2Request | None = None  # until it is taken

    def deadline_after(self, seconds: float) -> Deadline:
        """Return the earlier of the caller's deadline and the time after these seconds."""
        return Deadline(SystemClock(), seconds, self.deadline)

    def parse(self) -> V2Request:
        """Return the request in the terms of v2, and release the body, which would double the memory.

        Raises:
            HttpError: The body is not JSON, has too many values, or a field that only this dialect has is not valid.
        """
        if self.parsed is not None:
            parsed, self.parsed = self.parsed, None
            return parsed
        content, self.content = self.content, b""
        try:
            fields = parse_json(content, API_LIMITS.max_values)
        except RequestError as error:
            raise HttpError(error.status, str(error)) from None
        if not isinstance(fields, dict):
            raise HttpError(400, "invalid json syntax: the body must be an object")
        return self.parser(fields, self.model, self.is_strict)

    def encode_reply(self, request: V2Request, reply: dict[str, Any], answered_by: str) -> BackendResponse:
        """Return the v2 reply in the dialect of the request, with the request id."""
        data = request.encode_reply({**reply, "id": self.request_id})
        return BackendResponse(to_json(data), len(request.body["documents"]), answered_by)


class Backend(Protocol):
    """Ranks the documents of requests."""

    def rank_now(self, raw: RawRequest) -> BackendResponse | None:
        """Return the response if it takes a few milliseconds at most, otherwise None. Runs in the event loop.

        Raises:
            HttpError: The request is not valid, or the scorer failed.
        """
        ...

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


class _TurnBudget:
    """Limits the time of the small requests that are ranked between two turns of the event loop."""

    def __init__(self) -> None:
        self._used_s = 0.0

    @property
    def is_used_up(self) -> bool:
        """Whether other connections must have their turn first."""
        return self._used_s > _MAX_SECONDS_PER_TURN

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count the time of this block, until the loop's next turn."""
        started_s = time.thread_time()  # of this thread: a busy machine must not use the budget up
        if not self._used_s:
            asyncio.get_running_loop().call_soon(self._reset)
        try:
            yield
        finally:
            self._used_s += time.thread_time() - started_s

    def _reset(self) -> None:
        self._used_s = 0.0


class LocalBackend:
    """The local engine."""

    def __init__(self, settings: ServerSettings, executor: BoundedExecutor) -> None:
        self._executor, self._model, self._timeout_s = executor, settings.model, settings.request_timeout_s
        self._scorer_for = _scorer_resolver(settings)
        self._is_lexical = settings.scorer in (None, "lexical")
        self._is_own_scorer = isinstance(settings.scorer, (str, type(None)))
        self._turn = _TurnBudget()

    def rank_now(self, raw: RawRequest) -> BackendResponse | None:
        """Rank a small request with the lexical scorer. A thread would take several times as long as the ranking."""
        if not self._is_lexical or len(raw.content) > _MAX_BYTES_NOW or self._turn.is_used_up:
            return None
        with self._turn.used():
            request = raw.parse()
            model = request.body.get("model")
            if isinstance(model, str) and model.startswith("local-"):  # it may name another scorer
                raw.parsed = request
                return None
            return rank_locally(raw, request, self._scorer_for, raw.deadline_after(self._timeout_s))

    async def rerank(self, raw: RawRequest) -> BackendResponse:
        """Rank in a thread."""
        deadline = raw.deadline_after(self._timeout_s)
        return await self._executor.run(rank_locally, raw, None, self._scorer_for, deadline)

    def load(self) -> None:
        """Load the scorer, and rank once, because a scorer reads its data for its first ranking."""
        scorer = self._scorer_for(self._model)
        if self._is_own_scorer:  # a call of the caller's function could have consequences
            scorer.score(*_WARM_UP)

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


def rank_locally(
    raw: RawRequest,
    request: V2Request | None,
    scorer_for: Callable[[str], Scorer],
    deadline: Deadline,
    warning: str | None = None,
) -> BackendResponse:
    """Rank with the local engine.

    Args:
        raw: The request.
        request: The request after `validate`, or None if it is not parsed yet.
        scorer_for: Returns the scorer for a model name.
        deadline: When scoring must stop.
        warning: The first warning of the reply. Default: no warning.

    Raises:
        HttpError: The request is not valid, scoring took too long, or the scorer failed.
    """
    request = request or raw.parse()
    used: list[Scorer] = []

    def remember_scorer(model: str) -> Scorer:
        used.append(scorer_for(model))
        return used[-1]

    try:
        status, reply = handle_parsed(request.body, remember_scorer, deadline=deadline)
    except ScorerError as error:
        log_failure(_log, "a scorer failed", error, raw.request_id)
        raise HttpError(500, "the scorer failed; the server's log has the request's id") from None
    if status != _OK:
        raise HttpError(status, reply["message"])
    if warning is not None:
        reply["meta"]["warnings"].insert(0, warning)
    return raw.encode_reply(request, reply, _printable(used[-1].name))


@functools.lru_cache
def _printable(name: str) -> str:
    """Return the name of a scorer for a header and a log line. That of a function may have any letters."""
    return re.sub("[^!-~]", "?", name)[:_MAX_NAME] or "?"


def validate(raw: RawRequest) -> V2Request:
    """Return the parsed request after the checks of the endpoint, without ranking.

    Raises:
        HttpError: The request is not valid.
    """
    request = raw.parse()
    try:
        validate_fields(request.body)
    except RequestError as error:
        raise HttpError(error.status, str(error)) from None
    return request
