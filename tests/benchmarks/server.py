"""A very cheap rerank API on 127.0.0.1. It prints its port, and serves until its input ends.

python server.py [LATENCY_MS]
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
from collections.abc import Callable

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@functools.lru_cache(maxsize=16)
def reply(body: bytes) -> bytes:
    """The whole HTTP response to a request body: the documents in another order, with scores from 1 down to 0."""
    request = json.loads(body)
    n_documents = len(request["documents"])
    order = sorted(range(n_documents), key=lambda index: (index * 7919 % n_documents, index))
    results = [{"index": index, "relevance_score": 1 - rank / n_documents} for rank, index in enumerate(order)]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": -(-n_documents // 100)}}
    content = json.dumps({"id": "benchmark", "results": results[: request.get("top_n")], "meta": meta}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Connection(asyncio.Protocol):
    """Reads requests one after another, and responds to each after the latency."""

    transport: asyncio.Transport

    def __init__(self, latency_s: float, reply: Callable[[bytes], bytes] = reply) -> None:
        self.latency_s = latency_s
        self.reply = reply
        self.received = bytearray()
        self.n_wanted: int | None = None  # bytes of the current request, known after its head

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.n_wanted is None:
            n_head = self.received.find(b"\r\n\r\n") + 4
            if n_head < 4:
                return
            length = CONTENT_LENGTH.search(self.received, 0, n_head)
            assert length, "a body in chunks is not what these clients send"
            self.n_head, self.n_wanted = n_head, n_head + int(length[1])
        if len(self.received) >= self.n_wanted:
            content = self.reply(bytes(self.received[self.n_head : self.n_wanted]))
            self.received, self.n_wanted = bytearray(), None
            asyncio.get_running_loop().call_later(self.latency_s, self.answer, content)

    def answer(self, content: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(content)


async def main(latency_s: float) -> None:
    """Serve until the standard input ends, which happens when the parent process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(latency_s), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000 if len(sys.argv) > 1 else 0.0))
