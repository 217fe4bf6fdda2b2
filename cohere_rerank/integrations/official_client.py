"""Clients of this package that code for the official package accepts as its own clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cohere_rerank._wire.contract import DEFAULT_V1_MODEL
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.v1 import AsyncClient, Client, text_of_fields, v1_results

from .official_errors import official_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from cohere_rerank.types import V2RerankResponse

__all__ = ["as_cohere"]


def as_cohere(
    client: ClientV2 | AsyncClientV2 | Client | AsyncClient, *, version: Literal["v1", "v2"] | None = None
) -> Any:
    """Return an object that code for the official package accepts as its own client.

    It is an instance of ``cohere.ClientV2`` (or ``Client``, ``AsyncClientV2``, ``AsyncClient``) for ``isinstance`` and
    pydantic. Its ``rerank`` is that of *client*, with the same settings and connections. Errors of ``rerank`` and
    ``with_raw_response.rerank`` are instances of the classes of both packages: ``except
    cohere.errors.TooManyRequestsError`` and ``except cohere_rerank.TooManyRequestsError`` both catch a 429. Other
    attributes, such as ``close``, are those of *client*. Without the official package, the object works too, and
    raises the errors of this package.

    Args:
        client: A ClientV2, an AsyncClientV2, or a v1 Client or AsyncClient of this package.
        version: The official client whose ``rerank`` to have: ``"v2"``, or ``"v1"`` with ``return_documents`` and
            ``max_chunks_per_doc``, as mem0 needs it. Default: that of *client*.

    Raises:
        InvalidRequestError: *client* is not a client of this package, or *version* is unknown.
    """
    if not isinstance(client, (ClientV2, AsyncClientV2, Client, AsyncClient)):
        raise InvalidRequestError(f"client must be a client of cohere_rerank, got {_type_name(client)}")
    if version not in (None, "v1", "v2"):
        raise InvalidRequestError(f"version must be 'v1', 'v2' or None, got {version!r}")
    is_v1 = isinstance(client, (Client, AsyncClient)) if version is None else version == "v1"
    if isinstance(client, (AsyncClientV2, AsyncClient)):
        return _AsyncOfficialV1(client) if is_v1 else _AsyncOfficialV2(client.v2)
    return _OfficialV1(client) if is_v1 else _OfficialV2(client.v2)


class _Official:
    """The part that all four share."""

    _version: Literal["v1", "v2"]
    _official_name: str

    def __init__(self, client: Any) -> None:
        self._client = client
        try:
            import cohere
        except ImportError:
            self._official_class = None
        else:
            self._official_class = getattr(cohere, self._official_name, None)

    @property  # type: ignore[misc]  # read-only, where that of `object` can be set
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The official class, so that ``isinstance`` is true. ``type()`` still returns the real one."""
        return self._official_class or type(self)

    @property
    def v2(self) -> Any:
        """The client with the v2 methods, as in the official package."""
        return as_cohere(self._client, version="v2")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy asks for them before there is a client
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return getattr(self._client, name)

    def __repr__(self) -> str:
        return f"as_cohere({self._client!r}, version={self._version!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._client, self._version)

    def __copy__(self) -> Any:
        return _restore(self._client, self._version)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        from copy import deepcopy

        return _restore(deepcopy(self._client, memo), self._version)


def _restore(client: Any, version: Literal["v1", "v2"]) -> Any:
    return as_cohere(client, version=version)


class _Sync(_Official):
    def __enter__(self) -> Any:
        self._client.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.__exit__(*exception)


class _Async(_Official):
    async def __aenter__(self) -> Any:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.__aexit__(*exception)


class _OfficialV2(_Sync):
    _version, _official_name = "v2", "ClientV2"

    def rerank(self, **arguments: Any) -> Any:
        _check_v2(arguments)
        with official_errors():
            return self._client.rerank(**arguments)

    @property
    def with_raw_response(self) -> Any:
        return _Raw(self._client.with_raw_response)


class _AsyncOfficialV2(_Async):
    _version, _official_name = "v2", "AsyncClientV2"

    async def rerank(self, **arguments: Any) -> Any:
        _check_v2(arguments)
        with official_errors():
            return await self._client.rerank(**arguments)

    @property
    def with_raw_response(self) -> Any:
        return _AsyncRaw(self._client.with_raw_response)


class _OfficialV1(_Sync):
    _version, _official_name = "v1", "Client"

    def rerank(self, *, return_documents: bool | None = None, **arguments: Any) -> Any:
        with official_errors():
            if isinstance(self._client, Client):
                return self._client.rerank(return_documents=return_documents, **arguments)
            return _to_v1(self._client.rerank(**_to_v2_arguments(**arguments)), return_documents)


class _AsyncOfficialV1(_Async):
    _version, _official_name = "v1", "AsyncClient"

    async def rerank(self, *, return_documents: bool | None = None, **arguments: Any) -> Any:
        with official_errors():
            if isinstance(self._client, AsyncClient):
                return await self._client.rerank(return_documents=return_documents, **arguments)
            return _to_v1(await self._client.rerank(**_to_v2_arguments(**arguments)), return_documents)


class _Raw:
    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def rerank(self, **arguments: Any) -> Any:
        with official_errors():
            return self._raw.rerank(**arguments)


class _AsyncRaw(_Raw):
    async def rerank(self, **arguments: Any) -> Any:
        with official_errors():
            return await self._raw.rerank(**arguments)


def _check_v2(arguments: dict[str, Any]) -> None:
    if "max_chunks_per_doc" in arguments:
        raise TypeError(
            "rerank of the v2 client has no argument max_chunks_per_doc; for code that uses the v1 client pass"
            " as_cohere(client, version='v1')"
        )


def _to_v2_arguments(
    *,
    query: str,
    documents: Any,
    model: str | None = None,
    top_n: int | None = None,
    rank_fields: Sequence[str] | None = None,
    max_chunks_per_doc: int | None = None,
    request_options: Any = None,
) -> dict[str, Any]:
    """Return the arguments of ``ClientV2.rerank`` for those of the v1 client."""
    if max_chunks_per_doc is not None:
        from cohere_rerank._warn import warn

        warn("max_chunks_per_doc has no effect: the request is sent to v2, which has max_tokens_per_doc instead")
    return {
        "query": query,
        "documents": documents,
        "model": DEFAULT_V1_MODEL if model is None else model,
        "top_n": top_n,
        "text": "text" if rank_fields is None else text_of_fields(rank_fields),
        "request_options": request_options,
    }


def _to_v1(response: V2RerankResponse, return_documents: bool | None) -> Any:
    """Return the response with the documents of the v1 client. It keeps the facts of the call, such as a fallback."""
    from cohere_rerank._result_base import replace

    return replace(response, results=v1_results(response, bool(return_documents)))


def _type_name(value: object) -> str:
    return f"an object of type {type(value).__module__}.{type(value).__qualname__}"
