"""The types of arguments and results. Results are frozen pydantic dataclasses with slots and with Cohere's names.

Fields that a newer API adds are kept. They can be read as attributes, and every dump contains them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypedDict, Union, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, ValidationError, core_schema

# These are real pydantic dataclasses, although pydantic_core alone would import faster: see decision note 9.
from ._result_base import ResultBase, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from ._clock import Clock
    from ._retry import RetryPolicy
    from .cache.score_cache import ScoreCache
    from .events import Event
    from .limits.circuit_breaker import CircuitBreaker
    from .limits.rate_limit import RateLimit
    from .local.scorer import ScoreFunction, Scorer

__all__ = [
    "AnyClient",
    "ApiKey",
    "ApiMeta",
    "ApiMetaApiVersion",
    "ApiMetaBilledUnits",
    "ApiMetaTokens",
    "ClientOptions",
    "CommonArguments",
    "DialectName",
    "DocumentCollection",
    "Documents",
    "Fallback",
    "FallbackMember",
    "Limit",
    "ModelName",
    "OnEvent",
    "OtherArguments",
    "RequestOptions",
    "RerankArguments",
    "RerankRelevantSpanResponse",
    "RerankRelevantSpans",
    "RerankRelevantSpansMode",
    "RerankResponse",
    "RerankResponseResultsItem",
    "RerankResponseResultsItemDocument",
    "ScoreScale",
    "V2RerankResponse",
    "V2RerankResponseResultsItem",
]

_N_REPR_RESULTS = 3
_N_REPR_CHARACTERS = 60  # of the document
_LOCAL_SCORER = re.compile(r"answered by the local scorer (\S+)")  # a warning of the local engine, also of a server
_set = object.__setattr__  # the results are frozen, so our own slots are set this way


class _NoneOnError:
    """In a reply, a value of the wrong type is read as None, because the ranking is still good."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        checked = handler(source)
        or_none = core_schema.with_default_schema(checked, default=None, on_error="default")
        return core_schema.json_or_python_schema(or_none, checked)


