"""Rerank documents against a query: a light, typed client for Cohere's API, with an engine that works offline.

    >>> import cohere_rerank
    >>> client = cohere_rerank.ClientV2(base_url="local:")  # no key, no network
    >>> response = client.rerank(
    ...     model="rerank-v4.0-fast",
    ...     query="capital of France",
    ...     documents=["Berlin is the capital of Germany.", "Paris is the capital of France."],
    ... )
    >>> response.results[0].index
    1

Names are imported when first used (PEP 562), so that ``import cohere_rerank`` costs next to nothing.
"""

# ruff: noqa: F405 - the errors' names come by a star import, for type checkers only
from __future__ import annotations

from ._lazy import lazy_exports
from ._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import core as core
    from . import errors as errors
    from . import events as events
    from ._clock import Clock as Clock
    from ._raw_response import AsyncRawClientV2 as AsyncRawClientV2
    from ._raw_response import RawClientV2 as RawClientV2
    from ._raw_response import RawResponse as RawResponse
    from ._retry import RetryPolicy as RetryPolicy
    from ._transport.default_clients import DefaultAioHttpClient as DefaultAioHttpClient
    from ._transport.default_clients import DefaultAsyncHttpxClient as DefaultAsyncHttpxClient
    from .async_client import AsyncClientV2 as AsyncClientV2
    from .batch import BatchProgress as BatchProgress
    from .cache import ScoreCache as ScoreCache
    from .client import ClientV2 as ClientV2
    from .cost.estimate import SearchUnitsEstimate as SearchUnitsEstimate
    from .cost.estimate import estimate_search_units as estimate_search_units
    from .cost.prices import Price as Price
    from .environment import ClientEnvironment as ClientEnvironment
    from .errors import *  # noqa: F403
    from .integrations.aws import AsyncBedrockClientV2 as AsyncBedrockClientV2
    from .integrations.aws import AsyncSagemakerClientV2 as AsyncSagemakerClientV2
    from .integrations.aws import BedrockClientV2 as BedrockClientV2
    from .integrations.aws import SagemakerClientV2 as SagemakerClientV2
    from .limits.budget import Budget as Budget
    from .limits.circuit_breaker import CircuitBreaker as CircuitBreaker
    from .limits.hedge import Hedge as Hedge
    from .limits.rate_limit import RateLimit as RateLimit
    from .local.scorer import ScoreFunction as ScoreFunction
    from .local.scorer import Scorer as Scorer
    from .types import AnyClient as AnyClient
    from .types import ApiKey as ApiKey
    from .types import ApiMeta as ApiMeta
    from .types import ApiMetaApiVersion as ApiMetaApiVersion
    from .types import ApiMetaBilledUnits as ApiMetaBilledUnits
    from .types import ApiMetaTokens as ApiMetaTokens
    from .types import ClientOptions as ClientOptions
    from .types import CommonArguments as CommonArguments
    from .types import DialectName as DialectName
    from .types import DocumentCollection as DocumentCollection
    from .types import Documents as Documents
    from .types import Fallback as Fallback
    from .types import FallbackMember as FallbackMember
    from .types import Limit as Limit
    from .types import ModelName as ModelName
    from .types import OnEvent as OnEvent
    from .types import OtherArguments as OtherArguments
    from .types import RequestOptions as RequestOptions
    from .types import RerankArguments as RerankArguments
    from .types import RerankRelevantSpanResponse as RerankRelevantSpanResponse
    from .types import RerankRelevantSpans as RerankRelevantSpans
    from .types import RerankRelevantSpansMode as RerankRelevantSpansMode
    from .types import RerankResponse as RerankResponse
    from .types import RerankResponseResultsItem as RerankResponseResultsItem
    from .types import RerankResponseResultsItemDocument as RerankResponseResultsItemDocument
    from .types import ScoreScale as ScoreScale
    from .types import V2RerankResponse as V2RerankResponse
    from .types import V2RerankResponseResultsItem as V2RerankResponseResultsItem
    from .usage import ClientUsage as ClientUsage
    from .v1 import AsyncClient as AsyncClient
    from .v1 import Client as Client

