"""The decisions about a call that need no waiting, for the runners of both clients."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING

from ._addresses import has_unit_scores, host_of, is_cohere, rerank_url, without_query
from ._calls import calls_of
from ._clock import Deadline, SystemClock
from ._error_bodies import is_busy
from ._settings import SecretList
from ._wire.call import BULK
from ._wire.contract import FIRST_ERROR, FIRST_REDIRECT, TOO_MANY_REQUESTS
from ._wire.request import encode
from ._wire.response import decode, is_quota_error, scale_of
from .errors import (
    ApiError,
    BudgetExceededError,
    CircuitOpenError,
    ClientClosedError,
    CohereRerankError,
    ConnectionFailedError,
    InvalidResponseError,
    MissingApiKeyError,
    QuotaExceededError,
    RateLimitWaitError,
    ScorerError,
    TooManyRequestsError,
)
from .types.parsing import set_call_info, set_score_scale
from .types.response import CallInfo, call_info_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tenacity import RetryCallState
    from typing_extensions import Self, Unpack

    from ._base_client import ClientState
    from ._budgeting import BudgetGuard
    from ._clock import Clock
    from ._retry import RetryBudget, RetryLoop, RetryPolicy
    from ._settings import Config, Secret
    from ._transport.reply import Reply
    from ._wire.call import Call, Part
    from .cost.prices import Pricing
    from .limits.budget import Budget
    from .limits.circuit_breaker import SharedCircuit
    from .limits.hedge import Hedge, HedgeRule
    from .limits.limiter import Limiter
    from .types import RerankArguments, ScoreScale, V2RerankResponse

_log = logging.getLogger("cohere_rerank")
_AFTER_SENDING = (ApiError, ConnectionFailedError, InvalidResponseError)
# Their base classes are among those above, but these errors mean that nothing was sent.
_BEFORE_SENDING = (CircuitOpenError, MissingApiKeyError, RateLimitWaitError)


class BaseRunner:
    """Settings, shared state, and the decisions about calls.

    Args:
        config: The settings of the client.
        state: The state that the client and its copies share.
        httpx_client: The caller's own client of httpx, or None.
    """

    def __init__(self, config: Config, state: ClientState, httpx_client: Any) -> None:
        self.config = config
        self._state = state
        self._httpx_client = httpx_client
        self._clock: Clock = config.clock or SystemClock()
        self._known_sender: Any = None
        # Resolved once, because a call needs them several times.
        self._backend = host_of(config.base_url)
        self._has_unit_address = has_unit_scores(config.base_url) or (
            config.cloud is not None and config.cloud.has_unit_scores
        )
        self.pricing: Pricing = (config.prices, is_cohere(config.base_url))
        self._budget_guard = None if config.budget is None or config.is_local else self._guard_of(config.budget)
        self._only_key = None if isinstance(config.api_key, SecretList) else config.api_key
        self._is_plain = not isinstance(config.api_key, SecretList) and (
            config.is_local or (config.circuit_breaker is None and config.limit is None and config.hedge is None)
        )

    def _guard_of(self, budget: Budget) -> BudgetGuard:
        from ._budgeting import BudgetGuard

        return BudgetGuard(budget, self.pricing, self._clock, self.count)

    @property
    def clock(self) -> Clock:
        """The clock of the client."""
        return self._clock

    def with_clock(self, clock: Clock) -> Self:
        """Return a copy whose waits use this clock.

        The settings stay as they are. Clients share a limit if their settings have the same clock, and the copy still
        shares it.
        """
        runner = copy(self)
        runner._clock = clock
        return runner

    def encode(self, **arguments: Unpack[RerankArguments]) -> Call:
        """Check the arguments of one call and encode them."""
        return encode(self.config, arguments)

    def encode_batch_call(self, **arguments: Unpack[RerankArguments]) -> Call:
        """As `encode`, for a call that lets interactive calls pass where requests wait for a rate limit."""
        call = encode(self.config, arguments)
        call.traffic_class = BULK
        return call

    def deadline(self, call: Call) -> Deadline:
        """Return the deadline of a call that starts now."""
        return Deadline(self._clock, call.deadline_s)

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a count of ``client.usage``."""
        self._state.usage.add(self.config.tag, name, amount)

    def _finish(self, call: Call, response: V2RerankResponse, reply: Reply | None) -> None:
        """Count a call that succeeded, set the facts about the call on the response, and log them."""
        self._state.usage.add(self.config.tag, "calls")
        sent_id = response.id if reply is None else reply.request_id(response.id)
        n_attempts, elapsed_s, waited_s = call.trace.totals()
        info = CallInfo(
            sent_id,
            n_attempts,
            elapsed_s,
            waited_s,
            self._backend if n_attempts else "cache",
            call.body.get("model"),
            self.pricing,
        )
        if reply is None and response.is_fallback:  # it cost what the other client of the chain paid, or nothing
            paid = call_info_of(response)
            info = info._replace(model=paid.model, pricing=paid.pricing)
        set_call_info(response, info)
        if self.config.cache is not None and not response.is_fallback:
            set_score_scale(response, self._known_scale(call) or response.score_scale)  # the cache may be older
        if call.min_score is not None and call.min_score > 1 and self._has_unit_scores(response):
            from ._warn import warn

            warn(f"min_score={call.min_score:g} is above 1, but the scores are in [0, 1], so there are no results")
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "rerank: %d documents, answered by %s, %d attempts, %.3f s, %.3f s of them waits, request id %s",
                len(call.texts),
                response.answered_by,
                info.attempts,
                info.elapsed_s,
                info.waited_s,
                info.request_id,
            )
        if call.trace.span is not None:
            call.trace.span.end(response)

    def _has_unit_scores(self, response: V2RerankResponse) -> bool:
        is_cohere = self.config.is_local or self.config.dialect in (None, "cohere", "v1")
        return response.score_scale == "unit" or (response.score_scale is None and is_cohere)

    def _emit(self, call: Call, event: str, **fields: Any) -> None:
        """Pass an event to ``on_event``, if the client has one, and to the span of the call."""
        if call.trace.span is not None:
            call.trace.span.add_event(event, fields)
        if self.config.on_event is None:
            return
        from . import events

        try:
            self.config.on_event(getattr(events, event)(tag=self.config.tag, **fields))
        except Exception:  # noqa: BLE001 - the caller's function must not break a call
            _log.exception("on_event failed for a %s; the call continues", event)

    def _start_request(self, part: Part, key_index: int | None) -> float:
        """Count a request, and return the time when it starts."""
        self._state.usage.add(self.config.tag, "requests")
        attempt = part.call.trace.start_request()
        if self.config.on_event is not None:
            fields = {"attempt": attempt, "n_documents": part.n_documents, "key_index": key_index}
            self._emit(part.call, "RequestEvent", address=without_query(self.config.base_url), **fields)
        return self._clock.monotonic()

    def _end_request(self, part: Part, reply: Reply, start_s: float) -> None:
        if self.config.hedge is not None:
            now_s = self.clock.monotonic()
            rule, kind = self._hedge_rule(self.config.hedge), _kind_of(part)
            rule.on_response(kind, now_s, now_s - start_s, reply.status_code, reply.headers)
        if self.config.on_event is not None:
            elapsed_s = self.clock.monotonic() - start_s
            sent_id = reply.request_id()
            fields = {"status_code": reply.status_code, "request_id": sent_id, "elapsed_s": elapsed_s}
            self._emit(part.call, "ResponseEvent", **fields)

    def _start_retry(self, part: Part, retries: RetryLoop, state: RetryCallState) -> None:
        """Count a retry, and its wait."""
        self.count("retries")
        part.call.trace.waits_s.append(state.upcoming_sleep)
        self._emit(part.call, "RetryEvent", error=retries.last_error, waited_s=state.idle_for)

    def _check_open(self) -> None:
        if self._state.is_closed:
            raise ClientClosedError("The client is closed. Make a new one, or close it after its last call.")

    def _policy(self, call: Call) -> RetryPolicy:
        from dataclasses import replace

        from ._retry import COHERE_WINDOW_S, RetryPolicy

        policy = self.config.retry_policy or RetryPolicy()
        if policy.rate_limit_window_s is None and is_cohere(self.config.base_url):
            policy = replace(policy, rate_limit_window_s=COHERE_WINDOW_S)
        max_retries = self.config.max_retries if call.max_retries is None else call.max_retries
        if max_retries is not None:
            policy = replace(policy, max_retries=max_retries)
        return policy if call.retry_remote_protocol_errors else replace(policy, remote_protocol_errors=False)

    def _budget(self, policy: RetryPolicy) -> RetryBudget:
        from ._retry import RetryBudget

        if self._state.budget is None:
            self._state.budget = RetryBudget(policy.budget)
        return self._state.budget

    def _record_success(self, n_retries: int = 0) -> None:
        """Note that the API answered: refund retries to the budget, and end an outage."""
        if self._state.budget is not None:
            self._state.budget.refund(n_retries)
        self._state.has_outage = False

    def _retries(self, part: Part, deadline: Deadline, error: CohereRerankError) -> RetryLoop | None:
        """Return the loop that retries after this first failure, or None if the failure is final."""
        from ._retry import RetryLoop

        if isinstance(error, _AFTER_SENDING) and not isinstance(error, _BEFORE_SENDING):
            error.attempts = 1
        policy = self._policy(part.call)
        if policy.max_retries == 0 or not policy.should_retry(error):
            return None
        is_limited = self.config.limit is not None and not self.config.is_local
        can_wait = self.config.fallback is None
        return RetryLoop(policy, self._budget(policy), deadline, error, is_limited=is_limited, can_wait=can_wait)

    def _decode(self, part: Part, reply: Reply) -> V2RerankResponse:
        now = self._clock.time() if reply.status_code >= FIRST_ERROR else 0.0
        try:
            response = decode(part, reply.status_code, reply.headers, reply.content, now, reply.hide)
        except InvalidResponseError:
            part.call.trace.refused_reply = reply
            raise
        part.discard_content()
        set_score_scale(response, self._score_scale(part.call, response))
        self._state.usage.add_billed(self.config.tag, response, part.call.body.get("model"), self.pricing)
        if self._budget_guard is not None:
            part.call.trace.replies.append((part.n_documents, response))
        return response

    def _score_scale(self, call: Call, response: V2RerankResponse) -> ScoreScale | None:
        """Return the scale of the scores: what is known, else what this response shows, which is then known."""
        known = self._known_scale(call)
        if known is None and (shown := scale_of(response)) is not None:
            known = self._state.score_scales.setdefault(self._scored_by(call), shown)
        return known

    def _known_scale(self, call: Call) -> ScoreScale | None:
        known = self.config.score_scale
        if known is None and self._state.score_scales:
            known = self._state.score_scales.get(self._scored_by(call))
        return "unit" if known is None and self._has_unit_address else known

    def _scored_by(self, call: Call) -> tuple[str, str | None]:
        return self.config.base_url, call.body.get("model")

    def _parts(self, call: Call) -> list[Part]:
        """Return the requests to send, in the dialect of the server."""
        name, cloud = self.config.dialect, self.config.cloud
        if cloud is not None:
            call.dialect = cloud.dialect
            cloud.check(call)
            if self.config.pointwise is not False:
                call.limit_size(cloud.max_documents, cloud.max_bytes)
        elif name not in (None, "cohere") and not self.config.is_local:
            from ._wire.dialects import initial_dialect

            call.dialect = self._state.dialects.get((name, self.config.base_url)) or initial_dialect(name)
        limit = self._state.size_limits.get(self.config.base_url)
        if limit is not None:
            call.limit_size(limit.max_documents, limit.max_bytes)
        return call.parts()

    def _smaller_parts(self, part: Part, error: ApiError) -> list[Part] | None:
        """Return the parts to send in place of one that the server refused as too large; None after another error."""
        if self.config.is_local or self.config.pointwise is False:
            return None
        from ._wire.size_limits import stated_limit

        limit = stated_limit(error, part)
        if limit is None:
            return None
        known = self._state.size_limits.get(self.config.base_url, limit)
        self._state.size_limits[self.config.base_url] = limit.merged_with(known)
        return part.split(-(-part.n_documents // limit.max_documents) if limit.max_documents else 2)

    def _try_next_dialect(self, part: Part, reply: Reply) -> bool:
        """Encode the part anew, if more results follow this reply or ``dialect="auto"`` has another dialect to try."""
        if self.config.cloud is not None:
            return self._try_next_page(part, reply)
        if self.config.dialect != "auto" or part.dialect is None:
            return False
        if reply.status_code < FIRST_REDIRECT:
            self._state.dialects["auto", self.config.base_url] = part.dialect
            return False
        from ._wire.dialects import next_dialect

        other = next_dialect(part.dialect, self.config.base_url, reply.status_code, reply.content)
        if other is not None:
            part.encode_as(other)
        return other is not None

    def _try_next_page(self, part: Part, reply: Reply) -> bool:
        """Encode the part as the request for the next results, if this reply says that there are more."""
        if part.dialect is None or not part.dialect.has_pages or reply.status_code >= FIRST_REDIRECT:
            return False
        page = part.dialect.next_page(reply.content)
        if page is not None:
            part.encode_as(page)
        return page is not None

    def _fail(self, call: Call, error: BaseException) -> None:
        """Count a call that has failed, unless its batch will make the same call again when the limit allows it."""
        is_postponed = call.traffic_class == BULK and isinstance(error, (CircuitOpenError, RateLimitWaitError))
        if isinstance(error, CohereRerankError) and not is_postponed:
            self.count("calls")
            self.count("failed_calls")
        if call.trace.span is not None:
            call.trace.span.postpone(error) if is_postponed else call.trace.span.fail(error)

    def _hedge_rule(self, settings: Hedge) -> HedgeRule:
        from .limits.hedge import HedgeRule

        rules = self._state.hedge_rules
        return rules.get(settings) or rules.setdefault(settings, HedgeRule(settings))

    def _hedge_delay_s(self, part: Part) -> float | None:
        """Return after how many seconds a request may be sent a second time; None: never."""
        config = self.config
        if config.hedge is None or config.is_local or config.dialect == "auto" or part.call.traffic_class == BULK:
            return None
        if config.cloud is not None and config.cloud.dialect.has_pages:
            return None  # two requests for pages of one list would get mixed up
        circuit = self._circuit()
        if circuit is not None and not circuit.is_closed:
            return None
        return self._hedge_rule(config.hedge).delay_s(_kind_of(part), self.clock.monotonic())

    def _begin_hedge(self, part: Part, deadline: Deadline, limiter: Limiter | None, after_s: float) -> bool:
        """Return whether the second request may be sent now. Then it has a permit of the limiter."""
        settings = self.config.hedge
        assert settings is not None
        rule, budget = self._hedge_rule(settings), self._budget(self._policy(part.call))
        if not rule.try_acquire(_kind_of(part), self.clock.monotonic(), deadline.remaining()):
            return False
        if not budget.try_acquire() or (limiter is not None and not limiter.try_acquire(self.clock)):
            rule.refund()
            return False
        self.count("hedges")
        self._emit(part.call, "HedgeEvent", after_s=after_s)
        return True

    def _end_race(self, part: Part, index: int, start_s: float) -> None:
        """Learn from the race of two requests: if the second one won, the first would have taken even longer."""
        settings = self.config.hedge
        if index == 1 and settings is not None:
            now_s = self.clock.monotonic()
            self._hedge_rule(settings).on_response(_kind_of(part), now_s, now_s - start_s, 200, {})

    def _circuit(self) -> SharedCircuit | None:
        """Return the circuit of the client's address, or None without a circuit breaker."""
        config = self.config
        if config.circuit_breaker is None or config.is_local:
            return None
        from .limits.circuit_breaker import circuit_for

        return circuit_for(config.circuit_breaker, address=rerank_url(config.base_url), clock=config.clock)

    @contextmanager
    def _guarded(self, circuit: SharedCircuit, part: Part) -> Iterator[None]:
        """Send a request inside this block only if the circuit lets it through, and record what became of it.

        Raises:
            CircuitOpenError: The circuit is open.
        """
        wait_s, change = circuit.try_acquire(self.clock.monotonic())
        self._emit_change(part, change)
        if wait_s > 0:
            from ._transport.errors import circuit_open_error

            self.count("circuit_open")
            raise circuit_open_error(host_of(self.config.base_url), wait_s, circuit.last_failure)
        try:
            yield
        except CohereRerankError as error:
            if isinstance(error, _BEFORE_SENDING):
                raise
            if self._policy(part.call).is_outage(error) and not is_overload(error):
                from ._retry import for_log

                self._emit_change(part, circuit.record_failure(self.clock.monotonic(), for_log(error)))
            elif isinstance(error, (ApiError, InvalidResponseError)):
                self._emit_change(part, circuit.record_success())
            raise
        self._emit_change(part, circuit.record_success())

    def _emit_change(self, part: Part, state: str | None) -> None:
        if state is not None:
            self._emit(part.call, "BreakerEvent", address=without_query(self.config.base_url), state=state)

    def _next_key(self) -> tuple[int | None, Secret | None]:
        """Return the key for the next request, with its position if the client has several."""
        keys = self.config.api_key
        if not isinstance(keys, SecretList):
            return None, keys
        now_s = self.clock.monotonic()
        limiters = map(self._limiter, keys.secrets)
        index = keys.ring.choose(now_s, [0.0 if each is None else each.expected_wait_s(now_s) for each in limiters])
        return index, keys.secrets[index]

    def _try_next_key(self, index: int | None, error: ApiError) -> bool:
        """Return whether to send the request again with another key, because this one got a 429.

        The error says which key was sent. It asks to wait no longer than until the first key may be used again.
        """
        keys = self.config.api_key
        if index is None or not isinstance(keys, SecretList):
            return False
        error.key_index = index
        if not isinstance(error, TooManyRequestsError) or is_busy(error.status_code, error.body):
            return False
        now_s, is_used_up = self.clock.monotonic(), isinstance(error, QuotaExceededError)
        if keys.ring.record_rejection(index, now_s, error.retry_after, is_used_up=is_used_up):
            _log.info("status 429 for api_key[%d]: sending with another key", index)
            return True
        if error.retry_after is not None:
            error.retry_after = min(error.retry_after, max(0.0, keys.ring.wait_s(now_s)))
        return False

    def _limiter(self, key: Secret | None) -> Limiter | None:
        """Return the limiter of a key, or None without a limit."""
        config = self.config
        if config.limit is None or config.is_local:
            return None
        from ._transport.errors import rate_limit_wait_error
        from .limits.limiter import limiter_for

        return limiter_for(
            config.limit,
            address=rerank_url(config.base_url),
            key=None if key is None else key.value,
            clock=config.clock,
            is_cohere=is_cohere(config.base_url),
            wait_error=rate_limit_wait_error,
        )

    def _report_response(self, limiter: Limiter, reply: Reply) -> None:
        """Report a response to the limiter, for all clients that share it.

        A 429 for a used-up quota is not reported: no pause would clear it, and the next call may have another key.
        """
        if reply.status_code == TOO_MANY_REQUESTS and is_quota_error(reply.content):
            return
        clock, hint_s = self.clock, None
        if reply.status_code >= FIRST_ERROR:
            from ._wire.retry_after import retry_after_s

            hint_s = retry_after_s(reply.status_code, reply.headers, clock.time())
        limiter.on_response(clock, reply.status_code, reply.headers, hint_s)

    def _first_deadline(self, deadline: Deadline) -> Deadline:
        """Return the deadline for the API itself. It leaves an equal share of the time to each client of the chain."""
        n_clients, left_s = sum(map(is_client, self.config.fallbacks)), deadline.remaining()
        return Deadline(self._clock, left_s / (n_clients + 1)) if n_clients and left_s > 0 else deadline

    def _may_fall_back(self, call: Call, error: CohereRerankError) -> bool:
        if self.config.fallback is None:
            return False
        return isinstance(error, BudgetExceededError) or self._policy(call).is_outage(error)

    def _begin_fallback(self, call: Call, error: CohereRerankError) -> None:
        self.count("fallbacks")
        self._emit(call, "FallbackEvent", error=error)
        if not self._state.has_outage:
            self._state.has_outage = True
            from ._retry import for_log

            _log.warning("the API failed (%s); the fallback answers until it recovers", for_log(error))

    def _client_call(self, member: Any, call: Call, deadline: Deadline, position: int) -> tuple[Any, Call]:
        """Return the calls of a client in the chain, and the call to make with them."""
        from .local.fallback import arguments_for_client

        n_clients = sum(map(is_client, self.config.fallbacks[position:]))
        calls: Any = calls_of(member)
        other: Call = calls.encode(**arguments_for_client(call, max(0.001, deadline.remaining() / n_clients)))
        other.traffic_class = call.traffic_class
        return calls, other

    def _adopt(self, response: V2RerankResponse, call: Call, error: CohereRerankError, calls: Any) -> V2RerankResponse:
        from .local.fallback import adopt

        return adopt(response, call, error, response.answered_by or host_of(calls.config.base_url))

    def _local_fallback(self, call: Call, error: CohereRerankError, member: Any) -> V2RerankResponse:
        from .local.fallback import fallback_response

        return fallback_response(call, error, member)


def _kind_of(part: Part) -> tuple[str, int]:
    """Return what the latency of a request depends on most: its model, and its size to the next power of two."""
    return str(part.call.body.get("model")), len(part.content).bit_length()


def is_overload(error: CohereRerankError) -> bool:
    """Return whether the server works but takes no request now. That must not open a circuit."""
    status = getattr(error, "status_code", None)
    return status == TOO_MANY_REQUESTS or is_busy(status, getattr(error, "body", None))


def is_client(member: object) -> bool:
    """Return whether a member of a fallback chain is another client."""
    return hasattr(member, "_calls")


def fallback_failure(error: CohereRerankError, failures: list[CohereRerankError]) -> CohereRerankError:
    """Return the error to raise when every member of the chain has failed."""
    if len(failures) == 1 and isinstance(failures[0], ScorerError):
        return failures[0]
    error.message += "; then every fallback failed: " + "; ".join(map(str, failures))
    return error
