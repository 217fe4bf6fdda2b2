"""What ``eval`` and ``threshold`` can measure, by name: the order as given, a local scorer, a model of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cohere_rerank._addresses import LOCAL_SCHEME

from ._common import explain_missing_key

if TYPE_CHECKING:
    from cohere_rerank.client import ClientV2
    from cohere_rerank.evaluate.systems import System

__all__ = ["AS_GIVEN", "Systems"]

AS_GIVEN = "as-given"


class Systems:
    """Systems by name; all models of the API share one client, which is made for the first of them.

    Args:
        settings: Arguments of that client.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._client: ClientV2 | None = None

    def get(self, name: str) -> System:
        """The system of this name.

        Raises:
            UsageFailure: It is a model of the API, and there is no key.
        """
        if name == AS_GIVEN:
            return _as_given
        if name.startswith(LOCAL_SCHEME):
            return name
        if self._client is None:
            from cohere_rerank.client import ClientV2

            with explain_missing_key(self._settings, "the SYSTEM local:"):
                self._client = ClientV2(**self._settings)
        return self._client, name

    def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            self._client.close()


def _as_given(query: str, documents: Sequence[str]) -> list[float]:  # noqa: ARG001 - a system is asked with both
    return [1 - rank / len(documents) for rank in range(len(documents))]
