"""Remove the key and the secret headers of one request from what a server says."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cohere_rerank._settings import Secret


class Secrets:
    """The key and the secret headers of one request, to remove them from the texts of its reply or its error."""

    __slots__ = ("_headers", "_key")

    def __init__(self, key: Secret | None, headers: Mapping[str, str]) -> None:
        self._key = key
        self._headers = headers

    def hide(self, value: Any) -> Any:
        """Return a value without the secrets."""
        from cohere_rerank._secrets import SECRET_NAME, hide

        secrets = [] if self._key is None else [*self._key.texts]
        for name, text in self._headers.items():
            if SECRET_NAME.search(name):  # such as "Bearer abc", of which a server may quote the second word
                secrets += [text, text.rpartition(" ")[2]]
        for secret in secrets:
            value = hide(value, secret)
        return value
