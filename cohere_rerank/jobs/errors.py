"""The errors of a job as a whole. An error of one row is written to the output instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohere_rerank.errors import CohereRerankError

if TYPE_CHECKING:
    from .report import JobReport

__all__ = ["JobError", "JobStoppedError"]


class JobError(CohereRerankError):
    """A job cannot run: a file is missing, broken, changed, in use, or cannot be written."""

    __module__ = "cohere_rerank.jobs"  # the public name, which tracebacks show


class JobStoppedError(JobError):
    """A job stopped before its last row. The rows with a result are saved, and ``resume`` sends the others.

    Attributes:
        report: The numbers of the job. ``report.stopped`` says why it stopped.
    """

    __module__ = "cohere_rerank.jobs"

    def __init__(self, message: str = "", report: JobReport | None = None) -> None:
        super().__init__(message)
        self.report = report
