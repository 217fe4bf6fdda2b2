"""Everything that can be found out about a server from outside, with a handful of small requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from cohere_rerank._addresses import rerank_url
from cohere_rerank._settings import key_from_environment
from cohere_rerank._version import __version__
from cohere_rerank.errors import CohereRerankError

from ._network import check_connection
from ._probes import PROBES, Finding, Probe, dialect_of, interpret, limits, most_severe

if TYPE_CHECKING:
    import httpx

__all__ = ["diagnose", "diagnose_local"]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MAX_REPLY_BYTES = 1_000_000  # of a reply to a request with two documents
_SLOW_S = 2.0


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    reply: Any
    took_s: float


def diagnose(base_url: str, model: str, timeout_s: float) -> Iterator[Finding]:
    """Look at a server, from its name to its answers; what depends on a failed step is left out.

    Args:
        base_url: An http or https address, as a client takes it.
        model: What to ask for.
        timeout_s: For each step but the look-up of the name, and for each request.
    """
    root = rerank_url(base_url).removesuffix("/rerank").removesuffix("/v2")
    url = urlsplit(root)
    yield _address(url)
    for finding in check_connection(url, timeout_s):
        yield finding
        if finding.status == "fail":
            return
    yield from _send_probes(root, model, timeout_s)


def diagnose_local(base_url: str) -> Iterator[Finding]:
    """Look at a scorer of this process."""
    from cohere_rerank.client import ClientV2

    yield Finding("address", "ok", f"{base_url} answers inside this program: no key, no network")
    probe = PROBES[0].body("local")
    started = time.monotonic()
    try:
        with ClientV2(base_url=base_url) as client:
            client.rerank(**probe)
    except (CohereRerankError, ImportError) as error:
        yield Finding("scorer", "fail", str(error), "choose a scorer that is there, such as local:")
    else:
        yield Finding("scorer", "ok", f"ranked two documents ({1000 * (time.monotonic() - started):.0f} ms)")


def _address(url: SplitResult) -> Finding:
    shown = url.geturl()
    if url.scheme == "http" and url.hostname not in _LOOPBACK and key_from_environment():
        return Finding("address", "warn", f"{shown} is not encrypted, and your key goes there", "use https://")
    return Finding("address", "ok", shown)


def _send_probes(root: str, model: str, timeout_s: float) -> Iterator[Finding]:
    import httpx

    key = key_from_environment()
    headers = {"user-agent": f"cohere-rerank/{__version__}", **({"authorization": f"Bearer {key}"} if key else {})}
    with httpx.Client(headers=headers, timeout=timeout_s) as client:
        try:
            answers = [(probe, _post(client, root, probe, model, timeout_s)) for probe in PROBES]
            ranking = [
                (probe, dialect)
                for probe, answer in answers
                if answer.status == 200 and (dialect := dialect_of(probe.path, answer.reply))
            ]
            yield from _interpret_all(root, answers, ranking, bool(key))
            if ranking:
                yield _latency(_post(client, root, ranking[0][0], model, timeout_s))
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            yield Finding("connect", "fail", f"no complete answer: {reason}", "look into the log of the server")


def _post(client: httpx.Client, root: str, probe: Probe, model: str, timeout_s: float) -> _Reply:
    """Ask, and read no more and no longer than a reply of this size may take."""
    import httpx

    started = time.monotonic()
    body = bytearray()
    with client.stream("POST", root + probe.path, json=probe.body(model)) as response:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > _MAX_REPLY_BYTES or time.monotonic() - started > timeout_s:
                raise httpx.ReadError("the reply to two documents does not end")
    text = body.decode("utf-8", "replace")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        reply = text
    names = {name.lower(): value for name, value in response.headers.items()}
    return _Reply(response.status_code, names, reply, time.monotonic() - started)


def _interpret_all(
    root: str, answers: list[tuple[Probe, _Reply]], ranking: list[tuple[Probe, str]], has_key: bool
) -> Iterator[Finding]:
    if ranking:
        yield Finding("key", "ok", "accepted" if has_key else "none set, and none asked for")
        yield _dialects(root, ranking)
        yield _limits([answer for _, answer in answers])
        return
    found = [interpret(probe, answer.status, answer.headers, answer.reply) for probe, answer in answers]
    yield most_severe(filter(None, found)) or Finding(
        "dialect", "fail", "no rerank path is there", "check the address: a prefix such as /api may be missing"
    )


def _dialects(root: str, ranking: list[tuple[Probe, str]]) -> Finding:
    spoken = ", ".join(f"{dialect} at {probe.path}" for probe, dialect in ranking)
    if ranking[0][1] == "cohere":
        return Finding("dialect", "ok", spoken)
    (probe, dialect), *_ = ranking
    advice = f"there is no /v2/rerank: use --base-url {root}{probe.path} --dialect {dialect}"
    return Finding("dialect", "warn", spoken, advice)


def _limits(answers: list[_Reply]) -> Finding:
    stated = {name: None for answer in answers for name in limits(answer.headers)}
    is_limited = any(answer.status == 429 for answer in answers)
    if is_limited:
        return Finding("limits", "warn", ", ".join(["reached (429)", *stated]), "wait a minute between bursts")
    return Finding("limits", "ok", ", ".join(stated) or "none stated in the headers")


def _latency(answer: _Reply) -> Finding:
    message = f"{1000 * answer.took_s:.0f} ms for two documents"
    if answer.status != 200:
        return Finding("latency", "warn", f"not measured: the last request was answered {answer.status}")
    if answer.took_s > _SLOW_S:
        return Finding("latency", "warn", message, "the model may still be loading: run this again")
    return Finding("latency", "ok", message)
