"""The numbers of a job."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobReport"]


@dataclass(frozen=True)
class JobReport:
    """The numbers of a job, while it runs or at its end.

    Attributes:
        rows: Rows in the output, with those of earlier runs.
        failed: Rows among them that have an error instead of results.
        written: Rows that this run added or replaced.
        retries: Requests of this run that were retries.
        search_units: Search units of all runs. They are as the responses reported them, or estimates where a response
            reported none.
        estimated_units: How many of these units are estimates. 0.0 when every response reported its units.
        cost_usd: The cost of all runs in USD: bills, or estimates where a response reported none. Rows whose price is
            not known are not included. None if no price is known.
        estimated_cost_usd: How much of this is estimated.
        units_above_estimate: With a budget, how many search units the rows of this run cost more than was estimated
            before; less is below 0. None without a budget.
        usd_above_estimate: The same in USD.
        seconds: How long this run has taken.
        fraction: How much of the input has been read, from 0.0 to 1.0.
        stopped: Why the run stopped early: ``"interrupted"``, ``"deadline"``, ``"budget"``, ``"errors"`` (too many rows
            failed) or ``"failed"``. None if it did not stop early.
        invalid: Failed rows that could not be sent, because the row or the job's arguments are invalid.
        most_common_error: The type and status that most failed rows have, such as
            ``"NotFoundError, status 404 (48 of 49)"``. For invalid rows it also has an example. None if no row failed.
        waiting_for: How many rows wait after a temporary failure, and the last one, such as
            ``"32 waiting after ServiceUnavailableError, status 503"``. None if no row waits.
    """

    rows: int
    failed: int
    written: int
    retries: int
    search_units: float
    estimated_units: float
    seconds: float
    fraction: float
    stopped: str | None = None
    invalid: int = 0
    most_common_error: str | None = None
    waiting_for: str | None = None
    cost_usd: float | None = None
    estimated_cost_usd: float = 0.0
    units_above_estimate: float | None = None
    usd_above_estimate: float | None = None

    @property
    def rows_per_second(self) -> float:
        """The speed of this run. 0.0 at its start."""
        return self.written / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """An estimate of the remaining time, from this run's speed and the fraction read. None while it is unknown."""
        rows_left = self.rows * (1 - self.fraction) / self.fraction if self.fraction > 0 else None
        if rows_left is None or not self.rows_per_second:
            return None
        return rows_left / self.rows_per_second
