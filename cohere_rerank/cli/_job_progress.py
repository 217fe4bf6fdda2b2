"""The progress of a job on standard error: a bar on a terminal, else a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from ._common import notice
from ._values import counted

if TYPE_CHECKING:
    from cohere_rerank.jobs import JobReport

    Show = Callable[[JobReport], None]

__all__ = ["duration", "progress_display", "summary"]

_LINE_EVERY_S = 30.0
_FINISHING = "waiting for the requests in flight; interrupt again to stop at once"


def duration(seconds: float) -> str:
    """Format a time in its two largest units.

    >>> duration(59.7), duration(3725), duration(200_000)
    ('1m 0s', '1h 2m', '2d 7h')
    """
    rest, names = round(seconds), (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in names:
        n, rest = divmod(rest, size)
        if n or parts or name == "s":
            parts.append(f"{n}{name}")
    return " ".join(parts[:2])


def summary(report: JobReport) -> str:
    """Format a report as one line."""
    parts = [counted(report.rows, "row")]
    if report.failed:
        parts.append(f"{report.failed:,} with an error")
    parts.append(f"{report.rows_per_second:,.{0 if report.rows_per_second >= 10 else 1}f} rows/s")
    if report.retries:
        parts.append(counted(report.retries, "retry", "retries"))
    estimated = f" ({report.estimated_units:,.0f} estimated)" if report.estimated_units else ""
    parts.append(counted(report.search_units, "search unit") + estimated)
    if report.cost_usd is not None:
        parts.append(f"{report.cost_usd:,.2f} USD")
    if report.units_above_estimate:
        parts.append(f"{report.units_above_estimate:+,.0f} search units compared with the estimate")
    if report.waiting_for:
        parts.append(report.waiting_for)
    return ", ".join(parts)


@contextmanager
def progress_display() -> Iterator[Show]:
    """Yield the function that shows a report."""
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def _lines() -> Show:
    due_s, is_announced = time.monotonic() + _LINE_EVERY_S, False

    def show(report: JobReport) -> None:
        nonlocal due_s, is_announced
        if report.stopped == "interrupted" and not is_announced:
            is_announced = True
            notice(_FINISHING)
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + _LINE_EVERY_S
            left = report.seconds_left
            notice(summary(report) + (f", {duration(left)} left" if left is not None else ""))

    return show


class _Terminal:
    """Standard error, which may be closed while the job runs. That must not stop the job."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(file=cast("IO[str]", _Terminal())), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)

        def show(report: JobReport) -> None:
            left = report.seconds_left
            text = summary(report) + (f", {duration(left)} left" if left is not None else "")
            if report.stopped == "interrupted":
                text = _FINISHING
            progress.update(task, completed=report.fraction, description=text)

        yield show
