"""What our own connections are worth: the same calls through them, through httpx and through httpx2.

    python tests/benchmarks/bench_pool.py [--ours PYTHON] [--rounds N]

The client is ours each time. Only `httpx_client=` differs. Every case runs in a fresh process with 20 documents of 300
characters a call. "50 ms" is how long the server waits before it answers. The figures are in the decision note "Our own
connection pool".
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tests.benchmarks.common import Cases, Child, arguments, can_import, print_table, serving, take_turns

OWN, REFERENCE = "own", "httpx"


class Case(NamedTuple):
    kind: str
    latency_ms: int
    n_warm: int  # calls before the measured ones
    concurrency: int
    n_calls: int


CASES = {
    "blocking, one after another": Case("sync", 0, 1, 1, 400),
    "async, one after another": Case("async", 0, 1, 1, 400),
    "async, 32 at once": Case("async", 0, 32, 32, 640),
    "async, 256 at once, 50 ms": Case("async", 50, 256, 256, 1024),
    "async, 400 gathered": Case("async", 0, 0, 400, 400),  # httpx needs time for the square of the waiting calls
}


def cpu_ms(python: str | None, library: str, url: str, case: Case) -> float:
    """CPU time of the client's process for each call of the case."""
    kind = case.kind if library == OWN else f"{case.kind}:{library}"
    with Child(python, "worker.py", "cohere_rerank", kind, url) as client:
        size = {"n_documents": 20, "n_characters": 300}
        if case.n_warm:
            client.do(n_calls=case.n_warm, concurrency=case.n_warm, **size)
        spent = client.do(n_calls=case.n_calls, concurrency=case.concurrency, **size)
    return spent["cpu_s"] / case.n_calls * 1e3


def main() -> None:
    options = arguments(__doc__, n_rounds=3)
    libraries = [OWN, REFERENCE, *(["httpx2"] if can_import(options.ours, "httpx2") else [])]
    cases: Cases = {}
    for title, case in CASES.items():
        with serving(case.latency_ms) as url:
            measures = {library: partial(cpu_ms, options.ours, library, url, case) for library in libraries}
            cases[title] = take_turns(options.rounds, measures)
    print_table("CPU, ms a call", cases, reference=REFERENCE)


if __name__ == "__main__":
    main()
