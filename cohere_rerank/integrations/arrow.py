"""Rerank the rows of Arrow tables. Ray, Spark and Dask pass whole tables to their workers, Daft single rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cohere_rerank._calls import calls_of
from cohere_rerank._settings import check_picklable
from cohere_rerank._validators import seconds, whole_number
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.batch.rules import FATAL_ERRORS, check_names
from cohere_rerank.errors import CohereRerankError, InvalidRequestError
from cohere_rerank.types import V2RerankResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import ExitStack

    import pyarrow as pa
    from anyio.from_thread import BlockingPortal

__all__ = ["RerankBatch"]

_ADDED_COLUMNS = ("results", "error")


class RerankBatch:
    """Adds a ranking to each row of a table, in the columns ``results`` and ``error``.

    ``results`` is ``list<struct<index: int32, relevance_score: float32>>``, best first. It is null if the row failed.
    ``error`` is a string that says why, else null. A row that fails does not fail the job. An error that would affect
    every further row (a refused key, a used-up quota) is raised, so that the engine stops and can resume later.

    One object is pickled to every worker. Each worker opens its own client at its first row. The pickle never contains
    a key: set CO_API_KEY in the environment of the workers, or pass a function that fetches the key.

    Args:
        model: As in ``rerank``.
        query: The column with the query. Default: "query".
        documents: The column with the documents: a list of strings, or of structs, which are sent as YAML.
            Default: "documents".
        concurrency: Maximum number of calls in flight in each worker, >= 1. Default: 32.
        arguments: Further arguments of ``rerank`` for every row, such as ``{"top_n": 10}``. Default: none.
        client: Settings of the AsyncClientV2 that each worker opens, such as ``{"base_url": "local:"}`` or
            ``{"limit": RateLimit(...)}``. Default: the settings of the worker's environment.
        deadline: Seconds for each call, including its waits for the rate limit. Default: 600.

    Raises:
        InvalidRequestError: A setting has the wrong type or is out of its range, or a key is given as a string. Or
            ``fallback`` or ``relevant_spans`` is set: the two columns have no place for what they add.
        TypeError: A client has no setting of that name.
    """

    def __init__(
        self,
        *,
        model: str,
        query: str = "query",
        documents: str = "documents",
        concurrency: int = 32,
        arguments: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        deadline: float = 600.0,
    ) -> None:
        key = (client or {}).get("api_key")
        if any(isinstance(each, str) for each in (key if isinstance(key, (list, tuple)) else [key])):
            raise InvalidRequestError(
                "client must not contain an api_key string, because it would be pickled: set CO_API_KEY in the "
                "environment of the workers, or pass a function that fetches the key"
            )
        for name, given in (("relevant_spans", arguments), ("fallback", client)):
            if name in (given or {}):
                raise InvalidRequestError(
                    f"{name} is not supported, because the two columns have no place for it; leave it out"
                )
        self._columns = (query, documents)
        self._concurrency = whole_number("concurrency", concurrency, 1) or 1
        self._common = {**(arguments or {}), "model": model, "deadline": seconds("deadline", deadline)}
        self._settings = dict(client or {})
        self._check()
        self._client: AsyncClientV2 | None = None
        self._loop: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    def _check(self) -> None:
        """Check the settings before workers start. The check needs no key, because only the workers may have it."""
        check_names(self._common)
        client = AsyncClientV2(**{"api_key": "", **self._settings})
        calls_of(client).encode_batch_call(**self._common, query="-", documents=["-"])
        try:
            check_picklable(calls_of(client).config)
        except TypeError as error:
            raise InvalidRequestError(str(error)) from None

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table with both columns added. The rows stay in order.

        Raises:
            InvalidRequestError: A column is missing, or the table already has a column named results or error.
            CohereRerankError: An error that would affect every further row.
        """
        queries, documents = self._read_columns(table.column_names, table)
        return _with_outcomes(table, self._rank(queries, documents))

    def map_in_arrow(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Do the same for Spark's ``mapInArrow``. The client is closed after the last batch."""
        import pyarrow as pa

        try:
            for batch in batches:
                yield from self(pa.Table.from_batches([batch])).to_batches()
        finally:
            self.close()

    async def row(self, query: str, documents: Sequence[object]) -> dict[str, Any]:
        """Rerank one row, and return both values as a dict. For engines with an event loop, such as Daft."""
        calls = calls_of(self._open_client())
        try:
            call = calls.encode_batch_call(**self._common, query=query, documents=documents)
            return _outcome((await calls.rerank(call))[0])
        except CohereRerankError as error:
            if isinstance(error, FATAL_ERRORS):
                raise
            return _outcome(error)

    def close(self) -> None:
        """Close the client of this process. The next row opens another one."""
        if self._portal is not None and self._client is not None:
            self._portal.call(self._client.aclose)
        if self._loop is not None:
            self._loop.close()
        self._client = self._loop = self._portal = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_loop": None, "_portal": None}

    def _read_columns(self, names: Sequence[str], table: pa.Table) -> tuple[list[Any], list[Any]]:
        missing = [name for name in self._columns if name not in names]
        if missing:
            raise InvalidRequestError(f"the table has no column {missing[0]!r}; it has {', '.join(names)}")
        duplicates = [name for name in _ADDED_COLUMNS if name in names]
        if duplicates:
            raise InvalidRequestError(f"the table already has a column {duplicates[0]!r}; rename it first")
        query, documents = (table.column(name).to_pylist() for name in self._columns)
        return query, documents

    def _rank(self, queries: Sequence[Any], documents: Sequence[Any]) -> list[dict[str, Any]]:
        if self._portal is None:
            from contextlib import ExitStack

            from anyio.from_thread import start_blocking_portal

            self._loop = ExitStack()  # its own event loop: the threads of Ray and Spark have none
            self._portal = self._loop.enter_context(start_blocking_portal())
        return self._portal.call(self._rank_all, queries, documents)

    async def _rank_all(self, queries: Sequence[Any], documents: Sequence[Any]) -> list[dict[str, Any]]:
        rows = ({"query": query, "documents": texts} for query, texts in zip(queries, documents, strict=True))
        ranked = self._open_client().rerank_many(rows, concurrency=self._concurrency, **self._common)
        return [_outcome(outcome) async for _, outcome in ranked]

    def _open_client(self) -> AsyncClientV2:
        if self._client is None:
            self._client = AsyncClientV2(**self._settings)
        return self._client


def _outcome(outcome: V2RerankResponse | CohereRerankError) -> dict[str, Any]:
    if isinstance(outcome, CohereRerankError):
        return {"results": None, "error": f"{type(outcome).__name__}: {outcome}"}
    results = [{"index": item.index, "relevance_score": item.relevance_score} for item in outcome.results]
    return {"results": results, "error": None}


def _with_outcomes(table: pa.Table, outcomes: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    result = pa.struct([("index", pa.int32()), ("relevance_score", pa.float32())])
    kinds = {"results": pa.list_(result), "error": pa.string()}
    for name, kind in kinds.items():
        table = table.append_column(pa.field(name, kind), pa.array([row[name] for row in outcomes], kind))
    return table
