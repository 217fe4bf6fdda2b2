"""300 calls at once with a key that may send 600 requests per minute in bursts of 10.

    python tests/benchmarks/bench_ratelimit.py [--ours PYTHON] [--theirs PYTHON] [--rounds N]

Shows how many calls succeed, how long they take, and what they cost. Every case has its own server and process, and has
made one call before. The ideal time is 29.0 s: ten calls at once, then ten per second. A round takes three minutes.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.benchmarks.common import Child, arguments

N_CALLS, PER_MINUTE, BURST, LATENCY_MS = 300, 600, 10, 20
IDEAL_S = (N_CALLS - BURST) / (PER_MINUTE / 60)


class Case(NamedTuple):
    module: str
    settings: Mapping[str, Any] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})  # arguments of each call


CASES = {
    "cohere": Case("cohere"),
    "cohere, max_retries=100": Case("cohere", options={"request_options": {"max_retries": 100}}),
    "cohere-rerank": Case("cohere_rerank"),
    "cohere-rerank, RateLimit(per_minute=600, burst=10)": Case(
        "cohere_rerank", {"limit": {"per_minute": PER_MINUTE, "burst": BURST}}
    ),
    'cohere-rerank, limit="auto"': Case("cohere_rerank", {"limit": "auto"}),
}


def run(python: str | None, case: Case) -> dict[str, float]:
    """The results of all calls, as the client and the server counted them."""
    settings = (json.dumps(dict(case.settings)), json.dumps(dict(case.options)))
    with Child(None, "strict_server.py", str(PER_MINUTE), str(BURST), str(LATENCY_MS)) as server:
        url = f"http://127.0.0.1:{server.read()}"
        with Child(python, "patient_worker.py", case.module, url, *settings) as client:
            client.do(n_calls=1)
            time.sleep(BURST / PER_MINUTE * 60)  # fills the server's bucket again
            before, done, after = server.do(), client.do(n_calls=N_CALLS), server.do()
    seen = {name: after[name] - before[name] for name in after}
    return {**done, **seen, "sent_per_success": seen["n_requests"] / max(1, done["n_succeeded"])}


def main() -> None:
    options = arguments(__doc__, n_rounds=1)
    print(
        f"\n| {N_CALLS} calls at once | succeeded | sent | 429s | sent per success | wall, s | wall / ideal | CPU, s |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, case in CASES.items():
        python = options.theirs if case.module == "cohere" else options.ours
        rounds = [run(python, case) for _ in range(options.rounds)]
        of = {key: statistics.median(round_[key] for round_ in rounds) for key in rounds[0]}
        ratio = f"{of['wall_s'] / IDEAL_S:.3f}" if of["n_succeeded"] == N_CALLS else ""
        counts = f"{of['n_succeeded']:g} | {of['n_requests']:g} | {of['n_rejected']:g} | {of['sent_per_success']:.2f}"
        print(f"| {name} | {counts} | {of['wall_s']:.1f} | {ratio} | {of['cpu_s']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
