"""Files of rows, and jobs against the test server."""

from __future__ import annotations

import json

import pytest

from cohere_rerank import AsyncClientV2, RetryPolicy
from cohere_rerank.jobs import run_job

QUICK = RetryPolicy(max_retries=2, wait_initial_s=0.001, wait_max_s=0.001)


def rows_of(path):
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def write(tmp_path):
    """``write(rows)``: an input with these rows or lines, or with so many valid rows."""

    def write_rows(rows, name="in.jsonl"):
        if isinstance(rows, int):
            rows = [{"id": n, "query": f"query {n}", "documents": ["one", "two", "three"]} for n in range(rows)]
        lines = [row if isinstance(row, (bytes, str)) else json.dumps(row) for row in rows]
        content = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_rows


@pytest.fixture
def run(server, tmp_path):
    """``run(source, "out.jsonl", ...)``: run a job with the test server, and return its report."""

    def run_there(source, output="out.jsonl", *, client_options=None, **options):
        settings = {"base_url": server.url, "retry_policy": QUICK, **(client_options or {})}
        client = AsyncClientV2("test-key", **settings)
        return run_job(source, tmp_path / output, client=client, **{"model": "m", "retry_for": 0.0, **options})

    return run_there
