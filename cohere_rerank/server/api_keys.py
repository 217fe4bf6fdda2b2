"""Checks API keys in constant time. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from .http import HttpError

_CHALLENGE = {"www-authenticate": "Bearer"}


class ApiKeys:
    """The accepted API keys. Without keys, every request is accepted.

    Only digests of the keys are stored. All digests have the same length, so the time of a comparison says nothing
    about the length of a key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, authorization: str | None) -> None:
        """Accept the header ``Authorization: Bearer KEY``. The word "bearer" may have any case.

        Raises:
            HttpError: 401, with Cohere's message.
        """
        if not self._digests:
            return
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise HttpError(401, "no api key supplied", _CHALLENGE)
        digest = _digest(key.strip())
        matches = [hmac.compare_digest(digest, accepted) for accepted in self._digests]  # always compare with all keys
        if not any(matches):
            raise HttpError(401, "invalid api token", _CHALLENGE)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
