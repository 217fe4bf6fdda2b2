"""The systems that ``eval`` and ``threshold`` measure: the order as given, a local scorer, or a model of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import LOCAL_SCHEME

from ._common import explain_missing_key
from ._values import MODELS, SCORERS

if TYPE_CHECKING:
    from cohere_rerank.client import ClientV2
    from cohere_rerank.evaluate.systems import System

__all__ = ["AS_GIVEN", "SYSTEMS", "Systems"]

AS_GIVEN = "as-given"
SYSTEMS = (AS_GIVEN, *SCORERS, *MODELS)
"""The names that a shell completes."""


class Systems:
    """Create systems by name. All models of the API share one client, which is created when it is first needed.

    Args:
        settings: The arguments of that client.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._client: ClientV2 | None = None

    def get(self, name: str) -> System:
        """Return the system of this name.

        Raises:
            UsageFailure: The system is a model of the API, and the environment has no key.
        """
        if name == AS_GIVEN:
            return _as_given
        if name.startswith(LOCAL_SCHEME):
            return name
        if Path(name).is_file():
            from cohere_rerank.evaluate import Ranking

            return Ranking(name)
        if self._client is None:
            from cohere_rerank.client import ClientV2

            with explain_missing_key(self._settings, "the SYSTEM local:"):
                self._client = ClientV2(**self._settings)
        return self._client, name

    @property
    def has_client(self) -> bool:
        """Whether a system is a model of the API, which may cost money."""
        return self._client is not None

    def close(self) -> None:
        """Close the client if it was created."""
        if self._client is not None:
            self._client.close()


def _as_given(query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG001 - the signature of a scorer
    return [1 - rank / len(documents) for rank in range(len(documents))]
