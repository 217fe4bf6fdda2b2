"""A fake of Cohere's API on a real socket. It ranks, returns the scores that a test sets, and fails as planned."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from os import PathLike
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cohere_rerank._validators import whole_number
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.local.endpoint import EndpointResponse, handle
from cohere_rerank.local.registry import as_scorer, scorer_resolver
from cohere_rerank.local.scorer import FunctionScorer, ScoreFunction, Scorer

from . import replies
from .access_log import PROBES, RERANK_PATH, with_access_log
from .malformed import malformed
from .plan import Fault, Plan
from .plan_file import read_plan, validate
from .quota import Quota
from .socket_server import SocketServer
from .wire import Exchange, Reply, Request, phrase

if TYPE_CHECKING:
    from cohere_rerank import AsyncClientV2, ClientV2
    from cohere_rerank._clock import Clock

__all__ = ["FaultServer"]

_KEY = "test-key"
_MESSAGES = {429: "Please wait and try again later", 500: "internal server error"}

Scores = Mapping[str, float] | Sequence[float] | ScoreFunction
PlanSource = Plan | Mapping[str, Any] | str | PathLike[str] | None


class FaultServer(SocketServer):
    """A server for tests. It runs while it is used as a context manager: ``with FaultServer() as fake:``.

    The server chooses the response to a request in this order: the steps that `fail` and `reply` have queued, the
    faults of the plan, the keys of the plan, the limit of the plan, and last a valid reply.

    Args:
        plan: The faults: a YAML or JSON file, or a mapping with the same fields; see `Plan`. None: no faults.
        scorer: The scorer, as in the client: a name such as ``"local:semantic"``, a scorer object or a function.
        host: The address to listen on. Default: ``"127.0.0.1"``.
        port: The port. Default: 0, which takes a free port.
        clock: The clock of the plan's limit. Pass the `FakeClock` of a client, so that the test does not wait.

    Attributes:
        url: The ``base_url`` for clients.
        calls: The requests to the API so far, as a list of `Request`, in order of arrival.
        unused_in_plan: The faults of the plan that no response has shown, by their index in the plan.

    Raises:
        InvalidRequestError: The plan has a mistake. The message names the entry.
        OSError: The plan's file cannot be read, or another program uses the port.
    """

    calls: list[Request]

    def __init__(
        self,
        plan: PlanSource = None,
        *,
        scorer: str | Scorer | ScoreFunction = "local:",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        __tracebackhide__ = True
        super().__init__(host=host, port=port)
        self._scorer_for = scorer_resolver(scorer) if isinstance(scorer, str) else scorer_resolver("local:", scorer)
        self._clients: list[ClientV2] = []
        self.load_plan(plan, clock=clock)

    def load_plan(self, plan: PlanSource = None, *, clock: Clock | None = None) -> None:
        """Use another plan. Remove the queued steps and the recorded requests, and count requests from 1 again."""
        __tracebackhide__ = True
        self._plan = read_plan(plan)
        self._quota = Quota(self._plan.limit) if self._plan.limit else None
        self._now_s = clock.monotonic if clock else time.monotonic
        self._queue: deque[Fault | Scorer] = deque()
        self._scripted: Scorer | None = None
        self._not_shown: list[Fault] = []
        self.unused_in_plan = dict(enumerate(self._plan.faults))
        self._n = 0
        self.calls = []
        self.requests.clear()

    def reply(self, scores: Scores, *, allow_missing: bool = False) -> None:
        """Return these scores for the next request, and for all later requests until another step is queued.

        Args:
            scores: A score in [0, 1] for each document in order, or a mapping from texts to scores (0 for other texts),
                or a function of ``(query, documents)``. A request that the scores do not fit gets 400, which no client
                retries.
            allow_missing: Whether a text of the mapping may be missing from the documents of a request, for example
                because a list is split into several requests. If not, the request gets 400. Default: False.
        """
        __tracebackhide__ = True
        self._queue.append(_as_scorer(scores, allow_missing=allow_missing))

    def fail(self, times: int = 1, **fault: Any) -> None:
        """Fail the next requests: ``fake.fail(times=3, status=429, retry_after=1)``.

        Args:
            times: The number of requests, >= 1. Default: 1.
            fault: The fields of a `Fault`.

        Raises:
            InvalidRequestError: A field is unknown or out of range.
        """
        __tracebackhide__ = True
        n_times = whole_number("times", times, 1) or 1
        self._queue.extend([validate(Fault, fault)] * n_times)

    @property
    def unused(self) -> list[Fault]:
        """The faults that no response has shown: those queued by `fail`, then those of the plan.

        A fault queued for several requests appears once for each remaining request. A fault that changes a valid reply
        is not shown if the key, the limit or the body of the request is rejected. A fault with a delay is not shown if
        the client did not wait long enough. End a test with ``assert not fake.unused`` to be sure that every fault
        happened.
        """
        queued = [step for step in self._queue.copy() if isinstance(step, Fault)]
        return [*queued, *self._not_shown.copy(), *self.unused_in_plan.values()]

    def client(self, api_key: str = _KEY, **options: Any) -> ClientV2:
        """Return a client of this server with these *options* of ``ClientV2``. The server closes it.

        The client waits after a 429 as it does with Cohere's API, whose limits count over a minute.
        """
        from cohere_rerank import ClientV2

        self._clients.append(ClientV2(api_key, **self._options(options)))
        return self._clients[-1]

    def async_client(self, api_key: str = _KEY, **options: Any) -> AsyncClientV2:
        """Return an async client of this server. Its connections close with the event loop."""
        from cohere_rerank import AsyncClientV2

        return AsyncClientV2(api_key, **self._options(options))

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        from cohere_rerank._retry import COHERE_WINDOW_S, RetryPolicy

        return {"base_url": self.url, "retry_policy": RetryPolicy(rate_limit_window_s=COHERE_WINDOW_S), **options}

    def __exit__(self, *exc_info: object) -> None:
        for client in self._clients:
            client.close()
        super().__exit__(*exc_info)

    def next_reply(self, request: Request) -> Reply:
        """Return the reply to a request. The event loop of the server calls this in order of arrival."""
        path = request.path.partition("?")[0]
        if path != RERANK_PATH or request.method != "POST":
            return with_access_log(self._reply_outside_api(path, request.method), request)
        self._n += 1
        if self.keeps_requests:
            self.calls.append(request)
        fault, scorer_for = self._next_step()
        delay_s = self._plan.delay_s(self._n, fault)
        reply = self._replacement(fault) if fault else None
        if reply is None:
            rejection, headers = self._check_access(request)
            if rejection and fault and fault.corrupts_reply:
                fault = None
            reply = rejection or self._ranking(fault, request, scorer_for, headers)
        if fault and not fault.corrupts_reply:
            reply = self._marking_shown(fault, reply)
        if delay_s:
            reply = replies.delayed(delay_s, reply)
        return with_access_log(reply, request, self._n, fault.kind if fault else None)

    def _marking_shown(self, fault: Fault, reply: Reply) -> Reply:
        async def send(exchange: Exchange) -> None:
            self._mark_shown(fault)
            await reply(exchange)

        return send

    def _mark_shown(self, fault: Fault) -> None:
        """Remove the fault from the unused ones, because a response is about to show it."""
        self.unused_in_plan = {i: other for i, other in self.unused_in_plan.items() if other is not fault}
        at = next((i for i, other in enumerate(self._not_shown) if other is fault), None)
        if at is not None:
            del self._not_shown[at]

    def _reply_outside_api(self, path: str, method: str) -> Reply:
        """Return the reply to a request that is not a rerank call. Faults do not apply to it."""
        allowed = "POST" if path == RERANK_PATH else "GET"
        if path != RERANK_PATH and path not in PROBES:
            return self._error(404, "404 page not found")
        if method != allowed:
            return self._error(405, "method not allowed", {"allow": allowed})
        return replies.reply(json={"status": PROBES[path]})

    def _next_step(self) -> tuple[Fault | None, Callable[[str], Scorer]]:
        """Return the fault and the scorer of the next request. Queued steps come before the plan."""
        step = self._queue.popleft() if self._queue else None
        if isinstance(step, Fault):
            self._not_shown.append(step)  # until a response shows it
            return step, self._scorer_for
        scorer = self._scripted = step or self._scripted
        scorer_for = self._scorer_for if scorer is None else lambda _model: scorer
        return self._plan.fault_for(self._n), scorer_for

    def _check_access(self, request: Request) -> tuple[Reply | None, dict[str, str]]:
        """Check the key and the limit. Return the rejection, or None, and headers for the response."""
        keys, key = self._plan.keys, request.key
        if keys is not None and key not in keys:
            return self._error(401, "invalid api token" if key else "no api key supplied"), {}
        if self._quota is None:
            return None, {}
        decision = self._quota.check(key, self._now_s())
        rejection = self._error(429, decision.rejection, decision.headers) if decision.rejection else None
        return rejection, decision.headers

    def _replacement(self, fault: Fault) -> Reply | None:
        """Return the reply of a fault that replaces the valid reply, or None if the fault only changes it."""
        if fault.status is not None:
            return self._error_of(fault, fault.status)
        if fault.reset:
            return replies.reset(fault.reset)
        if fault.hang_up:
            return replies.hang_up()
        if fault.truncated:
            return replies.truncated(chunked=fault.truncated == "chunked")
        return replies.hang() if fault.hang else None

    def _error_of(self, fault: Fault, status: int) -> Reply:
        headers = dict(fault.headers or {})
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        if fault.body is not None:
            return replies.reply(status, text=fault.body, headers=headers)
        return self._error(status, fault.message or _MESSAGES.get(status) or phrase(status).lower(), headers)

    def _error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return an error in Cohere's form. Its id depends on the seed and on the number of the request."""
        digest = hashlib.blake2b(f"{self._plan.seed}/{self._n}".encode(), digest_size=16).digest()
        body = {"id": str(UUID(bytes=digest, version=4)), "message": message}
        return replies.reply(status, json=body, headers=headers)

    def _ranking(
        self, fault: Fault | None, request: Request, scorer_for: Callable[[str], Scorer], headers: dict[str, str]
    ) -> Reply:
        """Return a valid reply, which the fault may change or send slowly."""

        async def send(exchange: Exchange) -> None:
            status, reply_headers, body = await asyncio.to_thread(_rank, request.body, scorer_for)
            if fault and fault.corrupts_reply and (not fault.malformed or status == HTTPStatus.OK):
                self._mark_shown(fault)
            if fault and fault.malformed and status == HTTPStatus.OK:
                kind, body = malformed(body, fault.malformed, len(request.documents))
                reply_headers = {"content-type": kind}
            data = replies.encode(status, [*reply_headers.items(), *headers.items()], body)
            if fault and fault.drip is not None:
                await replies.dripped(data, fault.drip)(exchange)
            else:
                await exchange.send(data)

        return send


