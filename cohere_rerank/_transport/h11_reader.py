"""Read a reply that is not plain with h11, within the bounds that h11 leaves to its callers."""

from __future__ import annotations

import h11

from cohere_rerank.errors import ResponseTooLargeError

from .connection_errors import RemoteProtocolError, without_quoted_line

# Of a head with the informational replies before it, of a line between two chunks, or of the headers at the end.
MAX_BLOCK_BYTES = 100 * 1024
_MAX_EVENTS = 2000  # each costs time, however small it is; a larger max_bytes allows more


class H11Reader:
    """One reply. The attributes are those of `ReplyReader`.

    However a reply is cut into pieces, h11 gets it in such pieces that the bounds are hit at the same byte.
    """

    def __init__(self, method: str, max_bytes: int | None) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * MAX_BLOCK_BYTES)
        self._connection.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        self._connection.send(h11.EndOfMessage())
        self._n_events_left = None if max_bytes is None else _MAX_EVENTS + max_bytes // 256
        self._n_unread = 0  # bytes of a block that is not complete
        self.status = 0
        self.reason = self.http_version = b""
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.is_reusable = False

    def feed(self, data: bytes) -> bool:
        """As `ReplyReader.feed`."""
        self.body = b""
        pieces: list[bytes] = []
        try:
            if not data:
                return self._read(b"", pieces)
            while data:
                n = MAX_BLOCK_BYTES + 1 - self._n_unread
                piece, data = data[:n], data[n:]
                if self._read(piece, pieces):
                    self.is_reusable = self.is_reusable and not data
                    return True
                if self._n_unread > MAX_BLOCK_BYTES:
                    raise RemoteProtocolError(f"a head or a line of the reply is larger than {MAX_BLOCK_BYTES} bytes")
        except h11.RemoteProtocolError as error:
            raise RemoteProtocolError(without_quoted_line(str(error))) from None
        finally:
            self.body = b"".join(pieces)
        return False

    def _read(self, data: bytes, pieces: list[bytes]) -> bool:
        connection = self._connection
        if not data and not self.status:
            raise RemoteProtocolError("Server disconnected without sending a response.")
        connection.receive_data(data)
        self._n_unread += len(data)
        is_block_complete = False
        while True:
            event = connection.next_event()
            if isinstance(event, h11.NEED_DATA):
                break
            self._count_event()
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
                is_block_complete = True
            elif isinstance(event, h11.Response):
                self._start(event)
                is_block_complete = True
            elif isinstance(event, h11.EndOfMessage):
                self._end()
                return True
            elif not isinstance(event, h11.InformationalResponse):  # such as PAUSED after 101
                raise RemoteProtocolError("the server changed the protocol without being asked")
        if is_block_complete:
            self._n_unread = len(connection.trailing_data[0])
        return False

    def _count_event(self) -> None:
        if self._n_events_left is not None:
            self._n_events_left -= 1
            if self._n_events_left < 0:
                raise ResponseTooLargeError(
                    "The server sent the reply in too many small pieces. If that is expected, set max_response_bytes."
                )

    def _start(self, event: h11.Response) -> None:
        self.status = event.status_code
        self.reason = bytes(event.reason)
        self.http_version = b"HTTP/" + bytes(event.http_version)
        self.fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()]

    def _end(self) -> None:
        connection = self._connection
        rest, is_closed = connection.trailing_data
        self.is_reusable = (
            connection.our_state is h11.DONE and connection.their_state is h11.DONE and not rest and not is_closed
        )
