"""What is taken out of recorded traffic before it reaches a disk."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["Redaction"]

REDACTED = "[redacted]"
_FINGERPRINT = "fingerprint"
_SHORTEST_KEY = 8  # characters; shorter ones are placeholders, which may be any word of a body

_REQUEST_HEADERS = {"accept", "content-type", "user-agent"}
_RESPONSE_HEADERS = {
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-api-warning",
    "x-endpoint-monthly-call-limit",
    "x-ratelimit-reset",
    "x-trial-endpoint-call-limit",
    "x-trial-endpoint-call-remaining",
}
_HOLDS_KEY = re.compile("auth|cookie|key|secret|token", re.IGNORECASE)

_OPTIONS = {"model", "relevant_spans"}  # of requests

# By the names of a reply's fields: strings of its own, if they stand at its top; the server's sentences, which may
# quote; and what may echo the request: there, a field's name does not say whose word it holds.
_PLAIN = {"code", "error_type", "id", "model", "object", "type"}
_MESSAGES = {"detail", "error", "message", "msg", "warnings"}
_ECHOES = {"content", "ctx", "document", "documents", "fields", "input", "inputs", "metadata", "query", "text", "texts"}


class Redaction:
    """Takes out the keys of one cassette and, if asked, its texts. In place, once or twice alike.

    Args:
        texts: Whether to take out texts too.
    """

    def __init__(self, *, texts: bool = False) -> None:
        self._redacts_texts = texts
        self._keys: set[bytes] = set()
        self._texts: set[str] = set()  # those of the requests so far, to be found again in the replies

    def request(self, request: Any) -> Any:
        """Redact vcrpy's ``Request``: headers, query string, user and password of the address, body."""
        for name, value in dict(request.headers).items():
            if _HOLDS_KEY.search(name):
                self._keys.update(part.encode() for part in _text(value).split() if len(part) >= _SHORTEST_KEY)
            if name.lower() not in _REQUEST_HEADERS:
                del request.headers[name]
        request.uri = self._address(request.uri)
        request.body = self._without_keys(request.body or b"")
        if self._redacts_texts:
            request.body = self._without_texts(request.body)
        return request

    def response(self, response: Any) -> Any:
        """Redact vcrpy's response, a dict; its body is decompressed.

        Raises:
            ValueError: It is not: what cannot be read cannot be redacted.
        """
        headers = {name.lower(): values for name, values in response["headers"].items()}
        if any(headers.get("content-encoding", ())):
            raise ValueError(f"a reply compressed as {headers['content-encoding']} cannot be redacted, nor recorded")
        response["headers"] = {name: values for name, values in headers.items() if name in _RESPONSE_HEADERS}
        body = self._without_keys(response["body"]["string"] or b"")
        response["body"]["string"] = self._masked_body(body) if self._redacts_texts else body
        return response

    @staticmethod
    def fields(body: bytes | str | None) -> dict[str, Any]:
        """A body's fields; one that is no JSON object is all in one."""
        try:
            fields = json.loads(body or b"")
        except ValueError:
            fields = None
        return fields if isinstance(fields, dict) else {"body": _text(body or b"")}

    def _address(self, uri: str) -> str:
        """The address without user and password, and with the names of its parameters only."""
        parts = urlsplit(uri)
        query = urlencode([(name, "redacted") for name, _ in parse_qsl(parts.query, keep_blank_values=True)])
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))

    def _without_keys(self, body: bytes | str) -> bytes:
        body = body.encode() if isinstance(body, str) else bytes(body)
        for key in sorted(self._keys, key=len, reverse=True):
            body = body.replace(key, REDACTED.encode())
        return body

    def _without_texts(self, body: bytes) -> bytes:
        fields = self.fields(body)
        if _FINGERPRINT in fields:  # vcrpy comes here twice with the same request
            return body
        told = json.dumps(fields, sort_keys=True).encode()
        self._texts.update(_strings(fields))
        redacted = {name: value if name in _OPTIONS else _blank(value) for name, value in fields.items()}
        return json.dumps({**redacted, _FINGERPRINT: hashlib.blake2b(told, digest_size=8).hexdigest()}).encode()

    def _masked_body(self, body: bytes) -> bytes:
        try:
            answer = json.loads(body)
        except ValueError:
            return self._masked(_text(body)).encode()
        kept = self._kept(answer, "")
        if isinstance(answer, dict):
            kept |= {name: value for name, value in answer.items() if name in _PLAIN and isinstance(value, str)}
        return json.dumps(kept).encode()

    def _kept(self, value: Any, name: str) -> Any:
        """Data with its numbers and the words of messages that are in no text; of echoes nothing."""
        if name in _ECHOES:
            return _wiped(value)
        if isinstance(value, dict):
            return {key: self._kept(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._kept(inner, name) for inner in value]
        if not isinstance(value, str):
            return value
        return self._masked(value) if name in _MESSAGES else REDACTED

    def _masked(self, message: str) -> str:
        all_texts = "\n".join(self._texts).casefold()
        return re.sub(r"\w+", lambda word: REDACTED if word[0].casefold() in all_texts else word[0], message)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _blank(value: Any) -> Any:
    """The same shape without a text: numbers and the length of lists."""
    if isinstance(value, list):
        return [_blank(inner) for inner in value]
    return REDACTED if isinstance(value, (dict, str)) else value


def _wiped(value: Any) -> Any:
    """An echo without anything of the caller's, in a form that clients still read."""
    if isinstance(value, dict):
        return {"text": REDACTED}  # the names of its fields are the caller's too
    if isinstance(value, list):
        return [_wiped(inner) for inner in value]
    return None if value is None else REDACTED


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_strings, value.values()))
    if isinstance(value, list):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()
