"""Run or resume one job: python run_once.py INPUT OUTPUT URL. Prints its memory about once a second, and its end."""

# ruff: noqa: T201 - it prints lines

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from cohere_rerank import AsyncClientV2, RetryPolicy
from cohere_rerank.jobs import JobReport, run_job


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def print_report(report: JobReport) -> None:
    print(json.dumps({"rows": report.rows, "written": report.written, "mb": resident_mb()}), flush=True)


def main(source: str, output: str, url: str) -> None:
    policy = RetryPolicy(max_retries=8, wait_initial_s=0.01, wait_max_s=0.1, budget=100_000)
    client = AsyncClientV2("test-key", base_url=url, retry_policy=policy)
    report = run_job(source, output, client=client, model="m", resume=True, concurrency=32, progress=print_report)
    print_report(report)
    print(json.dumps({"ended": report.rows, "failed": report.failed, "rate": report.rows_per_second}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
