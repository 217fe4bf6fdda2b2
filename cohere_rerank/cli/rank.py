"""``cohere-rerank rank``: documents in, the same documents ordered out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank.errors import InvalidRequestError

from ._common import Endpoint, endpoint_options, notice, write_json
from ._read import FORMATS, STDIN, Item, read_items

if TYPE_CHECKING:
    from cohere_rerank.types import V2RerankResponse

__all__ = ["rank"]


@click.command()
@click.argument("query")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(exists=True, allow_dash=True))
@endpoint_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="How the files hold documents: one a line, one a line of JSON, all in an array, one a row below a row of "
    "names, or each file is one.",
)
@click.option(
    "--field", "fields", metavar="NAME", multiple=True, help="Rank by this field of objects and rows only; repeatable."
)
@click.option("--top-n", type=click.IntRange(min=1), metavar="N", help="Keep the N best.  [default: all]")
@click.option("--min-score", type=float, metavar="SCORE", help="Keep those that score at least this.")
@click.option("--spans", is_flag=True, help="Mark the passages that count (Rerank v5 and newer, and --local).")
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
    fields: Sequence[str],
    top_n: int | None,
    min_score: float | None,
    spans: bool,
    as_json: bool | None,
) -> None:
    """Order documents by how well each answers QUERY.

    Each FILE is text with a document on each line, JSON Lines (.jsonl), an array of texts or objects (.json; also an
    object with one under documents), a table with a first line of names (.csv, .tsv), or a folder, in which each file
    is a document. Without FILE, or with -, standard input is read.

    As JSON, each result has index (from 0, over all files), relevance_score, place and document; with --spans also
    relevant_spans.
    """
    items = _items(query, files, kind)
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


def _items(query: str, files: Sequence[str], kind: str) -> list[Item]:
    """All documents; a file in the place of the query is not searched for by its name in nothing."""
    is_file = not files and os.path.exists(query)  # noqa: PTH110 - which takes texts of any length for names
    items = [] if is_file and sys.stdin.isatty() else read_items(files or [STDIN], kind)
    if is_file and not items:
        raise click.UsageError(
            f"QUERY is missing, or the documents: {query!r} is a file or folder, and nothing comes from standard "
            f"input. `rank QUERY {query}` ranks what is in it; `rank {query} -` takes it for the query, whatever comes "
            "from standard input"
        )
    return items


def _check_fields(items: Sequence[Item], fields: Sequence[str]) -> None:
    """Refuse in the words of who typed --field what the client would refuse in those of its caller."""
    objects = [(item.place, item.document) for item in items if isinstance(item.document, dict)]
    if items and not objects:
        raise click.UsageError("--field needs objects or rows (JSON Lines, CSV); these documents are plain text.")
    for place, document in objects:
        if document.keys().isdisjoint(fields):
            names = ", ".join(map(repr, fields))
            raise InvalidRequestError(f"{place}: the document has none of the fields that --field names: {names}")


def _records(response: V2RerankResponse, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    for result in response.results:
        item = items[result.index]
        record = {
            "index": result.index,
            "relevance_score": result.relevance_score,
            "place": item.place,
            "document": item.document,
        }
        if result.relevant_spans is not None:
            texts = result.span_texts
            record["relevant_spans"] = [
                {"start": span.start, "end": span.end, "score": span.score, "text": text}
                for span, text in zip(result.relevant_spans, texts, strict=True)
            ]
        yield record
