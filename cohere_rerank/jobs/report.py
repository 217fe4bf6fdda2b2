"""How far a job has come, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["JobReport"]


@dataclass(frozen=True)
class JobReport:
    """A job up to now, or at its end.

    Attributes:
        rows: Rows in the output, those of earlier runs included.
        failed: Rows among them that have an error instead of results.
        written: Rows that this run added or replaced.
        retries: Requests that this run repeated.
        search_units: Search units of all runs, as replies reported them, and as estimated where they did not.
        estimated_units: How many of them are estimates; 0.0 when every reply said what it cost.
        seconds: How long this run has taken.
        fraction: How much of the input has been read, from 0.0 to 1.0.
        stopped: Why the run ended early: ``"interrupted"``, ``"budget"``, ``"errors"`` (too many rows failed), or
            ``"failed"``; None if it did not.
        invalid: Rows among the failed that could not be sent: they are wrong in the input, or the job's arguments are.
        commonest_error: The type and status that most of the failed rows have, such as ``"NotFoundError, status 404
            (48 of 49)"``; if they are invalid, with an example. None where none failed.
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
    commonest_error: str | None = None

    @property
    def rows_per_second(self) -> float:
        """The speed of this run; 0.0 before it has taken any time."""
        return self.written / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time to the end at this run's speed, an estimate by how much is read; None while that is unknown."""
        rows_left = self.rows * (1 - self.fraction) / self.fraction if self.fraction > 0 else None
        if rows_left is None or not self.rows_per_second:
            return None
        return rows_left / self.rows_per_second
