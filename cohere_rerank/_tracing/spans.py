"""The span of one logical call, which is current while the call runs, and its metrics.

An error of OpenTelemetry, of an exporter or of a propagator is logged, and the call continues.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import LOCAL_SCHEME

from . import attributes as names
from .instruments import current_instruments, log_errors
from .jobs import parent_and_links

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from cohere_rerank._settings import Config
    from cohere_rerank._trace import CallTrace
    from cohere_rerank._wire.call import Call
    from cohere_rerank.types import V2RerankResponse

    from .instruments import Instruments

_EVENT_NAMES = {
    "BreakerEvent": "breaker",
    "FallbackEvent": "fallback",
    "HedgeEvent": "hedge",
    "LimitWaitEvent": "limit_wait",
    "PostponeEvent": "postpone",
    "RetryEvent": "retry",
}


@log_errors
def start_span(config: Config, call: Call, trace: CallTrace) -> CallSpan | None:
    """Start the span of a call and make it current. Return None if the program has not configured OpenTelemetry."""
    earlier: Any = getattr(getattr(call, "trace", None), "span", None)
    if isinstance(earlier, CallSpan) and earlier.resume(trace):
        return earlier
    instruments = current_instruments()
    return None if instruments is None else CallSpan(instruments, config, call, trace)


class CallSpan:
    """The span of a call, from its first request to its response. Without a tracer, only its metrics.

    It is current in the context of the call, so that everything below continues its trace: the instrumentation of
    httpx, another client in the fallback chain, a scorer. Its context is sent with the requests, in headers that the
    caller has not set.
    """

    def __init__(self, instruments: Instruments, config: Config, call: Call, trace: CallTrace) -> None:
        self._instruments = instruments
        self._call, self._trace = call, trace
        self._common = names.common_attributes(config, call)
        self._span: Span | None = None
        self._context: Context | None = None
        self._token: Token[Context] | None = None
        self._is_open = True
        self._shows_content = False
        if instruments.tracer is None:
            return
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent, links = parent_and_links()
        self._span = instruments.tracer.start_span(
            f"rerank {call.body['model']}" if "model" in call.body else "rerank",
            parent,
            SpanKind.INTERNAL if config.base_url.startswith(LOCAL_SCHEME) else SpanKind.CLIENT,
            {**self._common, **names.request_attributes(config, call)},
            links,
        )
        self._context = set_span_in_context(self._span, parent)
        if self._span.is_recording() and names.captures_content(os.environ):
            self._shows_content = True
            self._span.set_attributes(names.query_attributes(call))
        self._attach()

    def _attach(self) -> None:
        """Make the span current, and let its context be sent with the requests."""
        if self._context is None:
            return
        from opentelemetry import context, propagate

        headers: dict[str, str] = {}
        if "server.address" in self._common:
            propagate.inject(headers, self._context)
        given = self._call.headers
        if "traceparent" in given:
            headers.pop("tracestate", None)  # it belongs to the other traceparent
        self._trace.headers = {name.lower(): text for name, text in headers.items() if name.lower() not in given}
        self._token = context.attach(self._context)

    def _detach(self) -> None:
        if self._token is not None:
            from opentelemetry import context

            token, self._token = self._token, None
            context.detach(token)

    @log_errors
    def add_event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Add an event of the call, such as ``"RetryEvent"``. Any thread may call it."""
        if self._span is None or not self._is_open or name not in _EVENT_NAMES:
            return
        facts = {
            f"cohere_rerank.{field}": value for field, value in fields.items() if field not in ("address", "error")
        }
        if "error" in fields:
            facts.update(names.error_attributes(fields["error"]))
        self._span.add_event(f"cohere_rerank.{_EVENT_NAMES[name]}", facts)

    @log_errors
    def postpone(self, error: BaseException) -> None:
        """Leave the span open, because a batch will make the same call again when the limit or the breaker allows."""
        self._detach()
        self.add_event("PostponeEvent", {"error": error})

    def resume(self, trace: CallTrace) -> bool:
        """Continue a span that was left open. Return False if it has ended."""
        if self._is_open:
            self._trace = trace
            self._attach()
        return self._is_open

    @log_errors
    def end(self, response: V2RerankResponse) -> None:
        """End the span of a call that succeeded, and record its metrics."""
        try:
            if self._span is not None and self._span.is_recording():
                self._span.set_attributes(names.response_attributes(response))
                if self._shows_content:
                    self._add_content(self._span, response)
            self._record({}, names.input_tokens(response))
        finally:
            self._close()

    @log_errors
    def fail(self, error: BaseException) -> None:
        """End the span of a call that failed. The text of the error is added only if the content is wanted."""
        try:
            found = names.error_attributes(error)
            if self._span is not None and self._span.is_recording():
                from opentelemetry.trace import Status, StatusCode

                self._span.set_attributes(found)
                text = str(error) if self._shows_content else None
                described = {"exception.type": f"{type(error).__module__}.{type(error).__qualname__}"}
                self._span.add_event("exception", {**described, **({"exception.message": text} if text else {})})
                self._span.set_status(Status(StatusCode.ERROR, text or type(error).__name__))
            self._record({"error.type": found["error.type"]}, None)
        finally:
            self._close()

    def _add_content(self, span: Span, response: V2RerankResponse) -> None:
        room = names.max_document_attributes(span, os.environ)
        ranked = names.output_document_attributes(response, room // 2)
        span.set_attributes({**names.result_attributes(response), **ranked})
        span.set_attributes(names.input_document_attributes(self._call, room - len(ranked)))

    def _record(self, more: Mapping[str, Any], n_tokens: float | None) -> None:
        labels = {**self._common, **more}
        if self._instruments.duration is not None:
            self._instruments.duration.record(self._trace.totals()[1], labels)
        if self._instruments.tokens is not None and n_tokens is not None:
            self._instruments.tokens.record(n_tokens, {**labels, "gen_ai.token.type": "input"})

    def _close(self) -> None:
        self._is_open = False
        try:
            self._detach()
        finally:
            if self._span is not None:
                self._span.end()
