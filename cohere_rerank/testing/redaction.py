"""Removes secrets from recorded traffic before it is written to a file."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from cohere_rerank._secrets import SECRET_NAME, hide

__all__ = ["Redaction"]

REDACTED = "[redacted]"
_T = TypeVar("_T")
_FINGERPRINT = "fingerprint"

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
_SEPARATORS = re.compile(r"[\s,;]+")

_REQUEST_OPTIONS = {"model", "relevant_spans"}  # they contain no text of the user

# The fields of a reply, by name. The strings of _PLAIN fields are the server's own, at the top of the reply. Those of
# _MESSAGES are sentences of the server, which may quote the request. Those of _ECHOES may repeat the request.
_PLAIN = {"code", "error_type", "id", "model", "object", "type"}
_MESSAGES = {"detail", "error", "message", "msg", "warnings"}
_ECHOES = {"content", "ctx", "document", "documents", "fields", "input", "inputs", "metadata", "query", "text", "texts"}


class Redaction:
    """Removes the keys of one cassette and, on request, its texts. It changes requests and responses in place.

    A second redaction of the same request changes nothing, because vcrpy redacts requests twice.

    Args:
        texts: Whether to remove texts too.
    """

    def __init__(self, *, texts: bool = False) -> None:
        self._redacts_texts = texts
        self._keys: set[str] = set()
        self._texts: set[str] = set()  # the texts of the requests so far, to find them in the replies

    def request(self, request: Any) -> Any:
        """Redact the headers, the address and the body of vcrpy's ``Request``."""
        for name, value in dict(request.headers).items():
            if SECRET_NAME.search(name):
                self._add_keys(_text(value))
            if name.lower() not in _REQUEST_HEADERS:
                del request.headers[name]
        request.uri = self._address(request.uri)
        request.body = self._body_without_keys(_bytes(request.body))
        if self._redacts_texts:
            request.body = self._without_texts(request.body)
        return request

    def response(self, response: Any) -> Any:
        """Redact vcrpy's response, a dict. Its body must be decompressed.

        Raises:
            ValueError: The body is compressed, so it cannot be redacted.
        """
        headers = {name.lower(): values for name, values in response["headers"].items()}
        if any(headers.get("content-encoding", ())):
            encoding = headers["content-encoding"]
            raise ValueError(f"a reply with content-encoding {encoding} cannot be redacted, so it is not recorded")
        kept = {name: values for name, values in headers.items() if name in _RESPONSE_HEADERS}
        response["headers"] = self._without_keys(kept)
        response["status"] = self._without_keys(response.get("status"))
        body = self._body_without_keys(_bytes(response["body"]["string"]))
        response["body"]["string"] = self._redact_reply(body) if self._redacts_texts else body
        return response

    @staticmethod
    def fields(body: bytes | str | None) -> dict[str, Any]:
        """Return the fields of a body. A body that is not a JSON object becomes one field."""
        try:
            fields = json.loads(body or b"")
        except (ValueError, RecursionError):
            fields = None
        return fields if isinstance(fields, dict) else {"body": _text(body or b"")}

    def _address(self, uri: str) -> str:
        """Return the address without user and password, and without the values of its parameters."""
        parts = urlsplit(uri)
        userinfo, _, netloc = parts.netloc.rpartition("@")
        self._add_keys(unquote(userinfo.partition(":")[2]))
        parameters = parse_qsl(parts.query, keep_blank_values=True)
        for name, value in parameters:
            if SECRET_NAME.search(name):
                self._add_keys(value)
        query = urlencode([(name, "redacted") for name, _ in parameters])
        return urlunsplit(parts._replace(netloc=netloc, path=self._without_keys(parts.path), query=query))

    def _add_keys(self, text: str) -> None:
        """Remember the parts of a value that may be keys, and for ``Basic`` the password in it."""
        parts = {part for whole in _SEPARATORS.split(text) for part in (whole, whole.partition("=")[2])}
        for part in list(parts):
            with suppress(ValueError):
                parts.add(b64decode(part, validate=True).decode("ascii").partition(":")[2])
        self._keys |= parts - {REDACTED, "redacted", ""}

    def _body_without_keys(self, body: bytes) -> bytes:
        """Return a body without keys. JSON is redacted after parsing, because its escapes could hide parts of a key."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return self._without_keys(body)
        hidden = self._without_keys(data)
        return body if hidden == data and self._without_keys(body) == body else json.dumps(hidden).encode()

    def _without_keys(self, value: _T) -> _T:
        """Replace the keys in strings, bytes and data, in all their encodings. `hide` ignores short keys."""
        for key in sorted(self._keys, key=len, reverse=True):
            value = hide(value, key, REDACTED)
        return value

    def _without_texts(self, body: bytes) -> bytes:
        fields = self.fields(body)
        if _FINGERPRINT in fields:  # it was redacted before
            return body
        text = json.dumps(fields, sort_keys=True).encode()
        self._texts.update(_strings(fields))
        redacted = {name: value if name in _REQUEST_OPTIONS else _redact_field(value) for name, value in fields.items()}
        return json.dumps({**redacted, _FINGERPRINT: hashlib.blake2b(text, digest_size=8).hexdigest()}).encode()

    def _redact_reply(self, body: bytes) -> bytes:
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            return self._mask_words(_text(body)).encode()
        kept = self._filter(reply, "")
        if isinstance(reply, dict):
            kept |= {name: value for name, value in reply.items() if name in _PLAIN and isinstance(value, str)}
        return json.dumps(kept).encode()

    def _filter(self, value: Any, name: str) -> Any:
        """Return a reply with its numbers, and with those words of messages that are not in a text of the request."""
        if name in _ECHOES:
            return _redact_echo(value)
        if isinstance(value, dict):
            return {key: self._filter(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filter(inner, name) for inner in value]
        if not isinstance(value, str):
            return value
        return self._mask_words(value) if name in _MESSAGES else REDACTED

    def _mask_words(self, message: str) -> str:
        all_texts = "\n".join(self._texts).casefold()
        return re.sub(r"\w+", lambda word: REDACTED if word[0].casefold() in all_texts else word[0], message)


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _redact_field(value: Any) -> Any:
    """Return a value without its texts. Numbers and the lengths of lists stay."""
    if isinstance(value, list):
        return [_redact_field(inner) for inner in value]
    return REDACTED if isinstance(value, (dict, str)) else value


def _redact_echo(value: Any) -> Any:
    """Return an echo of the request without its content, in a form that clients can read."""
    if isinstance(value, dict):
        return {"text": REDACTED}  # the names of its fields could be texts too
    if isinstance(value, list):
        return [_redact_echo(inner) for inner in value]
    return None if value is None else REDACTED


def _strings(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_strings, value.values()))
    if isinstance(value, list):
        return set().union(*map(_strings, value))
    return {value} if isinstance(value, str) else set()
