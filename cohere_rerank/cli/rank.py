"""``cohere-rerank rank``: read documents, and print them in the order of their scores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank.errors import InvalidRequestError

from ._common import Endpoint, endpoint_options, notice, write_json
from ._read import FORMATS, STDIN, Item, read_items
from ._reading import reading_options
from ._values import examples, finite, not_blank

if TYPE_CHECKING:
    from cohere_rerank.files import ReadOptions
    from cohere_rerank.types import V2RerankResponse

__all__ = ["rank"]


@click.command(
    epilog=examples(
        'rank "return an item" help.txt --local -n 3',
        'rank "green tea" goods.csv --field title --field body --json',
    )
)
@click.argument("query", callback=not_blank)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(exists=True, allow_dash=True))
@endpoint_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="Format of the files: a document on each line, JSON Lines, a JSON array, a table, Parquet, Arrow IPC, or a "
    "document in each file.",
)
@reading_options(without=("format", "query_field", "id_field", "query", "queries", "corpus", "keep"))
@click.option(
    "--field", "fields", metavar="NAME", multiple=True, help="Rank by this field of objects and rows. Can be repeated."
)
@click.option(
    "-n", "--top-n", type=click.IntRange(min=1), metavar="N", help="Print the N best results.  [default: all]"
)
@click.option(
    "--min-score",
    type=float,
    callback=finite,
    metavar="SCORE",
    help="Print results with this score or a higher one.",
)
@click.option("--spans", is_flag=True, help="Mark the relevant passages (Rerank v5 and newer, and --local).")
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="JSON Lines, or a table with bars.  [default: a table on a terminal, else JSON Lines]",
)
def rank(
    query: str,
    files: Sequence[str],
    endpoint: Endpoint,
    kind: str,
    read: ReadOptions,
    fields: Sequence[str],
    top_n: int | None,
    min_score: float | None,
    spans: bool,
    as_json: bool | None,
) -> None:
    """Rank documents by how well they answer QUERY.

    A FILE is one of these: text with a document on each line; JSON Lines (.jsonl); a JSON array of texts or objects
    (.json), or an object with such an array under documents; a table (.csv, .tsv), Parquet or Arrow IPC; a folder in
    which each file is a document. Files can be compressed. Without a FILE, or for -, the command reads standard input.
    Of rows with a query and documents, the documents are ranked by QUERY; `batch` ranks each row by its own query.

    In JSON, a result has index (counted from 0 over all files), relevance_score, place and document, and with --spans
    also relevant_spans.
    """
    items = _items(query, files, kind, replace(read, has_raw_documents=bool(fields)))
    if fields:
        _check_fields(items, fields)
    if not items:
        notice("no documents to rank")
    with endpoint.client() as client:
        response = client.rerank(
            model=endpoint.model,
            query=query,
            documents=[item.document for item in items],
            top_n=top_n,
            rank_fields=list(fields) or None,
            relevant_spans={"mode": "enabled"} if spans else None,
            min_score=min_score,
        )
    for warning in (response.meta and response.meta.warnings) or []:
        notice(warning)
    if as_json or (as_json is None and not sys.stdout.isatty()):
        write_json(_records(response, items))
    else:
        from ._table import print_ranking

        print_ranking(response.results, items)


def _items(query: str, files: Sequence[str], kind: str, read: ReadOptions) -> list[Item]:
    """Return all documents. Raise an error if QUERY seems to be a file and there are no documents."""
    is_file = not files and os.path.exists(query)  # noqa: PTH110 - a Path fails for a long text
    items = [] if is_file and sys.stdin.isatty() else read_items(files or [STDIN], kind, query=query, options=read)
    if is_file and not items:
        raise click.UsageError(
            f"QUERY or the documents are missing: {query!r} is a file or folder, and standard input is empty. "
            f"`rank QUERY {query}` ranks its content; `rank {query} -` uses the name as the query and ranks standard "
            "input"
        )
    return items


def _check_fields(items: Sequence[Item], fields: Sequence[str]) -> None:
    """Check the fields here, so that the message can name the option --field."""
    objects = [(item.place, item.document) for item in items if isinstance(item.document, dict)]
    if items and not objects:
        raise click.UsageError("--field needs objects or rows (JSON Lines, CSV), but these documents are plain text.")
    for place, document in objects:
        if document.keys().isdisjoint(fields):
            names = ", ".join(map(repr, fields))
            raise InvalidRequestError(f"{place}: the document has none of the fields of --field: {names}")


def _records(response: V2RerankResponse, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    for result in response.results:
        item = items[result.index]
        record: dict[str, Any] = {
            "index": result.index,
            "relevance_score": result.relevance_score,
            "place": item.place,
            **({} if item.id is None else {"id": item.id}),
            "document": item.document,
        }
        if result.relevant_spans is not None:
            texts = result.span_texts
            record["relevant_spans"] = [
                {"start": span.start, "end": span.end, "score": span.score, "text": text}
                for span, text in zip(result.relevant_spans, texts, strict=True)
            ]
        yield record
