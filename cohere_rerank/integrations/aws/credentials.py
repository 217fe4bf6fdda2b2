"""Credentials of AWS: keys that sign requests, and where they come from."""

from __future__ import annotations

import os
from importlib.util import find_spec
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import missing_extra
from cohere_rerank._settings import Secret, Signer
from cohere_rerank._validators import header_value
from cohere_rerank.errors import ConnectionFailedError, InvalidRequestError, MissingApiKeyError

from .signing import signature_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .signing import Scope

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
_HELP = (
    "pass aws_access_key= and aws_secret_key= to BedrockClientV2 or SagemakerClientV2, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary keys)"
)


class AwsKeys(Signer):
    """An access key of AWS, which signs each request with Signature Version 4."""

    __slots__ = ("_access_key", "_scope", "_token")

    def __init__(self, access_key: str, secret_key: str, token: str | None, scope: Scope) -> None:
        super().__init__(secret_key, "aws_secret_key")
        self._access_key = header_value("aws_access_key", access_key)
        self._token = None if not token else header_value("aws_session_token", token)
        self._scope = scope

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that no error or log may show."""
        known = (self.value, self._access_key, self._token)
        return tuple(text for text in known if isinstance(text, str))

    def with_scope(self, scope: Scope) -> AwsKeys:
        """Return the same key for another region or service."""
        assert isinstance(self.value, str)
        return AwsKeys(self._access_key, self.value, self._token, scope)

    def sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the headers of the signature. The time of the system counts, not the clock of a test."""
        assert isinstance(self.value, str)
        # A proxy may change other headers on the way.
        signed = {
            name: value
            for name, value in headers.items()
            if name in ("host", "content-type") or (name.startswith("x-amz") and name not in _NOT_SIGNED)
        }
        return signature_headers(
            method,
            url,
            signed,
            body,
            scope=self._scope,
            access_key=self._access_key,
            secret_key=self.value,
            token=self._token,
            time_s=time(),
        )


_NOT_SIGNED = ("x-amz-date", "x-amz-security-token", "x-amzn-trace-id")  # made anew, or changed by load balancers


class BotocoreSource:
    """The credentials that botocore finds: of a profile, SSO, a role, a container or an instance.

    botocore refreshes them before they expire. Its import and its requests wait for the first call.
    """

    def __init__(self, profile: str | None, scope: Scope, session: list[Any] | None = None) -> None:
        self._profile = profile
        self._scope = scope
        self._session: list[Any] = [] if session is None else session  # botocore's credentials, once they are found
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<AWS credentials of {self._profile or 'the environment'}>"

    def __eq__(self, other: object) -> bool:  # clients with the same credentials share a limit
        return isinstance(other, BotocoreSource) and self._profile == other._profile

    def __hash__(self) -> int:
        return hash((BotocoreSource, self._profile))

    def with_scope(self, scope: Scope) -> BotocoreSource:
        """Return a source of the same credentials for another region or service."""
        return BotocoreSource(self._profile, scope, self._session)

    def known(self) -> AwsKeys | None:
        """Return the keys if they are known and still valid, without I/O."""
        if not self._session:
            return None
        refresh_needed = getattr(self._session[0], "refresh_needed", None)  # of credentials that expire
        return None if refresh_needed is not None and refresh_needed() else self._keys()

    def __call__(self) -> AwsKeys:
        """Return the keys. This may read files, ask servers, and refresh keys that expire.

        Raises:
            MissingApiKeyError: botocore finds no credentials, or cannot load those of the profile.
            ConnectionFailedError: A server that issues credentials does not answer.
        """
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ProfileNotFound

        try:
            with self._lock:
                if not self._session:
                    self._session.append(self._found())
            return self._keys()
        except ProfileNotFound as error:
            raise InvalidRequestError(f"the AWS profile is not valid: {error}") from None
        except HTTPClientError as error:
            raise ConnectionFailedError(f"AWS credentials could not be loaded: {type(error).__name__}") from None
        except (BotoCoreError, ClientError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise MissingApiKeyError(
                body=f"AWS credentials could not be loaded ({reason}); log in again, such as with aws sso login"
            ) from None

    def _found(self) -> Any:
        from botocore.session import Session

        credentials = Session(profile=self._profile).get_credentials()
        if credentials is None:
            raise missing_credentials(has_botocore=True)
        return credentials

    def _keys(self) -> AwsKeys:
        frozen = self._session[0].get_frozen_credentials()
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token, self._scope)


def find_credentials(profile: str | None, scope: Scope, *, takes_bearer: bool) -> Secret:
    """Return the credentials of the environment: its variables, else what botocore finds.

    Raises:
        MissingApiKeyError: The variables are not set, and botocore is not installed.
    """
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if profile is None and access_key and secret_key:
        return AwsKeys(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN"), scope)
    if find_spec("botocore") is None:
        raise missing_credentials(has_botocore=False, takes_bearer=takes_bearer)
    return Secret(BotocoreSource(profile, scope))  # type: ignore[arg-type] # a function that makes a Secret


def region_of_profile(profile: str | None) -> str | None:
    """Return the region that the configuration files of AWS name, if botocore is installed to read them."""
    if find_spec("botocore") is None:
        return None
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    try:
        region = Session(profile=profile).get_config_variable("region")
    except ProfileNotFound as error:
        raise InvalidRequestError(f"the AWS profile is not valid: {error}") from None
    return region if isinstance(region, str) else None


def missing_credentials(*, has_botocore: bool, takes_bearer: bool = False) -> MissingApiKeyError:
    """Return the error for a client that has no credentials."""
    bearer = f", or set {BEARER_VARIABLE} to a Bedrock API key" if takes_bearer else ""
    extra = "botocore found no profile, role or metadata either"
    if not has_botocore:
        extra = missing_extra("aws", "a profile, SSO, a role or instance metadata", "botocore is not installed")
    return MissingApiKeyError(body=f"No AWS credentials: {_HELP}{bearer}; {extra}")