def _rank(body: bytes, scorer_for: Callable[[str], Scorer]) -> EndpointResponse:
    try:
        return handle(body, scorer_for)
    except CohereRerankError as error:  # the scores are a mistake of the test, and no client should retry
        message = json.dumps({"message": str(error)}).encode()
        return HTTPStatus.BAD_REQUEST, {"content-type": "application/json"}, message


def _as_scorer(scores: Scores, *, allow_missing: bool) -> Scorer:
    __tracebackhide__ = True
    if callable(scores) or hasattr(scores, "score"):
        return as_scorer(scores)
    if isinstance(scores, Mapping):
        return FunctionScorer(_scores_by_text(dict(scores), allow_missing=allow_missing), name="reply")
    if isinstance(scores, (str, bytes)) or not isinstance(scores, Iterable):
        raise InvalidRequestError(
            f"scores must be a list, a mapping from texts to numbers, or a function; got {type(scores).__name__}"
        )
    listed = list(scores)
    return FunctionScorer(lambda _query, _documents: listed, name="reply")


def _scores_by_text(by_text: Mapping[str, float], *, allow_missing: bool) -> ScoreFunction:
    def score(_query: str, documents: Sequence[str]) -> list[float]:
        if not allow_missing:
            _check_texts(list(by_text), documents)
        return [by_text.get(text, 0.0) for text in documents]

    return score


def _check_texts(texts: Sequence[str], documents: Sequence[str]) -> None:
    """Raise an error for a text that is not a document. It shows no text, because a document may be private.

    Raises:
        InvalidRequestError: A text is not among the documents.
    """
    known = set(documents)
    for position, text in enumerate(texts):
        if text not in known:
            from difflib import get_close_matches

            nearest = get_close_matches(text, documents, 1)
            hint = f"; did you mean documents[{documents.index(nearest[0])}]?" if nearest else "."
            raise InvalidRequestError(
                f"text {position + 1} of the {len(texts)} in reply() is not among the {len(documents)} documents of "
                f"the request{hint} Correct the text, or pass allow_missing=True"
            )
