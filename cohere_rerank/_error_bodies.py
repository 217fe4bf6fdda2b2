"""Read the body of an error reply: its message, its request id, and whether it is about a quota. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

KEY_HINT = "; check api_key, or CO_API_KEY in the environment"
_HINTS = {
    401: KEY_HINT,
    404: "; check base_url and the model's name",
    407: "; the proxy needs a user name and a password",
}
_BUSY_STATUSES = (429, 503)
_BUSY_FORMS = (
    r"\bmodel is overloaded\b"  # text-embeddings-inference, 429
    r"|\bloading model\b"  # llama.cpp, 503
    r"|\bModelNotReadyException\b"  # Bedrock and SageMaker, 429
    r"|\bmodel .{1,200} is (?:currently |still )?loading\b"  # Hugging Face's inference servers, 503
)
_NO_SUCH_PATH = (404, 405, 501)
_PAGE_HINT = " with an HTML page, so this is probably not a rerank API; check base_url (cohere-rerank doctor helps)"
_TLS_HINT = "; this port speaks TLS, so base_url needs https:// in place of http://"
_TLS_MARKS = (
    "plain HTTP request was sent to HTTPS port",
    "plain HTTP to an SSL-enabled",
    "HTTP request to an HTTPS server",
)
"""What nginx, Apache and servers in Go say, with status 400."""
_MAX_MESSAGE_CHARS = 200  # of a server's own message, which may quote the request
# Where the message is: of Cohere, OpenAI, FastAPI, Cloudflare, Apigee, AWS, and in RFC 9457.
_MESSAGE_NAMES = ("message", "error", "detail", "errors", "msg", "fault", "faultstring", "Message", "title")
_MAX_DEPTH = 4  # of the message in a body
_INPUT_MARKS = (", 'input':", ', "input":', ", input_value=")


def is_quota(body: Any) -> bool:
    """Return whether a 429 is about a used-up quota and not about a rate limit."""
    from ._wire.contract import is_used_up_quota

    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return is_used_up_quota(f"{code} {_whole_message(body) or ''}")


def is_busy(status_code: int | None, body: Any) -> bool:
    """Return whether a reply says that the model is still loading, or has more requests than it can take now.

    Such a server has no quota. It answers as soon as it can.
    """
    if status_code not in _BUSY_STATUSES:
        return False
    import re

    return re.search(_BUSY_FORMS, (_whole_message(body) or "")[:2000], re.IGNORECASE) is not None


def server_message(body: Any) -> str | None:
    """Return the message inside an error body, on one line and cut to 200 characters, or None if there is none."""
    text = _whole_message(body)
    if text is None:
        return None
    text = " ".join(text.split())
    return text if len(text) <= _MAX_MESSAGE_CHARS else text[:_MAX_MESSAGE_CHARS] + "…"


def _whole_message(body: Any) -> str | None:
    """Return the message inside an error body, in any of the forms that servers of this API use."""
    if isinstance(body, str):
        # An HTML page of a proxy says nothing that its status does not.
        return None if body.lstrip().startswith("<") else _without_input(body) or None
    return _message_in(body) if isinstance(body, dict) else None


def _message_in(value: Any, depth: int = 0) -> str | None:
    if isinstance(value, str):
        return _without_input(value) or None
    if isinstance(value, list):
        first = value[0] if value else None
        if not isinstance(first, dict):  # a text may be part of the request
            return None
        return _problem_with_place(first) or _message_in(first, depth + 1)
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        found = (_message_in(value[name], depth + 1) for name in _MESSAGE_NAMES if name in value)
        return next(filter(None, found), None)
    return None


def _without_input(text: str) -> str:
    """Return a message up to the point where an error of pydantic (as vLLM sends it) quotes the request."""
    for mark in _INPUT_MARKS:
        text = text.partition(mark)[0]
    return text.strip()


def _problem_with_place(problem: Any) -> str | None:
    """Return the place and the message of one of FastAPI's ``{"loc", "msg", "input"}``, without the input."""
    if not isinstance(problem, dict) or not isinstance(problem.get("msg"), str):
        return None
    loc = problem.get("loc")
    place = ".".join(str(part) for part in loc if isinstance(part, (str, int))) if isinstance(loc, list) else ""
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def error_message(status_code: int | None, body: Any) -> str:
    """Return the sentence for an error of this status and body, with a hint where there is one."""
    text = server_message(body)
    if status_code is None:
        return text or "The API answered with an error"
    is_page = isinstance(body, str) and body.lstrip()[:1] == "<"
    hint = _PAGE_HINT if is_page and status_code in _NO_SUCH_PATH else _HINTS.get(status_code, "")
    if status_code == 400 and isinstance(body, str) and any(mark in body for mark in _TLS_MARKS):
        hint = _TLS_HINT
    return f"The API answered {status_code}: {text}{hint}" if text else f"The API answered {status_code}{hint}"


_ID_HEADERS = ("x-request-id", "x-debug-trace-id", "x-trace-id", "x-amzn-requestid")  # the last is AWS's


def request_id(headers: Mapping[str, str] | None, body: Any) -> str | None:
    """Return the server's id of a request, from the body or the headers (names in lower case) of its reply."""
    named = [body["id"]] if isinstance(body, dict) and "id" in body else []
    if headers:
        named += filter(None, map(headers.get, _ID_HEADERS))
    for name in named:
        if isinstance(name, str) and (words := name.split()):
            return " ".join(words)  # one line, as all texts of an error
    return None
