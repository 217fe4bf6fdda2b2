"""What can be evaluated: a client with a model, a scorer, a function, or a ``local:`` address, all as one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from cohere_rerank.local.scorer import ScoreFunction, Scorer

    System = str | Scorer | ScoreFunction | ClientV2 | tuple[ClientV2, str]
    """A ``local:`` address; a scorer; a function of (query, documents); a client, with the model to ask for."""

Scores = Callable[[str, Sequence[object]], list[float]]

_ANY_MODEL = "evaluated"  # a local: address takes any


def as_function(system: System) -> Scores:
    """A function from a query and documents to a score for each document, through a client in every case.

    Raises:
        InvalidRequestError: It is none of the forms, or a client of an API without a model.
    """
    if isinstance(system, tuple):
        client, model = system
        if not isinstance(client, ClientV2) or not isinstance(model, str):  # type: ignore[redundant-expr]
            raise InvalidRequestError("a pair to evaluate must be a ClientV2 and the name of a model")
    elif isinstance(system, ClientV2):
        client, model = system, _ANY_MODEL
        if not client._config.is_local:
            raise InvalidRequestError("a client to evaluate needs a model: give (client, model)")
    elif isinstance(system, str):
        client, model = ClientV2(base_url=system), _ANY_MODEL
    else:
        client, model = ClientV2(base_url="local:", scorer=system), _ANY_MODEL

    def score(query: str, documents: Sequence[object]) -> list[float]:
        scores = client.rerank(model=model, query=query, documents=documents).scores
        return [-1.0 if score is None else score for score in scores]  # what did not come back ranks last

    return score
