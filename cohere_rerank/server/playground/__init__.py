"""The playground page. Its security policy allows only its own script and requests to its own server."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from cohere_rerank.server.http import Response

__all__ = ["playground_response"]

# The page is sent as one file, and these are one script in it. page.js starts the page, so it comes last.
_SCRIPTS = ("yaml.js", "documents.js", "code.js", "link.js", "results.js", "page.js")


def playground_response() -> Response:
    """Return the page with its security headers."""
    style = _read("style.css")
    script = "\n".join(['"use strict";', *map(_read, _SCRIPTS)])
    html = _read("page.html")
    html = html.replace("<style></style>", f"<style>{style}</style>").replace(
        "<script></script>", f"<script>{script}</script>"
    )
    headers = {
        "content-security-policy": _policy(style, script),
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",  # a new version of the server has a new page
    }
    return Response(200, html.encode(), headers, "text/html; charset=utf-8")


def _read(name: str) -> str:
    # Reading as text makes every line end in \n. The browser computes the hashes from such lines.
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return the Content Security Policy (level 3). The hashes allow exactly one style and one script."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "img-src data:",  # its icon
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # the script cannot turn text into markup
            "trusted-types 'none'",
        ]
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
