"""The least that a client can do, alone in its process: JSON in and out of a socket. Tasks as for `worker.py`.

python limit_worker.py {sync,async} URL
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.worker import all_at_once, one_after_another, serve

END, LENGTH = b"\r\n\r\n", b"content-length: "


class Response:
    """A reply that was parsed, and not checked."""

    def __init__(self, body: bytes) -> None:
        self.results = from_json(body)["results"]


def head_for(url: str) -> bytes:
    host = urlsplit(url).netloc
    return f"POST /v2/rerank HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: ".encode()


def address_of(url: str) -> tuple[str, int]:
    where = urlsplit(url)
    return str(where.hostname), where.port or 80


def end_of(data: bytes) -> tuple[int, int]:
    """Where the body of a reply starts, and where it ends. 0 and 0 if its head is not complete."""
    head_end = data.find(END)
    if head_end < 0:
        return 0, 0
    start = data.index(LENGTH) + len(LENGTH)
    return head_end + 4, head_end + 4 + int(data[start : data.index(b"\r\n", start)])


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._head = head_for(url)
        self._socket = socket.create_connection(address_of(url))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def rerank(self, **body) -> Response:
        content = to_json(body)
        self._socket.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(content), content))
        data = self._socket.recv(65_536)
        while not (ends := end_of(data))[1]:
            data += self._socket.recv(65_536)
        while len(data) < ends[1]:
            data += self._socket.recv(ends[1] - len(data))
        return Response(data[ends[0] : ends[1]])


class Connection(asyncio.Protocol):
    transport: asyncio.Transport
    waiter: asyncio.Future[bytes]

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        start, end = end_of(self._data)
        if end and len(self._data) >= end:
            self.waiter.set_result(self._data[start:end])
            self._data = b""


class AsyncClient:
    def __init__(self, url: str) -> None:
        self._address, self._head = address_of(url), head_for(url)
        self._idle: list[Connection] = []

    async def rerank(self, **body) -> Response:
        loop = asyncio.get_running_loop()
        if self._idle:
            connection = self._idle.pop()
        else:
            _, connection = await loop.create_connection(Connection, *self._address)
        connection.waiter = loop.create_future()
        content = to_json(body)
        connection.transport.write(b"%b%d\r\n\r\n%b" % (self._head, len(content), content))
        response = Response(await connection.waiter)
        self._idle.append(connection)
        return response


def main(kind: str, url: str) -> None:
    if kind == "sync":
        serve(one_after_another, BlockingClient(url))
        return
    loop, client = asyncio.new_event_loop(), AsyncClient(url)
    serve(lambda *work: loop.run_until_complete(all_at_once(*work)), client)


if __name__ == "__main__":
    main(*sys.argv[1:])
