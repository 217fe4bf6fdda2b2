"""Run a job: read rows, rank them with a client or on this machine's cores, and write them to the journal.

The sequence of a run:

1. `JobSettings` validates the arguments, and `open_locked` locks the state file and checks that it is the same job.
2. `Journal` reads which rows are done. `Job.rows` yields the others, until the input ends or the job is stopped.
3. A client ranks the rows (`_remote_outcomes`), or this machine's cores do (`local_outcomes`, on a ``local:`` address).
4. `Job.record` appends each result to the journal.
5. Beside that, `checkpoint_loop` flushes the journal and reports progress about once a second. After a stop it ends
   the waits for rate limits and retries.
6. `Job.finalize` raises JobStoppedError if the job was stopped. Otherwise `finish` makes the output from the journal.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import to_thread

from cohere_rerank._calls import calls_of
from cohere_rerank._tracing.jobs import job_span
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.batch.tasks import rerank_many_async
from cohere_rerank.errors import BudgetExceededError, CohereRerankError, InvalidRequestError

from .errors import JobError, JobStoppedError
from .formats import Reader, open_reader
from .inputs import InputFiles
from .job import Job
from .journal import Journal
from .local import check_not_worker, check_picklable, local_outcomes
from .output import finish
from .report import JobReport
from .retries import PatientCalls
from .rows import Row, outcome_record, unknown_fields, unknown_message
from .seen import SeenIds
from .settings import JobSettings, check_shared_arguments, checked_client, common_arguments
from .signals import SignalHandler, handling_signals
from .state import JobState, open_locked
from .watch import WaitAbandoned, checkpoint_loop, interruptible, run_with_companion

if TYPE_CHECKING:
    from os import PathLike

    from typing_extensions import Unpack

    from cohere_rerank._calls import AsyncCalls

    from .options import JobOptions

__all__ = ["run_job", "run_job_async"]


def run_job(
    input: str | PathLike[str] | Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    client: AsyncClientV2 | None = None,
    **options: Unpack[JobOptions],
) -> JobReport:
    """Rerank every row of a file into another file.

    In the main thread, SIGINT, SIGTERM and SIGHUP stop the job when the requests in flight are done and saved. Rows
    that wait for the rate limit or for a retry are left to the next run. A second signal stops the job at once, and a
    third one kills the process.

    Args:
        input: A file, a folder, or several of them: JSON Lines, JSON, CSV and other tables, Parquet and Arrow IPC
            (extra ``arrow``) or runs of TREC, also compressed. A row has a query and documents. It may have an id and
            any other argument of ``rerank``. Rows of other tools are recognized by their fields.
        output: JSON Lines, a JSON array (``.json``), CSV, Parquet, or a run of TREC (``.trec`` or ``.run``).
            Uncompressed JSON Lines grow while the job runs. Other files appear at its end.
        client: Sends the requests. Default: a client with the environment's settings and ``limit="auto"``. With a
            ``local:`` address and more than one process, its settings are copied to worker processes.
        **options: See `JobOptions`: how the job runs, and arguments for every row that does not set them itself, such
            as ``model`` or ``top_n``.

    Returns:
        The numbers of the job, when every row is in the output. Rows with an error count as ``failed``.

    Raises:
        InvalidRequestError: An argument has the wrong type or is out of its range.
        JobError: The files cannot be used: missing, broken, in use by another job, not writable, or of another job. Or
            an event loop is running here: then await `run_job_async`.
        JobStoppedError: The job stopped early. The rows that are done are saved.
    """
    settings = JobSettings.from_arguments(input, output, **options)
    _check_no_loop()
    with handling_signals() as signals:
        return anyio.run(partial(_run, settings, client, signals))


def _check_no_loop() -> None:
    try:
        anyio.get_current_task()
    except RuntimeError:  # no event loop runs
        return
    raise JobError("run_job cannot run inside an event loop; use: await run_job_async(...)")


async def run_job_async(
    input: str | PathLike[str] | Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    client: AsyncClientV2 | None = None,
    **options: Unpack[JobOptions],
) -> JobReport:
    """Do the same as `run_job` inside a running event loop. The arguments are the same. The caller handles signals.

    Cancelling it stops the job at once. The rows that are done are saved. The requests in flight are lost, and are sent
    again by the next run.
    """
    settings = JobSettings.from_arguments(input, output, **options)
    return await _run(settings, client, SignalHandler())


async def _run(settings: JobSettings, client: AsyncClientV2 | None, signals: SignalHandler) -> JobReport:
    check_not_worker()
    if client is not None:
        return await _run_in_span(settings, checked_client(client), signals)
    async with AsyncClientV2(limit="auto", max_connections=max(settings.concurrency, 100)) as made:
        return await _run_in_span(settings, made, signals)


async def _run_in_span(settings: JobSettings, client: AsyncClientV2, signals: SignalHandler) -> JobReport:
    with job_span(calls_of(client).config) as set_report:
        try:
            report = await _run_with(settings, client, signals)
        except JobStoppedError as error:
            set_report(error.report)
            raise
        set_report(report)
    return report


async def _run_with(settings: JobSettings, client: AsyncClientV2, signals: SignalHandler) -> JobReport:
    if calls_of(client).config.is_local:
        if settings.processes > 1:
            check_picklable(client)
        settings = replace(settings, budget_units=None, budget_usd=None)  # a local: address costs nothing
    reader = await to_thread.run_sync(_open, settings)
    try:
        check_shared_arguments(calls_of(client), settings.common)
        options = settings.fingerprint_options(client)
        files = await to_thread.run_sync(_input_files, settings, reader)
    except BaseException:
        reader.close()
        raise
    with open_locked(settings, files, options) as state, closing(SeenIds()) as seen, closing(reader):
        if state.ended is not None and not settings.journal.exists():
            _check_ended(settings, state)
            return replace(state.ended, written=0, retries=0, seconds=0.0)
        is_output = settings.journal == settings.output
        n_retries_before = client.usage.retries
        with closing(Journal(settings.journal, seen, reader.max_row(), is_output=is_output)) as journal:
            n_rows = len(journal.done)
            if state.accept_command(settings, n_rows=n_rows, n_results=n_rows - len(journal.failed)):
                journal.clear()
                seen.clear()
            common = common_arguments(settings.common, client)
            job = Job(
                settings,
                reader,
                journal,
                seen,
                common,
                lambda: client.usage.retries - n_retries_before,
                calls_of(client).pricing,
            )
            with closing(job.rows()) as rows, signals.stopping(job):
                await _rank_rows(job, rows, settings, client, signals)
            await to_thread.run_sync(_check_input, job, files)
            job.finalize()
            await to_thread.run_sync(_finish, settings, job, journal, state)
        return job.report()


def _input_files(settings: JobSettings, reader: Reader) -> InputFiles:
    return InputFiles([*settings.inputs, *settings.joined], can_grow=not reader.is_grouped and not settings.joined)


def _check_input(job: Job, files: InputFiles) -> None:
    """Stop a job whose input has changed while it ran."""
    change = None if job.stopped else files.change_now()
    if change == "grown":
        job.stop("failed", "rows were appended to the input while the job ran")
    elif change == "changed":
        job.stop("failed", "the input was changed while the job ran, so results may belong to other rows")


def _open(settings: JobSettings) -> Reader:
    """Open the input, and check its shape before anything is written."""
    reader = open_reader(settings.inputs, settings.read)
    try:
        reader.prepare()
        for _, raw in reader:
            with suppress(InvalidRequestError):
                unknown = [] if settings.ignore_unknown else unknown_fields(reader.parse(raw))
                if unknown:
                    raise JobError(f"{settings.input}: {unknown_message(unknown)}")
            break
    except BaseException:
        reader.close()
        raise
    return reader


def _check_ended(settings: JobSettings, state: JobState) -> None:
    """Check that a job that is done has its files, and that nothing is new. Its rows are no longer saved one by one."""
    if state.has_grown:
        advice = "copy the new rows to another file and run them as a new job"
        raise JobError(f"{settings.output}: the job is done, and rows were appended to its input since; {advice}")
    state.accept_command(settings, n_rows=1, n_results=1)
    missing = [path for path in (settings.output, settings.errors) if path is not None and not path.exists()]
    if missing:
        raise JobError(
            f"{missing[0]}: the job is done, but this file of it is missing; put it back, or remove {settings.state} "
            "and the other files of the job to start again"
        )


async def _rank_rows(
    job: Job, rows: Iterator[Row], settings: JobSettings, client: AsyncClientV2, signals: SignalHandler
) -> None:
    stop_event = anyio.Event()
    if calls_of(client).config.is_local:
        ordered, processes = settings.ordered, settings.processes
        outcomes = local_outcomes(client, rows, signals, ordered=ordered, processes=processes)
    else:
        calls = PatientCalls(interruptible(client, stop_event), settings.retry_for)
        job.waiting_for = calls.waiting_for
        outcomes = _remote_outcomes(calls, rows, settings)
    await run_with_companion(
        partial(checkpoint_loop, job, settings.progress, stop_event),
        partial(_record_outcomes, job, outcomes),
    )


async def _record_outcomes(job: Job, outcomes: AsyncGenerator[tuple[Row, Any], None]) -> None:
    try:
        async with aclosing(outcomes):
            async for row, record in outcomes:
                job.record(row, record)
    except BudgetExceededError as error:  # of the client
        job.stop("budget", str(error), error)
    except CohereRerankError as error:  # the input is broken, or every further request would fail
        job.stop("failed", str(error), error)


async def _remote_outcomes(
    calls: PatientCalls, rows: Iterator[Row], settings: JobSettings
) -> AsyncGenerator[tuple[Row, Any], None]:
    # A row is its own id here. An invalid row is an empty request, which comes back as an error at its place.
    outcomes = rerank_many_async(
        cast("AsyncCalls", calls),
        ({"id": row, **row.request} for row in rows),
        concurrency=settings.concurrency,
        ordered=settings.ordered,
        on_error="return",
        progress=None,
        common={},
    )
    async with aclosing(outcomes):
        with suppress(WaitAbandoned):  # raised after the outcomes of the requests in flight
            async for row, outcome in outcomes:
                yield row, outcome_record(row, outcome)


def _finish(settings: JobSettings, job: Job, journal: Journal, state: JobState) -> None:
    """Write the output files that are not the journal itself, and mark the job as done.

    Raises:
        JobStoppedError: A file cannot be written.
    """
    output, errors = settings.output, settings.errors
    try:
        finish(
            journal,
            state,
            output,
            errors,
            ordered=settings.ordered,
            with_spans=settings.with_spans,
            csv_safe=settings.csv_safe,
        )
        if settings.journal != output and not journal.failed:
            state.ended = job.report()
            state.write()
            journal.close()
            settings.journal.unlink()
    except CohereRerankError:  # the journal itself is broken
        raise
    except Exception as error:  # a full disk, or a value that the format cannot hold
        path, reason = getattr(error, "filename", None) or output, getattr(error, "strerror", None) or error
        saved = f"all rows are done and saved in {settings.journal}; resume to write the output"
        message = f"{path}: cannot be written: {reason}; {saved}"
        raise JobStoppedError(message, replace(job.report(), stopped="failed")) from error
