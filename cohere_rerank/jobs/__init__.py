"""Rerank a file of rows into another file. An interrupted job can be resumed without paying for a row twice.

`run_job` reads JSON Lines, CSV or Parquet, one row at a time. It appends each result to a file at once, and that file
records which rows are done. A job that was killed therefore resumes where it stopped. `plan_job` says how many requests
a job needs and what it will cost.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import JobError as JobError
    from .errors import JobStoppedError as JobStoppedError
    from .options import JobOptions as JobOptions
    from .plan import JobPlan as JobPlan
    from .plan import plan_job as plan_job
    from .report import JobReport as JobReport
    from .run import run_job as run_job
    from .run import run_job_async as run_job_async

_EXPORTS = {
    "JobError": "errors",
    "JobOptions": "options",
    "JobPlan": "plan",
    "JobReport": "report",
    "JobStoppedError": "errors",
    "plan_job": "plan",
    "run_job": "run",
    "run_job_async": "run",
}
__all__ = ["JobError", "JobOptions", "JobPlan", "JobReport", "JobStoppedError", "plan_job", "run_job", "run_job_async"]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
