"""uvicorn's HTTP protocol, with a JSON response also to data that is not valid HTTP."""

from __future__ import annotations

import logging
import uuid

import h11
from pydantic_core import to_json

from cohere_rerank._extras import importing

from .http import JSON

with importing("server", "The server"):
    from uvicorn.protocols.http.h11_impl import H11Protocol

_log = logging.getLogger("cohere_rerank.server")
_MESSAGE = "the server cannot read this as an HTTP request"


class JsonH11Protocol(H11Protocol):
    """uvicorn's protocol on h11. Only its response to invalid HTTP differs: uvicorn would send plain text."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn logs its own message
        """Send a 400, unless a response has already started. Then close the connection."""
        is_head = False
        if self.cycle is not None:  # the application handles this request or the previous one
            self.cycle.disconnected = True  # keep the application from sending a second response
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = str(uuid.uuid4())
            body = to_json({"id": request_id, "message": _MESSAGE})
            headers = {
                "content-type": JSON,
                "content-length": str(len(body)),
                "x-request-id": request_id,
                "x-content-type-options": "nosniff",
                "connection": "close",
            }
            response = h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request")
            for event in (response, h11.Data(data=b"" if is_head else body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            fields = {"request_id": request_id}
            _log.warning("invalid HTTP; request %s", request_id, extra={"fields": fields})
        self.transport.close()
