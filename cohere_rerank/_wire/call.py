"""One checked call and its parts: the bodies that are sent, and what their replies refer to. Pure."""

from __future__ import annotations

from cohere_rerank.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .dialects import Dialect

INTERACTIVE, BULK = 0, 1  # lanes: where sends wait for their turn, the lower goes first


class Call:
    """One checked ``rerank`` call: what to send, how long it may take, and what its answer refers to."""

    __slots__ = (
        "body",
        "deadline_s",
        "dialect",
        "documents",
        "headers",
        "lane",
        "max_documents_per_request",
        "max_retries",
        "min_score",
        "params",
        "retry_remote_protocol_errors",
        "texts",
        "timeout_s",
        "top_n",
    )

    body: dict[str, Any]
    deadline_s: float
    dialect: Dialect | None  # None: Cohere's own
    documents: list[object]
    headers: Mapping[str, str]
    lane: int
    max_documents_per_request: int
    max_retries: int | None
    min_score: float | None
    params: list[tuple[str, Any]]
    retry_remote_protocol_errors: bool
    texts: list[str]
    timeout_s: float | None
    top_n: int | None

    def __repr__(self) -> str:  # never the query or the documents
        return f"<Call: {len(getattr(self, 'texts', ()))} documents>"

    def parts(self) -> list[Part]:
        """The requests to send for this call: one, unless the list is longer than a request may be."""
        size = self.max_documents_per_request
        if len(self.texts) <= size:
            return [Part(self, 0, len(self.texts))]
        # Equal shares, so that no part waits for one that is much larger.
        n_parts = -(-len(self.texts) // size)
        edges = [len(self.texts) * i // n_parts for i in range(n_parts + 1)]
        return [Part(self, edges[i], edges[i + 1]) for i in range(n_parts)]


class Part:
    """The share of a call's documents that goes out as one request."""

    __slots__ = ("call", "content", "dialect", "end", "start")

    def __init__(self, call: Call, start: int, end: int) -> None:
        self.call = call
        self.start = start
        self.end = end
        self.speak(call.dialect)

    def speak(self, dialect: Dialect | None) -> None:
        """Write the request in this dialect, Cohere's if None."""
        self.dialect = dialect
        self.content = self._content()

    @property
    def n_documents(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        first, last = self.start, self.end - 1
        return f"document {first}" if first == last else f"documents {first} to {last}"

    def _content(self) -> bytes:
        body = self.call.body
        if self.n_documents < len(self.call.texts):
            body = {**body, "documents": self.call.texts[self.start : self.end]}
            if "top_n" in body:
                # The API's own limit does not matter (a larger top_n is fine), but the fewer the shorter.
                body["top_n"] = min(body["top_n"], self.n_documents)
        return packed(body if self.dialect is None else self.dialect.body(body))


def packed(body: Mapping[str, Any]) -> bytes:
    """A body as JSON in UTF-8; a lone surrogate, which has no form there, becomes U+FFFD, with a warning."""
    from pydantic_core import to_json

    try:
        return to_json(body)
    except ValueError as error:
        if "surrogates not allowed" not in str(error):
            raise InvalidRequestError(f"additional_body_parameters have no JSON form: {error}") from None
    from warnings import warn

    warn("a lone surrogate in the query or a document was sent as U+FFFD", UnicodeWarning, stacklevel=2)
    return packed(_without_surrogates(body))


def _without_surrogates(value: Any) -> Any:
    """One character for one, so that the positions of spans stay right."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(item) for item in value]
    return value
