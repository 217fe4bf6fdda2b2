"""A process that takes sends from a store as fast as it may.

    python taker.py STORE LIMIT SECONDS

STORE and LIMIT are Python expressions. It says "ready", waits for a line, and then says "granted" for every send.
"""

from __future__ import annotations

import sys
import time

from cohere_rerank.limits import FileStore, RateLimit, RedisStore


def say(word: str) -> None:
    """A line to the process that waits for it."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


store = eval(sys.argv[1], {"FileStore": FileStore, "RedisStore": RedisStore})
limit = eval(sys.argv[2], {"RateLimit": RateLimit})
say("ready")
sys.stdin.readline()
end_s = time.monotonic() + float(sys.argv[3])
while (now_s := time.monotonic()) < end_s:
    wait_s = store.take(limit, now_s)
    if wait_s > 0:
        time.sleep(min(wait_s, max(0.0, end_s - time.monotonic())))
    else:
        say("granted")
