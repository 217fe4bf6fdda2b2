"""What the address of a cloud stands for. Pure.

`_addresses.CLOUDS` names a module of `integrations` for each scheme. It has a function ``cloud(address)``, which checks
the address and returns the `Cloud` behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohere_rerank._settings import missing_key_error
from cohere_rerank.errors import InvalidRequestError

from .dialects import BaseDialect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from cohere_rerank._settings import Secret, SecretList
    from cohere_rerank.errors import MissingApiKeyError

    from .call import Call


class Cloud:
    """The rerank API of a cloud: where requests go, their form, their limits, and what authenticates them.

    Args:
        address: The address with all that identifies the target, such as ``"bedrock:us-east-1"``, and without secrets.
            Limits, the cache and events use it.
        dialect: The form of requests and replies, and the URL.

    Attributes:
        has_unit_scores: Whether the scores are known to be in [0, 1].
        max_documents: Longer lists are split. None: no limit of its own.
        max_bytes: Lists with a longer request are split. None: no limit.
    """

    has_unit_scores: bool = True
    max_documents: int | None = None
    max_bytes: int | None = None

    def __init__(self, address: str, dialect: BaseDialect) -> None:
        self.address = address
        self.dialect = dialect

    def find_key(self, given: Secret | SecretList | None) -> Secret | SecretList | None:
        """Return the key of the client: the caller's, or that of the environment.

        A copy of a client passes the key that this method returned before.

        A `Signer` authenticates each request itself. The value of a key can be a function, which is called for each
        request and returns the key as a text, or a `Signer`. If the function has a method ``known``, which returns such
        a key or None without I/O, then asynchronous clients call the function in a thread, and only if ``known``
        returns None; and the function stays out of pickles.

        Raises:
            MissingApiKeyError: There is none.
            InvalidRequestError: The cloud does not take a key of this kind.
        """
        return given

    def missing_key_error(self) -> MissingApiKeyError:
        """Return the error for a client that has no key."""
        return missing_key_error()

    def check(self, call: Call) -> None:
        """Warn about arguments of a call, or raise an InvalidRequestError, before anything is sent."""


class FixedUrlDialect(BaseDialect):
    """A dialect whose requests are all sent to one URL.

    Args:
        url: The URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, address: str, body: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the URL."""
        return self._url


def reject_fields(body: Mapping[str, Any], names: Iterable[str], api: str, advice: str = "leave it out") -> None:
    """Check that a v2 body has no field that the API of a cloud does not support.

    Raises:
        InvalidRequestError: It has one.
    """
    for name in names:
        if name in body:
            raise InvalidRequestError(f"{name} is not supported by {api}; {advice}")
