"""Find out what a server supports, from outside and with at most five small requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from cohere_rerank._addresses import rerank_url, without_query
from cohere_rerank._settings import has_auth, key_from_environment
from cohere_rerank._version import __version__
from cohere_rerank.errors import (
    CohereRerankError,
    ConnectionFailedError,
    ForbiddenError,
    MissingApiKeyError,
    TooManyRequestsError,
    UnauthorizedError,
)

from ._network import check_connection
from ._probes import PROBES, Finding, Probe, dialect_of, interpret, limits, most_severe

if TYPE_CHECKING:
    import httpx

__all__ = ["diagnose", "diagnose_cloud", "diagnose_local"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAX_REPLY_BYTES = 1_000_000  # the limit for a response to two documents
_SLOW_S = 2.0


@dataclass(frozen=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    body: Any
    took_s: float


def diagnose(base_url: str, model: str, timeout_s: float, headers: Mapping[str, str]) -> Iterator[Finding]:
    """Check a server step by step, from its name to its responses. A failed step ends the check.

    Args:
        base_url: An http or https address, as for a client.
        model: The name of the model.
        timeout_s: The limit of each request and of each step, except the look-up of the name.
        headers: Further headers of each request.
    """
    root = rerank_url(base_url).removesuffix("/rerank").removesuffix("/v2")
    url = urlsplit(root)
    yield _address(url)
    for finding in check_connection(url, timeout_s):
        yield finding
        if finding.status == "fail":
            return
    yield from _send_probes(root, model, timeout_s, headers)


def diagnose_local(base_url: str) -> Iterator[Finding]:
    """Check a scorer of this process."""
    from cohere_rerank.client import ClientV2

    yield Finding("address", "ok", f"{base_url} ranks on this machine, without a key or a network")
    probe = PROBES[0].body("local")
    started = time.monotonic()
    try:
        with ClientV2(base_url=base_url) as client:
            client.rerank(**probe)
    except (CohereRerankError, ImportError) as error:
        yield Finding("scorer", "fail", str(error), "choose a scorer that exists, such as local:")
    else:
        yield Finding("scorer", "ok", f"ranked two documents ({1000 * (time.monotonic() - started):.0f} ms)")


def diagnose_cloud(address: str, model: str, timeout_s: float, headers: Mapping[str, str]) -> Iterator[Finding]:
    """Check a cloud with one call, which needs its credentials and its model.

    Args:
        address: Such as ``bedrock:us-east-1``.
        model: The name of the model.
        timeout_s: The limit of the call.
        headers: Further headers of the request.
    """
    from cohere_rerank.client import ClientV2

    yield Finding("address", "ok", without_query(address))
    started = time.monotonic()
    try:
        with ClientV2(base_url=address, headers=headers, max_retries=0, deadline=timeout_s) as client:
            client.rerank(**PROBES[0].body(model))
    except CohereRerankError as error:
        yield _of_cloud(error)
    else:
        yield Finding("key", "ok", "accepted")
        yield Finding("latency", "ok", f"{1000 * (time.monotonic() - started):.0f} ms for two documents")


def _of_cloud(error: CohereRerankError) -> Finding:
    """Return the finding from the error of a call to a cloud."""
    if isinstance(error, (MissingApiKeyError, UnauthorizedError, ForbiddenError)):
        return Finding("key", "fail", str(error), "check the credentials and permissions of the cloud")
    if isinstance(error, TooManyRequestsError):
        return Finding("limits", "warn", str(error), "wait, or request a higher quota, then run this command again")
    if isinstance(error, ConnectionFailedError):
        return Finding("connect", "fail", str(error), "check the network, the region and the proxy")
    return Finding("model", "fail", str(error), "choose a model of this cloud with --model")


def _address(url: SplitResult) -> Finding:
    shown = url.geturl()
    if url.scheme == "http" and url.hostname not in _LOOPBACK and key_from_environment():
        return Finding("address", "warn", f"{shown} would get your key without encryption", "use https://")
    return Finding("address", "ok", shown)


def _send_probes(root: str, model: str, timeout_s: float, further: Mapping[str, str]) -> Iterator[Finding]:
    import httpx

    key = None if has_auth(further) else key_from_environment()
    headers = {
        "user-agent": f"cohere-rerank/{__version__}",
        **({"authorization": f"Bearer {key}"} if key else {}),
        **further,
    }
    with httpx.Client(headers=headers, timeout=timeout_s) as client:
        try:
            responses = [(probe, _post(client, root, probe, model, timeout_s)) for probe in PROBES]
            ranking = [
                (probe, dialect)
                for probe, response in responses
                if response.status == 200 and (dialect := dialect_of(probe.path, response.body))
            ]
            yield from _interpret_all(root, responses, ranking, bool(key) or has_auth(further))
            if ranking:
                yield _latency(_post(client, root, ranking[0][0], model, timeout_s))
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            yield Finding("connect", "fail", f"no complete response: {reason}", "read the log of the server")


def _post(client: httpx.Client, root: str, probe: Probe, model: str, timeout_s: float) -> _Response:
    """Send a probe. Raise an error if the response is too large or takes too long."""
    import httpx

    started = time.monotonic()
    body = bytearray()
    with client.stream("POST", root + probe.path, json=probe.body(model)) as response:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > _MAX_REPLY_BYTES or time.monotonic() - started > timeout_s:
                raise httpx.ReadError("the response to two documents is too large or too slow")
    text = body.decode("utf-8", "replace")
    try:
        reply: Any = json.loads(text)
    except (ValueError, RecursionError):
        reply = text
    names = {name.lower(): value for name, value in response.headers.items()}
    return _Response(response.status_code, names, reply, time.monotonic() - started)


def _interpret_all(
    root: str, responses: list[tuple[Probe, _Response]], ranking: list[tuple[Probe, str]], has_key: bool
) -> Iterator[Finding]:
    if ranking:
        yield Finding("key", "ok", "accepted" if has_key else "not set, and not needed")
        yield _dialects(root, ranking)
        yield _limits([response for _, response in responses])
        return
    found = [interpret(probe, response.status, response.headers, response.body) for probe, response in responses]
    yield most_severe(filter(None, found)) or Finding(
        "dialect", "fail", "the server has no rerank path", "check the address: a prefix such as /api may be missing"
    )


def _dialects(root: str, ranking: list[tuple[Probe, str]]) -> Finding:
    supported = ", ".join(f"{dialect} at {probe.path}" for probe, dialect in ranking)
    if ranking[0][1] == "cohere":
        return Finding("dialect", "ok", supported)
    (probe, dialect), *_ = ranking
    advice = f"there is no /v2/rerank: use --base-url {root}{probe.path} --dialect {dialect}"
    return Finding("dialect", "warn", supported, advice)


def _limits(responses: list[_Response]) -> Finding:
    stated = {name: None for response in responses for name in limits(response.headers)}
    is_limited = any(response.status == 429 for response in responses)
    if is_limited:
        return Finding("limits", "warn", ", ".join(["reached (429)", *stated]), "wait a minute between bursts")
    return Finding("limits", "ok", ", ".join(stated) or "the headers state none")


def _latency(response: _Response) -> Finding:
    message = f"{1000 * response.took_s:.0f} ms for two documents"
    if response.status != 200:
        return Finding("latency", "warn", f"not measured: the last request returned {response.status}")
    if response.took_s > _SLOW_S:
        return Finding("latency", "warn", message, "the model may still be loading: run this command again")
    return Finding("latency", "ok", message)
