"""The rerank API of ``server.py`` with a rate limit: a token bucket, and a 429 if it is empty.

python strict_server.py PER_MINUTE BURST [LATENCY_MS]

It prints its port. Then, for each line of its input, it prints how many requests it has received and rejected.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # a script finds `tests` only with this

from tests.benchmarks import server


class Bucket:
    """Take a token and return 0.0, or return the seconds until there is one."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.per_s, self.burst = per_minute / 60, burst
        self.n_tokens, self.at_s = burst, time.monotonic()
        self.n_requests = self.n_rejected = 0

    def wait_s(self) -> float:
        now_s = time.monotonic()
        self.n_tokens = min(self.burst, self.n_tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        self.n_requests += 1
        if self.n_tokens >= 1:
            self.n_tokens -= 1
            return 0.0
        self.n_rejected += 1
        return (1 - self.n_tokens) / self.per_s

    def reply(self, body: bytes) -> bytes:
        wait_s = self.wait_s()
        if not wait_s:
            return server.reply(body)
        content = b'{"message": "please wait and try again later"}'
        head = f"HTTP/1.1 429 Too Many Requests\r\nretry-after: {math.ceil(wait_s)}\r\ncontent-length: {len(content)}"
        return head.encode() + b"\r\n\r\n" + content


async def main(per_minute: float, burst: float, latency_ms: float = 0.0) -> None:
    """Serve until the standard input ends."""
    loop, bucket = asyncio.get_running_loop(), Bucket(per_minute, burst)
    listener = await loop.create_server(
        lambda: server.Connection(latency_ms / 1000, bucket.reply), "127.0.0.1", 0, backlog=2048
    )
    print(listener.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"n_requests": bucket.n_requests, "n_rejected": bucket.n_rejected}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
