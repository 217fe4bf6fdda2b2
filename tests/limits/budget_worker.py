"""A process with a client that shares a budget in search units and makes calls until it is refused.

    python budget_worker.py URL STORE UNITS N

STORE is a Python expression. The process prints "ready", waits for a line, and prints how many of its n calls were
answered. The log of the library goes to standard error.
"""

from __future__ import annotations

import logging
import sys

from cohere_rerank import Budget, BudgetExceededError, ClientV2
from cohere_rerank.limits import FileStore, RedisStore


def main(url: str, store: str, units: str, n: str) -> None:
    """Make the calls."""
    budget = Budget(units=int(units), store=eval(store, {"FileStore": FileStore, "RedisStore": RedisStore}))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    n_answered = 0
    with ClientV2("key", base_url=url, budget=budget) as client:
        for _ in range(int(n)):
            try:
                client.rerank(model="m", query="tea", documents=["tea", "milk"])
                n_answered += 1
            except BudgetExceededError:
                pass
    sys.stdout.write(f"{n_answered}\n")


logging.basicConfig(format="%(message)s", level=logging.WARNING)
main(*sys.argv[1:])
