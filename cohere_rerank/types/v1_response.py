"""The response of the v1 client and its results."""

# The annotations are real types, because schemas are made from them: no `from __future__ import annotations`.
from typing import Annotated

from cohere_rerank._result_base import ResultBase
from cohere_rerank._result_type import NoneOnError, result_type

from .meta import ApiMeta
from .spans import Position, Score


@result_type
class RerankResponseResultsItemDocument(ResultBase):
    """The document of a result of the v1 client. Its other fields are attributes too.

    Attributes:
        text: The text of the document.
    """

    text: str


@result_type
class RerankResponseResultsItem(ResultBase):
    """One ranked document, in a response of the v1 client.

    Attributes:
        document: The document, if ``return_documents=True`` was given.
        index: The index of the document in the list of documents, from 0.
        relevance_score: How relevant the document is, in [0, 1].
    """

    document: RerankResponseResultsItemDocument | None = None
    index: Position
    relevance_score: Score


@result_type
class RerankResponse(ResultBase):
    """The response of ``rerank`` of the v1 client.

    Attributes:
        id: The API's id of the call.
        results: The ranked documents, best first.
        meta: Version, billed units, tokens and warnings.
    """

    id: Annotated[str | None, NoneOnError] = None
    results: list[RerankResponseResultsItem]
    meta: Annotated[ApiMeta | None, NoneOnError] = None
