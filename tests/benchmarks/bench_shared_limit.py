"""Four processes share the limit of one key, 600 requests per minute in bursts of 10. The server enforces it.

    python tests/benchmarks/bench_shared_limit.py [--seconds SECONDS]

Together they start as many calls as the limit allows in that time (default 130 s). The cases run at the same time, each
with its own server, because they mostly wait. Without redis-server, the cases with Redis are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a script finds `tests` only with this

from tests.fake_server import Server
from tests.limits.limited_server import LimitedServer
from tests.limits.processes import Processes
from tests.limits.redis_server import PROGRAM, RedisServer

N_PROCESSES, PER_MINUTE, BURST = 4, 600, 10
LIMIT = f"RateLimit(per_minute={PER_MINUTE}, burst={BURST}, store=store)"
ALONE, FILE, REDIS, DYING = "each counts by itself", "FileStore", "RedisStore", "RedisStore, Redis dies midway"


def measure(seconds: float, case: str) -> str:
    """Run a case, and return its row of the table."""
    store: str | None = None
    with ExitStack() as stack:
        if case == FILE:
            store = f"FileStore({stack.enter_context(tempfile.TemporaryDirectory()) + '/limit'!r})"
        elif case != ALONE:
            redis = stack.enter_context(RedisServer())
            store = f"RedisStore({redis.url!r}, 'key')"
        server = stack.enter_context(Server())
        strict = LimitedServer(server, PER_MINUTE, 60.0, BURST)
        n_calls = round((PER_MINUTE * seconds / 60 + BURST) / N_PROCESSES)
        processes = Processes(N_PROCESSES, "client_worker.py", server.url, store, LIMIT, n_calls)
        stack.enter_context(processes)
        processes.start()
        if case == DYING:
            threading.Timer(seconds / 2, redis.kill).start()
        n_succeeded = sum(int(text) for text, _ in processes.outcomes())
    return row(case, f"{n_succeeded} of {N_PROCESSES * n_calls}", strict, processes.started_s)


def row(case: str, succeeded: str, strict: LimitedServer, started_s: float) -> str:
    """The counts of the server since the start, as Markdown."""
    responses = [(time_s - started_s, status) for time_s, status in strict.responses if time_s >= started_s]
    succeeded_s = [time_s for time_s, status in responses if status == 200]
    allowed = BURST + PER_MINUTE / 60 * succeeded_s[-1]
    most = max(Counter(int(time_s) for time_s, _ in responses).values())
    share = f"{len(succeeded_s) / allowed:.1%}"
    cells = [
        case,
        succeeded,
        share,
        len(responses) - len(succeeded_s),
        f"{len(responses) / len(succeeded_s):.3f}",
        most,
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=130.0, help="default 130")
    seconds = parser.parse_args().seconds
    cases = [ALONE, FILE, REDIS, DYING] if PROGRAM else [ALONE, FILE]
    print(f"| {N_PROCESSES} processes | succeeded | of what was allowed | 429s | sent per success | most in a second |")
    print("|---|---:|---:|---:|---:|---:|")
    with ThreadPoolExecutor(len(cases)) as executor:
        for line in executor.map(partial(measure, seconds), cases):
            print(line, flush=True)


if __name__ == "__main__":
    main()
