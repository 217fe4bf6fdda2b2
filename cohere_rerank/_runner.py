"""The calls of ClientV2: cache, split, limit, retries, sending. `_async_runner` does the same with ``await``."""

from __future__ import annotations

from contextvars import copy_context
from queue import SimpleQueue
from sys import modules
from threading import Thread
from typing import TYPE_CHECKING, Any

from ._base_runner import BaseRunner, fallback_failure, is_client
from ._clock import Deadline
from ._settings import secret_from_callable
from ._trace import CallTrace
from ._tracing.start import traced
from ._wire.call import MAX_CONCURRENT_PARTS
from ._wire.response import build_response, empty_response, tag_with_part
from .errors import ApiError, CohereRerankError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._settings import Secret
    from ._transport.http import Sender
    from ._transport.reply import Reply
    from ._wire.call import Call, Part
    from .limits.limiter import Limiter
    from .types import V2RerankResponse

    Answer = tuple[Part, V2RerankResponse, Reply | None]


class Runner(BaseRunner):
    """Sends the calls of a ClientV2, each in the thread of its caller."""

    def rerank(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """Answer a call from the cache, the API or the fallback, and count it."""
        if not call.texts:
            return empty_response(call), None
        call.trace = (
            CallTrace(self._clock) if "opentelemetry" not in modules else traced(self.config, self._clock, call)
        )
        try:
            if self.config.cache is None:
                answered = self.rerank_uncached(call)
            else:
                from .cache.rerank import rerank_cached

                answered = rerank_cached(self, call)
            self._finish(call, *answered)
        except BaseException as error:
            self._fail(call, error)
            raise
        return answered

    def rerank_uncached(self, call: Call) -> tuple[V2RerankResponse, Reply | None]:
        """Answer a call with documents, without the cache and without counting the call."""
        parts, deadline = self._parts(call), Deadline(self._clock, call.deadline_s)
        first = deadline if self.config.fallback is None else self._first_deadline(deadline)
        try:
            if self._budget_guard is None:
                answers = self._send_one(parts[0], first) if len(parts) == 1 else self._send_parts(parts, first)
            else:
                with self._budget_guard.reserved(call, parts):
                    answers = self._send_one(parts[0], first) if len(parts) == 1 else self._send_parts(parts, first)
        except CohereRerankError as error:
            if not self._may_fall_back(call, error):
                raise
            self._begin_fallback(call, error)
            return self.fall_back(call, error, deadline), None
        sent, responses, replies = zip(*answers)
        return build_response(call, sent, responses), replies[0]

    def fall_back(self, call: Call, error: CohereRerankError, deadline: Deadline) -> V2RerankResponse:
        """Return the answer of the first member of the fallback chain that has one."""
        failures: list[CohereRerankError] = []
        for position, member in enumerate(self.config.fallbacks):
            try:
                if not is_client(member):
                    return self._local_fallback(call, error, member)
                calls, other = self._client_call(member, call, deadline, position)
                return self._adopt(calls.rerank(other)[0], call, error, calls)
            except CohereRerankError as failure:
                failures.append(failure)
        raise fallback_failure(error, failures)

    def _send_one(self, part: Part, deadline: Deadline, *, in_parallel: bool = True) -> list[Answer]:
        """Send a part. One that the server refuses as too large is sent again as several smaller ones."""
        try:
            response, reply = self._send_with_retries(part, deadline)
        except ApiError as error:
            smaller = self._smaller_parts(part, error)
            if smaller is None:
                raise
        else:
            return [(part, response, reply if part.start == 0 else None)]  # a caller sees the first reply only
        if in_parallel:
            return self._send_parts(smaller, deadline)
        return [answer for each in smaller for answer in self._send_one(each, deadline, in_parallel=False)]

    def _send_parts(self, parts: Sequence[Part], deadline: Deadline) -> list[Answer]:
        waiting = iter(parts)  # a list iterator is atomic, so each part goes to one thread
        done: SimpleQueue[tuple[Part, list[Answer] | Exception]] = SimpleQueue()

        def perform() -> None:
            for part in waiting:
                try:
                    done.put((part, self._send_one(part, deadline, in_parallel=False)))
                except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                    done.put((part, error))
                    break

        # Daemon threads, unlike an executor's: after a failure the interpreter does not wait for them at exit.
        for _ in range(min(len(parts), MAX_CONCURRENT_PARTS)):
            Thread(target=copy_context().run, args=(perform,), name="cohere_rerank", daemon=True).start()
        answers: dict[Part, list[Answer]] = {}
        try:
            while len(answers) < len(parts):
                part, outcome = done.get()
                if isinstance(outcome, Exception):
                    raise outcome
                answers[part] = outcome
        except BaseException:
            deadline.expire()  # stop retries of in-flight parts; do not send queued ones
            raise
        return [answer for part in parts for answer in answers[part]]

    def _send_with_retries(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        """Send one request, and send it again where the retry policy says so."""
        try:
            answer = self._attempt(part, deadline)
        except CohereRerankError as error:
            retries = self._retries(part, deadline, error)
            tag_with_part(error, part)
            if retries is None:
                raise
        else:
            self._record_success()
            return answer
        for attempt in retries.attempts(self._clock):
            with attempt:
                retries.reraise_first(attempt.retry_state.attempt_number)
                self._start_retry(part, retries, attempt.retry_state)
                answer = self._attempt(part, deadline)
                self._record_success(retries.n_tokens)
                return answer
        raise AssertionError("unreachable: the loop returns or raises")

    def _attempt(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        if self._is_plain:
            reply = self._send(part, deadline, self._only_key, None)
            return self._decode(part, reply), reply
        circuit = self._circuit()
        if circuit is None:
            return self._attempt_with_keys(part, deadline)
        with self._guarded(circuit, part):
            return self._attempt_with_keys(part, deadline)

    def _attempt_with_keys(self, part: Part, deadline: Deadline) -> tuple[V2RerankResponse, Reply]:
        """Send the request with one key after another, until one does not get a 429."""
        while True:
            index, secret = self._next_key()
            reply = self._send_limited(part, deadline, secret, index)
            try:
                return self._decode(part, reply), reply
            except ApiError as error:
                if not self._try_next_key(index, error):
                    raise

    def _send_limited(self, part: Part, deadline: Deadline, secret: Secret | None, index: int | None) -> Reply:
        limiter = self._limiter(secret)
        if limiter is None:
            return self._send_hedged(part, deadline, secret, index, None)
        self._sender()  # the imports of the first call must not delay a request that has its permit,
        _ = part.content  # and neither must the encoding of a long list
        start_s = self._clock.monotonic()
        limiter.acquire(self._clock, deadline, part.call.traffic_class)
        part.call.trace.add_limit_wait(self._clock.monotonic() - start_s)
        try:
            reply = self._send_hedged(part, deadline, secret, index, limiter)
            self._report_response(limiter, reply)
        finally:
            limiter.release()
        return reply

    def _send_hedged(
        self, part: Part, deadline: Deadline, secret: Secret | None, index: int | None, limiter: Limiter | None
    ) -> Reply:
        """Send the request, and with ``hedge=`` a second time if its response is late."""
        delay_s = self._hedge_delay_s(part)
        if delay_s is None:
            return self._send(part, deadline, secret, index)
        from ._hedging import race

        def first(own: Deadline) -> Reply:
            return self._send(part, own, secret, index)

        def second(own: Deadline) -> Reply | None:
            if not self._begin_hedge(part, own, limiter, delay_s):
                return None
            try:
                reply = self._send(part, own, secret, index)
                if limiter is not None:
                    self._report_response(limiter, reply)
                return reply
            finally:
                if limiter is not None:
                    limiter.release()

        start_s = self.clock.monotonic()
        reply, winner = race(first, second, deadline, delay_s)
        self._end_race(part, winner, start_s)
        return reply

    def _send(self, part: Part, deadline: Deadline, secret: Secret | None, index: int | None) -> Reply:
        while True:
            start_s = self._start_request(part, index)
            sender = self._known_sender or self._sender()
            reply = sender.send(self.config, part, self._key(secret), deadline)
            self._end_request(part, reply, start_s)
            if not self._try_next_dialect(part, reply):
                return reply

    def _sender(self) -> Sender:
        sender: Sender | None = self._state.sender
        if sender is None:
            from ._transport.http import Sender

            self._check_open()
            sender = self._state.set_sender_once(Sender(self.config, self._httpx_client))
        self._known_sender = sender
        return sender

    def _key(self, secret: Secret | None) -> Secret | None:
        """Return the key as text. A function of the caller makes it anew for each request."""
        if secret is None and self.config.needs_key:
            raise self.config.missing_key_error()
        if secret is None or isinstance(secret.value, str):
            return secret
        made: Any = secret.value()
        if hasattr(made, "__await__"):
            if hasattr(made, "close"):
                made.close()  # a coroutine that is never awaited
            raise InvalidRequestError("the api_key function is asynchronous; it works with AsyncClientV2")
        return secret_from_callable(made)
