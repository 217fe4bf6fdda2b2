"""The response of ``ClientV2.rerank`` and its results."""

# The annotations are real types, because schemas are made from them: no `from __future__ import annotations`.
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cohere_rerank._result_base import ResultBase, replace
from cohere_rerank._result_type import NoneOnError, result_type

from .meta import ApiMeta
from .spans import Position, RerankRelevantSpanResponse, Score, StopAtFirstError

if TYPE_CHECKING:
    from typing_extensions import Self

_INF = float("inf")
_N_REPR_RESULTS = 3
_N_REPR_CHARACTERS = 60  # of the document
_LOCAL_SCORER = re.compile(r"answered by the local scorer (\S+)")  # a warning of the local engine, also of a server


class _ResultSlots(ResultBase):
    __slots__ = _internal_slots = ("_caller_document", "_sent_text")

    if TYPE_CHECKING:
        _caller_document: object
        _sent_text: str


@result_type
class V2RerankResponseResultsItem(_ResultSlots):
    """One ranked document.

    Attributes:
        index: The index of the document in the list of documents, from 0.
        relevance_score: The relevance of the document. Scores of Cohere's models are in [0, 1]. A document with 0.8 is
            more relevant than one with 0.4, but not twice as relevant.
        relevant_spans: The relevant passages, most relevant first. None if they were not asked for or not found.
    """

    index: Position
    relevance_score: Score
    relevant_spans: Annotated[list[RerankRelevantSpanResponse], StopAtFirstError] | None = None

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


class CallInfo(NamedTuple):
    """Facts about the call that returned a response. The properties of V2RerankResponse show them."""

    request_id: str | None = None
    attempts: int = 0
    elapsed_s: float = 0.0
    waited_s: float = 0.0
    answered_by: str | None = None
    model: str | None = None
    pricing: Any = None


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


@result_type
class V2RerankResponse(_ResponseSlots):
    """The response of ``rerank``.

    Attributes:
        id: The API's id of the call.
        results: The ranked documents, best first.
        meta: Version, billed units, tokens and warnings.
    """

    id: Annotated[str | None, NoneOnError] = None
    results: Annotated[list[V2RerankResponseResultsItem], StopAtFirstError]
    meta: Annotated[ApiMeta | None, NoneOnError] = None

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
    def cost(self) -> float | None:
        """The cost of the response in USD: its billed units at the prices of the client. None if it is not known.

        0.0 from the local engine, from a cache that had all scores, and from a fallback that is not a paid API.
        """
        info = self._info
        if info.pricing is None:
            return 0.0 if hasattr(self, "_n_documents_sent") else None  # nothing was sent; else no call returned it
        from cohere_rerank.cost.prices import cost_of

        return cost_of(billed_units_of(self), info.model, info.pricing)

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

    def filter(self, *, min_score: float) -> "Self":
        """Return a copy with only the results whose score is at least ``min_score``.

        Raises:
            InvalidRequestError: ``min_score`` is not a number.
        """
        from cohere_rerank._validators import needed_number

        needed_number("min_score", min_score, float("-inf"))
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
        from cohere_rerank._html import table  # only notebooks need it

        return table(self)


def _format_score(score: float | None) -> str:
    return "no score" if score is None else f"{score:.3g}"


def call_info_of(response: V2RerankResponse) -> CallInfo:
    """Return the facts about the call that returned a response."""
    return response._info


def billed_units_of(response: V2RerankResponse) -> dict[str, float]:
    """Return the units that a response reports, also kinds that this release does not know.

    An amount below 0 or without a bound is left out, because it is not known then.
    """
    units: Any = response.meta.billed_units if response.meta is not None else None
    names = () if units is None else (*units._field_names, *vars(units))
    amounts = {name: getattr(units, name) for name in names}
    return {name: value for name, value in amounts.items() if isinstance(value, (int, float)) and 0 <= value < _INF}


def is_cohere(answered_by: str | None) -> bool:
    """Return whether Cohere's own API answered, as far as that is known."""
    return answered_by is None or answered_by in ("cache", "cohere.com") or answered_by.endswith(".cohere.com")
