"""Cohere's models on Azure: ``base_url="azure:RESOURCE"`` for Foundry, ``"azure:https://..."`` for other endpoints.

A key is sent in the header ``api-key``, and to a serverless endpoint as a Bearer token. A function that returns a token
of Microsoft Entra ID, such as one of ``azure.identity.get_bearer_token_provider``, is passed as ``api_key=``. Without
either, AZURE_INFERENCE_CREDENTIAL or AZURE_AI_API_KEY is the key, and with the extra ``azure``,
``DefaultAzureCredential`` finds a token.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import checked_base_url
from cohere_rerank._settings import Secret, SecretList, Signer
from cohere_rerank._validators import describe_address
from cohere_rerank._wire.cloud import Cloud, FixedUrlDialect
from cohere_rerank._wire.dialects import DIALECTS
from cohere_rerank.errors import InvalidRequestError, MissingApiKeyError

if TYPE_CHECKING:
    from cohere_rerank._wire.dialects import Dialect

__all__ = ["cloud"]

KEY_VARIABLES = ("AZURE_INFERENCE_CREDENTIAL", "AZURE_AI_API_KEY")
_RESOURCE = re.compile(r"[A-Za-z0-9](?:-*[A-Za-z0-9]){1,62}", re.ASCII)
_SERVERLESS = ".models.ai.azure.com"
_FOUNDRY_PATH, _SERVERLESS_PATH = "/providers/cohere/v2/rerank", "/v2/rerank"
_FOUNDRY_SCOPE = "https://cognitiveservices.azure.com/.default"
_SERVERLESS_SCOPE = "https://ml.azure.com/.default"
_MARGIN_S = 300.0  # a token that expires sooner is replaced


def cloud(address: str) -> AzureCloud:
    """Return the cloud behind an address of Azure: ``azure:RESOURCE`` or ``azure:`` with a URL.

    A URL whose path ends in ``rerank`` is used as it is. ``/v1/rerank`` gets requests of v1. Another URL is the base of
    Foundry's path, or of a serverless endpoint's if its host says so.

    Raises:
        InvalidRequestError: It is neither the name of a resource nor a URL.
    """
    target = address.partition(":")[2]
    if _RESOURCE.fullmatch(target):
        url = f"https://{target}.services.ai.azure.com"
    elif target.lower().startswith(("https://", "http://")):
        url = checked_base_url(target, "the URL after azure:").rstrip("/")
    else:
        raise InvalidRequestError(
            f"base_url must look like azure:RESOURCE or azure:https://host, got {describe_address(address)}"
        )
    host = url.partition("://")[2].partition("/")[0].partition(":")[0].lower()
    is_serverless = host.endswith(_SERVERLESS)
    if not url.endswith("/rerank"):
        path = _SERVERLESS_PATH if is_serverless else _FOUNDRY_PATH
        url = f"{url.removesuffix('/providers/cohere')}{path}"
    return AzureCloud(f"azure:{target.rstrip('/')}", AzureDialect(url), is_serverless=is_serverless)


class AzureDialect(FixedUrlDialect):
    """Cohere's own form, at one URL."""

    name = "azure"
    key_hint = f"check api_key, or {KEY_VARIABLES[0]} in the environment"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._form: Dialect = DIALECTS["v1" if url.endswith("/v1/rerank") else "cohere"]

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body in the version of the API that the URL names."""
        return self._form.body(body)


class AzureCloud(Cloud):
    """A deployment on Azure.

    Args:
        address: The complete address.
        dialect: The form of requests, and the URL.
        is_serverless: Whether it is a serverless endpoint, which takes a key as a Bearer token.
    """

    def __init__(self, address: str, dialect: AzureDialect, *, is_serverless: bool) -> None:
        super().__init__(address, dialect)
        self._is_serverless = is_serverless
        self._scope = _SERVERLESS_SCOPE if is_serverless else _FOUNDRY_SCOPE

    def find_key(self, given: Secret | SecretList | None) -> Secret | SecretList | None:
        """Return the caller's key or keys, the key of the environment, or a source of tokens."""
        if isinstance(given, SecretList):
            given.secrets = tuple(map(self._as_sent, given.secrets))
            return given
        if given is not None:
            return self._as_sent(given)
        for name in KEY_VARIABLES:
            if key := os.environ.get(name):
                return self._as_sent(Secret(key, f"the environment variable {name}"))
        if not _has_identity():
            raise self.missing_key_error()
        return Secret(EntraTokens(self._scope))

    def missing_key_error(self) -> MissingApiKeyError:
        """Return the error for a client that has no key."""
        return MissingApiKeyError(
            body="No key for Azure: pass api_key= (a key, or a function that returns a token), or set "
            f'{KEY_VARIABLES[0]}; or install "cohere-rerank[azure]", which finds your login by DefaultAzureCredential'
        )

    def _as_sent(self, key: Secret) -> Secret:
        """Return a key in the header that the endpoint reads. A token of a function is always a Bearer token."""
        if isinstance(key.value, EntraTokens) and key.value.scope != self._scope:  # of a copy for another address
            return Secret(EntraTokens(self._scope))
        is_bearer = self._is_serverless or not isinstance(key.value, str) or not key.value
        if is_bearer:
            return Secret(key.value) if isinstance(key, AzureKey) else key
        return AzureKey(str(key.value))


class AzureKey(Signer):
    """A key that is sent in the header ``api-key``."""

    __slots__ = ()

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:  # noqa: ARG002
        """Return the header with the key."""
        return {"api-key": str(self.value)}


class EntraTokens:
    """Finds tokens with ``DefaultAzureCredential``, and keeps each until shortly before it expires.

    Args:
        scope: What the tokens are for.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self._credential: Any = None
        self._token: Any = None
        self._lock = threading.Lock()

    def known(self) -> str | None:
        """Return a token that is still valid for some minutes, or None."""
        token = self._token
        return token.token if token is not None and token.expires_on - _MARGIN_S > time.time() else None

    def __call__(self) -> str:
        """Return a token. It may read files, run programs and ask servers.

        Raises:
            MissingApiKeyError: No credential was found or accepted.
        """
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        with self._lock:
            if (known := self.known()) is not None:
                return known
            self._credential = self._credential or DefaultAzureCredential()
            try:
                self._token = self._credential.get_token(self.scope)
            except ClientAuthenticationError:  # its text lists all that was tried, on many lines
                self._token = None
        if self._token is None:
            raise MissingApiKeyError(
                body="DefaultAzureCredential found no login that Azure accepts: run az login, or pass api_key="
            )
        return str(self._token.token)

    def __eq__(self, other: object) -> bool:  # clients with the same login share a limit
        return isinstance(other, EntraTokens) and self.scope == other.scope

    def __hash__(self) -> int:
        return hash((EntraTokens, self.scope))

    def __repr__(self) -> str:
        return "<tokens of DefaultAzureCredential>"


def _has_identity() -> bool:
    from importlib.util import find_spec

    try:
        return find_spec("azure.identity") is not None
    except ModuleNotFoundError:  # the package azure is not installed
        return False
