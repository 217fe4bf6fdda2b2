"""The plan of a job: its requests, cost and time. It reads the input, sends nothing and writes nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cohere_rerank._calls import calls_of
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.cost.prices import price_of
from cohere_rerank.errors import InvalidRequestError

from .formats import open_reader
from .job import pending_rows
from .rows import estimated_bill
from .seen import SeenIds
from .settings import checked_client, checked_common, checked_paths, checked_read, common_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from typing_extensions import Unpack

    from cohere_rerank._wire.call import Call
    from cohere_rerank.cost.prices import Pricing
    from cohere_rerank.files import ReadOptions
    from cohere_rerank.limits import RateLimit
    from cohere_rerank.types import CommonArguments

__all__ = ["JobPlan", "plan_job"]


@dataclass(frozen=True)
class JobPlan:
    """What a job needs, before it is run.

    Attributes:
        rows: Rows of the input.
        failed: Rows among them that cannot be sent.
        first_errors: The errors of the first ten of these rows.
        requests: Requests to send. A long list of documents is split into several requests.
        search_units: An estimate of what the API will bill. 0.0 on a ``local:`` address.
        cost_usd: The same in USD. None if the price of a row's model is not known. 0.0 on a ``local:`` address.
        seconds: How long the client's limit delays the last request. None if the limit is unknown or there is none.
    """

    rows: int
    failed: int
    first_errors: tuple[str, ...]
    requests: int
    search_units: float
    seconds: float | None
    cost_usd: float | None = None


_MAX_FIRST_ERRORS = 10


def plan_job(
    input: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    client: AsyncClientV2 | None = None,
    read: ReadOptions | None = None,
    ignore_unknown: bool = False,
    **common: Unpack[CommonArguments],
) -> JobPlan:
    """Read the whole input of a job, and return what the job needs. Nothing is sent.

    Args:
        input: As for `run_job`.
        read: As for `run_job`.
        client: Its limit and address are used. Default: a client with the environment's settings; no key is needed.
        ignore_unknown: As for `run_job`. Default: False.
        **common: As for `run_job`.

    Raises:
        InvalidRequestError: An argument has the wrong type or is out of its range.
        JobError: The input does not exist or is broken.
    """
    client = AsyncClientV2("") if client is None else checked_client(client)  # no key is needed: nothing is sent
    checked_common(common)
    calls, shared = calls_of(client), common_arguments(common, client)
    n_rows, n_failed, n_requests, units = 0, 0, 0, 0.0
    usd: float | None = 0.0
    errors: list[str] = []
    with closing(SeenIds()) as seen, closing(open_reader(checked_paths(input), checked_read(read))) as reader:
        reader.prepare()
        for row in pending_rows(reader, seen, shared, ignore_unknown=ignore_unknown):
            n_rows += 1
            try:
                if row.error is not None:
                    raise row.error
                arguments: dict[str, Any] = {"model": None, **row.request}
                call = calls.encode_batch_call(**arguments)
            except InvalidRequestError as error:
                n_failed += 1
                if n_failed <= _MAX_FIRST_ERRORS:
                    errors.append(f"{row.place}: {error.message}")
                continue
            n_requests += call.n_parts
            if not calls.config.is_local:
                bill = estimated_bill(row)
                units += bill.get("search_units", 0.0)
                usd = _sum(usd, _cost(call, bill, calls.pricing))
    seconds = _seconds(n_requests, calls.config.limit) if not calls.config.is_local else None
    return JobPlan(n_rows, n_failed, tuple(errors), n_requests, units, seconds, usd)


def _cost(call: Call, bill: Mapping[str, float], pricing: Pricing) -> float | None:
    price = price_of(call.body.get("model"), pricing)
    return None if price is None else price.cost(bill)


def _sum(total: float | None, amount: float | None) -> float | None:
    """Return the sum, or None if an amount is not known."""
    return None if total is None or amount is None else total + amount


def _seconds(n_requests: int, limit: RateLimit | str | None) -> float | None:
    if isinstance(limit, str):
        from cohere_rerank.limits.rate_limit import PRESETS

        limit = PRESETS.get(limit)
    if limit is None:
        return None
    n_before = max(0, n_requests - 1)
    if limit.burst is None:  # all requests of a period may go at once
        return n_before // limit.requests * limit.period_s
    return max(0.0, n_before * limit.emission_interval_s - limit.tolerance_s)
