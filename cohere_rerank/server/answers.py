"""Who answers a request that has been read: the local engine, or an upstream with the local engine behind it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from cohere_rerank._clock import SystemClock
from cohere_rerank._retry import RetryPolicy
from cohere_rerank._settings import key_from_environment
from cohere_rerank.errors import (
    ApiError,
    CohereRerankError,
    ConnectionFailedError,
    InvalidRequestError,
    RequestTimedOutError,
    ScorerError,
)
from cohere_rerank.local import endpoint
from cohere_rerank.local.registry import as_scorer, get_scorer, scorer_resolver

from .http import Refused
from .logs import about, log_failure

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock
    from cohere_rerank.local.scorer import Scorer
    from cohere_rerank.types import V2RerankResponse

    from .dialects import Asked, Reader
    from .settings import Settings
    from .threads import Threads

_log = logging.getLogger("cohere_rerank.server")
_OK = 200
_KEY_REFUSED = (401, 403)
_FAILURES = range(400, 600)
_NOT_THE_CALLERS = (502, 504)  # in our own words: an upstream that says so itself has an outage
_OUTAGE_S = 5.0
_ABOUT_ONE_REQUEST = (500,)  # a caller must not be able to keep all others from the upstream
_FELL_BACK = "a fallback answered, because the upstream could not"
# Nothing is scored to find out whether a request is well formed.
_UNSCORED = as_scorer(lambda _query, documents: [0.0] * len(documents))


class Outcome(NamedTuple):
    """A reply's status and body, and how many documents it is about."""

    status: int
    body: bytes
    n_documents: int = 0


@dataclass(frozen=True)
class Question:
    """A request's body, with what is needed to read it and to word its answer."""

    content: bytes
    read: Reader
    model: str
    is_strict: bool
    request_id: str

    def asked(self) -> Asked | None:
        """What is asked, in the words of v2; None if it is no JSON object.

        Raises:
            Refused: The dialect's own fields are wrong.
        """
        try:
            request = from_json(self.content, allow_inf_nan=False)
        except (ValueError, RecursionError):
            return None
        return self.read(request, self.model, self.is_strict) if isinstance(request, dict) else None

    def outcome(self, asked: Asked, reply: dict[str, Any]) -> Outcome:
        """The dialect's answer, under the request's id."""
        form = asked.answered({**reply, "id": self.request_id})
        return Outcome(_OK, to_json(form), len(asked.body["documents"]))


class Answers(Protocol):
    """Who answers."""

    async def answer(self, question: Question) -> Outcome:
        """The answer.

        Raises:
            Refused: The request is wrong, or nobody could answer it.
        """
        ...

    def load(self) -> None:
        """Have ready what the first answer needs."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class LocalAnswers:
    """The local engine."""

    def __init__(self, settings: Settings, threads: Threads) -> None:
        self._threads, self._model = threads, settings.model
        self._scorer_for = _picker(settings)

    async def answer(self, question: Question) -> Outcome:
        """The answer, made in a thread."""
        return await self._threads.run(_answer_locally, question, self._scorer_for)

    def load(self) -> None:
        """Load the scorer."""
        self._scorer_for(self._model)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Outage:
    """What is remembered of an upstream that failed, so that not every request waits for it in turn.

    While it lasts, one request every few seconds finds out whether it is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asks_again_s: float | None = None

    def may_ask(self) -> bool:
        """Whether this request is to ask the upstream; if so during an outage, the next ones are not."""
        if self._asks_again_s is None:
            return True
        if self._clock.monotonic() < self._asks_again_s:
            return False
        self.began()
        return True

    def began(self) -> None:
        """The upstream failed just now."""
        self._asks_again_s = self._clock.monotonic() + _OUTAGE_S

    def ended(self) -> None:
        """The upstream answered."""
        self._asks_again_s = None