class _StopAtFirstError:
    """A list with many wrong items raises one error. All errors together need 600 times the memory of the reply."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        schema: Any = handler(source)
        return cast("core_schema.CoreSchema", {**schema, "fail_fast": True})


_CONFIG = ConfigDict(extra="allow", coerce_numbers_to_str=True)
_Position = Annotated[int, Field(strict=True, ge=0)]
_Score = Annotated[float, Field(strict=True, allow_inf_nan=False)]

# Any string is allowed, so that a mode of a newer API can be sent.
RerankRelevantSpansMode = Literal["enabled", "disabled"] | str  # noqa: PYI051


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class RerankRelevantSpans(ResultBase):
    """Asks for the passages that made each document relevant (Rerank v5 and newer).

    Attributes:
        mode: "enabled" or "disabled".
        threshold: The lowest score of a span, in [0, 1]. Default: None, the API's default of 0.1.
        max_spans: The largest number of spans for each document. Default: None, all spans.
    """

    mode: RerankRelevantSpansMode
    threshold: float | None = None
    max_spans: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class RerankRelevantSpanResponse(ResultBase):
    """A relevant passage ``text[start:end]`` of a document.

    Attributes:
        start: The position of its first character, in Unicode code points, from 0.
        end: The position after its last character.
        score: The relevance of the passage, in [0, 1].
    """

    start: _Position
    end: _Position
    score: _Score


class _ResultSlots(ResultBase):
    __slots__ = _internal_slots = ("_caller_document", "_sent_text")

    if TYPE_CHECKING:
        _caller_document: object
        _sent_text: str


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class V2RerankResponseResultsItem(_ResultSlots):
    """One ranked document.

    Attributes:
        index: The index of the document in the list of documents, from 0.
        relevance_score: The relevance of the document. Scores of Cohere's models are in [0, 1]. A document with 0.8 is
            more relevant than one with 0.4, but not twice as relevant.
        relevant_spans: The relevant passages, most relevant first. None if they were not asked for or not found.
    """

    index: _Position
    relevance_score: _Score
    relevant_spans: Annotated[list[RerankRelevantSpanResponse], _StopAtFirstError] | None = None

    @property
    def document(self) -> Any:
        """The caller's own object. Without one, the field ``document`` of the reply, or None."""
        if hasattr(self, "_caller_document"):
            return self._caller_document
        return self.__dict__.get("document")

    def __repr__(self) -> str:
        return f"{ResultBase.__repr__(self)[:-1]}{self._document_repr()})"

    def _document_repr(self) -> str:
        text = getattr(self, "_sent_text", None)  # not an echo of the server
        if text is None:
            return ""
        start = " ".join(text[: 4 * _N_REPR_CHARACTERS].split())
        is_cut = len(start) > _N_REPR_CHARACTERS or len(text) > 4 * _N_REPR_CHARACTERS
        return f", document={start[:_N_REPR_CHARACTERS] + '…' * is_cut!r}"

    @property
    def span_texts(self) -> list[str]:
        """The text of each relevant span, most relevant first. [] without spans.

        A structured document was sent as YAML. Its spans are parts of that text.
        """
        text: str | None = getattr(self, "_sent_text", None)
        if text is None:
            return []
        return [text[span.start : span.end] for span in self.relevant_spans or ()]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class ApiMetaApiVersion(ResultBase):
    """The version of the API that answered.

    Attributes:
        version: The version, such as "2".
        is_deprecated: Whether the version will be removed.
        is_experimental: Whether the version may change.
    """

    version: str
    is_deprecated: bool | None = None
    is_experimental: bool | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class ApiMetaBilledUnits(ResultBase):
    """The units that the call is billed for. Each is a count, or None if the call is not billed by that unit."""

    images: float | None = None
    input_tokens: float | None = None
    image_tokens: float | None = None
    text_tokens: float | None = None
    output_tokens: float | None = None
    search_units: float | None = None
    classifications: float | None = None
    pages: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class ApiMetaTokens(ResultBase):
    """The numbers of tokens that the model read and wrote."""

    input_tokens: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class ApiMeta(ResultBase):
    """The facts about a call that the reply contains.

    Attributes:
        api_version: The version of the API that answered.
        billed_units: The units that the call is billed for.
        tokens: The numbers of tokens that the model used.
        cached_tokens: The number of these tokens that came from the inference cache.
        warnings: Warnings of the API for the caller.
    """

    api_version: Annotated[ApiMetaApiVersion | None, _NoneOnError] = None
    billed_units: Annotated[ApiMetaBilledUnits | None, _NoneOnError] = None
    tokens: Annotated[ApiMetaTokens | None, _NoneOnError] = None
    cached_tokens: Annotated[float | None, _NoneOnError] = None
    warnings: Annotated[Annotated[list[str], _StopAtFirstError] | None, _NoneOnError] = None


class CallInfo(NamedTuple):
    """Facts about the call that returned a response. The properties of V2RerankResponse show them."""

    request_id: str | None = None
    attempts: int = 0
    elapsed_s: float = 0.0
    waited_s: float = 0.0
    answered_by: str | None = None


_NO_CALL_INFO = CallInfo()


