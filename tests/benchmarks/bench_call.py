"""CPU time of the client for a blocking call on an open connection.

python tests/benchmarks/bench_call.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]
"""

from __future__ import annotations

from functools import partial

from tests.benchmarks.common import OFFICIAL, OURS, Cases, Child, arguments, print_table, serving, take_turns

SIZES = {  # documents, characters in each document, calls in a round
    "5 documents of 60 characters": (5, 60, 150),
    "100 of 500": (100, 500, 80),
    "1000 of 2000": (1000, 2000, 10),
}


def cpu_ms(client: Child, n_documents: int, n_characters: int, n_calls: int) -> float:
    """CPU time for each call."""
    cost = client.do(n_documents=n_documents, n_characters=n_characters, n_calls=n_calls, concurrency=1)
    return cost["cpu_s"] / n_calls * 1e3


def main() -> None:
    options = arguments(__doc__, n_rounds=9)
    cases: Cases = {}
    with (
        serving() as url,
        Child(options.ours, "worker.py", "cohere_rerank", "sync", url) as ours,
        Child(options.theirs, "worker.py", "cohere", "sync", url) as theirs,
    ):
        for case, size in SIZES.items():
            measures = {OURS: partial(cpu_ms, ours, *size), OFFICIAL: partial(cpu_ms, theirs, *size)}
            take_turns(1, measures)  # opens the connection
            cases[case] = take_turns(options.rounds, measures)
    print_table("CPU, ms a call", cases)


if __name__ == "__main__":
    main()
