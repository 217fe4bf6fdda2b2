"""The span of a job. The spans of its rows are bounded in number within one trace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .instruments import current_instruments, report_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span

_KEY = "cohere_rerank.job"
_MAX_CHILDREN = 1000  # no backend shows a trace of 200,000 spans


class _JobTrace:
    """The span of a job, and how many rows were started."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.n_rows = 0


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
def job_span(attributes_of: Callable[[Any], dict[str, Any]]) -> Iterator[Callable[[Any], None]]:
    """Make a span for the job that runs inside this block, and yield a function that takes its report.

    Args:
        attributes_of: Returns the attributes for a report.
    """
    job = _start()
    if job is None:
        yield lambda _: None
        return
    from opentelemetry import context, trace

    def report(result: Any) -> None:
        try:
            job.span.set_attributes(attributes_of(result))
        except Exception as error:  # noqa: BLE001 - tracing must not break a job
            report_failure(error)

    token = context.attach(context.set_value(_KEY, job, trace.set_span_in_context(job.span)))
    try:
        yield report
    except BaseException as error:
        job.span.set_attributes({"error.type": type(error).__name__})
        job.span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
        raise
    finally:
        context.detach(token)
        _end(job.span)


def _start() -> _JobTrace | None:
    try:
        instruments = current_instruments()
        if instruments is None or instruments.tracer is None:
            return None
        return _JobTrace(instruments.tracer.start_span("rerank job"))
    except Exception as error:  # noqa: BLE001
        report_failure(error)
        return None


def _end(span: Span) -> None:
    try:
        span.end()
    except Exception as error:  # noqa: BLE001
        report_failure(error)
