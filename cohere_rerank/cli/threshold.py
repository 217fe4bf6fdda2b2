"""``cohere-rerank threshold``: from which score on a document is worth keeping."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from cohere_rerank.errors import InvalidRequestError

from ._common import client_options
from ._read import read_records
from ._systems import Systems

__all__ = ["threshold"]

_SHARE = click.FloatRange(min=0, max=1)


@click.command()
@click.argument("lists", type=click.Path(exists=True, dir_okay=False))
@click.argument("system", default="local:")
@client_options
@click.option("--min-precision", type=_SHARE, metavar="SHARE", help="The best recall at this precision or more.")
@click.option("--min-recall", type=_SHARE, metavar="SHARE", help="The best precision at this recall or more.")
@click.option(
    "--borderline",
    is_flag=True,
    help="LISTS holds borderline pairs, a JSON object with query and document on each line; the threshold is the mean "
    "of their scores.",
)
@click.option("--json", "as_json", is_flag=True, help="The threshold and every cut, as JSON.")
def threshold(
    lists: str,
    system: str,
    settings: Mapping[str, Any],
    min_precision: float | None,
    min_recall: float | None,
    borderline: bool,
    as_json: bool,
) -> None:
    """Find the --min-score for SYSTEM in labelled LISTS.

    It is the cut with the best F1, or the best one that keeps a promise.

    LISTS and SYSTEM are those of eval; SYSTEM is local: by itself. A threshold belongs to one system and one kind of
    query.
    """
    from cohere_rerank.evaluate import borderline_threshold, recommend_threshold

    if min_precision is not None and min_recall is not None:
        raise click.UsageError("--min-precision and --min-recall exclude each other: one cut cannot keep two promises.")
    if borderline and (min_precision is not None or min_recall is not None):
        raise click.UsageError("borderline pairs say nothing of precision and recall; leave --borderline out.")
    with closing(Systems(settings)) as known:
        if borderline:
            found = borderline_threshold(_pairs(lists), known.get(system))
        else:
            found = recommend_threshold(lists, known.get(system), min_precision=min_precision, min_recall=min_recall)
    click.echo(json.dumps(asdict(found), indent=1) if as_json else str(found))


def _pairs(path: str) -> Iterator[tuple[str, object]]:
    for place, record in read_records(path):
        if not isinstance(record, dict) or not record.keys() >= {"query", "document"}:
            raise InvalidRequestError(f"{place}: it must be an object with query and document")
        yield record["query"], record["document"]
