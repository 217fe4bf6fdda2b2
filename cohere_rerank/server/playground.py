"""The playground page. Its security policy allows only its own script and requests to its own server."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from .http import Response

_STYLE, _SCRIPT = (re.compile(rf"<{tag}>(.*?)</{tag}>", re.DOTALL) for tag in ("style", "script"))


def playground_response() -> Response:
    """Return the page with its security headers."""
    # Reading as text makes every line end in \n. The browser computes the hashes from such lines.
    html = files("cohere_rerank.server").joinpath("playground.html").read_text(encoding="utf-8")
    headers = {
        "content-security-policy": _policy(html),
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",  # a new version of the server has a new page
    }
    return Response(200, html.encode(), headers, "text/html; charset=utf-8")


def _policy(html: str) -> str:
    """Return the Content Security Policy (level 3). The hashes allow exactly one style and one script."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hashes(_STYLE, html)}",
            f"script-src {_hashes(_SCRIPT, html)}",
            "connect-src 'self'",
            "img-src data:",  # its icon
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # the script cannot turn text into markup
            "trusted-types 'none'",
        ]
    )


def _hashes(element: re.Pattern[str], html: str) -> str:
    digests = [hashlib.sha256(content.encode()).digest() for content in element.findall(html)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