class UpstreamAnswers:
    """An API elsewhere; the local engine while that cannot answer.

    The client has no fallback of its own: that would score in threads without a bound of ours.
    """

    def __init__(self, settings: Settings, threads: Threads, clock: Clock | None = None) -> None:
        from cohere_rerank.client import AsyncClientV2

        self._threads = threads
        self._policy = RetryPolicy()
        self._outage = Outage(clock or SystemClock())
        self._client = AsyncClientV2(
            key_from_environment() or "",  # without one nothing is sent: not every upstream wants a key
            base_url=settings.upstream,
            retry_policy=self._policy,
            deadline=settings.upstream_timeout_s,
        )

    async def answer(self, question: Question) -> Outcome:
        """The upstream's answer to a request that is known to be well formed."""
        asked = await self._threads.run(_checked, question)
        response = await self._asked_upstream(asked, question.request_id) if self._outage.may_ask() else None
        if response is None:
            return await self._threads.run(_answer_locally, question, lambda _model: get_scorer("lexical"), _FELL_BACK)
        return await self._threads.run(question.outcome, asked, response.model_dump(exclude_none=True))

    async def _asked_upstream(self, asked: Asked, request_id: str) -> V2RerankResponse | None:
        """Its answer; None if it is to blame that there is none."""
        try:
            response = await self._client.rerank(**asked.body)
        except CohereRerankError as error:
            if not self._policy.is_outage(error):
                self._outage.ended()
                refusal = refusal_for(error)
                if refusal.status in _NOT_THE_CALLERS:
                    _warn(refusal.message, error, request_id)
                raise refusal from error
            if getattr(error, "status_code", None) not in _ABOUT_ONE_REQUEST:
                self._outage.began()
            _warn("the upstream cannot answer, the local engine does", error, request_id)
            return None
        self._outage.ended()
        return response

    def load(self) -> None:
        """Nothing: the first answer opens the connection."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def answers_of(settings: Settings, threads: Threads) -> Answers:
    """Who answers by these settings."""
    return LocalAnswers(settings, threads) if settings.upstream is None else UpstreamAnswers(settings, threads)


def _picker(settings: Settings) -> Callable[[str], Scorer]:
    scorer = settings.scorer or ""
    choose = scorer_resolver(f"local:{scorer}") if isinstance(scorer, str) else scorer_resolver("local:", scorer)

    def scorer_for(model: str) -> Scorer:
        try:
            return choose(model)
        except (ImportError, InvalidRequestError) as error:
            raise Refused(404, f"model {model!r} not found: {error}") from None

    return scorer_for


def _answer_locally(question: Question, scorer_for: Callable[[str], Scorer], warning: str | None = None) -> Outcome:
    asked = question.asked()
    content = question.content if asked is None else to_json(asked.body)
    try:
        status, _, reply = endpoint.handle(content, scorer_for)
    except ScorerError as error:
        log_failure(_log, "a scorer failed", error, question.request_id)
        raise Refused(500, "the scorer failed; the server's log has the request's id") from None
    if asked is None or status != _OK:
        raise _refused(status, reply)
    answer = from_json(reply)
    if warning is not None:
        answer["meta"]["warnings"].insert(0, warning)
    return question.outcome(asked, answer)


def _checked(question: Question) -> Asked:
    """What is asked, after the checks of the endpoint."""
    asked = question.asked()
    content = question.content if asked is None else to_json(asked.body)
    status, _, reply = endpoint.handle(content, lambda _model: _UNSCORED)
    if asked is None or status != _OK:
        raise _refused(status, reply)
    return asked


def _refused(status: int, reply: bytes) -> Refused:
    return Refused(status, from_json(reply)["message"])


def refusal_for(error: CohereRerankError) -> Refused:
    """What the caller is told when the upstream gave an error, and the fallback was not for it."""
    status = error.status_code if isinstance(error, ApiError) else None
    if status in _KEY_REFUSED:
        return Refused(502, "the upstream refused this server's own key")
    if isinstance(error, ApiError) and status is not None and status in _FAILURES:
        return Refused(status, _message(error), _hint(error))
    if isinstance(error, RequestTimedOutError):
        return Refused(504, "the upstream did not answer in time")
    if isinstance(error, ConnectionFailedError):
        return Refused(502, "the upstream cannot be reached")
    if isinstance(error, InvalidRequestError):
        return Refused(400, f"invalid request: {error.message}")
    return Refused(502, "the upstream's answer makes no sense")


def _warn(what: str, error: CohereRerankError, request_id: str) -> None:
    """Log why the upstream gave no answer: for who runs the server, and not for who calls it."""
    status = error.status_code if isinstance(error, ApiError) else None
    fields = {"request_id": request_id, "reason": type(error).__name__, "upstream_status": status, **about(error)}
    _log.warning(what, extra={"fields": fields})


def _message(error: ApiError) -> str:
    """The upstream's own words."""
    body = error.body
    words = body.get("message") if isinstance(body, Mapping) else None
    return words if isinstance(words, str) else f"the upstream answered {error.status_code}"


def _hint(error: ApiError) -> dict[str, str]:
    return {} if error.retry_after is None else {"retry-after": str(math.ceil(max(error.retry_after, 0.0)))}
