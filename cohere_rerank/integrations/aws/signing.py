"""AWS Signature Version 4. Pure: the caller passes the time in.

Source: "Create a signed AWS API request" in the AWS IAM User Guide. The tests compare it with botocore, and with AWS's
own test suite.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import digest
from time import gmtime, strftime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "AWS4-HMAC-SHA256"


class Scope(NamedTuple):
    """Where a signature is valid."""

    region: str
    service: str


def signature_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    scope: Scope,
    access_key: str,
    secret_key: str,
    token: str | None,
    time_s: float,
) -> dict[str, str]:
    """Return the headers that sign a request.

    Args:
        method: Such as ``"POST"``.
        url: The address as it is sent: encoded, with its query.
        headers: The headers to sign, ``host`` among them. Names are in lower case.
        body: The complete body.
        scope: The region and the service.
        access_key: The id of the key.
        secret_key: The key.
        token: The session token of temporary credentials, or None.
        time_s: Seconds since the epoch. AWS accepts a signature for five minutes.
    """
    now = strftime("%Y%m%dT%H%M%SZ", gmtime(time_s))
    added = {"x-amz-date": now}
    if token:
        added["x-amz-security-token"] = token
    signed = {name: " ".join(value.split()) for name, value in sorted({**headers, **added}.items())}
    names = ";".join(signed)
    parts = urlsplit(url)
    request = [method, _canonical_path(parts.path), _canonical_query(parts.query)]
    request += [f"{name}:{value}" for name, value in signed.items()]
    request += ["", names, sha256(body).hexdigest()]
    where = [now[:8], scope.region, scope.service, "aws4_request"]
    text = "\n".join([_ALGORITHM, now, "/".join(where), _hash("\n".join(request))])
    key = f"AWS4{secret_key}".encode()
    for step in where:
        key = digest(key, step.encode(), sha256)
    signature = digest(key, text.encode(), sha256).hex()
    credential = "/".join([access_key, *where])
    authorization = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**added, "authorization": authorization}


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _canonical_path(path: str) -> str:
    """Return the path without dot segments and empty segments, and encoded once more, as all services but S3 expect.

    >>> _canonical_path("/model/a%3Ab/./invoke")
    '/model/a%253Ab/invoke'
    """
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept) + end, safe="/~")


def _canonical_query(query: str) -> str:
    """Return the query sorted by name and value. It is encoded already."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in pairs)