class _ResponseSlots(ResultBase):
    __slots__ = _internal_slots = (
        "_answered_by",
        "_call_info",
        "_from_fallback",
        "_is_partial",
        "_n_documents_sent",
        "_score_scale",
    )

    if TYPE_CHECKING:
        _answered_by: str | None
        _call_info: CallInfo
        _from_fallback: bool
        _is_partial: bool
        _n_documents_sent: int
        _score_scale: Literal["unit", "logit"] | None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class V2RerankResponse(_ResponseSlots):
    """The response of ``rerank``.

    Attributes:
        id: The API's id of the call.
        results: The ranked documents, best first.
        meta: Version, billed units, tokens and warnings.
    """

    id: Annotated[str | None, _NoneOnError] = None
    results: Annotated[list[V2RerankResponseResultsItem], _StopAtFirstError]
    meta: Annotated[ApiMeta | None, _NoneOnError] = None

    @property
    def is_fallback(self) -> bool:
        """Whether the fallback answered because the API could not."""
        return getattr(self, "_from_fallback", False)

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, to quote in support questions. With several requests, the id of the first."""
        return self._info.request_id or self.id

    @property
    def attempts(self) -> int:
        """The number of requests sent for this response, with retries and parts of a split list. 0 if none was sent."""
        return self._info.attempts

    @property
    def elapsed_s(self) -> float:
        """The duration of the call, in seconds."""
        return self._info.elapsed_s

    @property
    def waited_s(self) -> float:
        """Seconds of waits for retries and for the client's own rate limit. The parts of a split list are added up."""
        return self._info.waited_s

    @property
    def answered_by(self) -> str | None:
        """The local scorer, such as ``"local-lexical"``, the host of the server, ``"cache"`` or ``"keep-order"``.

        None for a response that no call returned.
        """
        if getattr(self, "_answered_by", None) is not None:  # a member of the fallback chain
            return self._answered_by
        for warning in (self.meta.warnings if self.meta else None) or ():
            if (found := _LOCAL_SCORER.match(warning)) is not None:
                return found[1]
        return self._info.answered_by

    @property
    def _info(self) -> CallInfo:
        return getattr(self, "_call_info", _NO_CALL_INFO)

    @property
    def score_scale(self) -> Literal["unit", "logit"] | None:
        """The scale of the scores: ``"unit"``, in [0, 1], ``"logit"``, any number, or None if it is not known."""
        scale = getattr(self, "_score_scale", None) or self.__dict__.get("score_scale")
        return scale if scale in ("unit", "logit") else None

    @property
    def is_partial(self) -> bool:
        """Whether the server sent too few results, which only a client with ``strict=False`` accepts."""
        return getattr(self, "_is_partial", False)

    @property
    def scores(self) -> list[float | None]:
        """One score for each document, in the order of the documents. None for a document without a result."""
        found = {item.index: item.relevance_score for item in self.results}
        n_documents: int = getattr(self, "_n_documents_sent", max(found, default=-1) + 1)
        return [found.get(index) for index in range(n_documents)]

    def filter(self, *, min_score: float) -> Self:
        """Return a copy with only the results whose score is at least ``min_score``."""
        # Only the fallback "keep-order" returns None as a score. It keeps all documents.
        scores: list[float | None] = [item.relevance_score for item in self.results]
        kept = [item for item, score in zip(self.results, scores) if score is None or score >= min_score]
        response: Self = replace(self, results=kept)
        return response

    def __repr__(self) -> str:
        shown = self.results[:_N_REPR_RESULTS]
        results = [f"{item.index}: {_format_score(item.relevance_score)}" for item in shown]
        if len(self.results) > len(shown):
            results.append(f"… {len(self.results) - len(shown)} more")
        units = self.meta.billed_units if self.meta else None
        parts = {
            "id": repr(self.id) if self.id is not None else None,
            "results": f"[{', '.join(results)}]",
            "search_units": units.search_units if units else None,
            "answered_by": None if is_cohere(self.answered_by) else self.answered_by,
            "is_fallback": self.is_fallback or None,
        }
        given = ", ".join(f"{name}={text}" for name, text in parts.items() if text is not None)
        return f"{type(self).__name__}({given})"

    def _repr_html_(self) -> str:
        from ._html import table  # only notebooks need it

        return table(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class RerankResponseResultsItemDocument(ResultBase):
    """The document of a result of the v1 client. Its other fields are attributes too.

    Attributes:
        text: The text of the document.
    """

    text: str


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class RerankResponseResultsItem(ResultBase):
    """One ranked document, in a response of the v1 client.

    Attributes:
        document: The document, if ``return_documents=True`` was given.
        index: The index of the document in the list of documents, from 0.
        relevance_score: How relevant the document is, in [0, 1].
    """

    document: RerankResponseResultsItemDocument | None = None
    index: _Position
    relevance_score: _Score


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class RerankResponse(ResultBase):
    """The response of ``rerank`` of the v1 client.

    Attributes:
        id: The API's id of the call.
        results: The ranked documents, best first.
        meta: Version, billed units, tokens and warnings.
    """

    id: Annotated[str | None, _NoneOnError] = None
    results: list[RerankResponseResultsItem]
    meta: Annotated[ApiMeta | None, _NoneOnError] = None


_validate_json = V2RerankResponse.__pydantic_validator__.validate_json
_set_document = vars(_ResultSlots)["_caller_document"].__set__
_set_text = vars(_ResultSlots)["_sent_text"].__set__


def unscored(n_documents: int) -> V2RerankResponse:
    """Return a response with the documents in their own order, each with None as its score."""
    response = V2RerankResponse(
        results=[V2RerankResponseResultsItem(index=index, relevance_score=0.0) for index in range(n_documents)]
    )
    for item in response.results:
        _set(item, "relevance_score", None)  # the annotation stays that of the official client
    return response


def _format_score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.3g}"


