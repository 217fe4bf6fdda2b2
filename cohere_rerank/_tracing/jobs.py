"""The span of a job. The spans of its rows are bounded in number within one trace."""

from __future__ import annotations

from contextlib import contextmanager
from sys import modules
from typing import TYPE_CHECKING, Any

from .instruments import current_instruments, log_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span

    from cohere_rerank._settings import Config

_KEY = "cohere_rerank.job"
_FACTS = ("rows", "written", "failed", "invalid", "retries", "search_units", "estimated_units", "stopped")
_MAX_CHILDREN = 1000  # no backend shows a trace of 200,000 spans


class _JobTrace:
    """The span of a job, and how many rows were started."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.n_rows = 0

    @log_errors
    def set_report(self, report: Any) -> None:
        """Set the numbers of a report, and why the job stopped. Never an example of a failed row."""
        for name in _FACTS:
            value = getattr(report, name, None)
            if value is not None:
                self.span.set_attribute(f"cohere_rerank.job.{name}", value)

    @log_errors
    def fail(self, error: BaseException) -> None:
        """Mark the span of a job that stopped early."""
        from opentelemetry.trace import Status, StatusCode

        self.span.set_attribute("error.type", type(error).__name__)
        self.span.set_status(Status(StatusCode.ERROR, type(error).__name__))

    @log_errors
    def end(self) -> None:
        """End the span."""
        self.span.end()


def parent_and_links() -> tuple[Context | None, Sequence[Link] | None]:
    """Return the parent of a new span, None for the current one, and its links.

    The first rows of a job are children of its span. Each later one starts a trace of its own, with a link to the job.
    """
    from opentelemetry import context, trace

    job: Any = context.get_value(_KEY)
    if job is None or trace.get_current_span() is not job.span:
        return None, None
    job.n_rows += 1
    if job.n_rows <= _MAX_CHILDREN:
        return None, None
    return trace.set_span_in_context(trace.INVALID_SPAN), [trace.Link(job.span.get_span_context())]


@contextmanager
def job_span(config: Config) -> Iterator[Callable[[Any], None]]:
    """Make a span for the job that runs inside this block. Yield a function that takes the report of the job."""
    job = None if config.telemetry is False or "opentelemetry" not in modules else _start()
    if job is None:
        yield lambda _: None
        return
    from opentelemetry import context, trace

    token = context.attach(context.set_value(_KEY, job, trace.set_span_in_context(job.span)))
    try:
        yield job.set_report
    except BaseException as error:
        job.fail(error)
        raise
    finally:
        context.detach(token)
        job.end()


@log_errors
def _start() -> _JobTrace | None:
    instruments = current_instruments()
    if instruments is None or instruments.tracer is None:
        return None
    return _JobTrace(instruments.tracer.start_span("rerank job"))
