"""``cohere-rerank eval``: how well rerankers rank your labelled lists."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import click

from ._common import client_options
from ._systems import AS_GIVEN, SYSTEMS, Systems
from ._values import complete, examples

__all__ = ["eval"]


@click.command(
    epilog=examples(
        "eval lists.jsonl as-given local: rerank-v4.0-fast",
        "eval lists.jsonl --metric ndcg@5 --metric recall@20 --json",
    )
)
@click.argument("lists", type=click.Path(exists=True, dir_okay=False))
@click.argument("systems", metavar="[SYSTEM]...", nargs=-1, shell_complete=complete(SYSTEMS))
@client_options
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    help="ndcg, mrr, recall or map, also with a rank limit (ndcg@10). Can be repeated.  [default: ndcg@10, mrr@10, "
    "recall@10, map]",
)
@click.option("--json", "as_json", is_flag=True, help="Print all values as JSON, with the comparisons with the first.")
def eval(  # noqa: A001 - the command's name
    lists: str, systems: Sequence[str], settings: Mapping[str, Any], metrics: Sequence[str], as_json: bool
) -> None:
    """Measure how well each SYSTEM ranks the labelled LISTS.

    Each line of LISTS is a JSON object with query, documents, and either relevant (indices that count from 0) or grades
    (a number for each document).

    A SYSTEM is as-given (the order in the file), local: or local:NAME (a local scorer), or the name of a model of the
    API. The command compares each system with the first. The default is as-given and local:.
    """
    from cohere_rerank.evaluate import evaluate
    from cohere_rerank.evaluate.comparison import METRICS

    with closing(Systems(settings)) as available, _progress() as progress:
        chosen = {name: available.get(name) for name in systems or (AS_GIVEN, "local:")}
        report = evaluate(lists, chosen, metrics=metrics or METRICS, progress=progress)
    click.echo(report.to_json() if as_json else str(report))


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object] | bool]:
    """Yield a function that draws a bar on standard error, or False if that is not a terminal."""
    if not sys.stderr.isatty():
        yield False
        return
    with click.progressbar(length=1, label="ranking", file=sys.stderr) as bar:

        def step(_done: int, of: int) -> None:
            bar.length = of
            bar.update(1)

        yield step
