"""One HTTP exchange over ASGI: a body read within bounds, a reply sent, a caller who goes away noticed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from cohere_rerank._wire.contract import is_request_id

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_T = TypeVar("_T")
JSON = "application/json"


class Refused(Exception):
    """A request that gets an error for an answer.

    Attributes:
        status: Of the reply.
        message: For the caller.
        headers: To send with it.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class Gone(Exception):
    """The caller has closed the connection."""


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    content_type: str = JSON


class Exchange:
    """A request and the way back to its caller.

    Attributes:
        method: In capitals.
        path: Decoded, below where the application is mounted, without a slash at its end.
        headers: Names in lower case; of several with one name the first.
        request_id: The caller's, if it is fit for a log; else a new one.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path = _own_path(scope["path"], scope.get("root_path", "")).rstrip("/") or "/"
        self.headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        named = self.headers.get("x-request-id", "")
        self.request_id = named if is_request_id(named) else str(uuid.uuid4())
        self.client: str | None = (scope.get("client") or (None,))[0]
        self.n_bytes = 0
        self._receive, self._send = receive, send

    async def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """The body.

        Raises:
            Refused: It is too long (known from its header, or while it is read), or too slow.
            Gone: The caller went away before its end.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise _too_long(max_bytes)
        try:
            return await asyncio.wait_for(self._read(max_bytes), timeout_s)
        except asyncio.TimeoutError:
            message = f"the request's body did not arrive within {timeout_s:g} seconds"
            raise Refused(408, message, {"connection": "close"}) from None

    async def _read(self, max_bytes: int) -> bytes:
        pieces: list[bytes] = []
        has_more = True
        while has_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            self.n_bytes += len(pieces[-1])
            if self.n_bytes > max_bytes:
                raise _too_long(max_bytes)
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    async def unless_gone(self, work: Awaitable[_T]) -> _T:
        """The outcome of *work*, which is cancelled if the caller goes away. Only after the body was read.

        Raises:
            Gone: That happened.
        """
        job, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._disconnected())
        try:
            await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise Gone
            return job.result()
        finally:
            job.cancel()
            gone.cancel()
            await asyncio.gather(job, gone, return_exceptions=True)

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send(self, reply: Reply) -> None:
        """Send the reply, with the request's id."""
        headers = {
            "content-type": reply.content_type,
            "content-length": str(len(reply.body)),
            "x-request-id": self.request_id,
            "x-content-type-options": "nosniff",
            **reply.headers,
        }
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": reply.body})


def _own_path(path: str, root: str) -> str:
    """The path without that of the mount, which servers put before it and some frameworks do not."""
    below = path.removeprefix(root.rstrip("/"))
    return below if below.startswith("/") else path if below else "/"


def _too_long(max_bytes: int) -> Refused:
    return Refused(413, f"the request's body is longer than the {max_bytes} bytes that this server takes")
