"""The address, the headers and the timeouts of a client's requests."""

from __future__ import annotations

import re

from cohere_rerank._addresses import rerank_url
from cohere_rerank._settings import DEFAULT_CONNECT_TIMEOUT_S, DEFAULT_TIMEOUT_S
from cohere_rerank._version import __version__
from cohere_rerank._wire.decompress import ACCEPT_ENCODING

from .connection_errors import LocalProtocolError
from .outgoing import Timeouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Call, Part

    from .outgoing import Origin

MAX_TIMEOUT_S = 86_400.0  # for one phase; sockets accept no timeout above 24 days
_PORTS = {"http": 80, "https": 443}
# Addresses that need no normalizing. httpx reads all others.
_PLAIN_URL = re.compile(
    r"(https?)://([a-z0-9.-]+)(?::([0-9]{1,5}))?((?:/(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*)*)", re.ASCII
)
# RFC 9110, sections 5.1 and 5.5.
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_HEADER_VALUE = re.compile(rb"(?:[^\x00\s]+(?:[ \t]+[^\x00\s]+)*)?")


class RequestHead:
    """The address and the headers of the requests of one client with one key.

    It is made once, because it is the same for most requests. Its repr shows nothing of it.

    Attributes:
        origin: The scheme, the host and the port.
        start: The request line and the headers, up to the value of Content-Length, which comes last.
    """

    __slots__ = (
        "_call_headers",
        "_call_params",
        "_config",
        "_dialect",
        "_is_reusable",
        "_key",
        "_trace_headers",
        "origin",
        "start",
    )

    def __init__(self, config: Config, part: Part, key: Secret | None, target: str | None = None) -> None:
        self._config = config
        dialect = self._dialect = part.dialect
        is_signed = key is not None and key.is_signer
        self._is_reusable = not is_signed and (dialect is None or not dialect.has_model_in_url)
        self._key = None if key is None else key.value
        call = part.call
        self._call_headers, self._call_params, self._trace_headers = call.headers, call.params, call.trace.headers
        url = target or request_url(config, part)
        self.origin, host, path = _split(url, None if target else call.params)
        problem = _problem_in(request_headers(config, call, key))
        if problem is not None:  # raised here, where no local variable contains the key
            raise LocalProtocolError(problem)
        if is_signed:
            address = f"{self.origin[0]}://{host}{path}"
            headers = signed_headers(config, part, key, host, address)
        else:
            headers = {"host": host, **request_headers(config, call, key)}
        self.start = _head_bytes(path, {**headers, **call.trace.headers} if call.trace.headers else headers)

    def fits(self, config: Config, part: Part, key: Secret | None) -> bool:
        """Return whether a request has the same address and headers."""
        return (
            self._is_reusable
            and self._config is config
            and self._dialect is part.dialect
            and self._key == (None if key is None else key.value)
            and self._call_headers == part.call.headers
            and self._call_params == part.call.params
            and self._trace_headers == part.call.trace.headers
        )


def request_url(config: Config, part: Part) -> str:
    """Return the address of a request, without the query parameters of its call."""
    if config.rerank_url is not None:
        return config.rerank_url
    return rerank_url(config.base_url) if part.dialect is None else part.dialect.url(config.base_url, part.call.body)


def request_headers(config: Config, call: Call, key: Secret | None) -> dict[str, str]:
    """Return the headers of a request, except the host and the length. Names are in lower case."""
    headers = {
        "accept": "*/*",
        "accept-encoding": ACCEPT_ENCODING,
        "content-type": "application/json",
        "user-agent": f"cohere-rerank/{__version__}",
    }
    if config.client_name is not None:
        headers["x-client-name"] = config.client_name
    if key is not None and key.value and not key.is_signer:
        headers["authorization"] = f"Bearer {key.value}"
    for name, value in call.headers.items():
        headers[name.lower()] = str(value)
    return headers


def signed_headers(config: Config, part: Part, key: Any, host: str, address: str) -> dict[str, str]:
    """Return the headers of a request with those of its signature. *address* is the URL as it is sent."""
    headers = {"host": host, **request_headers(config, part.call, key)}
    return {**headers, **key.sign("POST", address, headers, part.content)}


def phase_timeouts(config: Config, call: Call) -> Timeouts:
    """Return the seconds for each phase that the settings ask for."""
    phase = min(call.timeout_s or config.timeout or DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S)
    connect = config.connect_timeout
    connect = min(phase, DEFAULT_CONNECT_TIMEOUT_S) if connect is None else min(connect, MAX_TIMEOUT_S)
    return Timeouts(connect, phase, phase, phase)


def _split(url: str, params: Any) -> tuple[Origin, str, str]:
    """Return the origin, the header Host and the target of an address."""
    plain = None if params else _PLAIN_URL.fullmatch(url)
    if plain is not None:
        scheme, host, port, path = plain.groups()
        number = int(port) if port else _PORTS[scheme]
        return (scheme, host, number), host if number == _PORTS[scheme] else f"{host}:{number}", path or "/"
    import httpx

    address = httpx.URL(url)
    if params:
        address = address.copy_merge_params(params)
    if address.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"the URL must begin with http:// or https://, got {address.scheme!r}")
    origin = address.scheme, address.raw_host.decode("ascii"), address.port or _PORTS[address.scheme]
    return origin, address.netloc.decode("ascii"), address.raw_path.decode("ascii")


def _problem_in(headers: Mapping[str, str]) -> str | None:
    """Return what makes one of the headers impossible to send, without its value; None if there is nothing."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            return f"{name[:40]!r} is not a valid name of a header"
        if not _HEADER_VALUE.fullmatch(value.encode("utf-8")):
            return f"the value of the header {name!r} has characters that HTTP does not allow"
    return None


def _head_bytes(path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "content-length: "]).encode("utf-8")


def merged_url(url: str, params: Any) -> str:
    """Return an address with further query parameters."""
    import httpx

    return str(httpx.URL(url).copy_merge_params(params))
