"""The playground: one page, under a policy that lets it run its own script and ask its own server, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from .http import Reply

_STYLE, _SCRIPT = (re.compile(rf"<{tag}>(.*?)</{tag}>", re.DOTALL) for tag in ("style", "script"))


def page() -> Reply:
    """The page, with the headers that guard it."""
    # Read as text, for which lines end in \n whatever the checkout has, as they do for the browser's hashes.
    html = files("cohere_rerank.server").joinpath("playground.html").read_text(encoding="utf-8")
    headers = {
        "content-security-policy": _policy(html),
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",  # a newer version of the server brings its own page
    }
    return Reply(200, html.encode(), headers, "text/html; charset=utf-8")


def _policy(html: str) -> str:
    """Content Security Policy, level 3: the hashes name the only style and the only script there may be."""
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
            "require-trusted-types-for 'script'",  # text cannot become markup
            "trusted-types 'none'",
        ]
    )


def _hashes(element: re.Pattern[str], html: str) -> str:
    digests = [hashlib.sha256(content.encode()).digest() for content in element.findall(html)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
