"""Find the providers that the program has configured, and make the tracer and the histograms of this library."""

from __future__ import annotations

import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cohere_rerank._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Tracer

    F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("cohere_rerank")
_NAME = "cohere_rerank"
# The providers of the API itself do nothing: no SDK is configured.
_API_MODULES = ("opentelemetry.trace", "opentelemetry.metrics")
_PLAIN_SUPPRESS_KEY = "suppress_instrumentation"  # of earlier instrumentations
# The buckets that the semantic conventions of GenAI ask for.
_DURATION_BUCKETS_S = tuple(0.01 * 2**power for power in range(14))
_TOKEN_BUCKETS = tuple(4**power for power in range(14))


class Instruments(NamedTuple):
    """The tracer and the histograms. Each is None if the program has no provider for it."""

    tracer: Tracer | None
    duration: Histogram | None
    tokens: Histogram | None


_last: tuple[Any, Any, Instruments] | None = None  # the providers of the last call, and what was made from them


def current_instruments() -> Instruments | None:
    """Return the instruments to use now. None if nothing is configured, or if the caller suppresses instrumentation."""
    global _last  # noqa: PLW0603 - one program has one pair of providers
    tracers, meters = _provider("trace", "get_tracer_provider"), _provider("metrics", "get_meter_provider")
    if (tracers is None and meters is None) or _is_suppressed():
        return None
    last = _last
    if last is None or last[0] is not tracers or last[1] is not meters:
        last = _last = tracers, meters, _make(tracers, meters)
    return last[2]


def report_failure(error: Exception) -> None:
    """Log that OpenTelemetry raised an error. The text of the error may contain what a span contains."""
    _log.warning("OpenTelemetry failed with %s; the call continues without it", type(error).__name__)


def log_errors(method: F) -> F:
    """Decorate a method, so that it logs an error and returns None instead of raising it."""

    @wraps(method)
    def wrapper(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception as error:  # noqa: BLE001 - tracing must not break a call
            report_failure(error)
            return None

    return wrapper  # type: ignore[return-value]


def _provider(module: str, getter: str) -> Any:
    """Return the provider that the program has set. None if there is none, or nothing has imported its module."""
    found = sys.modules.get(f"opentelemetry.{module}")
    if found is None or not hasattr(found, getter):  # another thread may be importing it
        return None
    provider = getattr(found, getter)()
    return None if type(provider).__module__.startswith(_API_MODULES) else provider


def _is_suppressed() -> bool:
    from opentelemetry import context

    key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN_SUPPRESS_KEY)
    return bool(context.get_value(key) or context.get_value(_PLAIN_SUPPRESS_KEY))


def _make(tracers: Any, meters: Any) -> Instruments:
    tracer = None if tracers is None else tracers.get_tracer(_NAME, __version__)
    if meters is None:
        return Instruments(tracer, None, None)
    meter = meters.get_meter(_NAME, __version__)
    duration = _histogram(
        meter, "gen_ai.client.operation.duration", "s", "GenAI operation duration.", _DURATION_BUCKETS_S
    )
    tokens = _histogram(
        meter,
        "gen_ai.client.token.usage",
        "{token}",
        "Number of input and output tokens used.",
        _TOKEN_BUCKETS,
    )
    return Instruments(tracer, duration, tokens)


def _histogram(meter: Any, name: str, unit: str, description: str, buckets: Sequence[float]) -> Any:
    try:
        return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)
    except TypeError:  # a version before 1.30
        return meter.create_histogram(name, unit, description)
