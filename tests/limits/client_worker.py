"""A process with a client that shares a limit and makes many calls at once.

    python client_worker.py URL STORE LIMIT N

STORE and LIMIT are Python expressions; LIMIT may use the name ``store``. The process prints "ready" after a first call,
waits for a line, and prints how many of its n calls were answered. The log of the library goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from cohere_rerank import AsyncClientV2
from cohere_rerank.limits import FileStore, RateLimit, RedisStore


async def main(url: str, store: str, limit: str, n: str) -> None:
    """Make the calls."""
    shared = eval(store, {"FileStore": FileStore, "RedisStore": RedisStore})
    rate_limit = eval(limit, {"RateLimit": RateLimit, "store": shared})
    async with AsyncClientV2("key", base_url=url, limit=rate_limit) as client:
        call: dict[str, Any] = {"model": "m", "query": "tea", "documents": ["tea", "milk"]}
        await client.rerank(**call)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        answers = await asyncio.gather(*(client.rerank(**call) for _ in range(int(n))), return_exceptions=True)
    sys.stdout.write(f"{sum(not isinstance(answer, BaseException) for answer in answers)}\n")


logging.basicConfig(format="%(message)s", level=logging.WARNING)
asyncio.run(main(*sys.argv[1:]))
