"""A running job: which rows are pending, what is written for each, and when the job stops. No network."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cohere_rerank.errors import InvalidRequestError

from .budget import JobBudget
from .errors import JobError, JobStoppedError
from .formats import Reader
from .journal import Journal
from .report import JobReport
from .row_sets import RowSet
from .rows import Row, invalid_row, read_row
from .seen import SeenIds
from .settings import JobSettings

if TYPE_CHECKING:
    from cohere_rerank.cost.prices import Pricing

__all__ = ["Job", "pending_rows"]

_MIN_ROWS_FOR_ERROR_RATE = 100  # with fewer rows a share of failures says little
_RECENT_ROWS = 1000  # a job that starts well may fail later


def pending_rows(
    reader: Reader,
    seen: SeenIds,
    common: Mapping[str, Any],
    *,
    ignore_unknown: bool,
    done: RowSet | None = None,
    retry: RowSet | None = None,
) -> Iterator[Row]:
    """Yield the rows of the input that are not done, and those that are to be retried.

    Args:
        reader: Reads the input.
        seen: Knows the ids of the rows that are done.
        common: As for `read_row`.
        ignore_unknown: As for `read_row`.
        done: Numbers of rows to skip.
        retry: Numbers of rows that are not skipped, although they are done.
    """
    for number, raw in reader:
        if done and number in done and not (retry and number in retry):
            continue
        place = reader.place(number)
        try:
            row = read_row(number, place, reader.parse(raw), common, ignore_unknown=ignore_unknown)
        except InvalidRequestError as error:
            row = invalid_row(number, place, None, error.message)
        if row.id is not None:
            first = seen.first_row_with(row.id, number)
            if first != number:
                # Without the id, which belongs to the first row: an id appears once in the output.
                row = invalid_row(number, place, None, f"{reader.word} {first} already has the id {row.id!r}")
        yield row


class Job:
    """The rows of one run, and the decisions about them.

    Attributes:
        stopped: Why no more rows are sent. None while rows are sent.
        waiting_for: Returns which failure rows wait after, or None.
        abandons_waiting: Whether rows that wait for the rate limit or a retry are left to the next run. A job that
            stops for its budget finishes them.
    """

    def __init__(
        self,
        settings: JobSettings,
        reader: Reader,
        journal: Journal,
        seen: SeenIds,
        common: Mapping[str, Any],
        count_retries: Callable[[], int],
        pricing: Pricing = (None, False),
    ) -> None:
        self._common = common
        self._count_retries = count_retries
        self._settings = settings
        self._has_ids = settings.has_ids  # read for each row, and not as cheap as an attribute
        self._reader = reader
        self._journal = journal
        self._seen = seen
        self._unwritten: list[dict[str, Any]] = []  # records that the disk did not take
        self._budget = JobBudget(settings.budget_units, settings.budget_usd, pricing)
        self._start_s = time.monotonic()
        self._n_written = 0
        self._n_failed = 0
        self._recent_failures = deque[bool](maxlen=_RECENT_ROWS)  # whether each of the last rows failed
        self.stopped: str | None = None
        self.abandons_waiting = False
        self.waiting_for: Callable[[], str | None] = lambda: None
        self._reason = ""
        self._cause: BaseException | None = None

    def rows(self) -> Generator[Row, None, None]:
        """Yield the rows to send, until there are no more or the job is stopped."""
        rows = pending_rows(
            self._reader,
            self._seen,
            self._common,
            ignore_unknown=self._settings.ignore_unknown,
            done=self._journal.done,
            retry=self._journal.failed if self._settings.retry_errors else None,
        )
        for row in rows:
            if self.stopped or not self._is_within_budget(row):
                return
            self._reserve_space()
            yield self._for_output(row)

    def _for_output(self, row: Row) -> Row:
        """Return the row with what its record repeats of the input."""
        ids = row.document_ids if self._has_ids else None
        if ids is row.document_ids and not self._settings.with_documents:
            return row
        return replace(row, document_ids=ids, has_documents=self._settings.with_documents)

    def _reserve_space(self) -> None:
        """Reserve disk space before the first row is sent. A finished job needs none.

        Raises:
            JobError: There is not enough space.
        """
        try:
            self._journal.reserve_space()
        except OSError as error:
            message = f"{self._journal.path}: cannot be written: {error.strerror} (4 MB are needed); free disk space"
            raise JobError(message) from error

    def _is_within_budget(self, row: Row) -> bool:
        reason = self._budget.reserve(row, self._journal.search_units, self._journal.cost_usd or 0.0)
        if reason is not None:
            self.stop("budget", reason)
        return reason is None

    def record(self, row: Row, record: dict[str, Any]) -> None:
        """Write the record of a row."""
        self._budget.settle(row, record)
        if self._unwritten:
            self._unwritten.append(record)
            return
        try:
            self._journal.append(record)
        except OSError as error:
            self._unwritten.append(record)
            self.stop("failed", f"{self._journal.path}: cannot be written: {error.strerror}", error)
            return
        self._n_written += 1
        self._n_failed += "error" in record
        self._recent_failures.append("error" in record)
        self._check_error_rate(record.get("error", {}).get("message"))

    def _check_error_rate(self, last: str | None) -> None:
        """Stop a job of which too many rows have failed, of all rows or of the last ones."""
        limit = self._settings.max_error_fraction
        if self._n_written >= _MIN_ROWS_FOR_ERROR_RATE and self._n_failed > limit * self._n_written:
            rate = f"{self._n_failed} of {self._n_written} rows failed"
        elif (
            last
            and len(self._recent_failures) == _RECENT_ROWS
            and (n_failed := sum(self._recent_failures)) > limit * _RECENT_ROWS
        ):
            rate = f"{n_failed} of the last {_RECENT_ROWS:,} rows failed"
        else:
            return
        last_error = f"; the last error: {last}" if last else ""
        self.stop("errors", f"{rate}, more than max_error_fraction ({limit:g}) allows{last_error}")

    def stop(self, kind: str, reason: str, cause: BaseException | None = None) -> None:
        """Send no more rows. The first reason is kept."""
        self.abandons_waiting = self.abandons_waiting or kind != "budget"
        if self.stopped is None:
            self.stopped, self._reason, self._cause = kind, reason, cause

    def check_deadline(self) -> None:
        """Stop a job whose deadline has passed."""
        deadline = self._settings.deadline
        if deadline is not None and self.stopped is None and time.monotonic() - self._start_s >= deadline:
            self.stop("deadline", f"the deadline of the job has passed ({deadline:g} s)")

    def checkpoint(self) -> None:
        """Flush what is written to the disk, and check that the file is still at its path."""
        try:
            self._journal.sync()
        except OSError as error:
            self.stop("failed", f"{self._journal.path}: cannot be written: {error.strerror}", error)
        if not self._journal.is_still_at_path():
            self.stop("failed", f"{self._journal.path} was moved, removed or replaced while the job ran")

    def finalize(self) -> None:
        """Write the records that the disk did not take before, into the space that was reserved for them.

        Raises:
            JobStoppedError: The job was stopped before its last row.
        """
        lost = ""
        if self._unwritten:
            unwritten, self._unwritten = self._unwritten, []
            self._journal.release_reserve()
            try:
                while unwritten:
                    self._journal.append(unwritten[0])
                    del unwritten[0]
            except OSError:
                lost = f"; the results of {len(unwritten)} rows could not be saved, so these rows will be sent again"
        self.checkpoint()
        if self.stopped:
            report = self.report()
            raise JobStoppedError(f"{self._reason}; {self._resume_hint(report)}{lost}", report) from self._cause

    def _resume_hint(self, report: JobReport) -> str:
        """Return what is saved, and how a stopped job is continued."""
        path = self._journal.path
        if not report.rows:
            return "no row is saved, so the same job may start again"
        if not self._journal.is_still_at_path():
            return f"put it back with its {report.rows} rows; without it, resume sends all of them again"
        if report.stopped != "errors":
            return f"{report.rows} rows are saved in {path}; resume sends the others"
        saved = f"{report.rows - report.failed} results and {report.failed} errors are saved in {path}"
        return f"{saved}; find the cause, then retry_errors sends the failed rows again and continues"

    def report(self) -> JobReport:
        """Return the current numbers."""
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
            most_common_error=self._journal.failed.most_common(),
            waiting_for=self.waiting_for(),
            cost_usd=self._journal.cost_usd,
            estimated_cost_usd=self._journal.estimated_cost_usd,
            units_above_estimate=self._budget.units_above_estimate if self._budget.is_limited else None,
            usd_above_estimate=self._budget.usd_above_estimate if self._budget.is_limited else None,
        )
