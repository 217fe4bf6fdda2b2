"""OpenTelemetry's SDK for one test: providers that keep spans and metrics in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    """What the program under test has configured, and what it has recorded."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def spans(self, name: str = "rerank m") -> list[Any]:
        """The spans that have ended, by their start."""
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time)

    def span(self, name: str = "rerank m") -> Any:
        """The only span of this name."""
        (span,) = self.spans(name)
        return span

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        found = [
            metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return [point for metric in found for point in metric.data.data_points]

    def current(self, name: str) -> Any:
        """A span of the program, as a context manager."""
        return self.tracers.get_tracer("the program").start_as_current_span(name)


@contextmanager
def providers(tracers: Any, meters: Any) -> Iterator[None]:
    """Set the global providers, which OpenTelemetry lets a program set only once."""
    before = trace._TRACER_PROVIDER, metrics_internal._METER_PROVIDER
    trace._TRACER_PROVIDER, metrics_internal._METER_PROVIDER = tracers, meters
    try:
        yield
    finally:
        trace._TRACER_PROVIDER, metrics_internal._METER_PROVIDER = before


@contextmanager
def configured() -> Iterator[Telemetry]:
    """Configure OpenTelemetry inside this block."""
    telemetry = Telemetry()
    with providers(telemetry.tracers, telemetry.meters):
        assert trace.get_tracer_provider() is telemetry.tracers
        assert metrics.get_meter_provider() is telemetry.meters
        yield telemetry


def trace_id_of(traceparent: str) -> int:
    return int(traceparent.split("-")[1], 16)


def span_id_of(traceparent: str) -> int:
    return int(traceparent.split("-")[2], 16)


def is_child(span: Any, parent: Any) -> bool:
    """Whether a span continues the trace of another one, directly below it."""
    return span.parent is not None and span.parent.span_id == parent.get_span_context().span_id
