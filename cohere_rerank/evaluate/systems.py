"""Systems that can be evaluated, each as one function: a client with a model, a scorer, a function, an address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cohere_rerank._calls import calls_of
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.local.registry import as_scorer

if TYPE_CHECKING:
    from cohere_rerank.local.scorer import ScoreFunction, Scorer

    from .rankings import Ranking

    System = str | Scorer | ScoreFunction | ClientV2 | tuple[ClientV2, str] | Ranking
    """A ``local:`` address, a scorer, a function of (query, documents), a client, a pair of a client and a model, or a
    finished ranking."""

    ScoreList = Callable[[str, Sequence[object]], list[float]]

__all__ = ["NOT_RETURNED", "as_function", "with_error_context"]

NOT_RETURNED = float("-inf")
"""The score of a document that is not in the results. It ranks last."""

_ANY_MODEL = "evaluated"  # a local: address accepts any model name
_FORMS = "pass (client, model), a local: address, a scorer, or a function of (query, documents)"


def as_function(system: System) -> ScoreList:
    """Return a function that maps a query and documents to one score per document. It always uses a client.

    Raises:
        InvalidRequestError: The system has none of the known forms, or it is a client of an API without a model.
    """
    client, model = _client_and_model(system)

    def score(query: str, documents: Sequence[object]) -> list[float]:
        response = client.rerank(model=model, query=query, documents=documents)
        if response.is_fallback:
            raise CohereRerankError(
                f"the API failed for the model {model!r}, and the fallback of the client answered, which is another "
                "system; evaluate a client without a fallback"
            )
        return [NOT_RETURNED if score is None else score for score in response.scores]

    return score


def _client_and_model(system: object) -> tuple[ClientV2, str]:
    client, model = system if isinstance(system, tuple) and len(system) == 2 else (system, None)
    if isinstance(client, AsyncClientV2):
        raise InvalidRequestError("an AsyncClientV2 cannot be evaluated; pass a ClientV2 with the same settings")
    if isinstance(client, ClientV2):
        return client, _check_model(client, model)
    if isinstance(system, str):
        if not system.startswith("local:"):
            raise InvalidRequestError(f"{system[:60]!r} is not a local: address; {_FORMS}")
        return ClientV2(base_url=system), _ANY_MODEL
    if isinstance(system, tuple) or not (callable(system) or hasattr(system, "score")):
        raise InvalidRequestError(f"cannot evaluate {type(system).__name__}; {_FORMS}")
    return ClientV2(base_url="local:", scorer=as_scorer(system)), _ANY_MODEL


def _check_model(client: ClientV2, model: object) -> str:
    if model is None and calls_of(client).config.is_local:
        return _ANY_MODEL
    if not isinstance(model, str):
        raise InvalidRequestError("a client needs the name of a model; pass (client, model)")
    return model


@contextmanager
def with_error_context(place: str) -> Iterator[None]:
    """Add the place to the ``part`` of an error that is raised in this block."""
    try:
        yield
    except CohereRerankError as error:
        error.part = f"{place}, {error.part}" if error.part else place
        raise
