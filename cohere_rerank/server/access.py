"""Who may call: keys compared in the same time whatever they are. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from .http import Refused

_CHALLENGE = {"www-authenticate": "Bearer"}


class Keys:
    """The keys that open the server; without any it is open.

    Only their digests are kept: they are of one length, so that a comparison tells nothing about a key's.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, authorization: str | None) -> None:
        """Let an ``Authorization: Bearer KEY`` header pass, "bearer" in any case.

        Raises:
            Refused: 401, in Cohere's words.
        """
        if not self._digests:
            return
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(401, "no api key supplied", _CHALLENGE)
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]  # all of them, found or not
        if not any(matches):
            raise Refused(401, "invalid api token", _CHALLENGE)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
