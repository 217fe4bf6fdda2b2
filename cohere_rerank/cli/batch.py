"""``cohere-rerank batch``: a file of queries with their documents in, a file of rankings out, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._common import Endpoint, endpoint_options, explain_missing_key, notice
from ._failures import FAILED, INTERRUPTED, Failure, UsageFailure

if TYPE_CHECKING:
    from cohere_rerank.client import AsyncClientV2
    from cohere_rerank.jobs import JobPlan, JobReport

__all__ = ["batch"]

_LIMITS = ("auto", "trial", "production", "none")


def _limit(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    """The preset's name, a RateLimit, or None for none."""
    if value in _LIMITS:
        return None if value == "none" else value
    if not value.isdecimal() or not int(value):
        names = ", ".join(_LIMITS)
        raise click.BadParameter(f"{value!r} is neither a number of requests a minute nor one of {names}.", ctx, param)
    from cohere_rerank.limits import RateLimit

    return RateLimit(per_minute=int(value))


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", metavar="OUTPUT", type=click.Path(path_type=Path), help="Needed, except for --dry-run.")
@endpoint_options
@click.option("--resume", is_flag=True, help="Go on with a job that ended early, or begin it.")
@click.option("--retry-errors", is_flag=True, help="Go on, and ask again for the rows that have an error.")
@click.option(
    "--errors",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Put rows with an error here.  [default: among the others, with an error field]",
)
@click.option(
    "--ordered/--unordered",
    default=True,
    help="Rows in the order of the input, or as they are answered.  [default: ordered]",
)
@click.option(
    "--limit",
    callback=_limit,
    metavar="LIMIT",
    default="auto",
    show_default=True,
    help="Requests a minute that the key may send; trial (10), production (1000), auto (found out), or none.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    default=32,
    show_default=True,
    help="Requests under way at once.",
)
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Only with --local.  [default: all cores]")
@click.option(
    "--max-error-fraction",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=0.5,
    show_default=True,
    help="Stop when more than that of this run's rows, 100 at least, or of its last 1,000 have failed.",
)
@click.option(
    "--budget-units",
    type=click.FloatRange(min=0),
    metavar="UNITS",
    help="Stop before the job, with its earlier runs, costs more search units.",
)
@click.option("--ignore-unknown", is_flag=True, help="Leave out fields of rows that reranking does not know.")
@click.option("--field", "fields", metavar="NAME", multiple=True, help="Rank by this field of objects; repeatable.")
@click.option("--top-n", type=click.IntRange(min=1), metavar="N", help="Keep the N best of a row.  [default: all]")
@click.option("--min-score", type=float, metavar="SCORE", help="Keep those that score at least this.")
@click.option("--max-tokens-per-doc", type=click.IntRange(min=1), metavar="N", help="Cut longer documents.")
@click.option("--spans", is_flag=True, help="Give the passages that count (Rerank v5 and newer, and --local).")
@click.option("--dry-run", is_flag=True, help="Read the input, say what the job would take, and send nothing.")
def batch(
    source: Path,
    output: Path | None,
    endpoint: Endpoint,
    limit: Any,
    fields: Sequence[str],
    top_n: int | None,
    min_score: float | None,
    max_tokens_per_doc: int | None,
    spans: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Rerank each row of INPUT, and write a row of results for it to OUTPUT.

    Both are JSON Lines (.jsonl), CSV (.csv), each perhaps packed (.gz, from Python 3.14 also .zst), or Parquet
    (.parquet). A row has a query, documents, perhaps an id, and any argument of rerank that is its own. JSON Lines that
    are not packed grow as the job goes; other files appear when it ends.

    A job that is interrupted or killed goes on with --resume: what is in the output is not asked for again. Beside
    OUTPUT stands OUTPUT.job, which says which job it is of.

    Exit code 1 also tells that some rows have an error or, with --dry-run, cannot be sent.
    """
    from cohere_rerank.client import AsyncClientV2

    common = {
        "model": endpoint.model,
        "rank_fields": list(fields) or None,
        "top_n": top_n,
        "min_score": min_score,
        "max_tokens_per_doc": max_tokens_per_doc,
        "relevant_spans": {"mode": "enabled"} if spans else None,
    }
    key = "" if dry_run else None  # nothing is sent, so none is needed
    settings = {**endpoint.settings, "limit": limit, "max_connections": max(options["concurrency"], 100)}
    with explain_missing_key(settings, "--local"):
        client = AsyncClientV2(key, **settings)
    if options["processes"] is not None and not client._config.is_local:
        raise click.UsageError("--processes is for --local; how many requests are under way says --concurrency.")
    if dry_run:
        _print_plan(source, client, options["ignore_unknown"], common)
    elif output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    else:
        _run(source, output, client, {**options, **common})


def _run(source: Path, output: Path, client: AsyncClientV2, options: dict[str, Any]) -> None:
    from cohere_rerank.jobs import JobError, JobStoppedError, run_job

    from ._job_progress import progress_display, summary

    try:
        with progress_display() as progress:
            report = run_job(source, output, client=client, progress=progress, **options)
    except JobStoppedError as error:
        text = error.message + _resume_hint(error.report)
        if error.report is not None and error.report.stopped == "interrupted":
            notice(text)
            raise click.exceptions.Exit(INTERRUPTED) from None
        raise Failure(text) from None
    except KeyboardInterrupt:
        notice("interrupted at once; what was answered is saved (the same command with --resume)")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except JobError as error:
        raise UsageFailure(str(error)) from None
    notice(f"done: {summary(report)}")
    if report.failed:
        _report_failed_rows(report)
        raise click.exceptions.Exit(FAILED)


def _resume_hint(report: JobReport | None) -> str:
    """How a job that was stopped goes on, if it does."""
    if report is None or not report.rows:
        return ""
    return f" (the same command with {'--retry-errors' if report.stopped == 'errors' else '--resume'})"


def _report_failed_rows(report: JobReport) -> None:
    """Why most rows failed, and what mends them."""
    notice(f"commonest error: {report.commonest_error}")
    if report.invalid:
        advice = "mend them, and run them as a job of their own; or add --retry-errors, if the command was wrong"
        notice(f"rows that could not be sent: {report.invalid:,}; {advice}")
    n_others = report.failed - report.invalid
    if n_others:
        which = "other rows" if report.invalid else "rows"
        notice(f"{which} with an error: {n_others:,}; the same command with --retry-errors asks for them again")


def _print_plan(source: Path, client: AsyncClientV2, ignore_unknown: bool, common: dict[str, Any]) -> None:
    from cohere_rerank.jobs import plan_job

    plan = plan_job(source, client=client, ignore_unknown=ignore_unknown, **common)
    click.echo(f"rows          {plan.rows:,}" + (f" ({plan.failed:,} cannot be sent)" if plan.failed else ""))
    click.echo(f"requests      {plan.requests:,}")
    click.echo(f"search units  about {plan.search_units:,.0f}")
    click.echo(f"time          {_time(plan, client)}")
    for message in plan.first_errors:
        notice(message)
    if plan.failed:
        raise click.exceptions.Exit(FAILED)


def _time(plan: JobPlan, client: AsyncClientV2) -> str:
    from ._job_progress import duration

    if plan.seconds is not None:
        return f"about {duration(plan.seconds)} at the limit"
    if client._config.is_local:
        return "as fast as the machine's cores"
    return "unknown without the key's limit: give --limit a number, trial or production"
