"""``cohere-rerank batch``: rank every row of a file into another file. A stopped job can be resumed."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cohere_rerank._calls import calls_of

from ._common import Endpoint, endpoint_options, explain_missing_key, notice
from ._durations import DURATION
from ._failures import FAILED, INTERRUPTED, Failure, UsageFailure, in_options
from ._reading import STDIN, notice_shape, reading_options, regular_files
from ._values import examples, finite

if TYPE_CHECKING:
    from cohere_rerank.client import AsyncClientV2
    from cohere_rerank.files import ReadOptions
    from cohere_rerank.jobs import JobPlan, JobReport

__all__ = ["batch"]

_MAX_PRICES_BYTES = 1 << 20
_LIMITS = ("auto", "trial", "production", "none")


def _limit(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    """Return the name of a preset, a RateLimit, or None for no limit."""
    if value in _LIMITS:
        return None if value == "none" else value
    if not value.isdecimal() or not int(value):
        names = ", ".join(_LIMITS)
        raise click.BadParameter(f"{value!r} must be a number of requests per minute, or one of {names}.", ctx, param)
    from cohere_rerank.limits import RateLimit

    return RateLimit(per_minute=int(value))


def _prices(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Return the content of the file. The client checks it."""
    if value is None:
        return None
    try:
        return json.loads(value.read(_MAX_PRICES_BYTES))
    except ValueError as error:
        raise click.BadParameter(f"{value.name} is not a JSON file: {error}.", ctx, param) from None


