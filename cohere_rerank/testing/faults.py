"""A Cohere on a real socket that answers like the local engine, or with given scores, and misbehaves as planned."""

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
from cohere_rerank._wire.contract import MAX_DOCUMENTS
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.local.endpoint import EndpointResponse, handle
from cohere_rerank.local.registry import as_scorer, scorer_resolver
from cohere_rerank.local.scorer import FunctionScorer, ScoreFunction, Scorer

from . import replies
from .access import PROBES, RERANK, noted
from .malformed import malformed
from .plan import Fault, Plan
from .plan_file import checked, read_plan
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
    """A server for tests, running while it is used as a context manager: ``with FaultServer() as fake:``.

    A request meets, in this order: what `fail` and `reply` have queued; the plan's faults; its keys; its limit; then a
    good answer.

    Args:
        plan: When it misbehaves: a YAML or JSON file, or the same fields as a mapping; see `Plan`. None: never.
        scorer: Who scores, as in the client: a name such as ``"local:semantic"``, a scorer or a function.
        host: The address to listen on.
        port: 0 takes a free one.
        clock: The time that the plan's limit counts by; a client's `FakeClock`, for tests that do not wait.

    Attributes:
        url: The ``base_url`` for clients.
        calls: Every request to the API so far, in order of arrival, as a list of `Request`.
        unused_in_plan: The plan's faults that no reply has shown, by their place in the plan.

    Raises:
        InvalidRequestError: The plan has a mistake; names the entry.
        OSError: The plan's file cannot be read, or the port is taken.
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
        super().__init__(host=host, port=port)
        self._scorer_for = scorer_resolver(scorer) if isinstance(scorer, str) else scorer_resolver("local:", scorer)
        self._clients: list[ClientV2] = []
        self.load_plan(plan, clock=clock)

    def load_plan(self, plan: PlanSource = None, *, clock: Clock | None = None) -> None:
        """Go by another plan: its first request is number 1 again. What was queued or asked is forgotten."""
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

    def reply(self, scores: Scores) -> None:
        """Give these scores to the next request, and to all after it until something else is queued.

        Args:
            scores: A score in [0, 1] for each document, by position; or by the document's text, 0 for those not named;
                or a function of ``(query, documents)``. A request that they do not fit is answered 400, which no
                client repeats.
        """
        self._queue.append(_as_scorer(scores))

    def fail(self, times: int = 1, **fault: Any) -> None:
        """Let the next requests meet a fault: ``fake.fail(times=3, status=429, retry_after=1)``.

        Args:
            times: How many requests, at least 1.
            fault: The fields of a `Fault`.

        Raises:
            InvalidRequestError: A field is unknown or out of range.
        """
        n_times = whole_number("times", times, 1) or 1
        self._queue.extend([checked(Fault, fault)] * n_times)

    @property
    def unused(self) -> list[Fault]:
        """The faults that no reply has shown: those queued by `fail`, once for each time left, then the plan's.

        One that would spoil a good answer is not shown by a refusal of the request's key, rate or body, and none by a
        delay that its client did not wait for. A test that ends with ``assert not fake.unused`` cannot pass because
        what it tests never happened.
        """
        queued = [step for step in self._queue.copy() if isinstance(step, Fault)]
        return [*queued, *self._not_shown.copy(), *self.unused_in_plan.values()]

    def client(self, api_key: str = _KEY, **options: Any) -> ClientV2:
        """A client of this server, closed with it; *options* are those of ``ClientV2``."""
        from cohere_rerank import ClientV2

        self._clients.append(ClientV2(api_key, **{"base_url": self.url, **options}))
        return self._clients[-1]

    def async_client(self, api_key: str = _KEY, **options: Any) -> AsyncClientV2:
        """The same with ``await``; its connections close with the event loop."""
        from cohere_rerank import AsyncClientV2

        return AsyncClientV2(api_key, **{"base_url": self.url, **options})

    def __exit__(self, *exc_info: object) -> None:
        for client in self._clients:
            client.close()
        super().__exit__(*exc_info)

    def next_reply(self, request: Request) -> Reply:
        """What to answer, decided in order of arrival."""
        path = request.path.partition("?")[0]
        if path != RERANK or request.method != "POST":
            return noted(self._elsewhere(path, request.method), request)
        self._n += 1
        if self.keeps_requests:
            self.calls.append(request)
        fault, scorer_for = self._next_step()
        delay_s = self._plan.delay_s(self._n, fault)
        replying = self._without_answer(fault) if fault else None
        if replying is None:
            refused, headers = self._admitted(request)
            if refused and fault and fault.corrupts_reply:
                fault = None
            replying = refused or self._answering(fault, request, scorer_for, headers)
        if fault and not fault.corrupts_reply:
            replying = self._showing(fault, replying)
        if delay_s:
            replying = replies.delayed(delay_s, replying)
        return noted(replying, request, self._n, fault.kind if fault else None)

    def _showing(self, fault: Fault, replying: Reply) -> Reply:
        async def send(exchange: Exchange) -> None:
            self._note_shown(fault)
            await replying(exchange)

        return send

    def _note_shown(self, fault: Fault) -> None:
        """The reply to a request that drew this fault is about to show it."""
        self.unused_in_plan = {i: other for i, other in self.unused_in_plan.items() if other is not fault}
        at = next((i for i, other in enumerate(self._not_shown) if other is fault), None)
        if at is not None:
            del self._not_shown[at]

    def _elsewhere(self, path: str, method: str) -> Reply:
        """What is no call: no fault meets it."""
        allowed = "POST" if path == RERANK else "GET"
        if path != RERANK and path not in PROBES:
            return self._error(404, "404 page not found")
        if method != allowed:
            return self._error(405, "method not allowed", {"allow": allowed})
        return replies.reply(json={"status": PROBES[path]})

    def _next_step(self) -> tuple[Fault | None, Callable[[str], Scorer]]:
        """What the next request meets, and who scores it: what is queued counts before the plan."""
        step = self._queue.popleft() if self._queue else None
        if isinstance(step, Fault):
            self._not_shown.append(step)  # until a reply shows it
            return step, self._scorer_for
        scorer = self._scripted = step or self._scripted
        scorer_for = self._scorer_for if scorer is None else lambda _model: scorer
        return self._plan.fault_for(self._n), scorer_for

    def _admitted(self, request: Request) -> tuple[Reply | None, dict[str, str]]:
        """What keys and limit say: a refusal, or the headers of the answer."""
        keys, key = self._plan.keys, request.key
        if keys is not None and key not in keys:
            return self._error(401, "invalid api token" if key else "no api key supplied"), {}
        if self._quota is None:
            return None, {}
        verdict = self._quota.ask(key, self._now_s())
        return (self._error(429, verdict.refusal, verdict.headers) if verdict.refusal else None), verdict.headers

    def _without_answer(self, fault: Fault) -> Reply | None:
        """The reply to a fault that needs no good answer."""
        if fault.status is not None:
            return self._status(fault, fault.status)
        if fault.reset:
            return replies.reset(fault.reset)
        if fault.hang_up:
            return replies.hang_up()
        if fault.truncated:
            return replies.truncated(chunked=fault.truncated == "chunked")
        return replies.hang() if fault.hang else None

    def _status(self, fault: Fault, status: int) -> Reply:
        headers = dict(fault.headers or {})
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        if fault.body is not None:
            return replies.reply(status, text=fault.body, headers=headers)
        return self._error(status, fault.message or _MESSAGES.get(status) or phrase(status).lower(), headers)

    def _error(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
        """An error in Cohere's form; its id depends on the seed and the request's number."""
        digest = hashlib.blake2b(f"{self._plan.seed}/{self._n}".encode(), digest_size=16).digest()
        body = {"id": str(UUID(bytes=digest, version=4)), "message": message}
        return replies.reply(status, json=body, headers=headers)

    def _answering(
        self, fault: Fault | None, request: Request, scorer_for: Callable[[str], Scorer], headers: dict[str, str]
    ) -> Reply:
        """A good answer, or one that the fault spoils or slows down."""

        async def send(exchange: Exchange) -> None:
            status, answer_headers, body = await asyncio.to_thread(_answer, request.body, scorer_for)
            if fault and fault.corrupts_reply and (not fault.malformed or status == HTTPStatus.OK):
                self._note_shown(fault)
            if fault and fault.malformed and status == HTTPStatus.OK:
                kind, body = malformed(body, fault.malformed, len(request.documents))
                answer_headers = {"content-type": kind}
            data = replies.whole(status, [*answer_headers.items(), *headers.items()], body)
            if fault and fault.drip is not None:
                await replies.dripped(data, fault.drip)(exchange)
            else:
                await exchange.send(data)

        return send


def _answer(body: bytes, scorer_for: Callable[[str], Scorer]) -> EndpointResponse:
    try:
        return handle(body, scorer_for, MAX_DOCUMENTS)
    except CohereRerankError as error:  # of the scores: the test's mistake, which no client should repeat
        told = json.dumps({"message": str(error)}).encode()
        return HTTPStatus.BAD_REQUEST, {"content-type": "application/json"}, told


def _as_scorer(scores: Scores) -> Scorer:
    if callable(scores) or hasattr(scores, "score"):
        return as_scorer(scores)
    if isinstance(scores, Mapping):
        by_text = dict(scores)
        return FunctionScorer(lambda _query, documents: [by_text.get(text, 0.0) for text in documents], name="reply")
    if isinstance(scores, (str, bytes)) or not isinstance(scores, Iterable):
        raise InvalidRequestError(
            f"scores are a list, a mapping from texts to numbers, or a function; got {type(scores).__name__}"
        )
    listed = list(scores)
    return FunctionScorer(lambda _query, _documents: listed, name="reply")
