"""Addresses of servers: which ones are valid, and where the requests of each one go. Pure."""

from __future__ import annotations

from ._validators import describe, describe_address
from .errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRODUCTION_URL = "https://api.cohere.com"
LOCAL_SCHEME = "local:"
CLOUDS = {
    **dict.fromkeys(("bedrock", "bedrock-agent", "sagemaker"), "aws.clouds"),
    "azure": "azure",
    "oci": "oci",
    "vertex": "vertex",
}
"""The schemes of cloud addresses such as ``bedrock:us-east-1``, and the module of ``integrations`` that serves each."""
_COHERE_DOMAINS = (".cohere.com", ".cohere.ai")
_UNIT_DOMAINS = (*_COHERE_DOMAINS, ".jina.ai", ".voyageai.com")  # their references say that scores are in [0, 1]
ENDPOINT_NAMES = ("rerank", "reranks", "reranking", "score")
"""A path that ends with one of these names is a full endpoint."""


def rerank_url(base_url: str) -> str:
    """Return the address of the endpoint for a base, a base with a version, or a full endpoint.

    >>> rerank_url("https://api.cohere.com"), rerank_url("https://proxy.example/co/v1/")
    ('https://api.cohere.com/v2/rerank', 'https://proxy.example/co/v2/rerank')
    """
    if cloud_scheme(base_url):
        return base_url
    scheme, _, rest = base_url.rstrip("/").partition("://")
    host, *path = rest.split("/")
    if not path or path[-1] not in ENDPOINT_NAMES:
        path = path[:-1] if path[-1:] in (["v1"], ["v2"]) else path
        path += ["v2", "rerank"]
    return "/".join([f"{scheme}://{host}", *path])


def host_of(base_url: str) -> str:
    """Return the host of an address, with its port, or the address itself for ``local:`` and for a cloud."""
    head, mark, rest = without_query(base_url).partition("://")
    return rest.partition("/")[0] if mark else head


def without_query(url: str) -> str:
    """Return an address for logs and events: without its query, in which gateways expect keys."""
    return url if url.startswith(LOCAL_SCHEME) else url.partition("?")[0]


def cloud_scheme(url: str) -> str | None:
    """Return the scheme of the address of a cloud, or None for another address."""
    scheme = url.partition(":")[0]
    return scheme if scheme in CLOUDS and url[len(scheme) : len(scheme) + 3] not in ("", "://") else None


def is_cohere(url: str) -> bool:
    """Return whether an address is one of Cohere's own, so that Cohere's published limits hold there.

    >>> is_cohere("https://api.cohere.com/v2"), is_cohere("https://api.cohere.com.example")
    (True, False)
    """
    return _name_of(url).endswith(_COHERE_DOMAINS)


def has_unit_scores(url: str) -> bool:
    """Return whether the scores of an address are known to be in [0, 1]: the local engine, and some hosted APIs."""
    return url.startswith(LOCAL_SCHEME) or _name_of(url).endswith(_UNIT_DOMAINS)


def _name_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0].lower()


def checked_rerank_url(url: Any) -> str:
    """Check an address that is used exactly as it is, and return it. It may have a query."""
    if not isinstance(url, str):
        return checked_base_url(url, "rerank_url")
    base, mark, query = url.partition("?")
    if url.startswith(LOCAL_SCHEME) or not query.isprintable() or set(query) & {" ", "#"}:
        raise InvalidRequestError(
            f"rerank_url must look like https://host/path, with a query if needed, got {_shown(base)}"
        )
    return checked_base_url(base, "rerank_url") + mark + query


_ALLOWED = {
    "rerank_url": "https://host/path",
    **dict.fromkeys(("upstream", "endpoint"), "https://host or https://host/prefix"),
}


def checked_base_url(url: Any, name: str = "base_url") -> str:
    """Check the base of an address, and return it. *name* is the setting that errors name."""
    if not isinstance(url, str):
        raise InvalidRequestError(f"{name} must be a string, got {describe(url)}; pass a URL such as 'https://host'")
    is_cloud_endpoint = name == "endpoint"  # which is a URL
    if url.startswith(LOCAL_SCHEME) and not is_cloud_endpoint:
        return url
    if cloud_scheme(url) and name != "rerank_url" and not is_cloud_endpoint:
        return url  # the cloud checks the rest
    scheme, _, rest = url.partition("://")
    host = rest.split("/", 1)[0]
    has_shape = scheme.lower() in ("http", "https") and host and _is_port(host.rpartition("@")[2])
    if not has_shape or not url.isprintable() or " " in url:
        allowed = _ALLOWED.get(name, "https://host, https://host/prefix or local:")
        raise InvalidRequestError(f"{name} must look like {allowed}, got {_shown(url)}{_suggestion(url)}")
    if "@" in host:
        raise InvalidRequestError(
            f"{name} must not contain a user name or password; pass api_key=, or headers={{'Authorization': ...}}"
        )
    if "?" in rest or "#" in rest:
        raise InvalidRequestError(
            f"{name} must not have a query or a fragment; pass params={{...}}, or rerank_url= for an address that is "
            "used exactly as it is"
        )
    return url


_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def checked_proxy(url: Any) -> str:
    """Check the address of a proxy, and return it. Errors do not show its user name and password."""
    if not isinstance(url, str):
        raise InvalidRequestError(
            f"proxy must be a URL as a string, such as 'http://user:password@host:3128', got {describe(url)}"
        )
    scheme, _, rest = url.partition("://")
    host = rest.removesuffix("/").rpartition("@")[2]
    is_valid = scheme.lower() in _PROXY_SCHEMES and host and _is_port(host) and not set(host) & set("/?# ")
    if not is_valid or not url.isprintable() or host.startswith(":"):
        raise InvalidRequestError(
            f"proxy must look like scheme://host:port with one of the schemes {', '.join(_PROXY_SCHEMES)}, "
            f"got {_shown(url)}"
        )
    return url


def shown_proxy(url: str) -> str:
    """Return the address of a proxy without its user name and password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else _without_userinfo(url)


_HOST_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.:-")


def _suggestion(url: str) -> str:
    """Return a question for the usual mistakes: local or a cloud without its colon, and a host without a scheme."""
    word = url.strip().lower().rstrip(":")
    if word == LOCAL_SCHEME.rstrip(":"):
        return f"; did you mean {LOCAL_SCHEME!r}?"
    if word.split(":")[0] in ("localhost", "127.0.0.1") and url.isprintable() and not set(url) & {" ", "@"}:
        return f"; did you mean {'http://' + url!r}?"
    if word in CLOUDS:
        return f"; did you mean {word + ':'!r} and the place of your models there?"
    cloud, _, place = url.strip().partition(":")
    if cloud.lower() in CLOUDS and len(url) <= 200 and url.isprintable() and not set(url) & set("@?#"):
        return f"; did you mean {cloud.lower() + ':' + place.lstrip('/')!r}?"
    host = url.partition("/")[0]
    is_host = "." in host and set(host.lower()) <= _HOST_CHARS and _is_port(host)
    if is_host and len(url) <= 200 and url.isprintable() and not set(url) & set(" @?#"):
        return f"; did you mean {'https://' + url!r}?"
    return ""


def _is_port(host: str) -> bool:
    """Return whether the text after the host is a valid port, or there is none."""
    port = host.rpartition("]")[2].partition(":")[2]  # the colons of an IPv6 address are in brackets
    return not port or (port.isdecimal() and int(port) < 65_536)


def _without_userinfo(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"…@{tail}" if at else head + tail


def _shown(url: str) -> str:
    return describe_address(_without_userinfo(url))
