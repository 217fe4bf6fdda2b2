"""One HTTP request and its response over ASGI. The body is bounded in size and time."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from anyio import CancelScope, current_time

from cohere_rerank._wire.contract import is_request_id

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_T = TypeVar("_T")
JSON = "application/json"
_PROGRESS_TIMEOUT_S = 10.0
_WITHOUT_BODY = (204, 304)
_random = random.Random()


class HttpError(Exception):
    """A request that gets an error response.

    Attributes:
        status: The status of the response.
        message: The message for the caller.
        headers: Further headers of the response.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class ClientDisconnected(Exception):
    """The client closed the connection before it had its response."""


class Response(NamedTuple):
    """A response that is ready to send, and what the log says about it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    content_type: str = JSON
    n_documents: int = 0  # that were ranked
    answered_by: str | None = None  # the engine that ranked them


class HttpExchange:
    """A request, and the means to read its body and to send its response.

    Attributes:
        method: The method in capitals.
        path: The decoded path below the mount point of the application, without a slash at the end.
        headers: The headers by lower-case name. If a name occurs more than once, its first value counts.
        request_id: The ``x-request-id`` of the client if it is safe to log, otherwise a new one.
        client: The client's IP address, if the server knows it.
        n_bytes: The number of bytes of the body that were read.
        response: The response that was sent. None before.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path = _path_below_mount(scope["path"], scope.get("root_path", "")).rstrip("/") or "/"
        self.headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
        client_id = self.headers.get("x-request-id", "")
        self.request_id = client_id if client_id and is_request_id(client_id) else _new_id()
        self.client: str | None = (scope.get("client") or (None,))[0]
        self.n_bytes = 0
        self.response: Response | None = None
        self._receive, self._send = receive, send

    async def read(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return the body.

        Raises:
            HttpError: The body is too large or too slow. A declared length is checked before the body is read.
            ClientDisconnected: The client closed the connection before the end of the body.
        """
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise _body_too_large(max_bytes)
        end_s = current_time() + timeout_s
        with CancelScope() as scope:
            return await self._read(max_bytes, scope, end_s)
        wait_s = timeout_s if current_time() >= end_s else _PROGRESS_TIMEOUT_S
        message = f"the request's body did not arrive within {timeout_s:g} seconds"
        if wait_s < timeout_s:
            message = f"no data of the request's body arrived for {wait_s:g} seconds"
        raise HttpError(408, message, {"connection": "close"})

    async def _read(self, max_bytes: int, scope: CancelScope, end_s: float) -> bytes:
        pieces: list[bytes] = []
        has_more = True
        while has_more:
            scope.deadline = min(end_s, current_time() + _PROGRESS_TIMEOUT_S)
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            pieces.append(message.get("body", b""))
            self.n_bytes += len(pieces[-1])
            if self.n_bytes > max_bytes:
                raise _body_too_large(max_bytes)
            has_more = message.get("more_body", False)
        return b"".join(pieces)

    async def cancel_on_disconnect(self, work: Awaitable[_T]) -> _T:
        """Return the result of *work*. Call this only after the body was read.

        Raises:
            ClientDisconnected: The client closed the connection, and *work* was cancelled.
        """
        job, disconnect = asyncio.ensure_future(work), asyncio.ensure_future(self._wait_for_disconnect())
        try:
            await asyncio.wait({job, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise ClientDisconnected
            return job.result()
        finally:
            job.cancel()
            disconnect.cancel()
            await asyncio.gather(job, disconnect, return_exceptions=True)

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send(self, response: Response) -> None:
        """Send the response, with the request id."""
        self.response = response
        headers = {
            "content-type": response.content_type,
            "content-length": str(len(response.body)),
            "x-request-id": self.request_id,
            "x-content-type-options": "nosniff",
            **response.headers,
        }
        if response.status in _WITHOUT_BODY:
            del headers["content-type"], headers["content-length"]
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": response.status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": response.body})


def _new_id() -> str:
    """Return a random id. It is not a secret, and the system's random numbers would take longer than the rest."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def _path_below_mount(path: str, root: str) -> str:
    """Return the path without the mount point. Servers include the mount point in the path; some frameworks do not."""
    below = path.removeprefix(root.rstrip("/"))
    return below if below.startswith("/") else path if below else "/"


def _body_too_large(max_bytes: int) -> HttpError:
    return HttpError(413, f"the request's body must be at most {max_bytes} bytes")
