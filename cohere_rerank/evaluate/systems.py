"""What can be evaluated: a client with a model, a scorer, a function, or a ``local:`` address, all as one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.local.registry import as_scorer

if TYPE_CHECKING:
    from cohere_rerank.local.scorer import ScoreFunction, Scorer

    System = str | Scorer | ScoreFunction | ClientV2 | tuple[ClientV2, str]
    """A ``local:`` address; a scorer; a function of (query, documents); a client, with the model to ask for."""

    Scores = Callable[[str, Sequence[object]], list[float]]

__all__ = ["NOT_RETURNED", "as_function", "located"]

NOT_RETURNED = float("-inf")
"""Stands for the score of a document that is not in the results: it ranks last."""

_ANY_MODEL = "evaluated"  # a local: address takes any
_FORMS = "give (client, model), a local: address, a scorer, or a function of (query, documents)"


def as_function(system: System) -> Scores:
    """A function from a query and documents to a score for each document, through a client in every case.

    Raises:
        InvalidRequestError: It is none of the forms, or a client of an API without a model.
    """
    client, model = _client_and_model(system)

    def score(query: str, documents: Sequence[object]) -> list[float]:
        response = client.rerank(model=model, query=query, documents=documents)
        if response.is_fallback:
            raise CohereRerankError(
                f"the API could not answer for {model!r}, and its fallback did, which is another system; "
                "evaluate a client without a fallback"
            )
        return [NOT_RETURNED if score is None else score for score in response.scores]

    return score


def _client_and_model(system: object) -> tuple[ClientV2, str]:
    client, model = system if isinstance(system, tuple) and len(system) == 2 else (system, None)
    if isinstance(client, AsyncClientV2):
        raise InvalidRequestError("an AsyncClientV2 cannot be evaluated; give a ClientV2 with the same settings")
    if isinstance(client, ClientV2):
        return client, _model(client, model)
    if isinstance(system, str):
        if not system.startswith("local:"):
            raise InvalidRequestError(f"{system[:60]!r} is no local: address; {_FORMS}")
        return ClientV2(base_url=system), _ANY_MODEL
    if isinstance(system, tuple) or not (callable(system) or hasattr(system, "score")):
        raise InvalidRequestError(f"cannot evaluate {type(system).__name__}; {_FORMS}")
    return ClientV2(base_url="local:", scorer=as_scorer(system)), _ANY_MODEL


def _model(client: ClientV2, model: object) -> str:
    if model is None and client._config.is_local:
        return _ANY_MODEL
    if not isinstance(model, str):
        raise InvalidRequestError("a client is evaluated with the name of a model: give (client, model)")
    return model


@contextmanager
def located(place: str) -> Iterator[None]:
    """Let an error of a system say where it happened."""
    try:
        yield
    except CohereRerankError as error:
        error.part = f"{place}, {error.part}" if error.part else place
        raise
