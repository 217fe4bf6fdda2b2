"""What a rerank call returns: frozen, slotted pydantic dataclasses, named as Cohere's own.

Fields that a newer API adds are kept: they read as attributes and stand in every dump.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError, SchemaSerializer, ValidationError, core_schema

if TYPE_CHECKING:
    from typing_extensions import Self

_NO_FIELDS: dict[str, Any] = {}
_set = object.__setattr__  # the values are frozen; this is how we fill the slots that are ours
_serializer = SchemaSerializer(core_schema.any_schema())


def _unknown_field(name: str) -> Any:
    """Let an unknown field that is named as a property of ours be stored (and dumped) all the same."""

    def keep(self: Value, value: object) -> None:
        self.__dict__[name] = value

    return keep


class Value:
    """What all the types share. Declared fields are slots; unknown ones go to the lazily made dict."""

    __slots__ = ("__dict__", "__weakref__")

    if TYPE_CHECKING:
        __dataclass_fields__: dict[str, Any]
        __pydantic_validator__: Any

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Read a mapping as this type; a value of this type is returned as it is."""
        value: Self = cls.__pydantic_validator__.validate_python(obj)
        return value

    @classmethod
    def model_validate_json(cls, json_data: str | bytes) -> Self:
        """Read JSON text as this type."""
        value: Self = cls.__pydantic_validator__.validate_json(json_data)
        return value

    def model_dump(
        self,
        *,
        mode: str = "python",
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """The fields as a dict, nested values too; as the official client dumps them.

        Args:
            mode: "python" gives every field, "json" leaves out those that are None.
            exclude_unset: Leave out fields that are None (as every default is).
            exclude_defaults: The same.
            exclude_none: The same, and unknown fields that are None.
            options: What else pydantic's ``model_dump`` takes: ``include``, ``exclude``, ...
        """
        no_defaults = exclude_unset or exclude_defaults or mode == "json"
        fields = _plain(self, no_defaults or exclude_none, exclude_none)
        options.pop("by_alias", None)  # there are no aliases
        dumped: dict[str, Any] = _serializer.to_python(fields, mode=mode, **options)
        return dumped

    def model_dump_json(
        self,
        *,
        exclude_unset: bool = False,  # noqa: ARG002 - fields that are None are left out of JSON anyway
        exclude_defaults: bool = False,  # noqa: ARG002
        exclude_none: bool = False,
        **options: Any,
    ) -> str:
        """The fields as JSON text, without those that are None; options as for ``model_dump``."""
        options.pop("by_alias", None)
        text: bytes = _serializer.to_json(_plain(self, True, exclude_none), **options)
        return text.decode()

    def dict(self, **options: Any) -> dict[str, Any]:
        """The fields that are not None as a dict, as the official client's ``dict()``."""
        return self.model_dump(**{"exclude_unset": True, **options})

    def json(self, **options: Any) -> str:
        """The fields that are not None as JSON text."""
        return self.model_dump_json(**options)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _declared(self) == _declared(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(tuple(v) if isinstance(v, list) else v for v in _declared(self)))

    def __repr__(self) -> str:
        given = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return (
            f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given if v is not None)})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), _state(self))


def _declared(value: Any) -> list[Any]:
    return [getattr(value, name) for name in value.__dataclass_fields__]


def _private(cls: type) -> tuple[str, ...]:
    return getattr(cls, "_private_slots", ())


def _state(value: Any) -> dict[str, Any]:
    """Everything a value holds: declared fields, unknown ones, and our own slots where filled."""
    names = (*value.__dataclass_fields__, *_private(type(value)))
    return {name: getattr(value, name) for name in names if hasattr(value, name)} | {
        "__dict__": value.__dict__
    }


def _restored(cls: type[Any], state: dict[str, Any]) -> Any:
    value = object.__new__(cls)
    for name, item in state.items():
        _set(value, name, item)
    return value


def replaced(value: Any, **changes: Any) -> Any:
    """A copy with some declared fields changed, unchecked; unknown fields and our own slots come along."""
    return _restored(type(value), _state(value) | {"__dict__": dict(value.__dict__)} | changes)


