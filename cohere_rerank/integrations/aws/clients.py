"""Clients with the names and the arguments of the official clients for AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError

from .credentials import AwsKeys
from .signing import Scope

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from cohere_rerank._clock import Clock
    from cohere_rerank._retry import RetryPolicy
    from cohere_rerank.cache.score_cache import ScoreCache
    from cohere_rerank.cost.prices import Price
    from cohere_rerank.limits.budget import Budget
    from cohere_rerank.limits.circuit_breaker import CircuitBreaker
    from cohere_rerank.limits.hedge import Hedge
    from cohere_rerank.types import ApiKey, Fallback, Limit, OnEvent, ScoreScale

_NO_SCOPE = Scope("", "")  # the address decides


class AwsClientOptions(TypedDict, total=False):
    """The further arguments of the clients for AWS. All but the first two are those of ClientV2.

    Attributes:
        endpoint_url: The URL of a VPC endpoint or a test server. Default: AWS_ENDPOINT_URL_BEDROCK_RUNTIME or
            AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME, then AWS_ENDPOINT_URL, then AWS's own for the region.
        profile_name: The profile of the AWS configuration files whose credentials and region are used (extra ``aws``).
            Default: AWS_PROFILE, then ``default``.
    """

    endpoint_url: str | None
    profile_name: str | None
    budget: Budget | None
    cache: ScoreCache | None
    circuit_breaker: CircuitBreaker | None
    client_name: str | None
    clock: Clock | None
    connect_timeout: float | None
    deadline: float | None
    fallback: Fallback | None
    headers: Mapping[str, Any] | None
    hedge: Hedge | None
    httpx_client: Any
    limit: Limit | None
    max_connections: int | None
    max_documents_per_request: int | None
    max_request_bytes: int | None
    max_response_bytes: int | None
    max_retries: int | None
    on_event: OnEvent | None
    params: Mapping[str, Any] | None
    pointwise: bool | None
    prices: Mapping[str, Price | Mapping[str, Any]] | None
    proxy: str | None
    retry_policy: RetryPolicy | None
    score_scale: ScoreScale | None
    strict: bool | None
    tag: str | None
    telemetry: bool | None
    verify: bool | str | os.PathLike[str] | ssl.SSLContext | None


class BedrockClientV2(ClientV2):
    """A blocking client of the rerank models of Cohere on Amazon Bedrock (InvokeModel).

    The model of a call is an id such as ``"cohere.rerank-v3-5:0"``, or an ARN.

    Args:
        aws_access_key: The id of an access key. Default: AWS_BEARER_TOKEN_BEDROCK (a Bedrock API key), else
            AWS_ACCESS_KEY_ID, else what botocore finds (extra ``aws``): profiles, SSO, roles, containers, instances.
        aws_secret_key: The key that belongs to it.
        aws_session_token: The token of temporary credentials.
        aws_region: The region. Default: AWS_REGION, AWS_DEFAULT_REGION, or that of the profile.
        timeout: As for ClientV2.
        api_key: A Bedrock API key, or a function that returns one. Default: None.
        **options: `AwsClientOptions`.

    Raises:
        MissingApiKeyError: There are no credentials, and botocore is not installed.
        InvalidRequestError: An argument is not valid.
    """

    def __init__(
        self,
        *,
        aws_access_key: str | None = None,
        aws_secret_key: str | None = None,
        aws_session_token: str | None = None,
        aws_region: str | None = None,
        timeout: float | None = None,
        api_key: ApiKey | None = None,
        **options: Unpack[AwsClientOptions],
    ) -> None:
        keys = _keys(aws_access_key, aws_secret_key, aws_session_token, api_key)
        super().__init__(keys, base_url=_bedrock_address(aws_region, options), timeout=timeout, **_others(options))


class AsyncBedrockClientV2(AsyncClientV2):
    """As `BedrockClientV2`, for asyncio and trio."""

    def __init__(
        self,
        *,
        aws_access_key: str | None = None,
        aws_secret_key: str | None = None,
        aws_session_token: str | None = None,
        aws_region: str | None = None,
        timeout: float | None = None,
        api_key: ApiKey | None = None,
        **options: Unpack[AwsClientOptions],
    ) -> None:
        keys = _keys(aws_access_key, aws_secret_key, aws_session_token, api_key)
        super().__init__(keys, base_url=_bedrock_address(aws_region, options), timeout=timeout, **_others(options))


class SagemakerClientV2(ClientV2):
    """A blocking client of rerank models in SageMaker endpoints. The model of a call is the name of the endpoint.

    Args:
        aws_access_key: The id of an access key. Default: AWS_ACCESS_KEY_ID, else what botocore finds (extra ``aws``).
        aws_secret_key: The key that belongs to it.
        aws_session_token: The token of temporary credentials.
        aws_region: The region. Default: AWS_REGION, AWS_DEFAULT_REGION, or that of the profile.
        timeout: As for ClientV2.
        **options: `AwsClientOptions`.

    Raises:
        MissingApiKeyError: There are no credentials, and botocore is not installed.
        InvalidRequestError: An argument is not valid.
    """

    def __init__(
        self,
        *,
        aws_access_key: str | None = None,
        aws_secret_key: str | None = None,
        aws_session_token: str | None = None,
        aws_region: str | None = None,
        timeout: float | None = None,
        **options: Unpack[AwsClientOptions],
    ) -> None:
        keys = _keys(aws_access_key, aws_secret_key, aws_session_token, None)
        super().__init__(keys, base_url=_sagemaker_address(aws_region, options), timeout=timeout, **_others(options))


class AsyncSagemakerClientV2(AsyncClientV2):
    """As `SagemakerClientV2`, for asyncio and trio."""

    def __init__(
        self,
        *,
        aws_access_key: str | None = None,
        aws_secret_key: str | None = None,
        aws_session_token: str | None = None,
        aws_region: str | None = None,
        timeout: float | None = None,
        **options: Unpack[AwsClientOptions],
    ) -> None:
        keys = _keys(aws_access_key, aws_secret_key, aws_session_token, None)
        super().__init__(keys, base_url=_sagemaker_address(aws_region, options), timeout=timeout, **_others(options))


def _keys(access_key: str | None, secret_key: str | None, token: str | None, api_key: ApiKey | None) -> Any:
    """Return the keys that the caller passed, or None."""
    given = {"aws_access_key": access_key, "aws_secret_key": secret_key, "aws_session_token": token}
    if access_key is None and secret_key is None and token is None:
        return api_key
    if api_key is not None:
        raise InvalidRequestError("api_key and aws_access_key are mutually exclusive; pass one of them")
    if access_key is None or secret_key is None:
        missing = ", ".join(name for name, value in given.items() if value is None and name != "aws_session_token")
        raise InvalidRequestError(f"aws_access_key and aws_secret_key belong together; {missing} is missing")
    return AwsKeys(access_key, secret_key, token, _NO_SCOPE)


def _bedrock_address(region: str | None, options: AwsClientOptions) -> str:
    return f"bedrock:{region or ''}{_query(None, options)}"


def _sagemaker_address(region: str | None, options: AwsClientOptions) -> str:
    return f"sagemaker:{_query(region, options)}"


def _query(region: str | None, options: AwsClientOptions) -> str:
    named = {"region": region, "endpoint": options.get("endpoint_url"), "profile": options.get("profile_name")}
    pairs = [f"{name}={quote(value, safe=':/')}" for name, value in named.items() if value]
    return "?" + "&".join(pairs) if pairs else ""


def _others(options: AwsClientOptions) -> Any:
    return {name: value for name, value in options.items() if name not in ("endpoint_url", "profile_name")}
