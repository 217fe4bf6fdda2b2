"""Spans of requests, for OpenTelemetry: each continues the trace of its caller, and the upstream continues it.

A server that `serve` starts exports them by itself if the variables of OpenTelemetry ask for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from cohere_rerank._tracing.instruments import current_instruments, report_failure
from cohere_rerank._wire.contract import FIRST_SERVER_ERROR

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from .http import HttpExchange, Message

_log = logging.getLogger("cohere_rerank.server")
_CLIENT_DISCONNECTED = 499
_SERVICE_NAME = "cohere-rerank"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_FLUSH_MS = 5000


def request_span(exchange: HttpExchange, scope: Message, paths: Container[str]) -> AbstractContextManager[None]:
    """Make a span for a request to one of the paths, if OpenTelemetry is configured. It is handled inside the block."""
    if "opentelemetry" not in sys.modules or exchange.method != "POST" or exchange.path not in paths:
        return nullcontext()
    return _span(exchange, scope)


@contextmanager
def _span(exchange: HttpExchange, scope: Message) -> Iterator[None]:
    span = token = None
    try:
        span, token = _start(exchange, scope)
    except Exception as error:  # noqa: BLE001 - tracing must not break a request
        report_failure(error)
    try:
        yield
    finally:
        try:
            _end(exchange, span, token)
        except Exception as error:  # noqa: BLE001
            report_failure(error)


def _start(exchange: HttpExchange, scope: Message) -> tuple[Any, Any]:
    instruments = current_instruments()
    if instruments is None or instruments.tracer is None:
        return None, None
    from opentelemetry import context, propagate, trace

    if trace.get_current_span().get_span_context().is_valid:  # of an instrumentation around this application
        return None, None
    parent = propagate.extract(exchange.headers)
    host, port = (scope.get("server") or (None, None))[:2]
    attributes = {
        "http.request.method": exchange.method,
        "http.route": exchange.path,
        "url.path": exchange.path,
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version"),
        "server.address": host,
        "server.port": port,
        "client.address": exchange.client,
        "cohere_rerank.request_id": exchange.request_id,
    }
    given = {name: value for name, value in attributes.items() if value is not None}
    span = instruments.tracer.start_span(f"POST {exchange.path}", parent, trace.SpanKind.SERVER, given)
    return span, context.attach(trace.set_span_in_context(span, parent))


def _end(exchange: HttpExchange, span: Any, token: Any) -> None:
    if span is None:
        return
    from opentelemetry import context
    from opentelemetry.trace import Status, StatusCode

    context.detach(token)
    response = exchange.response
    status = _CLIENT_DISCONNECTED if response is None else response.status
    span.set_attribute("http.response.status_code", status)
    if response is not None and response.answered_by is not None:
        span.set_attribute("gen_ai.rerank.candidate.count", response.n_documents)
        span.set_attribute("cohere_rerank.answered_by", response.answered_by)
    if status >= FIRST_SERVER_ERROR:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def export_spans(environment: Mapping[str, str]) -> None:
    """Set a provider that exports spans, if a variable asks for it and the program has set none.

    ``opentelemetry-instrument`` sets a provider in the process that it starts, but not in the workers of that process.
    """
    if not _is_wanted(environment) or _has_provider():
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporters = [_exporter(name, environment) for name in _exporter_names(environment)]
        named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        provider = TracerProvider(resource=Resource.create({} if named else {"service.name": _SERVICE_NAME}))
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
    except Exception as error:  # noqa: BLE001 - the server must start without a collector
        _log.warning(
            "spans cannot be exported (%s); install opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, or "
            "set OTEL_TRACES_EXPORTER=none",
            error,
        )


def flush_spans() -> None:
    """Send the spans that wait, for at most 5 seconds. The process is about to end."""
    trace = sys.modules.get("opentelemetry.trace")
    flush = getattr(trace.get_tracer_provider(), "force_flush", None) if trace is not None else None
    if flush is not None:
        try:
            flush(_FLUSH_MS)
        except Exception as error:  # noqa: BLE001
            report_failure(error)


def _is_wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return bool(_exporter_names(environment))


def _exporter_names(environment: Mapping[str, str]) -> list[str]:
    text = environment.get("OTEL_TRACES_EXPORTER", "otlp" if any(map(environment.get, _ENDPOINTS)) else "none")
    return [name for each in text.split(",") if (name := each.strip()) and name != "none"]


def _has_provider() -> bool:
    if "opentelemetry.trace" not in sys.modules:
        return False
    instruments = current_instruments()
    return instruments is not None and instruments.tracer is not None


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    """Return the exporter of this name, as packages offer it.

    Raises:
        LookupError: No package offers it.
    """
    from importlib.metadata import entry_points

    protocol = next((environment[each] for each in _PROTOCOLS if environment.get(each)), "")
    choices = {"": ("otlp_proto_http", "otlp_proto_grpc"), "grpc": ("otlp_proto_grpc",)}
    names = choices.get(protocol, ("otlp_proto_http",)) if name == "otlp" else (name,)
    for each in names:
        for found in entry_points(group="opentelemetry_traces_exporter", name=each):
            exporter: SpanExporter = found.load()()
            return exporter
    raise LookupError(f"no package has the exporter {names[0]}")