_MODULES = {
    "_transport.default_clients": ("DefaultAioHttpClient", "DefaultAsyncHttpxClient"),
    "_retry": ("RetryPolicy",),
    "async_client": ("AsyncClientV2",),
    "_clock": ("Clock",),
    "_raw_response": ("AsyncRawClientV2", "RawClientV2", "RawResponse"),
    "batch.rules": ("BatchProgress",),
    "cache.score_cache": ("ScoreCache",),
    "client": ("ClientV2",),
    "cost.estimate": ("SearchUnitsEstimate", "estimate_search_units"),
    "cost.prices": ("Price",),
    "environment": ("ClientEnvironment",),
    "errors": (
        "ApiError",
        "BadGatewayError",
        "BadRequestError",
        "BudgetExceededError",
        "CertificateError",
        "CircuitOpenError",
        "ClientClosedError",
        "ClientClosedRequestError",
        "CohereRerankError",
        "ConflictError",
        "ConnectionFailedError",
        "DeadlineExceededError",
        "ForbiddenError",
        "GatewayTimeoutError",
        "InternalServerError",
        "InvalidRequestError",
        "InvalidResponseError",
        "InvalidTokenError",
        "MissingApiKeyError",
        "NotFoundError",
        "NotImplementedError",
        "PayloadTooLargeError",
        "PaymentRequiredError",
        "QuotaExceededError",
        "RateLimitStoreError",
        "RateLimitWaitError",
        "RedirectError",
        "TimeoutExceededError",
        "RequestTimeoutError",
        "ResponseTooLargeError",
        "ScorerError",
        "ServiceUnavailableError",
        "TooManyRequestsError",
        "UnauthorizedError",
        "UnprocessableEntityError",
    ),
    "limits.budget": ("Budget",),
    "integrations.aws": (
        "AsyncBedrockClientV2",
        "AsyncSagemakerClientV2",
        "BedrockClientV2",
        "SagemakerClientV2",
    ),
    "limits.circuit_breaker": ("CircuitBreaker",),
    "limits.hedge": ("Hedge",),
    "limits.rate_limit": ("RateLimit",),
    "local.scorer": ("ScoreFunction", "Scorer"),
    "types": (
        "ApiMeta",
        "ApiMetaApiVersion",
        "ApiMetaBilledUnits",
        "ApiMetaTokens",
        "ClientOptions",
        "CommonArguments",
        "OtherArguments",
        "OnEvent",
        "RerankResponseResultsItemDocument",
        "RerankResponseResultsItem",
        "RerankResponse",
        "Limit",
        "Fallback",
        "FallbackMember",
        "DialectName",
        "AnyClient",
        "ScoreScale",
        "ApiKey",
        "ModelName",
        "Documents",
        "DocumentCollection",
        "RequestOptions",
        "RerankArguments",
        "RerankRelevantSpanResponse",
        "RerankRelevantSpans",
        "RerankRelevantSpansMode",
        "V2RerankResponse",
        "V2RerankResponseResultsItem",
    ),
    "usage": ("ClientUsage",),
    "v1": ("AsyncClient", "Client"),
}
_EXPORTS = {name: module for module, names in _MODULES.items() for name in names}
_EXPORTS |= {"core": "", "errors": "", "events": ""}  # modules
__all__ = [
    "AnyClient",
    "ApiError",
    "ApiKey",
    "ApiMeta",
    "ApiMetaApiVersion",
    "ApiMetaBilledUnits",
    "ApiMetaTokens",
    "AsyncBedrockClientV2",
    "AsyncClient",
    "AsyncClientV2",
    "AsyncRawClientV2",
    "AsyncSagemakerClientV2",
    "BadGatewayError",
    "BadRequestError",
    "BatchProgress",
    "BedrockClientV2",
    "Budget",
    "BudgetExceededError",
    "CertificateError",
    "CircuitBreaker",
    "CircuitOpenError",
    "Client",
    "ClientClosedError",
    "ClientClosedRequestError",
    "ClientEnvironment",
    "ClientOptions",
    "ClientUsage",
    "ClientV2",
    "Clock",
    "CohereRerankError",
    "CommonArguments",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "DefaultAioHttpClient",
    "DefaultAsyncHttpxClient",
    "DialectName",
    "DocumentCollection",
    "Documents",
    "Fallback",
    "FallbackMember",
    "ForbiddenError",
    "GatewayTimeoutError",
    "Hedge",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidResponseError",
    "InvalidTokenError",
    "Limit",
    "MissingApiKeyError",
    "ModelName",
    "NotFoundError",
    "NotImplementedError",
    "OnEvent",
    "OtherArguments",
    "PayloadTooLargeError",
    "PaymentRequiredError",
    "Price",
    "QuotaExceededError",
    "RateLimit",
    "RateLimitStoreError",
    "RateLimitWaitError",
    "RawClientV2",
    "RawResponse",
    "RedirectError",
    "RequestOptions",
    "RequestTimeoutError",
    "RerankArguments",
    "RerankRelevantSpanResponse",
    "RerankRelevantSpans",
    "RerankRelevantSpansMode",
    "RerankResponse",
    "RerankResponseResultsItem",
    "RerankResponseResultsItemDocument",
    "ResponseTooLargeError",
    "RetryPolicy",
    "SagemakerClientV2",
    "ScoreCache",
    "ScoreFunction",
    "ScoreScale",
    "Scorer",
    "ScorerError",
    "SearchUnitsEstimate",
    "ServiceUnavailableError",
    "TimeoutExceededError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnprocessableEntityError",
    "V2RerankResponse",
    "V2RerankResponseResultsItem",
    "__version__",
    "errors",
    "estimate_search_units",
    "events",
]


def _advice(name: str) -> str:
    """Return where a class of the official package is, such as BedrockClient."""
    if not name[:1].isupper():
        return ""
    return f": cohere-rerank includes rerank only. Use cohere.{name} if there is one (pip install cohere)"


if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS, _advice)
