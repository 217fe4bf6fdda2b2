"""What a job would take, found out by reading its input; nothing is sent and nothing is written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.errors import InvalidRequestError

from .formats import reader
from .job import rows_to_do
from .rows import estimated_units
from .seen import SeenIds
from .settings import checked_client, checked_common, common_arguments

if TYPE_CHECKING:
    from os import PathLike

    from cohere_rerank.limits import RateLimit

__all__ = ["JobPlan", "plan_job"]


@dataclass(frozen=True)
class JobPlan:
    """A job before it is run.

    Attributes:
        rows: Rows of the input.
        failed: Rows among them that cannot be sent.
        first_errors: What is wrong with the first ten of those.
        requests: Requests to send, long lists split.
        search_units: What the API will probably bill, an estimate; 0.0 on a ``local:`` address.
        seconds: How long the client's limit holds the last request back; None without a limit of a known size.
    """

    rows: int
    failed: int
    first_errors: tuple[str, ...]
    requests: int
    search_units: float
    seconds: float | None


_FIRST_ERRORS = 10


def plan_job(
    input: str | PathLike[str],
    *,
    client: AsyncClientV2 | None = None,
    ignore_unknown: bool = False,
    **common: Any,
) -> JobPlan:
    """Read a job's whole input, and say what running it would take.

    Args:
        input: As for `run_job`, like the others.
        client: Its limit and address count.
        ignore_unknown: As there.
        **common: As there.

    Raises:
        InvalidRequestError: An argument is of the wrong type or out of its range.
        JobError: The input is missing or broken.
    """
    client = AsyncClientV2("") if client is None else checked_client(client)  # without a key: nothing is sent
    checked_common(common)
    config, shared = client._config, common_arguments(common, client)
    n_rows, n_failed, n_requests, units = 0, 0, 0, 0.0
    errors: list[str] = []
    with closing(SeenIds()) as seen:
        for row in rows_to_do(reader(Path(input)), seen, shared, ignores_unknown=ignore_unknown):
            n_rows += 1
            try:
                if row.error is not None:
                    raise row.error
                arguments: dict[str, Any] = {"model": None, **row.request}
                call = client._encode_bulk(**arguments)
            except InvalidRequestError as error:
                n_failed += 1
                if n_failed <= _FIRST_ERRORS:
                    errors.append(f"{row.place}: {error.message}")
                continue
            n_requests += -(-len(call.texts) // call.max_documents_per_request)
            units += 0.0 if config.is_local else estimated_units(row)
    seconds = _seconds(n_requests, config.limit) if not config.is_local else None
    return JobPlan(n_rows, n_failed, tuple(errors), n_requests, units, seconds)


def _seconds(n_requests: int, limit: RateLimit | str | None) -> float | None:
    if isinstance(limit, str):
        from cohere_rerank.limits.rate_limit import PRESETS

        limit = PRESETS.get(limit)
    if limit is None:
        return None
    n_before = max(0, n_requests - 1)
    if limit.burst is None:  # a whole period's worth goes at once
        return n_before // limit.requests * limit.period_s
    return max(0.0, n_before * limit.emission_interval_s - limit.tolerance_s)
