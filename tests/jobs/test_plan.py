"""The plan of a job."""

from __future__ import annotations

import pytest

from cohere_rerank import AsyncClientV2
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobError, plan_job
from cohere_rerank.limits import RateLimit


def client(**options):
    return AsyncClientV2("k", base_url="http://127.0.0.1:9", **options)


def test_a_plan_counts_rows_requests_units_and_time(write, tmp_path):
    """A split list is several requests, and an invalid row is none. Nothing is written."""
    rows = [{"query": "q", "documents": ["d"] * 250}, {"query": "q"}, {"query": "q", "documents": ["d"]}]
    source = write([*rows, '{"broken'])
    plan = plan_job(source, client=client(limit="trial", max_documents_per_request=100), model="m")
    assert (plan.rows, plan.failed, plan.requests) == (4, 2, 4)
    assert plan.search_units == 4.0
    assert plan.seconds == 0.0
    assert [message.partition(":")[0] for message in plan.first_errors] == ["line 2", "line 4"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_time_is_the_delay_of_the_last_request(write):
    """A sliding window sends all requests of a period at once. A limit with a burst spreads the others evenly."""
    limits = {"trial": (0.0, 60.0, 120.0), RateLimit(per_minute=60, burst=5): (6.06, 7.07, 17.17)}
    for limit, expected in limits.items():
        for n_rows, seconds in zip((10, 11, 21), expected):
            assert plan_job(write(n_rows), client=client(limit=limit), model="m").seconds == pytest.approx(seconds)
    assert plan_job(write(0), client=client(limit="trial"), model="m").seconds == 0.0


def test_the_time_is_none_without_a_known_limit(write):
    """It is None and not 0."""
    for limit in (None, "auto"):
        assert plan_job(write(2), client=client(limit=limit), model="m").seconds is None


def test_a_local_plan_costs_nothing(write):
    """Its time is unknown."""
    plan = plan_job(write(2), client=AsyncClientV2(base_url="local:"), model="m")
    assert (plan.requests, plan.search_units, plan.seconds) == (2, 0.0, None)


def test_a_plan_needs_no_key(write):
    """Nothing is sent."""
    assert plan_job(write(2), model="m").requests == 2


def test_a_plan_refuses_what_a_job_refuses(write, tmp_path):
    """Unknown arguments and missing files are errors, and a row without a model cannot be sent."""
    assert plan_job(write(2), client=client()).failed == 2
    with pytest.raises(InvalidRequestError, match="topn"):
        plan_job(write(2), client=client(), topn=3)
    with pytest.raises(JobError, match="no such file"):
        plan_job(tmp_path / "none.jsonl", client=client(), model="m")
