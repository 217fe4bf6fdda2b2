"""The numbers and patterns of Cohere's rerank API, each written once. It imports nothing, so every module may use it.

Source: Cohere API reference, ``POST /v2/rerank``, and the OpenAPI file behind it (November 2026).
"""

from __future__ import annotations

MAX_DOCUMENTS = 10_000
"""Documents in one request, at most."""

DEFAULT_MAX_TOKENS_PER_DOC = 4096
"""Tokens after which the API cuts a document, if the request does not say."""

DEFAULT_V1_MODEL = "rerank-v3.5"
"""The model of a call of the v1 client that names none. The v1 API chooses by itself; other servers do not."""

MAX_PRIORITY = 999
"""The lowest priority; 0 is the highest."""

DEFAULT_SPAN_THRESHOLD = 0.1
"""Lowest score of a relevant span, if the request does not say."""

# Ranges of statuses, and the one status that several modules ask for. RFC 9110, section 15.
FIRST_REDIRECT = 300
FIRST_ERROR = 400
FIRST_SERVER_ERROR = 500
PAYLOAD_TOO_LARGE = 413
TOO_MANY_REQUESTS = 429


def is_redirect(status: int) -> bool:
    """Return whether a status is 3xx."""
    return FIRST_REDIRECT <= status < FIRST_ERROR


REQUEST_ID_PATTERN = r"[\w.:/+=@-]{1,128}"
"""What a request id may look like. Other values could break a log or a header, or contain a text."""


def is_request_id(text: str | None) -> bool:
    """Return whether a text looks like a request id and is safe in logs and headers."""
    if text is None:
        return False
    import re

    return re.fullmatch(REQUEST_ID_PATTERN, text, re.ASCII) is not None


_QUOTA_FORMS = (
    r"\d[\d,.]*\s+(?:\w+\s+){0,3}?(?:/|per|a|each)\s*(?:month|day)\b",  # "1000 API calls / month": Cohere's own
    r"\b(?:monthly|daily)\s+(?:\w+\s+){0,2}(?:limit|quota|allowance|cap|budget|credits?)\b",
    r"\btoo many (?:tokens|requests) per (?:day|month)\b",  # Bedrock's
    r"\binsufficient_quota\b|\bexceeded your current quota\b",  # OpenAI's, which gateways pass on
    r"\bbudget has been exceeded\b",  # LiteLLM's, of a key
)
_SHORT_PERIODS = r"\b(?:seconds?|minutes?|hours?|secs?|mins?|rpm|rps|tpm)\b"


def is_used_up_quota(message: str) -> bool:
    """Return whether the message of a 429 is about the quota of a month or a day, which no short wait clears.

    No documented code tells such a quota from a limit per minute, so this knows the texts of servers. A message that
    is about a shorter period too, or about neither, is about a rate limit.
    """
    import re

    if re.search(_SHORT_PERIODS, message, re.IGNORECASE):
        return False
    return any(re.search(form, message[:2000], re.IGNORECASE) for form in _QUOTA_FORMS)
