"""``cohere-rerank eval``: how well rerankers rank your labelled lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank.errors import CohereRerankError, InvalidRequestError

from ._bars import step_bar
from ._common import client_options, notice
from ._reading import STDIN, notice_shape, reading_options, regular_files
from ._systems import AS_GIVEN, SYSTEMS, Systems
from ._values import complete, counted, examples

if TYPE_CHECKING:
    from cohere_rerank.evaluate import Report
    from cohere_rerank.files import ReadOptions

__all__ = ["eval"]

_PATH = click.Path(path_type=Path)
_EXPORTS = {".json": "to_json", ".csv": "to_csv", ".md": "to_markdown", ".tex": "to_latex"}


def _check_exports(ctx: click.Context, param: click.Parameter, paths: Sequence[Path]) -> Sequence[Path]:
    for path in paths:
        if path.suffix.lower() not in _EXPORTS:
            raise click.BadParameter(f"{path} must end with {', '.join(_EXPORTS)}.", ctx, param)
    return paths


@click.command(
    epilog=examples(
        "eval lists.jsonl as-given local: rerank-v4.0-fast",
        "eval lists.jsonl --metric ndcg@5 --metric recall@20 --json",
        "eval bm25.trec reranked.trec --qrels qrels.txt",
    )
)
@click.argument("lists", type=click.Path(exists=True, allow_dash=True))
@click.argument("systems", metavar="[SYSTEM]...", nargs=-1, shell_complete=complete(SYSTEMS))
@client_options
@reading_options(without=("query", "keep"))
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    help="ndcg, mrr, map, recall, p, success or rprec, also with a cutoff (ndcg@10), or a name of trec_eval, "
    "ir_measures or ranx. Can be repeated.  [default: ndcg@10, mrr@10, recall@10, map]",
)
@click.option(
    "--qrels", type=_PATH, metavar="FILE", help="Judgements, in the form of TREC or BEIR. LISTS can be a run."
)
@click.option(
    "--relevance-level", type=float, metavar="GRADE", help="Lowest grade that is relevant.  [default: above 0]"
)
@click.option(
    "--answers",
    type=_PATH,
    metavar="FILE",
    help="Keep the scores of models, so that a failed command continues.  [default: LISTS.answers.jsonl, until done]",
)
@click.option(
    "--differences",
    type=click.IntRange(min=0),
    metavar="N",
    default=3,
    show_default=True,
    help="Print the N queries on which the first two systems differ most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all values as JSON, with the comparisons with the first.")
@click.option(
    "--export",
    "exports",
    type=_PATH,
    metavar="FILE",
    multiple=True,
    callback=_check_exports,
    help="Write the figures too: .json, .csv, .md or .tex. Can be repeated.",
)
@click.option("--plot", type=_PATH, metavar="FILE", help="Draw the means with their intervals as a PNG file.")
def eval(  # noqa: A001 - the command's name
    lists: str,
    systems: Sequence[str],
    settings: Mapping[str, Any],
    read: ReadOptions,
    metrics: Sequence[str],
    qrels: Path | None,
    relevance_level: float | None,
    answers: Path | None,
    differences: int,
    as_json: bool,
    exports: Sequence[Path],
    plot: Path | None,
) -> None:
    """Measure how well each SYSTEM ranks the labelled LISTS.

    LISTS is a file of any format and shape that batch reads. A row has the labels in relevant (indices that count from
    0, or a 0 or 1 for each document) or in grades (a number for each document). With --qrels, the labels come from
    another file, and LISTS can be a run of TREC.

    A SYSTEM is as-given (the order in the file), local: or local:NAME (a local scorer), the name of a model of the API,
    or a file: a run of TREC or the output of batch, whose rankings are measured without asking again. The command
    compares each system with the first. The default is as-given and local:, or as-given for a run without texts.
    """
    from cohere_rerank.evaluate import evaluate
    from cohere_rerank.evaluate.comparison import METRICS

    names = systems or ((AS_GIVEN,) if qrels is not None and read.corpus is None else (AS_GIVEN, "local:"))
    with ExitStack() as stack:
        available = stack.enter_context(closing(Systems(settings)))
        chosen = {name: available.get(name) for name in names}
        (path,) = stack.enter_context(regular_files([lists]))
        with suppress(InvalidRequestError):  # the evaluation raises it, with more advice
            notice_shape([path], [lists], replace(read, is_ids_only=qrels is not None and read.corpus is None))
        kept = answers
        if kept is None and available.has_client and lists != STDIN:
            kept = Path(f"{lists}.answers.jsonl")
        progress = stack.enter_context(step_bar("ranking"))
        try:
            report = evaluate(
                path,
                chosen,
                metrics=metrics or METRICS,
                qrels=qrels,
                relevance_level=relevance_level,
                read=read,
                answers=kept,
                progress=progress,
            )
        except CohereRerankError:
            if kept is not None and kept.exists():
                notice(f"the scores so far are in {kept}; the same command continues")
            raise
    if kept is not None and answers is None:
        kept.unlink(missing_ok=True)
    first = (metrics or METRICS)[0]
    if AS_GIVEN in report.per_list and all(value == 1 for value in report.per_list[AS_GIVEN][first]):
        notice(f"{AS_GIVEN} is 1 in every list: the file has its relevant documents first, in no order of a search")
    _print(report, differences, metrics or METRICS, as_json=as_json)
    for export in exports:
        export.write_text(getattr(report, _EXPORTS[export.suffix.lower()])(), encoding="utf-8")
    if plot is not None:
        report.plot(plot)


def _print(report: Report, n_differences: int, metrics: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(report.to_json())
        return
    click.echo(str(report))
    systems = list(report.per_list)
    if len(systems) < 2 or not n_differences:
        return
    found = report.differences(systems[0], systems[1], metrics[0], n_differences)
    if found:
        click.echo(f"\n{counted(len(found), 'query', 'queries')} with the largest differences in {metrics[0]}:")
    for name, query, first, second in found:
        text = " ".join(query.split())
        shown = f"{str(name)[:20]}: {text}" if str(name) != text else text
        click.echo(f"{first:.3f} -> {second:.3f}  {shown[:60]}")
