"""Rerank the rows of Arrow tables: what Ray, Spark and Dask hand to their workers, and Daft row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

_ADDED = ("results", "error")


class RerankBatch:
    """Adds a ranking to each row of a table: the columns ``results`` and ``error``.

    ``results`` is ``list<struct<index: int32, relevance_score: float32>>``, best first, null where ``error`` (a
    string, else null) says why there is none: a row that fails never fails the job. What every further row would fail
    with too (a refused key, a used-up quota) is raised, so that the engine stops and can resume later.

    One object goes to every worker, pickled; each opens a client of its own at its first row. A key is never in the
    pickle: let workers have CO_API_KEY in their environment, or give a function that fetches it.

    Args:
        model: As in ``rerank``.
        query: The column with the query.
        documents: The column with the documents, a list of strings or of structs (sent as YAML).
        concurrency: Calls under way at once in each worker, >= 1.
        arguments: Further arguments of ``rerank`` for every row, such as ``{"top_n": 10}``.
        client: Settings of the AsyncClientV2 that each worker opens, such as ``{"base_url": "local:"}`` or
            ``{"limit": RateLimit(...)}``.
        deadline: Seconds for each call, waits for its turn included; 600.

    Raises:
        InvalidRequestError: A setting is of the wrong type or out of its range, a key is given as a string, or
            ``fallback`` or ``relevant_spans`` are asked for, whose results the two columns cannot tell.
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
        if isinstance((client or {}).get("api_key"), str):
            raise InvalidRequestError(
                "client must not hold an api_key string, which would travel in pickles: set CO_API_KEY where the "
                "workers run, or pass a function that fetches the key"
            )
        for name, given in (("relevant_spans", arguments), ("fallback", client)):
            if name in (given or {}):
                raise InvalidRequestError(f"a table has no place for what {name} adds; leave it out")
        self._columns = (query, documents)
        self._concurrency = whole_number("concurrency", concurrency, 1) or 1
        self._common = {**(arguments or {}), "model": model, "deadline": seconds("deadline", deadline)}
        self._settings = dict(client or {})
        self._check()
        self._client: AsyncClientV2 | None = None
        self._loop: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    def _check(self) -> None:
        """Find out here what is wrong with the settings, not on every worker; the key may be there only."""
        check_names(self._common)
        client = AsyncClientV2(**{"api_key": "", **self._settings})
        client._encode_bulk(**self._common, query="-", documents=["-"])

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with both columns added, rows in order.

        Raises:
            InvalidRequestError: A column is missing, or one with an added name is there already.
            CohereRerankError: No further row could be answered either.
        """
        queries, documents = self._read(table.column_names, table)
        return _with_outcomes(table, self._ranked(queries, documents))

    def map_in_arrow(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same for Spark's ``mapInArrow``; closes the client after the last batch."""
        import pyarrow as pa

        try:
            for batch in batches:
                yield from self(pa.Table.from_batches([batch])).to_batches()
        finally:
            self.close()

    async def row(self, query: str, documents: Sequence[object]) -> dict[str, Any]:
        """One row, for engines that call once a row in an event loop of their own (Daft): both values as a dict."""
        client = self._opened()
        try:
            call = client._encode_bulk(**self._common, query=query, documents=documents)
            return _outcome((await client._answer(call))[0])
        except CohereRerankError as error:
            if isinstance(error, FATAL_ERRORS):
                raise
            return _outcome(error)

    def close(self) -> None:
        """Close the client of this process; the next row opens another."""
        if self._portal is not None and self._client is not None:
            self._portal.call(self._client.aclose)
        if self._loop is not None:
            self._loop.close()
        self._client = self._loop = self._portal = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_loop": None, "_portal": None}

    def _read(self, names: Sequence[str], table: pa.Table) -> tuple[list[Any], list[Any]]:
        missing = [name for name in self._columns if name not in names]
        if missing:
            raise InvalidRequestError(f"the table has no column {missing[0]!r}; it has {', '.join(names)}")
        taken = [name for name in _ADDED if name in names]
        if taken:
            raise InvalidRequestError(f"the table already has a column {taken[0]!r}; rename it first")
        query, documents = (table.column(name).to_pylist() for name in self._columns)
        return query, documents

    def _ranked(self, queries: Sequence[Any], documents: Sequence[Any]) -> list[dict[str, Any]]:
        if self._portal is None:
            from contextlib import ExitStack

            from anyio.from_thread import start_blocking_portal

            self._loop = ExitStack()  # an event loop of our own: Ray and Spark run theirs, or none
            self._portal = self._loop.enter_context(start_blocking_portal())
        return self._portal.call(self._all_ranked, queries, documents)

    async def _all_ranked(self, queries: Sequence[Any], documents: Sequence[Any]) -> list[dict[str, Any]]:
        rows = ({"query": query, "documents": texts} for query, texts in zip(queries, documents, strict=True))
        ranked = self._opened().rerank_many(rows, concurrency=self._concurrency, **self._common)
        return [_outcome(outcome) async for _, outcome in ranked]

    def _opened(self) -> AsyncClientV2:
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