def _plain(value: Any, no_none: bool, no_unknown_none: bool) -> Any:
    """A value of ours as dicts and lists, unknown fields after the declared ones."""
    if isinstance(value, list):
        return [_plain(item, no_none, no_unknown_none) for item in value]
    if not isinstance(value, Value):
        return value
    fields = {}
    for name in value.__dataclass_fields__:
        item = getattr(value, name)
        if item is not None or not no_none:
            fields[name] = (
                _plain(item, no_none, no_unknown_none) if isinstance(item, (Value, list)) else item
            )
    for name, item in value.__dict__.items():
        if item is not None or not no_unknown_none:
            fields[name] = item
    return fields


class _Lenient:
    """In a reply, a value of the wrong type reads as None: an odd ``meta`` is no reason to lose a ranking."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        strict = handler(source)
        lenient = core_schema.with_default_schema(strict, default=None, on_error="default")
        return core_schema.json_or_python_schema(lenient, strict)


_CONFIG = ConfigDict(extra="allow", coerce_numbers_to_str=True)
# Only the response is validated in the common case; what it holds is then built as a part of it.
_DEFERRED: ConfigDict = {**_CONFIG, "defer_build": True}

RerankRelevantSpansMode = Literal["enabled", "disabled"] | str


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class RerankRelevantSpans(Value):
    """Asks for the stretches of each document that made it relevant (Rerank v5 and newer).

    Attributes:
        mode: "enabled" or "disabled".
        threshold: Least score of a span, in [0, 1]; 0.1 unless given.
        max_spans: At most that many spans a document; all unless given.
    """

    mode: RerankRelevantSpansMode
    threshold: float | None = None
    max_spans: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class RerankRelevantSpanResponse(Value):
    """A relevant stretch ``text[start:end]`` of a document.

    Attributes:
        start: Position of its first character, in Unicode code points.
        end: Position just past its last character.
        score: How relevant it is, in [0, 1].
    """

    start: Annotated[int, Field(strict=True, ge=0)]
    end: Annotated[int, Field(strict=True, ge=0)]
    score: Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Result(Value):
    __slots__ = ("_caller_document", "_sent_text")
    _private_slots = __slots__

    if TYPE_CHECKING:
        _caller_document: object
        _sent_text: str
        relevant_spans: list[RerankRelevantSpanResponse] | None

    def _document(self) -> Any:
        """The caller's own object, as given to ``rerank``; else the reply's ``document``, else None."""
        return getattr(self, "_caller_document", self.__dict__.get("document"))

    document = property(_document, _unknown_field("document"))

    def _span_texts(self) -> list[str]:
        """The text of each relevant span, the most relevant first; [] when there are none."""
        text = getattr(self, "_sent_text", None)
        if text is None or not self.relevant_spans:
            return []
        return [text[span.start : span.end] for span in self.relevant_spans]

    span_texts = property(_span_texts, _unknown_field("span_texts"))


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class V2RerankResponseResultsItem(_Result):
    """One ranked document.

    Attributes:
        index: Its place in the list that was sent, from 0.
        relevance_score: In [0, 1] from Cohere's models; higher is more relevant, not proportionally so.
        relevant_spans: Its relevant stretches, most relevant first, if asked for and found.
    """

    index: Annotated[int, Field(strict=True, ge=0)]
    relevance_score: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    relevant_spans: list[RerankRelevantSpanResponse] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class ApiMetaApiVersion(Value):
    """Which version of the API answered."""

    version: str
    is_deprecated: bool | None = None
    is_experimental: bool | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class ApiMetaBilledUnits(Value):
    """What the call is billed for; for rerank, search units (v3.5, v4) or tokens (v5)."""

    images: float | None = None
    input_tokens: float | None = None
    image_tokens: float | None = None
    text_tokens: float | None = None
    output_tokens: float | None = None
    search_units: float | None = None
    classifications: float | None = None
    pages: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class ApiMetaTokens(Value):
    """Tokens that went through the model, billed or not."""

    input_tokens: float | None = None
    output_tokens: float | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_DEFERRED)
class ApiMeta(Value):
    """What a reply says about itself."""

    api_version: Annotated[ApiMetaApiVersion | None, _Lenient] = None
    billed_units: Annotated[ApiMetaBilledUnits | None, _Lenient] = None
    tokens: Annotated[ApiMetaTokens | None, _Lenient] = None
    cached_tokens: Annotated[float | None, _Lenient] = None
    warnings: Annotated[list[str] | None, _Lenient] = None


class _Response(Value):
    __slots__ = ("_fallback", "_n_documents")
    _private_slots = __slots__

    if TYPE_CHECKING:
        _fallback: bool
        _n_documents: int
        id: str | None
        results: list[V2RerankResponseResultsItem]
        meta: ApiMeta | None

    def _is_fallback(self) -> bool:
        """Whether another scorer answered because the API could not."""
        return getattr(self, "_fallback", False)

    is_fallback = property(_is_fallback, _unknown_field("is_fallback"))

    def _scores(self) -> list[float | None]:
        """Scores in the order of the documents sent; None for those that are not in the results."""
        n_documents = getattr(
            self, "_n_documents", 1 + max((item.index for item in self.results), default=-1)
        )
        scores: list[float | None] = [None] * n_documents
        for item in self.results:
            scores[item.index] = item.relevance_score
        return scores

    scores = property(_scores, _unknown_field("scores"))

    def filter(self, *, min_score: float) -> Self:
        """A copy with only the results whose score is at least ``min_score``."""
        kept = [item for item in self.results if item.relevance_score >= min_score]
        copy: Self = replaced(self, results=kept)
        return copy

    def __repr__(self) -> str:
        shown = [f"{item.index}: {item.relevance_score:.3f}" for item in self.results[:3]]
        if len(self.results) > len(shown):
            shown.append(f"… {len(self.results) - len(shown)} more")
        parts = [f"results=[{', '.join(shown)}]"]
        if self.id is not None:
            parts.insert(0, f"id={self.id!r}")
        units = self.meta.billed_units if self.meta else None
        if units and units.search_units is not None:
            parts.append(f"search_units={units.search_units}")
        if self.is_fallback:
            parts.append("is_fallback=True")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True, config=_CONFIG)
class V2RerankResponse(_Response):
    """The answer to ``rerank``.

    Attributes:
        id: The API's id of the call.
        results: The ranked documents, best first.
        meta: Version, billed units, tokens and warnings.
    """

    id: Annotated[str | None, _Lenient] = None
    results: list[V2RerankResponseResultsItem]
    meta: Annotated[ApiMeta | None, _Lenient] = None


_validate_json = V2RerankResponse.__pydantic_validator__.validate_json
_set_document = _Result._caller_document.__set__  # type: ignore[attr-defined]
_set_text = _Result._sent_text.__set__  # type: ignore[attr-defined]


def parse_response(body: bytes | str) -> V2RerankResponse:
    """Read the API's JSON.

    Raises:
        pydantic.ValidationError: It is not JSON, or breaks the contract.
    """
    try:
        response: V2RerankResponse = _validate_json(body)
    except (AttributeError, TypeError):  # an unknown field with a name like __class__
        error = PydanticCustomError("field_name", "A field has a name that Python reserves")
        raise ValidationError.from_exception_data(
            "V2RerankResponse", [{"type": error, "loc": (), "input": None}]
        ) from None
    return response


def attach(
    response: V2RerankResponse,
    documents: Sequence[object],
    texts: Sequence[str],
    *,
    is_fallback: bool = False,
) -> V2RerankResponse:
    """Give each result its document and the text sent for it; returns the same response.

    Args:
        documents: The caller's objects, as many as were ranked.
        texts: What was sent for each.
    """
    for item in response.results:
        _set_document(item, documents[item.index])
        _set_text(item, texts[item.index])
    _set(response, "_n_documents", len(documents))
    _set(response, "_fallback", is_fallback)
    return response


class RequestOptions(TypedDict, total=False):
    """Options of one call; None means "not given".

    Attributes:
        timeout: Seconds each phase of an attempt may take.
        deadline: Seconds the whole call may take, attempts and waits together.
    """

    timeout: float | None
    timeout_in_seconds: int | None
    max_retries: int | None
    retry_remote_protocol_errors: bool | None
    additional_headers: dict[str, Any] | None
    additional_query_parameters: dict[str, Any] | None
    additional_body_parameters: dict[str, Any] | None
    chunk_size: int | None
    stream_reconnection_enabled: bool | None
    max_stream_reconnection_attempts: int | None
    deadline: float | None
