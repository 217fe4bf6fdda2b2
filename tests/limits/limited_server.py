"""A server that enforces a limit strictly and records its replies."""

from __future__ import annotations

import time

from tests.fake_server import Server, error, good_reply
from tests.limits.servers import Bucket


class LimitedServer:
    """Answers n requests in a period, at most *burst* of them at once, and replies 429 to the others.

    Attributes:
        replied: The time of each reply on the machine's clock, and its status.
    """

    def __init__(self, server: Server, n: int, period_s: float, burst: int) -> None:
        self.responses: list[tuple[float, int]] = []
        self._bucket = Bucket(n, period_s, burst)
        server.default = self._reply

    async def _reply(self, exchange):
        now_s = time.monotonic()
        hint_s = self._bucket.wait_s(now_s)
        self.responses.append((now_s, 429 if hint_s else 200))
        rejection = error(429, "please wait and try again later", headers={"retry-after": f"{hint_s:g}"})
        await (rejection if hint_s else good_reply())(exchange)

    def n(self, status: int) -> int:
        """Return how many replies had this status."""
        return sum(found == status for _, found in self.responses)
