"""CPU time of `cohere-rerank serve` for a small request, beside a bare uvicorn and the engine alone.

    python tests/benchmarks/bench_serve.py [REQUESTS]

16 callers send requests with one document. The servers take turns. A figure is the median of the rounds. The fixed
cost of a request is what remains without a bare uvicorn and the ranking. The rates of one and two workers mean
something only on a machine with three cores that does nothing else. Linux only, because CPU time is read from /proc.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a script finds `tests` only with this

from cohere_rerank.local.endpoint import handle
from cohere_rerank.local.registry import get_scorer
from tests.benchmarks.load_server import hammer, posted
from tests.server.running_server import program

N_CALLERS = 16
N_ROUNDS = 5
BODY = json.dumps({"model": "m", "query": "green tea", "documents": ["black coffee and green tea"]}).encode()
BARE = """
import uvicorn
from cohere_rerank.server.listener import bind

REPLY = b'{"id": "x", "results": [{"index": 0, "relevance_score": 0.5}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(REPLY)).encode())]

async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": REPLY})

listener = bind("127.0.0.1", 0)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
options = {"http": "h11", "loop": "asyncio", "lifespan": "off", "log_level": "warning", "access_log": False}
uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[listener])
"""


@contextmanager
def bare_uvicorn() -> Iterator[tuple[str, list[int]]]:
    process = subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), [process.pid]
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def served(*options: str) -> Iterator[tuple[str, list[int]]]:
    with program(*options) as started:
        yield started.url, [started.process.pid, *started.workers()]


def cpu_s(processes: list[int]) -> float:
    """Return the CPU time of the processes so far."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def measure(url: str, processes: list[int], n_requests: int) -> tuple[float, float]:
    """Return the microseconds of CPU time for a request, and the requests per second."""
    cpu_before_s, started_s = cpu_s(processes), time.perf_counter()
    result = asyncio.run(hammer(url, [posted(BODY)], N_CALLERS, 600, n_requests))
    assert set(result.statuses) == {200}, result.statuses
    return (cpu_s(processes) - cpu_before_s) / n_requests * 1e6, n_requests / (time.perf_counter() - started_s)


def engine_us(n_requests: int) -> float:
    """Return the microseconds of CPU time that the ranking takes."""
    scorer = get_scorer("lexical")
    started_s = time.process_time()
    for _ in range(n_requests):
        handle(BODY, lambda _model: scorer)
    return (time.process_time() - started_s) / n_requests * 1e6


def main() -> None:
    n_requests = int(re.sub(r"\D", "", sys.argv[1])) if len(sys.argv) > 1 else 3000
    with ExitStack() as stack:
        servers = {
            "bare uvicorn": stack.enter_context(bare_uvicorn()),
            "one worker": stack.enter_context(served()),
            "two workers": stack.enter_context(served("--workers", "2")),
        }
        for url, processes in servers.values():
            measure(url, processes, 300)  # loads everything
        costs: dict[str, list[float]] = {name: [] for name in (*servers, "engine")}
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(N_ROUNDS):
            for name, (url, processes) in servers.items():
                cost, rate = measure(url, processes, n_requests)
                costs[name].append(cost)
                rates[name].append(rate)
            costs["engine"].append(engine_us(n_requests))
    for name, values in costs.items():
        shown = f", {statistics.median(rates[name]):.0f} requests/s" if name in rates else ""
        print(f"{name}: {statistics.median(values):.0f} us of CPU a request{shown}")
    fixed = [
        one - bare - engine for one, bare, engine in zip(costs["one worker"], costs["bare uvicorn"], costs["engine"])
    ]
    ratios = [two / one for one, two in zip(rates["one worker"], rates["two workers"])]
    print(f"fixed cost of one worker: {statistics.median(fixed):.0f} us")
    print(f"two workers: {statistics.median(ratios):.2f} times the requests/s of one")


if __name__ == "__main__":
    main()
