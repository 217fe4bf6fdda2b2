"""Memory and speed of many requests from an iterator, 64 in flight, with 4 documents of 100 characters each.

    python tests/benchmarks/bench_stream.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]

Ours is ``rerank_many``. The official client has no such method, so 64 tasks share an iterator. Growth is the resident
memory at the end minus the memory after a tenth of the requests. This takes some minutes: our client sends 200,000
requests, the official client a tenth of that. Linux only, because it reads /proc.
"""

from __future__ import annotations

from functools import partial

from tests.benchmarks.common import OFFICIAL, OURS, Child, arguments, serving, take_turns

WINDOW = 64
SIZE = {"n_documents": 4, "n_characters": 100}
N_REQUESTS = {OURS: 200_000, OFFICIAL: 20_000}


def cost(python: str | None, module: str, kind: str, url: str, n_calls: int) -> dict[str, float]:
    """Measure that many requests in a fresh process."""
    with Child(python, "worker.py", module, kind, url) as client:
        client.do(n_calls=WINDOW, concurrency=WINDOW, **SIZE)
        client.do(n_calls=n_calls // 10, concurrency=WINDOW, **SIZE)
        before_mb = client.do(n_calls=0, concurrency=WINDOW, **SIZE)["resident_mb"]
        spent = client.do(n_calls=n_calls, concurrency=WINDOW, **SIZE)
    return {
        "growth_mb": (spent["resident_mb"] - before_mb) / n_calls * 100_000,
        "resident_mb": spent["resident_mb"],
        "cpu_ms": spent["cpu_s"] / n_calls * 1e3,
        "per_s": n_calls / spent["wall_s"],
    }


def main() -> None:
    options = arguments(__doc__, n_rounds=1)
    clients = {OURS: (options.ours, "cohere_rerank", "stream"), OFFICIAL: (options.theirs, "cohere", "async")}
    with serving() as url:
        measures = {name: partial(cost, *client, url, N_REQUESTS[name]) for name, client in clients.items()}
        found = take_turns(options.rounds, measures)
    print(
        "\n| | requests | growth, MB per 100,000 | resident at the end, MB | CPU, ms a request | requests per second |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for name, rounds in found.items():
        for round_ in rounds:
            cells = (f"{round_[key]:.3g}" for key in ("growth_mb", "resident_mb", "cpu_ms", "per_s"))
            print(f"| {name} | {N_REQUESTS[name]} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