def parse_response(body: bytes | str) -> V2RerankResponse:
    """Read a reply of the API.

    An index is an integer of at least 0, and a score is a finite number. In ``id`` and ``meta``, a value of the wrong
    type is read as None.

    Raises:
        pydantic.ValidationError: The body is not JSON, or it is not a ranking.
    """
    try:
        response: V2RerankResponse = _validate_json(body)
    except (AttributeError, TypeError):  # an unknown field with a name such as __class__
        error = PydanticCustomError("field_name", "A field has a name that Python keeps for itself")
        raise ValidationError.from_exception_data(
            V2RerankResponse.__name__, [{"type": error, "loc": (), "input": None}]
        ) from None
    return response


def is_cohere(answered_by: str | None) -> bool:
    """Return whether Cohere's own API answered, as far as that is known."""
    return answered_by is None or answered_by in ("cache", "cohere.com") or answered_by.endswith(".cohere.com")


def set_call_info(response: V2RerankResponse, info: CallInfo) -> None:
    """Set the facts about the call on a response."""
    _set(response, "_call_info", info)


def attach(
    response: V2RerankResponse,
    documents: Sequence[object],
    texts: Sequence[str],
    indices: Sequence[int] | None = None,
    *,
    is_fallback: bool = False,
    answered_by: str | None = None,
) -> V2RerankResponse:
    """Give each result its document, the text that was sent for it, and its index in the caller's list.

    Args:
        response: Changed in place, and returned. Each index is in range.
        documents: The caller's objects.
        texts: The texts that were sent.
        indices: The index in *documents* of the document of each text. Default: None, the same index.
        is_fallback: Whether the fallback answered.
        answered_by: The member of the fallback chain that answered.
    """
    for item in response.results:
        index = item.index
        _set_text(item, texts[index])
        if indices is not None:
            index = indices[index]
            _set(item, "index", index)
        _set_document(item, documents[index])
    _set(response, "_n_documents_sent", len(documents))
    _set(response, "_from_fallback", is_fallback)
    _set(response, "_answered_by", answered_by)
    return response


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

    api_key: ApiKey | None
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
    max_response_bytes: int | None
    fallback: Fallback | None
    scorer: Scorer | ScoreFunction | None
    limit: Limit | None
    cache: ScoreCache | None
    tag: str | None
    dialect: DialectName | None
    strict: bool | None
    score_scale: ScoreScale | None
    clock: Clock | None
    on_event: OnEvent | None
