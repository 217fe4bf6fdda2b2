"""One checked call and its parts: the request bodies, and what the replies refer to. Pure."""

from __future__ import annotations

from itertools import pairwise

from .json_body import dump_body, dump_json, json_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cohere_rerank._trace import CallTrace

    from .dialects import BaseDialect

# Traffic classes. A limiter sends requests of a lower class first.
INTERACTIVE, BULK = 0, 1
MAX_CONCURRENT_PARTS = 8  # requests of one split call in flight at the same time


# Room in a reply, several times what Cohere and the servers in `dialects` need.
_REPLY_BASE_BYTES = 256 * 1024
_REPLY_BYTES_PER_RESULT = 1024
_REPLY_BYTES_PER_SPAN = 128


class Call:
    """One checked ``rerank`` call: what to send, how long it may take, and what its response refers to."""

    __slots__ = (
        "body",
        "deadline_s",
        "dialect",
        "documents",
        "headers",
        "indices",
        "is_strict",
        "max_documents_per_request",
        "max_request_bytes",
        "max_retries",
        "min_score",
        "params",
        "retry_remote_protocol_errors",
        "texts",
        "timeout_s",
        "top_n",
        "trace",
        "traffic_class",
    )

    body: dict[str, Any]
    deadline_s: float
    dialect: BaseDialect | None  # None: Cohere's own
    documents: list[object]
    headers: Mapping[str, str]
    is_strict: bool
    indices: list[int] | None  # where each text is in the caller's documents; None: at the same place
    max_documents_per_request: int
    max_request_bytes: int | None
    max_retries: int | None
    min_score: float | None
    params: list[tuple[str, Any]]
    retry_remote_protocol_errors: bool
    texts: list[str]
    timeout_s: float | None
    top_n: int | None
    trace: CallTrace  # set when the call starts
    traffic_class: int

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Call: {len(getattr(self, 'texts', ()))} documents>"

    @property
    def n_parts(self) -> int:
        """The number of requests that the call needs if nothing is retried."""
        return len(self._edges()) - 1

    def parts(self) -> list[Part]:
        """Return the requests to send: one, or several if the list is longer than one request may be."""
        n = len(self.texts)
        if self.max_request_bytes is None and n <= self.max_documents_per_request:
            return [Part(self, 0, n)]
        return [Part(self, start, end) for start, end in pairwise(self._edges())]

    def keep_whole(self) -> None:
        """Send the call as one request, however long its list is."""
        self.max_documents_per_request, self.max_request_bytes = len(self.texts) or 1, None

    def limit_size(self, max_documents: int | None, max_bytes: int | None) -> None:
        """Split the list so that no request is larger than the server accepts."""
        if max_documents is not None:
            self.max_documents_per_request = min(self.max_documents_per_request, max_documents)
        if max_bytes is not None:
            self.max_request_bytes = min(self.max_request_bytes or max_bytes, max_bytes)

    def _edges(self) -> list[int]:
        """Return the positions where the parts begin, and where the last one ends."""
        n = len(self.texts)
        if self.max_request_bytes is not None and n > 1:
            return self._edges_by_size(self.max_request_bytes)
        # Parts of equal size, so that no part waits for a much larger one.
        n_parts = -(-n // self.max_documents_per_request) or 1
        return [n * i // n_parts for i in range(n_parts + 1)]

    def _edges_by_size(self, max_bytes: int) -> list[int]:
        around = len(dump_json({**self.body, "documents": []}))
        edges, size = [0], around
        for index, text in enumerate(self.texts):
            n_bytes = json_size(text) + 1  # with its comma
            is_full = index - edges[-1] >= self.max_documents_per_request or size + n_bytes > max_bytes
            if is_full and index > edges[-1]:
                edges.append(index)
                size = around
            size += n_bytes
        return [*edges, len(self.texts)]


class Part:
    """The documents of a call that are sent as one request: ``call.texts[start:end]``.

    Attributes:
        dialect: The dialect of the request body. None means Cohere's own.
    """

    __slots__ = ("_content", "call", "dialect", "end", "n_documents", "start")

    def __init__(self, call: Call, start: int, end: int) -> None:
        self.call = call
        self.start = start
        self.end = end
        self.n_documents = end - start
        self.dialect: BaseDialect | None = call.dialect
        self._content: bytes | None = None

    def encode_as(self, dialect: BaseDialect | None) -> None:
        """Write the request body in this dialect."""
        self.dialect = dialect
        self._content = None

    @property
    def content(self) -> bytes:
        """The request body. It is written when it is first needed: a long list has many parts, and few are in flight.

        Raises:
            InvalidRequestError: A value has no JSON form.
        """
        content = self._content
        if content is None:
            content = self._content = self._encoded()
        return content

    def discard_content(self) -> None:
        """Free the memory of the request body. It is written again if it is needed again."""
        self._content = None

    @property
    def top_n(self) -> int | None:
        """The largest number of results in the reply. None means one for each document."""
        top_n: int | None = self.call.body.get("top_n")
        return top_n

    @property
    def max_reply_bytes(self) -> int:
        """The size in bytes of the largest reply that this request can need. It follows from the request.

        Servers may echo the documents, with each character escaped in six bytes.
        """
        size = _REPLY_BASE_BYTES + self.n_documents * _REPLY_BYTES_PER_RESULT + 6 * len(self.content)
        spans = self.call.body.get("relevant_spans")
        if spans is not None and spans["mode"] != "disabled":
            max_spans = spans.get("max_spans")
            texts = self.call.texts[self.start : self.end]
            size += _REPLY_BYTES_PER_SPAN * sum(max_spans or _max_spans(text) for text in texts)
        return size

    def split(self, n_parts: int) -> list[Part]:
        """Return this number of parts of equal length in place of this part."""
        edges = [self.start + self.n_documents * i // n_parts for i in range(n_parts + 1)]
        parts = [Part(self.call, start, end) for start, end in pairwise(edges)]
        for part in parts:
            part.encode_as(self.dialect)  # "auto" may have chosen it for this part
        return parts

    def __repr__(self) -> str:
        first, last = self.start, self.end - 1
        return f"document {first}" if first == last else f"documents {first} to {last}"

    def _encoded(self) -> bytes:
        body = self.call.body
        if self.n_documents < len(self.call.texts):
            body = {**body, "documents": self.call.body["documents"][self.start : self.end]}
            if "top_n" in body:
                # The API accepts a top_n above the number of documents. A smaller one makes the reply shorter.
                body["top_n"] = min(body["top_n"], self.n_documents)
        return dump_body(body) if self.dialect is None else dump_json(self.dialect.body(body))


def _max_spans(text: str) -> int:
    return 8 + len(text) // 8
