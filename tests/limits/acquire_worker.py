"""A process that acquires requests from a store as fast as the store grants them.

    python acquire_worker.py STORE LIMIT SECONDS

STORE and LIMIT are Python expressions. The process prints "ready", waits for a line, and prints "granted" for each
request.
"""

from __future__ import annotations

import sys
import time

from cohere_rerank.limits import FileStore, RateLimit, RedisStore


def say(word: str) -> None:
    """Send a line to the process that waits for it."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


store = eval(sys.argv[1], {"FileStore": FileStore, "RedisStore": RedisStore})
limit = eval(sys.argv[2], {"RateLimit": RateLimit})
say("ready")
sys.stdin.readline()
end_s = time.monotonic() + float(sys.argv[3])
while (now_s := time.monotonic()) < end_s:
    wait_s = store.acquire(limit, now_s)
    if wait_s > 0:
        time.sleep(min(wait_s, max(0.0, end_s - time.monotonic())))
    else:
        say("granted")
