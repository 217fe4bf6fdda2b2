"""The options of a job, for type checkers and editors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cohere_rerank.types import CommonArguments

if TYPE_CHECKING:
    from os import PathLike

    from cohere_rerank.files import ReadOptions

    from .report import JobReport

__all__ = ["JobOptions"]


class JobOptions(CommonArguments, total=False):
    """The options of `run_job`, all optional.

    The arguments of ``rerank`` are options too, such as ``model`` or ``top_n``. They apply to every row that does not
    set them itself. A query, documents and request options cannot be shared.

    Attributes:
        read: How the input is read. Default: its format and shape are detected.
        with_ids: Write the id of each document into its result. Default: False.
        with_documents: Write each document into its result. Default: False.
        resume: Continue a job that stopped early, or start a new one. A job that is done does nothing. Rows that were
            appended to the input are answered. Default: False.
        retry_errors: Continue a job, and send the rows again that have an error, also with other arguments than before.
            Default: False.
        errors: A file for the rows that have an error. The output then has none of them. Default: None.
        ordered: True writes rows in the order of the input. False writes each row when it is done. Default: True.
        concurrency: Maximum number of requests in flight, >= 1. Default: 32.
        processes: For a ``local:`` address: the number of processes, >= 1. 1 is this process. More are worker
            processes, for which a script needs ``if __name__ == "__main__":``. Default: None, one for each core.
        retry_for: How long a row is sent again after temporary failures, in seconds from the first one, >= 0. The waits
            grow to a minute. A row fails earlier if other rows succeed meanwhile, and 0 leaves only the retries of the
            client. Default: 14,400, four hours.
        deadline: Stop the job this many seconds after its start, > 0. Default: None, no deadline.
        max_error_fraction: Stop when a larger share of this run's rows has failed, from 0 to 1. It is checked after 100
            rows, and also for the last 1,000 rows. Default: 0.5.
        budget_units: Stop before the next row would bring the cost of all runs above this number of search units.
            Estimates count for rows in flight, and for responses that report no cost. Default: None, no budget.
        budget_usd: The same in USD, >= 0. It needs the prices of all models; see ``prices`` of the client.
            Default: None, no budget.
        ignore_unknown: Leave out fields that ``rerank`` does not know, instead of refusing the row. Default: False.
        csv_safe: Write an apostrophe before an id that a spreadsheet would run as a formula, such as ``=1+1``. Only for
            CSV files. Default: False.
        progress: Called with a report about once a second.
    """

    read: ReadOptions | None
    with_ids: bool
    with_documents: bool
    resume: bool
    retry_errors: bool
    errors: str | PathLike[str] | None
    ordered: bool
    concurrency: int
    processes: int | None
    retry_for: float
    max_error_fraction: float
    budget_units: float | None
    budget_usd: float | None
    ignore_unknown: bool
    csv_safe: bool
    deadline: float | None
    progress: Callable[[JobReport], object] | None
