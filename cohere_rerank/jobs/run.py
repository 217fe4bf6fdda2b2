"""Running a job: rows out of the input, through a client or the machine's cores, into the journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.errors import CohereRerankError

from . import local
from .errors import JobError, JobStoppedError
from .formats import check_start
from .formats import reader as opened_reader
from .job import Job
from .journal import Journal
from .output import finish
from .report import JobReport
from .rows import Row, outcome_record
from .seen import SeenIds
from .settings import Settings, checked_client, common_arguments
from .signals import Signals, heeding
from .state import State, fingerprint, locked
from .watch import GivenUp, beside, impatient, watch

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["run_job", "run_job_async"]


def run_job(
    input: str | PathLike[str],
    output: str | PathLike[str],
    *,
    client: AsyncClientV2 | None = None,
    resume: bool = False,
    retry_errors: bool = False,
    errors: str | PathLike[str] | None = None,
    ordered: bool = True,
    concurrency: int = 32,
    processes: int | None = None,
    max_error_fraction: float = 0.5,
    budget_units: float | None = None,
    ignore_unknown: bool = False,
    progress: Callable[[JobReport], object] | None = None,
    **common: Any,
) -> JobReport:
    """Rerank every row of a file into another file.

    In the main thread, SIGINT and SIGTERM end the job once what is under way is answered and saved; rows that wait,
    for their turn or a repeat, are left to the next run. A second signal ends it at once.

    Args:
        input: JSONL or CSV (also ``.gz``, and ``.zst`` from Python 3.14), or Parquet (extra ``arrow``). A row has a
            query, documents, an id if it has a name, and any other argument of ``rerank`` that is its own.
        output: In any of these formats. JSONL without packing grows as the job goes; the others appear when it ends.
        client: Who answers; without it, one with the environment's settings and ``limit="auto"``. With a ``local:``
            address and more than one process its settings are copied to workers.
        resume: Go on with a job that ended early; nothing happens if it was done.
        retry_errors: Go on with a job, and ask again for the rows that have an error.
        errors: A file for rows with an error, which are then not in the output.
        ordered: Rows in the order of the input; False writes each as soon as it is answered.
        concurrency: Requests under way at once, >= 1.
        processes: For a ``local:`` address, >= 1; None takes all cores. 1 is this process itself; more are workers,
            for which a script needs ``if __name__ == "__main__":``.
        max_error_fraction: Stop when a larger share of the run's rows has failed, in [0, 1]; judged from 100 rows on,
            and of the last 1,000 rows too.
        budget_units: Stop before the next row would bring the job, with its earlier runs, above this many search
            units. Rows under way count by estimate, as do answers that do not say what they cost.
        ignore_unknown: Whether fields of a row that ``rerank`` does not know are left out, instead of refused.
        progress: Is given a report about once a second.
        **common: Arguments for every row that does not set them itself, such as ``model``.

    Returns:
        The numbers, when every row is in the output; rows with an error count as ``failed``.

    Raises:
        InvalidRequestError: An argument is of the wrong type or out of its range.
        JobError: The files cannot be used: missing, broken, in use by another job, not writable, or not of this job.
            Or an event loop runs here, where `run_job_async` is to be awaited.
        JobStoppedError: It ended early; what was answered is saved.
    """
    settings = Settings.of(
        input,
        output,
        resume=resume,
        retry_errors=retry_errors,
        errors=errors,
        ordered=ordered,
        concurrency=concurrency,
        processes=processes,
        max_error_fraction=max_error_fraction,
        budget_units=budget_units,
        ignore_unknown=ignore_unknown,
        progress=progress,
        **common,
    )
    _check_no_loop()
    with heeding() as signals:
        return anyio.run(partial(_run, settings, client, signals))


def _check_no_loop() -> None:
    try:
        anyio.get_current_task()
    except RuntimeError:  # there is none
        return
    raise JobError("run_job cannot run inside an event loop; use: await run_job_async(...)")


async def run_job_async(
    input: str | PathLike[str], output: str | PathLike[str], *, client: AsyncClientV2 | None = None, **options: Any
) -> JobReport:
    """As `run_job`, in an event loop that runs already. Signals are the caller's to heed.

    Cancelling it ends the job at once: what was answered is saved, what was under way is not.

    Args:
        input: As there.
        output: As there.
        client: As there.
        **options: As there.
    """
    return await _run(Settings.of(input, output, **options), client, Signals())


async def _run(settings: Settings, client: AsyncClientV2 | None, signals: Signals) -> JobReport:
    local.check_no_start()
    if client is not None:
        return await _run_with(settings, checked_client(client), signals)
    async with AsyncClientV2(limit="auto", max_connections=max(settings.concurrency, 100)) as made:
        return await _run_with(settings, made, signals)


async def _run_with(settings: Settings, client: AsyncClientV2, signals: Signals) -> JobReport:
    if client._config.is_local:
        if settings.processes > 1:
            local.check_copies(client)
        settings = replace(settings, budget_units=None)  # nothing costs anything
    await to_thread.run_sync(check_start, settings.input)
    source = opened_reader(settings.input)
    described = await to_thread.run_sync(fingerprint, settings.input, settings.that_matter(client))
    with locked(settings, described) as state, closing(SeenIds()) as seen:
        if state.ended is not None and not settings.journal.exists():
            _check_there(settings)
            return JobReport(**{**state.ended, "written": 0, "retries": 0, "seconds": 0.0})
        n_retries_before = client.usage.retries
        with closing(Journal(settings.journal, seen)) as journal:
            common = common_arguments(settings.common, client)
            job = Job(settings, source, journal, seen, common, lambda: client.usage.retries - n_retries_before)
            with closing(job.rows()) as rows, signals.stopping(job):
                await _answer_rows(job, rows, settings, client)
            job.settle()
        await to_thread.run_sync(_finish, settings, job, journal, state)
        return job.report()


def _check_there(settings: Settings) -> None:
    gone = [path for path in (settings.output, settings.errors) if path is not None and not path.exists()]
    if gone:
        raise JobError(
            f"{gone[0]}: the job is done, but this file of it is gone; put it back, or remove {settings.state} and "
            "what else is left of the job, and begin anew"
        )


async def _answer_rows(job: Job, rows: Iterator[Row], settings: Settings, client: AsyncClientV2) -> None:
    hurry = anyio.Event()
    await beside(
        partial(watch, job, settings.progress, hurry),
        partial(_take_answers, job, partial(_answers, rows, settings, client, hurry)),
    )


async def _take_answers(job: Job, answers: Callable[[], AsyncGenerator[tuple[Row, Any], None]]) -> None:
    try:
        async with aclosing(answers()) as pairs:
            async for row, record in pairs:
                job.take(row, record)
    except CohereRerankError as error:  # no further row can be read, or would be answered
        job.stop("failed", str(error), error)


async def _answers(
    rows: Iterator[Row], settings: Settings, client: AsyncClientV2, hurry: anyio.Event
) -> AsyncGenerator[tuple[Row, Any], None]:
    if client._config.is_local:
        answers = local.answers(client, rows, ordered=settings.ordered, processes=settings.processes)
    else:
        answers = _remote_answers(impatient(client, hurry), rows, settings)
    async with aclosing(answers):
        async for answer in answers:
            yield answer


async def _remote_answers(
    client: AsyncClientV2, rows: Iterator[Row], settings: Settings
) -> AsyncGenerator[tuple[Row, Any], None]:
    # A row is its own id here; one that is wrong is an empty request, which comes back in its turn.
    outcomes = client.rerank_many(
        ({"id": row, **row.request} for row in rows),
        concurrency=settings.concurrency,
        ordered=settings.ordered,
    )
    async with aclosing(outcomes):
        with suppress(GivenUp):  # raised once what was under way is given
            async for row, outcome in outcomes:
                yield row, outcome_record(row, outcome)


def _finish(settings: Settings, job: Job, journal: Journal, state: State) -> None:
    """Make the files that are not the journal itself, and tell that the job is done.

    Raises:
        JobStoppedError: One of them cannot be written.
    """
    output, errors = settings.output, settings.errors
    try:
        finish(journal, output, errors, ordered=settings.ordered, with_spans=settings.with_spans)
        if settings.journal != output and not journal.failed:
            state.ended = asdict(job.report())
            state.write()
            settings.journal.unlink()
    except CohereRerankError:  # the journal itself is broken
        raise
    except Exception as error:  # a full disk, or what a format cannot hold
        place, reason = getattr(error, "filename", None) or output, getattr(error, "strerror", None) or error
        told = f"{place}: cannot be written: {reason}"
        saved = f"all rows are answered and saved in {settings.journal}; make room, and resume to write the output"
        raise JobStoppedError(f"{told}; {saved}", replace(job.report(), stopped="failed")) from error
