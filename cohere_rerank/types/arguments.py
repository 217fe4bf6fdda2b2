"""The types of the arguments of a call and of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, Union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cohere_rerank._clock import Clock
    from cohere_rerank._retry import RetryPolicy
    from cohere_rerank.cache.score_cache import ScoreCache
    from cohere_rerank.cost.prices import Price
    from cohere_rerank.events import Event
    from cohere_rerank.limits.budget import Budget
    from cohere_rerank.limits.circuit_breaker import CircuitBreaker
    from cohere_rerank.limits.hedge import Hedge
    from cohere_rerank.limits.rate_limit import RateLimit
    from cohere_rerank.local.scorer import ScoreFunction, Scorer

    from .spans import RerankRelevantSpans


class RequestOptions(TypedDict, total=False):
    """Options of one call, with the official client's keys. None means that an option is not given.

    Attributes:
        timeout: Seconds for one attempt, as in the constructor.
        timeout_in_seconds: The old name of ``timeout``.
        max_retries: The number of retries after a temporary failure, >= 0.
        retry_remote_protocol_errors: False turns off retries when the server breaks off a reply.
        additional_headers: Headers to send with the request.
        additional_query_parameters: Parameters to add to the URL.
        additional_body_parameters: Fields to add to the body.
        chunk_size: For compatibility with the official client. It has no effect on rerank.
        stream_reconnection_enabled: For compatibility, without effect.
        max_stream_reconnection_attempts: For compatibility, without effect.
        deadline: Seconds for the whole call, with all attempts and waits.
    """

    timeout: float | None
    timeout_in_seconds: float | None
    max_retries: int | None
    retry_remote_protocol_errors: bool | None
    additional_headers: dict[str, Any] | None
    additional_query_parameters: dict[str, Any] | None
    additional_body_parameters: dict[str, Any] | None
    chunk_size: int | None
    stream_reconnection_enabled: bool | None
    max_stream_reconnection_attempts: int | None
    deadline: float | None


# Any string is allowed, so that other models can be named. The literals are for completion in editors.
ModelName = (
    Literal["rerank-v4.0-pro", "rerank-v4.0-fast", "rerank-v3.5", "rerank-english-v3.0", "rerank-multilingual-v3.0"]  # noqa: PYI051
    | str
)
"""The name of a model. Any string is allowed; the known names are for completion in editors."""

ApiKey = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""An API key, or a function that returns it. An asynchronous function works with the asynchronous clients only."""

DialectName = Literal["cohere", "v1", "jina", "tei", "llamacpp", "auto"]
"""The name of the API that a server has. ``"auto"`` finds it with the first call."""

ScoreScale = Literal["unit", "logit"]
"""The scale of scores: ``"unit"`` is in [0, 1], and ``"logit"`` is any number."""


class AnyClient(Protocol):
    """A ``ClientV2`` or an ``AsyncClientV2``."""

    @property
    def usage(self) -> object:
        """The counts of the client."""
        ...


FallbackMember = Union[Literal["local", "keep-order"], "Scorer", "ScoreFunction", AnyClient]
"""One source of answers when the API cannot answer: a name, a scorer, a function, or another client."""

Fallback = FallbackMember | Sequence[FallbackMember]
"""A source of answers when the API cannot answer, or a list of sources that are tried in order."""

OnEvent = Callable[["Event"], object]
"""A function that gets each event of a client. Its return value is ignored."""

Limit = Union[Literal["trial", "production", "auto"], "RateLimit"]
"""A rate limit: a RateLimit, or the name of a preset. ``"auto"`` learns the rate from the replies."""


class DocumentCollection(Protocol):
    """A list, tuple, array, column or view of documents. A single text is not one, though it can be iterated."""

    def __iter__(self) -> Iterator[object]:
        """Iterate over the documents."""
        ...

    # Takes any object, as the method of lists does. The one of str takes texts only, so str does not match.
    def __contains__(self, document: object, /) -> bool:
        """Return whether a document is in the collection."""
        ...


Documents = DocumentCollection | Iterator[object]
"""The documents of a call: a collection, or an iterator that is read once. A single text is not accepted."""


class _OptionalArguments(TypedDict, total=False):
    top_n: int | None
    max_tokens_per_doc: int | None
    relevant_spans: RerankRelevantSpans | Mapping[str, Any] | None
    priority: int | None
    request_options: RequestOptions | None
    rank_fields: Sequence[str] | None
    text: str | Callable[[Any], str] | None
    on_empty: Literal["error", "skip"] | None
    min_score: float | None
    max_documents_per_request: int | None
    deadline: float | None


class RerankArguments(_OptionalArguments):
    """The arguments of ``ClientV2.rerank``, for functions that take ``**arguments: Unpack[RerankArguments]``."""

    model: ModelName
    query: str
    documents: Documents


class OtherArguments(TypedDict, total=False):
    """Arguments of the v1 client that ``ClientV2.rerank`` accepts with a warning, because they have no effect there."""

    return_documents: bool | None


class CommonArguments(_OptionalArguments, total=False):
    """The arguments that the requests of ``ClientV2.rerank_many`` can share: the same ones, all optional."""

    model: ModelName | None
    query: str | None
    documents: Documents | None


class ClientOptions(TypedDict, total=False):
    """The settings that ``ClientV2.with_options`` can change. None keeps the client's own."""

    api_key: ApiKey | Sequence[ApiKey] | None
    base_url: str | None
    rerank_url: str | None
    client_name: str | None
    headers: Mapping[str, Any] | None
    params: Mapping[str, Any] | None
    timeout: float | None
    connect_timeout: float | None
    deadline: float | None
    max_retries: int | None
    retry_policy: RetryPolicy | None
    max_documents_per_request: int | None
    max_request_bytes: int | None
    pointwise: bool | None
    circuit_breaker: CircuitBreaker | None
    hedge: Hedge | None
    max_response_bytes: int | None
    fallback: Fallback | None
    scorer: Scorer | ScoreFunction | None
    limit: Limit | None
    budget: Budget | None
    prices: Mapping[str, Price | Mapping[str, Any]] | None
    cache: ScoreCache | None
    tag: str | None
    dialect: DialectName | None
    strict: bool | None
    score_scale: ScoreScale | None
    clock: Clock | None
    on_event: OnEvent | None
    telemetry: bool | None
