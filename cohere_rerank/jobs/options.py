"""The options of a job, for type checkers and editors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cohere_rerank.types import CommonArguments

if TYPE_CHECKING:
    from os import PathLike

    from cohere_rerank.files import ReadOptions

    from .report import JobReport

__all__ = ["JobOptions"]


class JobOptions(CommonArguments, total=False):
    """The options of `run_job`, which describes them, and the arguments that all rows share.

    ``deadline`` is the deadline of the whole job.
    """

    read: ReadOptions | None
    with_ids: bool
    with_documents: bool
    resume: bool
    retry_errors: bool
    errors: str | PathLike[str] | None
    ordered: bool
    concurrency: int
    processes: int | None
    retry_for: float
    max_error_fraction: float
    budget_units: float | None
    ignore_unknown: bool
    csv_safe: bool
    progress: Callable[[JobReport], object] | None
