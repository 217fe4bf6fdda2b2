"""A fast rerank API on 127.0.0.1 that fails at times, and counts the queries that it ranked.

python faulty.py FAULT_RATE: prints its port and serves until its input ends. Then it prints the queries that
it ranked more than once, the number of ranked queries, and the faults of each kind. A query with "poison" gets a 400.
"""

# ruff: noqa: T201 - it prints lines

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
from collections import Counter

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


def reply(status: int, content: dict, *headers: str) -> bytes:
    body = json.dumps(content).encode()
    head = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def ranking(request: dict) -> bytes:
    n_documents = len(request["documents"])
    results = [{"index": index, "relevance_score": 1 - index / n_documents} for index in range(n_documents)]
    meta = {"billed_units": {"search_units": 1}}
    return reply(200, {"id": "x", "results": results[: request.get("top_n")], "meta": meta})


class Api:
    def __init__(self, fault_rate: float) -> None:
        self.fault_rate = fault_rate
        self.paid: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.random = random.Random(7)

    def fault(self) -> str | None:
        if self.random.random() >= self.fault_rate:
            return None
        kind = self.random.choice(["limit", "overload", "reset", "cut"])
        self.faults[kind] += 1
        return kind


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, api: Api) -> None:
        self.api = api
        self.received = bytearray()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        n_head = self.received.find(b"\r\n\r\n") + 4
        length = CONTENT_LENGTH.search(self.received, 0, n_head) if n_head > 3 else None
        if length and len(self.received) >= n_head + int(length[1]):
            request = json.loads(self.received[n_head:])
            self.received.clear()
            self.answer(request)

    def answer(self, request: dict) -> None:
        fault = self.api.fault()
        if fault == "reset":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
        elif fault == "cut":
            self.transport.write(ranking(request)[:-20])
            self.transport.close()
        elif fault == "limit":
            self.transport.write(reply(429, {"message": "too many requests"}, "retry-after: 0"))
        elif fault == "overload":
            self.transport.write(reply(503, {"message": "overloaded"}))
        elif "poison" in request["query"]:
            self.transport.write(reply(400, {"message": "invalid request: this one is never taken"}))
        else:
            self.api.paid[request["query"]] += 1
            self.transport.write(ranking(request))


async def main(fault_rate: float) -> None:
    api = Api(fault_rate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(api), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    twice = {query: n for query, n in api.paid.items() if n > 1}
    print(json.dumps({"twice": twice, "n_paid": len(api.paid), "faults": api.faults}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
