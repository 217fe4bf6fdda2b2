"""A tiny real forward proxy: whole requests for http, tunnels (CONNECT) for https."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from urllib.parse import urlsplit

from cohere_rerank.testing.socket_server import close_listener


class Proxy:
    """Runs in a thread of its own on a free port of 127.0.0.1; ``targets`` lists what it was asked for.

    Args:
        status: Refuse every request with this status.
    """

    def __init__(self, status: int | None = None) -> None:
        self.status = status
        self.targets: list[str] = []
        self.headers: list[bytes] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Proxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test proxy", daemon=True)
        self._thread.start()
        self._listener = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _stop(self) -> None:
        await close_listener(self._listener)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.decode("latin-1").split(" ", 2)
            self.targets.append(f"{method} {target}")
            self.headers.append(head)
            if self.status is not None:
                writer.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % self.status)
                return
            address = urlsplit(target if method != "CONNECT" else f"//{target}")
            there, back = await asyncio.open_connection(address.hostname, address.port)
            try:
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    back.write(head.replace(target.encode(), address.path.encode(), 1))
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                back.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side is gone, or the proxy stops
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
