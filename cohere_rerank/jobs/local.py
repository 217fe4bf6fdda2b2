"""Rank the rows of a job on this machine's cores, with a client on a ``local:`` address.

One process is the caller's own. More are worker processes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import Pipe, current_process, get_context
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from cohere_rerank._calls import calls_of
from cohere_rerank.client import ClientV2
from cohere_rerank.errors import CohereRerankError, InvalidRequestError

from .errors import JobError
from .rows import Row, outcome_record
from .signals import SIGNALS

if TYPE_CHECKING:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection as Lifeline
    else:
        from multiprocessing.connection import Connection as Lifeline

    from cohere_rerank.async_client import AsyncClientV2

    from .signals import SignalHandler

__all__ = ["check_not_worker", "check_picklable", "local_outcomes"]

_CHUNK_ROWS = 16  # rows that a worker or a thread receives at once: enough to make the transfer cheap
_CHUNK_S = 0.05  # with one process, chunks shrink if they take longer, so that a stop is handled soon
_CHUNKS_PER_WORKER = 3  # one is scored, one is queued, one is being written
_MAIN_GUARD = (
    'each worker imports the script, which must be a file and must run its job under if __name__ == "__main__": '
    "(with processes=1 neither is needed)"
)
Record = dict[str, Any]


class _NullWriter:
    """A file that discards what is written: a pickled model may be large."""

    def write(self, data: bytes) -> int:
        return len(data)


def check_picklable(client: AsyncClientV2) -> None:
    """Check that worker processes can receive a client's settings.

    Raises:
        InvalidRequestError: They cannot be pickled.
    """
    try:
        ForkingPickler(_NullWriter()).dump(client)
    except Exception as error:  # anything that a scorer's own methods raise
        message = f"the client cannot be copied to worker processes: {error}"
        advice = "define the scorer's class at the top level of a module, and keep open files out of it"
        raise InvalidRequestError(f"{message}; {advice}") from error


def check_not_worker() -> None:
    """Check that this process is not a worker that is starting, and that imports the script which started it.

    Raises:
        JobError: It is one. The script would run its job again in each worker.
    """
    if getattr(current_process(), "_inheriting", False):  # multiprocessing's own check
        raise JobError(f"a worker process that was starting ran the job again: {_MAIN_GUARD}")


def local_outcomes(
    client: AsyncClientV2, rows: Iterator[Row], signals: SignalHandler, *, ordered: bool, processes: int
) -> AsyncGenerator[tuple[Row, Record], None]:
    """Yield each row with its record for the output.

    Args:
        client: Has a ``local:`` address. With more than one process it can be pickled.
        rows: Read when they are needed, a bounded number ahead.
        signals: Receives the function that ends the workers at once.
        ordered: Whether to yield in the order of the rows.
        processes: The number of processes. 1 is this process.

    Raises:
        JobError: A worker process died.
    """
    if processes == 1:
        return _in_process(client, rows)
    return _from_workers(client, rows, signals, ordered, processes)


async def _in_process(client: AsyncClientV2, rows: Iterator[Row]) -> AsyncGenerator[tuple[Row, Record], None]:
    size = 1
    with _blocking(client) as blocking_client:
        while chunk := [*islice(rows, size)]:
            start_s = time.monotonic()
            # In a thread, so that checkpoints and signals are handled meanwhile.
            records = await to_thread.run_sync(_rank_rows, blocking_client, chunk)
            size = max(1, size // 2) if time.monotonic() - start_s > _CHUNK_S else min(2 * size, _CHUNK_ROWS)
            for row_and_record in zip(chunk, records, strict=True):
                yield row_and_record


async def _from_workers(
    client: AsyncClientV2, rows: Iterator[Row], signals: SignalHandler, ordered: bool, processes: int
) -> AsyncGenerator[tuple[Row, Record], None]:
    # The workers exit when this end of the pipe closes: here, at the second signal, or with this process.
    lifeline, our_end = Pipe(duplex=False)
    signals.kill_workers = our_end.close
    # Spawned, not forked: this process has threads.
    context = get_context("spawn")
    with _blocked_signals():  # it starts a process too, which tracks resources
        pool = ProcessPoolExecutor(processes, context, initializer=_init_worker, initargs=(client, lifeline))
    pending: deque[tuple[list[Row], Future[list[Record]]]] = deque()
    when = f" before the first result: {_MAIN_GUARD}; or"
    try:
        while True:
            while len(pending) < processes * _CHUNKS_PER_WORKER and (chunk := [*islice(rows, _CHUNK_ROWS)]):
                with _blocked_signals():
                    pending.append((chunk, pool.submit(_rank_chunk, chunk)))
            if not pending:
                await to_thread.run_sync(pool.shutdown)
                return
            chunk, records = await _next_chunk(pending, ordered=ordered)
            when = ";"
            for row_and_record in zip(chunk, records, strict=True):
                yield row_and_record
    except BrokenProcessPool:
        raise JobError(f"a worker process died{when} was there too little memory for {processes} processes?") from None
    finally:
        our_end.close()
        lifeline.close()
        pool.shutdown(wait=signals.is_aborting, cancel_futures=True)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block signals while workers are started. The workers inherit this, so only the job handles signals.

    Otherwise a signal to the whole process group, such as Ctrl-C, could end a worker while it starts. The worker would
    then print a traceback.
    """
    if sys.platform == "win32":  # it has no signal masks
        yield
    else:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _next_chunk(
    pending: deque[tuple[list[Row], Future[list[Record]]]], *, ordered: bool
) -> tuple[list[Row], list[Record]]:
    if ordered:
        index = 0
        await to_thread.run_sync(wait, [pending[0][1]])
    else:
        await to_thread.run_sync(lambda: wait([future for _, future in pending], return_when=FIRST_COMPLETED))
        index = next(index for index, (_, future) in enumerate(pending) if future.done())
    chunk, future = pending[index]
    del pending[index]
    return chunk, future.result()


_worker_client: ClientV2


def _init_worker(client: AsyncClientV2, lifeline: Lifeline) -> None:
    """Prepare a worker. It ignores Ctrl-C, which the job handles, and it exits with the job."""
    global _worker_client  # noqa: PLW0603 - a worker keeps its client between chunks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_job, args=(lifeline,), daemon=True).start()
    _worker_client = _blocking(client)


def _blocking(client: AsyncClientV2) -> ClientV2:
    """Return a blocking client with the same settings."""
    blocking_client = object.__new__(ClientV2)
    blocking_client.__setstate__({"_config": calls_of(client).config})
    return blocking_client


def _exit_with_job(lifeline: Lifeline) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()  # nothing is sent: this waits until the job closes its end
    os._exit(1)


def _rank_chunk(rows: list[Row]) -> list[Record]:
    return _rank_rows(_worker_client, rows)


def _rank_rows(client: ClientV2, rows: list[Row]) -> list[Record]:
    return [_rank(client, row) for row in rows]


def _rank(client: ClientV2, row: Row) -> Record:
    if row.error is not None:
        return outcome_record(row, row.error)
    try:
        arguments: dict[str, Any] = {"model": None, **row.request}
        return outcome_record(row, client.rerank(**arguments))
    except CohereRerankError as error:
        return outcome_record(row, error)
