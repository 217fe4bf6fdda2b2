"""``cohere-rerank threshold``: find the score below which a document is not relevant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank.errors import InvalidRequestError

from ._common import client_options
from ._read import read_records
from ._reading import reading_options
from ._systems import SYSTEMS, Systems
from ._values import complete, examples

if TYPE_CHECKING:
    from cohere_rerank.files import ReadOptions

__all__ = ["threshold"]

_SHARE = click.FloatRange(min=0, max=1)


@click.command(
    epilog=examples(
        "threshold lists.jsonl local: --min-precision 0.9",
        "threshold pairs.jsonl rerank-v4.0-pro --borderline",
    )
)
@click.argument("lists", type=click.Path(exists=True, dir_okay=False))
@click.argument("system", default="local:", shell_complete=complete(SYSTEMS))
@client_options
@reading_options(without=("query", "keep"))
@click.option(
    "--qrels", type=click.Path(path_type=Path), metavar="FILE", help="Judgements in the form of TREC or BEIR."
)
@click.option("--min-precision", type=_SHARE, metavar="SHARE", help="Best recall at this precision or more.")
@click.option("--min-recall", type=_SHARE, metavar="SHARE", help="Best precision at this recall or more.")
@click.option(
    "--borderline",
    is_flag=True,
    help="Read borderline pairs from LISTS, a JSON object with query and document on each line. The threshold is the "
    "mean of their scores.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the threshold and the values at every score as JSON.")
def threshold(
    lists: str,
    system: str,
    settings: Mapping[str, Any],
    read: ReadOptions,
    qrels: Path | None,
    min_precision: float | None,
    min_recall: float | None,
    borderline: bool,
    as_json: bool,
) -> None:
    """Find the --min-score for SYSTEM in labelled LISTS.

    The default is the score with the best F1. --min-precision and --min-recall set a condition instead.

    LISTS and SYSTEM have the same form as for eval. The default of SYSTEM is local:. A threshold is valid for one
    system and one kind of query only.
    """
    from cohere_rerank.evaluate import borderline_threshold, recommend_threshold

    if min_precision is not None and min_recall is not None:
        raise click.UsageError("--min-precision and --min-recall cannot be used together.")
    if borderline and (min_precision is not None or min_recall is not None):
        raise click.UsageError("--borderline cannot be used with --min-precision or --min-recall.")
    with closing(Systems(settings)) as systems:
        if borderline:
            found = borderline_threshold(_pairs(lists), systems.get(system))
        else:
            minimums = {"min_precision": min_precision, "min_recall": min_recall}
            found = recommend_threshold(lists, systems.get(system), read=read, qrels=qrels, **minimums)
    click.echo(json.dumps(asdict(found), indent=1) if as_json else str(found))


def _pairs(path: str) -> Iterator[tuple[str, object]]:
    for place, record in read_records(path):
        if not isinstance(record, dict) or not record.keys() >= {"query", "document"}:
            raise InvalidRequestError(f"{place}: the line must be an object with query and document")
        yield record["query"], record["document"]
