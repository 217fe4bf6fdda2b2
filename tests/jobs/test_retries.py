"""A job retries temporary failures for hours, and tells an outage from a row that always fails."""

from __future__ import annotations

import pytest

from cohere_rerank import RetryPolicy
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobStoppedError
from cohere_rerank.testing import FakeClock
from tests.fake_server import error, good_reply, hang_up, reset

HOURS = 3600.0
NO_RETRIES = RetryPolicy(max_retries=0, budget=0)


@pytest.fixture
def clock():
    return FakeClock()


def options(clock, **more):
    return {"client_options": {"clock": clock, "retry_policy": NO_RETRIES}, "concurrency": 1, **more}


def test_rows_wait_through_an_outage(write, run, server, clock, tmp_path):
    """Every kind of temporary failure is retried, with waits that grow to a minute."""
    faults = [error(503, "down"), error(429, "slow"), reset(), hang_up()]
    server.script(*faults * 20, good_reply())
    start_s = clock.monotonic()
    report = run(write(3), **options(clock, retry_for=4 * HOURS))
    assert (report.rows, report.failed) == (3, 0)
    assert len(server.requests) == 83
    assert 0.5 * HOURS < clock.monotonic() - start_s < 2.5 * HOURS


def test_an_outage_that_lasts_too_long_makes_an_error(write, run, server, clock, tmp_path):
    """The row fails after the given time, and it can be sent again."""
    server.default = error(503, "down")
    start_s = clock.monotonic()
    assert run(write(1), **options(clock, retry_for=600.0)).failed == 1
    assert 500 < clock.monotonic() - start_s <= 600
    server.default = good_reply()
    assert run(tmp_path / "in.jsonl", **options(clock, retry_errors=True)).failed == 0


def test_a_row_that_always_fails_does_not_hold_up_the_others(write, run, server, clock, tmp_path):
    """It is given up after eight further failures while other rows succeed."""

    async def reply(exchange):
        await (error(503, "poison") if exchange.request.json["query"] == "query 1" else good_reply())(exchange)

    server.default = reply
    report = run(write(300), **options(clock, concurrency=2, ordered=False, retry_for=4 * HOURS))
    assert (report.rows, report.failed) == (300, 1)
    assert [request.json["query"] for request in server.requests].count("query 1") <= 12


@pytest.mark.parametrize("status", [400, 401, 404, 501])
def test_other_failures_are_not_retried(write, run, server, clock, status):
    """A wrong request or key does not become right."""
    server.default = error(status, "no")
    try:
        run(write(1), **options(clock, retry_for=4 * HOURS))
    except JobStoppedError:
        assert status == 401
    assert len(server.requests) == 1


def test_a_stop_ends_the_wait(write, run, server, tmp_path):
    """Rows that wait are left to the next run, at the deadline of the job too."""
    server.default = error(503, "down")
    reports = []
    with pytest.raises(JobStoppedError, match=r"the deadline of the job has passed \(1.5 s\)") as stopped:
        run(
            write(3),
            client_options={"retry_policy": NO_RETRIES},
            retry_for=HOURS,
            deadline=1.5,
            progress=reports.append,
        )
    assert stopped.value.report.stopped == "deadline"
    assert stopped.value.report.rows == 0
    assert reports[0].waiting_for == "3 waiting after ServiceUnavailableError, status 503"
    server.default = good_reply()
    assert run(tmp_path / "in.jsonl", resume=True).rows == 3


@pytest.mark.parametrize("wrong", [{"retry_for": -1.0}, {"deadline": 0.0}, {"deadline": "soon"}])
def test_times_are_checked(write, run, wrong):
    """Nothing is written."""
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        run(write(1), **wrong)
