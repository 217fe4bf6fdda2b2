"""A job at work: which rows are still to do, what is written of each, and when to stop. No network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .errors import JobStoppedError
from .formats import Reader
from .journal import Journal
from .report import JobReport
from .row_sets import RowSet
from .rows import Row, bad_row, estimated_units, read_row
from .seen import SeenIds
from .settings import Settings

__all__ = ["Job", "rows_to_do"]

_FEWEST_FOR_FRACTION = 100  # rows of a run, before the share of failed ones means anything
_RECENT = 1000  # rows, the last ones: a job that begins well may be doomed later


def rows_to_do(
    reader: Reader[Any],
    seen: SeenIds,
    common: Mapping[str, Any],
    *,
    ignores_unknown: bool,
    done: RowSet | None = None,
    again: RowSet | None = None,
) -> Iterator[Row]:
    """The rows of the input that are not done, or to be done again.

    Args:
        reader: The input.
        seen: Knows the ids of the rows that are done.
        common: As for `read_row`,
        ignores_unknown: like this.
        done: Numbers of rows to pass over,
        again: except these.
    """
    for number, raw in reader:
        if done and number in done and not (again and number in again):
            continue
        place = reader.place(number)
        try:
            row = read_row(number, place, reader.parsed(raw), common, ignores_unknown=ignores_unknown)
        except InvalidRequestError as error:
            row = bad_row(number, place, None, error.message)
        if row.id is not None:
            first = seen.first(row.id, number)
            if first != number:
                # Without the id, which is the first one's: in the output each id stands once.
                row = bad_row(number, place, None, f"the id {row.id!r} is already that of {reader.word} {first}")
        yield row


class Job:
    """The rows of one run, and its decisions.

    Attributes:
        stopped: Why no more rows are sent; None while they are.
        gives_up: Whether rows that wait, for their turn or a repeat, are left to the next run as well. Those within a
            budget are not.
    """

    def __init__(
        self,
        settings: Settings,
        reader: Reader[Any],
        journal: Journal,
        seen: SeenIds,
        common: Mapping[str, Any],
        count_retries: Callable[[], int],
    ) -> None:
        self._common = common
        self._count_retries = count_retries
        self._settings = settings
        self._reader = reader
        self._journal = journal
        self._seen = seen
        self._held: list[dict[str, Any]] = []  # answered, but the disk did not take them
        self._reserved: dict[int, float] = {}  # what rows under way will cost, by number
        self._start_s = time.monotonic()
        self._n_written = 0
        self._n_failed = 0
        self._recent = deque[bool](maxlen=_RECENT)  # whether they failed
        self.stopped: str | None = None
        self.gives_up = False
        self._reason = ""
        self._cause: BaseException | None = None

    def rows(self) -> Generator[Row, None, None]:
        """The rows to send, until there are no more or the job is stopped."""
        rows = rows_to_do(
            self._reader,
            self._seen,
            self._common,
            ignores_unknown=self._settings.ignore_unknown,
            done=self._journal.done,
            again=self._journal.failed if self._settings.retry_errors else None,
        )
        for row in rows:
            if self.stopped or not self._affords(row):
                return
            yield row

    def _affords(self, row: Row) -> bool:
        budget = self._settings.budget_units
        if budget is None:
            return True
        units = estimated_units(row)
        spent, reserved = self._journal.search_units, sum(self._reserved.values())
        if spent + reserved + units > budget:
            counted = f"{spent:g} were spent, {reserved:g} reserved by estimate for rows under way"
            self.stop("budget", f"the next row would pass the budget of {budget:g} search units: {counted}")
            return False
        self._reserved[row.number] = units
        return True

    def take(self, row: Row, record: dict[str, Any]) -> None:
        """Write what became of a row."""
        self._reserved.pop(row.number, None)
        if self._held:
            self._held.append(record)
            return
        try:
            self._journal.append(record)
        except OSError as error:
            self._held.append(record)
            self.stop("failed", f"{self._journal.path}: cannot be written: {error.strerror}", error)
            return
        self._n_written += 1
        self._n_failed += "error" in record
        self._recent.append("error" in record)
        self._judge(record.get("error", {}).get("message"))

    def _judge(self, last: str | None) -> None:
        """Stop a job of which too many rows have failed, in all or lately."""
        most = self._settings.max_error_fraction
        if self._n_written >= _FEWEST_FOR_FRACTION and self._n_failed > most * self._n_written:
            told = f"{self._n_failed} of {self._n_written} rows failed"
        elif last and len(self._recent) == _RECENT and (n_failed := sum(self._recent)) > most * _RECENT:
            told = f"{n_failed} of the last {_RECENT:,} rows failed"
        else:
            return
        self.stop("errors", f"{told}, more than a share of {most:g}" + (f"; the last: {last}" if last else ""))

    def stop(self, kind: str, reason: str, cause: BaseException | None = None) -> None:
        """Send no more rows; the first reason counts."""
        self.gives_up = self.gives_up or kind != "budget"
        if self.stopped is None:
            self.stopped, self._reason, self._cause = kind, reason, cause

    def save(self) -> None:
        """Have what is written reach the disk itself, and look whether it is still where it was."""
        try:
            self._journal.sync()
        except OSError as error:
            self.stop("failed", f"{self._journal.path}: cannot be written: {error.strerror}", error)
        if not self._journal.is_in_place():
            self.stop("failed", f"{self._journal.path} was moved, removed or replaced while the job ran")

    def settle(self) -> None:
        """Write what the disk did not take, into the room that was kept for it.

        Raises:
            JobStoppedError: The job was stopped before its last row.
        """
        lost = ""
        if self._held:
            held, self._held = self._held, []
            self._journal.free_spare()
            try:
                while held:
                    self._journal.append(held[0])
                    del held[0]
            except OSError:
                lost = f"; {len(held)} answered rows could not be saved and will be asked for again"
        self.save()
        if self.stopped:
            report = self.report()
            raise JobStoppedError(f"{self._reason}; {self._what_now(report)}{lost}", report) from self._cause

    def _what_now(self, report: JobReport) -> str:
        """What is saved, and how a job goes on that was stopped."""
        path = self._journal.path
        if not report.rows:
            return "no row is saved, so the same job may begin again"
        if not self._journal.is_in_place():
            return f"put it back with its {report.rows} rows; without it, resume asks for all of them again"
        if report.stopped != "errors":
            return f"{report.rows} rows are saved in {path}, and resume goes on from there"
        saved = f"{report.rows - report.failed} answers and {report.failed} errors are saved in {path}"
        return f"{saved}; find out why, and then retry_errors asks for those rows again and goes on"

    def report(self) -> JobReport:
        """The numbers up to now."""
        return JobReport(
            rows=len(self._journal.done),
            failed=len(self._journal.failed),
            written=self._n_written,
            retries=self._count_retries(),
            search_units=self._journal.search_units,
            estimated_units=self._journal.estimated_units,
            seconds=time.monotonic() - self._start_s,
            fraction=self._reader.fraction(),
            stopped=self.stopped,
            invalid=self._journal.failed.n_invalid,
            commonest_error=self._journal.failed.commonest(),
        )
