"""A rerank API with a strict limit, in its own process. It logs every request.

    python counting_server.py LOG REQUESTS_PER_SECOND BURST

Prints its port. Each request adds a line to LOG: seconds, status, query. A request beyond the limit gets a 429.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from tests.benchmarks.server import Connection, reply

TOO_MANY = b'{"message": "You are past the per minute request limit, please wait and try again later."}'
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Bucket:
    """A token bucket: at most *burst* requests at once, refilled evenly."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.n_tokens, self.at = rate, burst, burst, time.monotonic()

    def try_acquire(self) -> bool:
        now = time.monotonic()
        self.n_tokens = min(self.burst, self.n_tokens + (now - self.at) * self.rate)
        self.at = now
        if self.n_tokens < 1:
            return False
        self.n_tokens -= 1
        return True


async def main(log_path: str, rate: float, burst: float) -> None:
    """Serve until standard input ends."""
    bucket = Bucket(rate, burst)
    log = Path(log_path).open("a", buffering=1)  # noqa: ASYNC230, SIM115 - open until the process ends

    def respond(body: bytes) -> bytes:
        is_granted = bucket.try_acquire()
        log.write(f"{time.monotonic()} {200 if is_granted else 429} {json.loads(body)['query']}\n")
        return reply(body) if is_granted else REFUSED % (len(TOO_MANY), TOO_MANY)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(0.02, respond), "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
