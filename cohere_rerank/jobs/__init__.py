"""Rerank a file of rows into another file, so that nothing is lost or paid for again when the job is interrupted.

`run_job` reads JSONL, CSV or Parquet, a row at a time, and appends each answer to the output, which is also the record
of what is done: a job that was killed goes on from there. `plan_job` says what a job would take.
"""

from __future__ import annotations

from .errors import JobError as JobError
from .errors import JobStoppedError as JobStoppedError
from .plan import JobPlan as JobPlan
from .plan import plan_job as plan_job
from .report import JobReport as JobReport
from .run import run_job as run_job
from .run import run_job_async as run_job_async

__all__ = ["JobError", "JobPlan", "JobReport", "JobStoppedError", "plan_job", "run_job", "run_job_async"]
