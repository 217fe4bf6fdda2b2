"""How a job as a whole can fail; what is wrong with one row stands in that row of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohere_rerank.errors import CohereRerankError

if TYPE_CHECKING:
    from .report import JobReport

__all__ = ["JobError", "JobStoppedError"]


class JobError(CohereRerankError):
    """A job cannot run: its files are missing, broken, changed, in use, or cannot be written."""


class JobStoppedError(JobError):
    """A job ended before its last row. What was answered is saved, and ``resume`` goes on from there.

    Attributes:
        report: How far it came; its ``stopped`` says why it ended.
    """

    def __init__(self, message: str = "", report: JobReport | None = None) -> None:
        super().__init__(message)
        self.report = report
