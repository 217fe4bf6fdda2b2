"""Many asynchronous calls in flight at once, with 20 documents of 300 characters each.

    python tests/benchmarks/bench_async.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]

Every client has its default settings. It is also measured with the HTTP client of the extra ``aiohttp``, if that is
installed. "50 ms" is how long the server waits before it responds. "Gathered" calls all start together, as with
``asyncio.gather``. This takes some minutes, because the official client is slow in the last case.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tests.benchmarks.common import (
    OFFICIAL,
    OURS,
    Cases,
    Child,
    arguments,
    can_import,
    print_table,
    serving,
    take_turns,
)


class Case(NamedTuple):
    latency_ms: int
    n_warm: int  # calls before the measured ones; as many as the concurrency open all connections
    concurrency: int
    n_calls: int
    max_rounds: int


CASES = {
    "1 at a time": Case(0, 1, 1, 200, 7),
    "32 at a time": Case(0, 32, 32, 640, 3),
    "256 at a time": Case(0, 256, 256, 1024, 3),
    "32 at a time, 50 ms": Case(50, 32, 32, 640, 3),
    "256 at a time, 50 ms": Case(50, 256, 256, 1024, 3),
    "400 gathered, after one call": Case(0, 1, 400, 400, 3),
    "400 gathered, new client": Case(0, 0, 400, 400, 3),
    "1500 gathered, new client": Case(0, 0, 1500, 1500, 1),
}


def cost(python: str | None, module: str, kind: str, url: str, case: Case) -> dict[str, float]:
    """Measure a case in a fresh process: CPU time for each call, and calls per second."""
    with Child(python, "worker.py", module, kind, url) as client:
        size = {"n_documents": 20, "n_characters": 300}
        client.do(n_calls=case.n_warm, concurrency=case.n_warm, **size)
        spent = client.do(n_calls=case.n_calls, concurrency=case.concurrency, **size)
    return {"cpu_ms": spent["cpu_s"] / case.n_calls * 1e3, "calls_per_s": case.n_calls / spent["wall_s"]}


def main() -> None:
    options = arguments(__doc__, n_rounds=7)
    clients = {}
    for name, python, module in ((OURS, options.ours, "cohere_rerank"), (OFFICIAL, options.theirs, "cohere")):
        clients[name] = (python, module, "async")
        if can_import(python, "httpx_aiohttp"):
            clients[f"{name} with aiohttp"] = (python, module, "aiohttp")
    cpu: Cases = {}
    speed: Cases = {}
    for title, case in CASES.items():
        with serving(case.latency_ms) as url:
            measures = {name: partial(cost, *client, url, case) for name, client in clients.items()}
            costs = take_turns(min(options.rounds, case.max_rounds), measures)
        cpu[title] = {name: [round_["cpu_ms"] for round_ in rounds] for name, rounds in costs.items()}
        speed[title] = {name: [round_["calls_per_s"] for round_ in rounds] for name, rounds in costs.items()}
    print_table("CPU, ms a call", cpu)
    print_table("calls a second", speed)


if __name__ == "__main__":
    main()