@click.command(
    short_help="Rank the documents of each row of INPUT.",
    epilog=examples(
        "batch rows.jsonl -o ranked.jsonl --limit production --resume",
        "batch rows.csv -o ranked.csv --local --dry-run",
        "batch --run bm25.trec --corpus corpus.jsonl --queries queries.tsv -o ranked.trec",
    ),
)
@click.argument("sources", metavar="[INPUT]...", nargs=-1, type=click.Path(exists=True, allow_dash=True))
@click.option("--run", "runs", multiple=True, type=click.Path(), metavar="FILE", help="The same as INPUT.")
@click.option(
    "-o",
    "--output",
    metavar="OUTPUT",
    type=click.Path(path_type=Path),
    help="File for the results, or - for standard output. Required, except with --dry-run.",
)
@endpoint_options
@reading_options()
@click.option("--with-ids", is_flag=True, help="Write the id of the document into each result.")
@click.option("--with-documents", is_flag=True, help="Write the document into each result.")
@click.option("--resume", is_flag=True, help="Resume a job that was stopped, or start a new one.")
@click.option(
    "--retry-errors", is_flag=True, help="Resume, and send the rows with an error again, also with corrected options."
)
@click.option(
    "--errors",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File for the rows with an error.  [default: OUTPUT, with a field error]",
)
@click.option(
    "--ordered/--unordered",
    default=True,
    help="Write rows in the order of the input, or as they complete.  [default: ordered]",
)
@click.option(
    "--limit",
    callback=_limit,
    metavar="LIMIT",
    default="auto",
    show_default=True,
    help="Requests per minute of the key: a number, trial (10), production (1,000), auto (detected), or none.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    metavar="N",
    default=32,
    show_default=True,
    help="Maximum number of requests in flight.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of processes. Only with --local.  [default: all cores]",
)
@click.option(
    "--retry-for",
    type=DURATION,
    metavar="TIME",
    default="4h",
    show_default=True,
    help="Retry a row after temporary failures for so long, such as 90s, 30m or 6h. 0: only as a single call does.",
)
@click.option("--deadline", type=DURATION, metavar="TIME", help="Stop the job after this time, such as 8h.")
@click.option(
    "--max-error-fraction",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    default=0.5,
    show_default=True,
    help="Stop if a larger share of the rows failed: of all rows of this run (from 100 rows on), or of its last 1,000.",
)
@click.option(
    "--budget-units",
    type=click.FloatRange(min=0),
    metavar="UNITS",
    help="Stop before the job costs more search units, earlier runs included.",
)
@click.option(
    "--budget-usd",
    type=click.FloatRange(min=0),
    metavar="USD",
    help="Stop before the job costs more USD, earlier runs included. The prices of the models must be known.",
)
@click.option(
    "--prices",
    type=click.File("rb"),
    callback=_prices,
    metavar="FILE",
    help="JSON file with the price of each model in USD: per_search_unit or per_million_tokens.  [default: second-hand "
    "prices, only for Cohere's own address]",
)
@click.option(
    "--csv-safe",
    is_flag=True,
    help="Write an apostrophe before an id that a spreadsheet would run as a formula. Only for CSV.",
)
@click.option("--ignore-unknown", is_flag=True, help="Ignore fields of rows that are not arguments of rerank.")
@click.option(
    "--field", "fields", metavar="NAME", multiple=True, help="Rank by this field of objects. Can be repeated."
)
@click.option(
    "-n", "--top-n", type=click.IntRange(min=1), metavar="N", help="Write the N best results of a row.  [default: all]"
)
@click.option(
    "--min-score", type=float, callback=finite, metavar="SCORE", help="Write results with this score or a higher one."
)
@click.option("--max-tokens-per-doc", type=click.IntRange(min=1), metavar="N", help="Cut longer documents to N tokens.")
@click.option(
    "--on-empty",
    type=click.Choice(("error", "skip")),
    help="Refuse rows with blank or null documents, or leave such documents out.  [default: error]",
)
@click.option("--spans", is_flag=True, help="Write the relevant passages (Rerank v5 and newer, and --local).")
@click.option("--dry-run", is_flag=True, help="Read the input and print the cost and time of the job. Send nothing.")
def batch(
    sources: Sequence[str],
    runs: Sequence[str],
    output: Path | None,
    read: ReadOptions,
    endpoint: Endpoint,
    limit: Any,
    prices: Any,
    fields: Sequence[str],
    top_n: int | None,
    min_score: float | None,
    max_tokens_per_doc: int | None,
    on_empty: str | None,
    spans: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Rank the documents of each row of INPUT, and write a row of results to OUTPUT.

    An INPUT is JSON Lines, JSON, a table (.csv, .tsv), Parquet, Arrow IPC, a run of TREC, a folder of such files, or -
    for standard input; also compressed (.gz, .bz2, .xz, .zst). A row has a query and documents, or a query and one
    document. Rows of other tools are recognized by their fields, and a message says how they are read. A row can have
    an id, and its own value for any argument of rerank.

    OUTPUT is JSON Lines (.jsonl), a JSON array (.json), CSV, Parquet or a run (.trec). JSON Lines without compression
    grow while the job runs. Other files appear at the end.

    --resume continues a job that was interrupted or killed. Rows that are in the output are not sent again, and rows
    that were appended to the input are answered. The file OUTPUT.job identifies the job.

    Exit code 1 also means that some rows have an error or, with --dry-run, cannot be sent.
    """
    from cohere_rerank.client import AsyncClientV2

    common = {
        "model": endpoint.model,
        "rank_fields": list(fields) or None,
        "top_n": top_n,
        "min_score": min_score,
        "max_tokens_per_doc": max_tokens_per_doc,
        "on_empty": on_empty,
        "relevant_spans": {"mode": "enabled"} if spans else None,
    }
    key = "" if dry_run else None  # a dry run sends nothing
    n_connections = max(options["concurrency"], 100)
    settings = {**endpoint.settings, "limit": limit, "prices": prices, "max_connections": n_connections}
    with explain_missing_key(settings, "--local"):
        client = AsyncClientV2(key, **settings)
    if options["processes"] is not None and not calls_of(client).config.is_local:
        raise click.UsageError("--processes needs --local; use --concurrency to set the number of requests in flight.")
    if not sources and not runs:
        raise click.UsageError("Missing argument 'INPUT'.")
    if not dry_run and output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    read = replace(read, has_raw_documents=bool(fields))
    with regular_files([*sources, *runs]) as paths:
        notice_shape(paths, [*sources, *runs], read)
        if dry_run or output is None:
            _print_plan(paths, client, {"ignore_unknown": options["ignore_unknown"], "read": read, **common})
        elif str(output) == STDIN:
            _run_to_stdout(paths, client, {"read": read, **options, **common})
        else:
            _run(paths, output, client, {"read": read, **options, **common})


def _run_to_stdout(paths: Sequence[str], client: AsyncClientV2, options: dict[str, Any]) -> None:
    """Run a job that cannot be resumed, and write its JSON Lines to standard output."""
    if options["resume"] or options["retry_errors"]:
        raise click.UsageError("--resume and --retry-errors need a file as OUTPUT.")
    with tempfile.TemporaryDirectory(prefix="cohere-rerank-") as folder:
        output = Path(folder, "out.jsonl")
        try:
            _run(paths, output, client, options)
        finally:
            if output.exists():
                with output.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()


def _run(source: Sequence[str], output: Path, client: AsyncClientV2, options: dict[str, Any]) -> None:
    from cohere_rerank.jobs import JobError, JobStoppedError, run_job

    from ._job_progress import progress_display, summary

    try:
        with progress_display() as progress:
            report = run_job(source, output, client=client, progress=progress, **options)
    except JobStoppedError as error:
        text = in_options(error.message) + _resume_hint(error.report)
        if error.report is not None and error.report.stopped == "interrupted":
            notice(text)
            raise click.exceptions.Exit(INTERRUPTED) from None
        raise Failure(text) from None
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # another one ends the process without a traceback
        notice("stopped at once; completed rows are saved; resume with the same command and --resume")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except JobError as error:
        raise UsageFailure(in_options(str(error))) from None
    notice(f"done: {summary(report)}")
    if report.failed:
        _report_failed_rows(report)
        raise click.exceptions.Exit(FAILED)


def _resume_hint(report: JobReport | None) -> str:
    """Return how to resume a stopped job, or an empty text."""
    if report is None or not report.rows:
        return ""
    return f" (resume with the same command and {'--retry-errors' if report.stopped == 'errors' else '--resume'})"


def _report_failed_rows(report: JobReport) -> None:
    """Print the most common error and how to fix the failed rows."""
    notice(f"most common error: {report.most_common_error}")
    if report.invalid:
        advice = "fix them and run them as a new job; if an option was wrong, correct it and add --retry-errors"
        notice(f"rows that could not be sent: {report.invalid:,}; {advice}")
    n_others = report.failed - report.invalid
    if n_others:
        which = "other rows" if report.invalid else "rows"
        notice(f"{which} with an error: {n_others:,}; send them again with the same command and --retry-errors")


def _print_plan(source: Sequence[str], client: AsyncClientV2, options: dict[str, Any]) -> None:
    from cohere_rerank.jobs import plan_job

    plan = plan_job(source, client=client, **options)
    click.echo(f"rows          {plan.rows:,}" + (f" ({plan.failed:,} cannot be sent)" if plan.failed else ""))
    click.echo(f"requests      {plan.requests:,}")
    click.echo(f"search units  about {plan.search_units:,.0f}")
    click.echo(f"cost          {_cost(plan)}")
    click.echo(f"time          {_time(plan, client)}")
    for message in plan.first_errors:
        notice(message)
    if plan.failed:
        raise click.exceptions.Exit(FAILED)


def _cost(plan: JobPlan) -> str:
    if plan.cost_usd is None:
        return "unknown: a price is missing; state it with --prices"
    return f"about {plan.cost_usd:,.2f} USD"


def _time(plan: JobPlan, client: AsyncClientV2) -> str:
    from ._job_progress import duration

    if plan.seconds is not None:
        return f"about {duration(plan.seconds)} at the limit"
    if calls_of(client).config.is_local:
        return "depends on the cores of this machine"
    return "unknown without a limit: set --limit to a number, trial or production"
