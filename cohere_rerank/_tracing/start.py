"""Start the measurements of a call in a program that has imported OpenTelemetry. It imports nothing by itself."""

from __future__ import annotations

import os
from sys import modules

from cohere_rerank._trace import CallTrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cohere_rerank._clock import Clock
    from cohere_rerank._settings import Config
    from cohere_rerank._wire.call import Call

# With one of these variables, OpenTelemetry makes the provider when it is first asked for.
_IS_ON_DEMAND = any(f"OTEL_PYTHON_{kind}_PROVIDER" in os.environ for kind in ("TRACER", "METER"))


def traced(config: Config, clock: Clock, call: Call) -> CallTrace:
    """Return the measurements of a call that starts now, with a span if the program has configured OpenTelemetry."""
    trace = CallTrace(clock)
    if config.telemetry is False:
        return trace
    # The variables behind `get_tracer_provider` and `get_meter_provider`. Many programs import the API and configure
    # nothing: their calls must not pay for it. A version without these variables is asked by the functions.
    tracers, meters = modules.get("opentelemetry.trace"), modules.get("opentelemetry.metrics._internal")
    if (
        getattr(tracers, "_TRACER_PROVIDER", tracers) is not None
        or getattr(meters, "_METER_PROVIDER", meters) is not None
        or _IS_ON_DEMAND
    ):
        from .spans import start_span

        trace.span = start_span(config, call, trace)
    return trace
