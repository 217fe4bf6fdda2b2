"""The clients behind a component of a framework, and the relevant spans in the form that components return."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from cohere_rerank._calls import calls_of
from cohere_rerank._validators import describe
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cohere_rerank.types import V2RerankResponse, V2RerankResponseResultsItem


class Component(Protocol):
    """What the components have in common."""

    model: str
    min_score: float | None
    max_tokens_per_doc: int | None
    relevant_spans: dict[str, Any] | None
    arguments: dict[str, Any]


def common_arguments(component: Component, top_n: int | None) -> dict[str, Any]:
    """Return the arguments of ``rerank`` that all calls of a component share."""
    return {
        "model": component.model,
        "top_n": top_n,
        "min_score": component.min_score,
        "max_tokens_per_doc": component.max_tokens_per_doc,
        "relevant_spans": component.relevant_spans,
        "on_empty": "skip",
        **component.arguments,
    }


# A component writes its settings into files and traces, so these cannot be among them.
_MAY_CONTAIN_SECRETS = ("api_key", "headers", "params", "proxy", "rerank_url")


class ClientPair:
    """The blocking and the asynchronous client of one component. Each is opened when it is first needed.

    Pickles contain neither the key nor connections: the process that loads one uses the key of its own environment.

    Args:
        client: The client to use for blocking calls. Default: None.
        async_client: The client to use for asynchronous calls. Default: None. With *client* alone, asynchronous calls
            run in a thread.
        api_key: As in ``ClientV2``. The pair uses it, *base_url* and *client_options* for the clients that it creates.
        base_url: As in ``ClientV2``.
        client_options: Further arguments of ``ClientV2``, except those that may contain a secret.

    Raises:
        InvalidRequestError: A client has the wrong type, or settings are given that a given client would not use.
    """

    def __init__(
        self,
        *,
        client: ClientV2 | None = None,
        async_client: AsyncClientV2 | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        _check_client("client", client, ClientV2)
        _check_client("async_client", async_client, AsyncClientV2)
        for name in _MAY_CONTAIN_SECRETS:
            if name in (client_options or {}):
                raise InvalidRequestError(
                    f"client_options must not contain {name}, because it is saved with the component and may contain a "
                    "secret; pass api_key=, or create the clients yourself and pass client= and async_client="
                )
        self._settings = {"api_key": api_key, "base_url": base_url, **(client_options or {})}
        self.are_given = client is not None or async_client is not None
        if self.are_given and any(value is not None for value in self._settings.values()):
            raise InvalidRequestError(
                "api_key, base_url and client_options have no effect on client= and async_client=; "
                "pass them to the constructor of that client"
            )
        self._client, self._async_client = client, async_client

    @property
    def client(self) -> ClientV2:
        """The client for blocking calls.

        Raises:
            InvalidRequestError: Only an asynchronous client was given.
            MissingApiKeyError: No client was given, and there is no key to create one.
        """
        if self._client is None:
            if self.are_given:
                raise InvalidRequestError("a blocking call needs client=, but only async_client= was given; pass both")
            self._client = ClientV2(**self._settings)
            weakref.finalize(self, self._client.close)  # most frameworks never close their components
        return self._client

    @property
    def async_client(self) -> AsyncClientV2 | None:
        """The client for asynchronous calls. None if only a blocking client was given."""
        if self._async_client is None and not self.are_given:
            self._async_client = AsyncClientV2(**self._settings)
        return self._async_client

    def check(self, **arguments: Any) -> None:
        """Check the settings of the client and the arguments of later calls. Nothing is sent.

        Raises:
            InvalidRequestError: An argument is not valid.
            MissingApiKeyError: There is no key.
        """
        client = self._async_client if self.are_given and self._client is None else self.client
        assert client is not None  # one of the two was given
        calls_of(client).encode(**arguments, query="-", documents=["-"])

    async def rerank_async(self, **arguments: Any) -> V2RerankResponse:
        """As ``AsyncClientV2.rerank``. In a thread if only a blocking client was given."""
        if self.async_client is not None:
            return await self.async_client.rerank(**arguments)
        return await asyncio.to_thread(self.client.rerank, **arguments)

    def close(self) -> None:
        """Close the blocking client, if the pair created it. The next call opens another one."""
        if not self.are_given and self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close the asynchronous client in the same way."""
        if not self.are_given and self._async_client is not None:
            await self._async_client.aclose()
            self._async_client = None

    def __copy__(self) -> ClientPair:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ClientPair:
        return self  # a copy through a pickle would lose the key and the connections

    def __getstate__(self) -> dict[str, Any]:
        if self.are_given:
            return self.__dict__
        return {
            **self.__dict__,
            "_settings": {**self._settings, "api_key": None},
            "_client": None,
            "_async_client": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._client is not None:  # a given client, of which this is the only owner in this process
            weakref.finalize(self, self._client.close)


def _check_client(name: str, client: object, kind: type) -> None:
    if client is not None and not isinstance(client, kind):
        raise InvalidRequestError(f"{name} must be a cohere_rerank.{kind.__name__}, got {describe(client)}")


def spans_of(result: V2RerankResponseResultsItem) -> list[dict[str, int | float]]:
    """Return the relevant spans of a result as plain values, most relevant first."""
    return [{"start": span.start, "end": span.end, "score": span.score} for span in result.relevant_spans or ()]


def text_of_spans(result: V2RerankResponseResultsItem) -> str:
    """Return the relevant spans of a result as one text: in the order of the document, a line for each gap.

    Overlapping spans are merged. "" without spans.
    """
    pieces: list[str] = []
    position = -1  # the end of the text so far
    spans = zip(result.relevant_spans or (), result.span_texts)
    for span, text in sorted(spans, key=lambda pair: pair[0].start):
        if span.start > position:
            pieces.append(text)
        elif span.end > position:
            pieces[-1] += text[position - span.start :]
        position = max(position, span.end)
    return "\n".join(pieces)
