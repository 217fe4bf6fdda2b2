"""A job on a server without limits: limit="auto" against no limit, in turns, with 32 requests in flight.

    python -m tests.benchmarks.bench_auto [--rounds N]

The server waits 20 ms before each response, so the concurrency alone allows 1,600 requests a second, and 20,000 rows in
12.5 seconds. A machine that cannot send so many needs longer for both; LATENCY_MS=200 makes the server the slow part.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

from cohere_rerank import AsyncClientV2, Limit
from cohere_rerank.jobs import run_job
from tests.benchmarks.common import arguments, ratio, serving, take_turns

N_ROWS, CONCURRENCY = 20_000, 32
LATENCY_MS = float(os.environ.get("LATENCY_MS", "20"))
_keys = count()  # a limit is learned for each key, so every run has a new one


def took_s(url: str, folder: Path, limit: Limit | None) -> float:
    """Return the seconds that the job takes."""
    key = f"key-{next(_keys)}"
    client = AsyncClientV2(key, base_url=url, limit=limit)
    start_s = time.monotonic()
    report = run_job(
        folder / "rows.jsonl", folder / f"{key}.jsonl", client=client, concurrency=CONCURRENCY, model="rerank-v4.0-fast"
    )
    took = time.monotonic() - start_s
    assert (report.rows, report.failed) == (N_ROWS, 0), report
    asyncio.run(client.aclose())
    return took


def main() -> None:
    options = arguments(__doc__, n_rounds=3)
    with tempfile.TemporaryDirectory() as name, serving(LATENCY_MS) as url:
        folder = Path(name)
        row = {"query": "which bird cannot fly", "documents": ["a penguin", "a swallow", "a train"]}
        with (folder / "rows.jsonl").open("w") as file:
            file.writelines(json.dumps({"id": n, **row}) + "\n" for n in range(N_ROWS))
        limits: dict[str, Limit | None] = {"auto": "auto", "none": None}
        found = take_turns(options.rounds, {shown: partial(took_s, url, folder, lim) for shown, lim in limits.items()})
    for shown, values in found.items():
        print(f"limit={shown}:", ", ".join(f"{value:.1f} s" for value in values))
    print(f"auto / none: {ratio(found['auto'], found['none']):.3f}")
    print(f"auto / what the concurrency allows: {min(found['auto']) / (N_ROWS * LATENCY_MS / 1e3 / CONCURRENCY):.3f}")


if __name__ == "__main__":
    main()
