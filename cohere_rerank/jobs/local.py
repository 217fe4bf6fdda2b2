"""The same answers from this machine's cores, each with a client on a ``local:`` address.

One is this process itself; more are worker processes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from cohere_rerank.client import ClientV2
from cohere_rerank.errors import CohereRerankError, InvalidRequestError

from .errors import JobError
from .rows import Row, outcome_record

if TYPE_CHECKING:
    from cohere_rerank.async_client import AsyncClientV2

__all__ = ["answers", "check_copies", "check_no_start"]

_CHUNK_ROWS = 16  # what a worker is given at a time: enough that handing it over costs little
_CHUNKS_EACH = 3  # one under way, one waiting, one whose answers are being written
_GUARD = (
    'each worker imports the script again, which must be a file, and run its job under if __name__ == "__main__": '
    "(processes=1 needs neither)"
)
Record = dict[str, Any]


class _Nowhere:
    """A file that keeps nothing: a model may be large."""

    def write(self, data: bytes) -> int:
        return len(data)


def check_copies(client: AsyncClientV2) -> None:
    """Find out whether worker processes can have a client's settings.

    Raises:
        InvalidRequestError: They cannot be pickled.
    """
    try:
        ForkingPickler(_Nowhere()).dump(client)
    except Exception as error:  # whatever a scorer's own methods raise
        message = f"the client cannot be copied to worker processes: {error}"
        advice = "a scorer's class must stand at the top of a module, and hold nothing that is open"
        raise InvalidRequestError(f"{message}; {advice}") from error


def check_no_start() -> None:
    """Find out whether this is a worker process that only now begins: it runs the script that made it once more.

    Raises:
        JobError: It is, and the script would run its job in there too.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing tells it itself
        raise JobError(f"a worker process that began ran the job again: {_GUARD}")


def answers(
    client: AsyncClientV2, rows: Iterator[Row], *, ordered: bool, processes: int
) -> AsyncGenerator[tuple[Row, Record], None]:
    """What becomes of each row.

    Args:
        client: Has a ``local:`` address, and can be pickled if there is more than one process.
        rows: Read as they are needed, a bounded number ahead.
        ordered: Answers in the order of the rows, or as they come.
        processes: How many; 1 is this one.

    Raises:
        JobError: A worker process died.
    """
    return _from_here(client, rows) if processes == 1 else _from_workers(client, rows, ordered, processes)


async def _from_here(client: AsyncClientV2, rows: Iterator[Row]) -> AsyncGenerator[tuple[Row, Record], None]:
    with _blocking(client) as own:
        for row in rows:
            # In a thread, so that checkpoints and signals are seen to meanwhile.
            yield row, await to_thread.run_sync(_answer, own, row)


async def _from_workers(
    client: AsyncClientV2, rows: Iterator[Row], ordered: bool, processes: int
) -> AsyncGenerator[tuple[Row, Record], None]:
    # Spawned, not forked: this process has threads.
    spawning = get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawning, initializer=_begin, initargs=(client,))
    waiting: deque[tuple[list[Row], Future[list[Record]]]] = deque()
    where = f" before the first answer: {_GUARD}; or"
    try:
        while True:
            while len(waiting) < processes * _CHUNKS_EACH and (chunk := [*islice(rows, _CHUNK_ROWS)]):
                waiting.append((chunk, pool.submit(_answer_chunk, chunk)))
            if not waiting:
                return
            chunk, done = await _next(waiting, ordered=ordered)
            where = ";"
            for answer in zip(chunk, done, strict=True):
                yield answer
    except BrokenProcessPool:
        raise JobError(f"a worker process died{where} was there too little memory for so many processes?") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _next(
    waiting: deque[tuple[list[Row], Future[list[Record]]]], *, ordered: bool
) -> tuple[list[Row], list[Record]]:
    if ordered:
        at = 0
        await to_thread.run_sync(wait, [waiting[0][1]])
    else:
        await to_thread.run_sync(lambda: wait([future for _, future in waiting], return_when=FIRST_COMPLETED))
        at = next(index for index, (_, future) in enumerate(waiting) if future.done())
    chunk, future = waiting[at]
    del waiting[at]
    return chunk, future.result()


_client: ClientV2


def _begin(client: AsyncClientV2) -> None:
    """Make a worker ready, that minds neither Ctrl-C, which the job sees to, nor outlives the job."""
    global _client  # noqa: PLW0603 - what a worker process keeps between chunks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _client = _blocking(client)


def _blocking(client: AsyncClientV2) -> ClientV2:
    """A client of its own with the same settings, that blocks."""
    made = object.__new__(ClientV2)
    made.__setstate__({"_config": client._config})
    return made


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer_chunk(rows: list[Row]) -> list[Record]:
    return [_answer(_client, row) for row in rows]


def _answer(client: ClientV2, row: Row) -> Record:
    if row.error is not None:
        return outcome_record(row, row.error)
    try:
        return outcome_record(row, client.rerank(**{"model": None, **row.request}))
    except CohereRerankError as error:
        return outcome_record(row, error)
