"""Load and faults that the server holds; short here, at full length with `make test-all`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import load_server as load

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")

GROWTH_MIB = 20  # of noise; a leak of one request's body each would be far more


def check_steady(result, before, after):
    assert set(result.statuses) == {200}
    assert after - before < GROWTH_MIB


def check_overload(during, later):
    """Nothing but answers and refusals with a hint; then answers alone."""
    assert set(during.statuses) == {200, 503}
    assert during.hinted == during.statuses[503]
    assert set(later.statuses) == {200}


def check_malformed(bad, good, before, after):
    """HttpError one by one, and not one as an error of the server's own."""
    assert set(bad.statuses) <= {0, 400, 404, 405, 413, 415, 422}
    assert set(good.statuses) == {200}
    assert after - before < GROWTH_MIB


def test_many_callers_at_once_meet_no_error():
    """64 of them, and memory stays."""
    check_steady(*load.steady(0.5))


def test_overload_is_refused_with_a_hint_and_recovered_from():
    """64 callers, places for nine."""
    check_overload(*load.overloaded(0.5))


def test_malformed_requests_leave_it_answering():
    """Every kind of them, many times."""
    check_malformed(*load.malformed(240))


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_minute_of_load_meets_no_error(options):
    """64 callers for 60 seconds."""
    check_steady(*load.steady(60.0, *options))


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_ten_thousand_malformed_requests_leave_it_answering():
    """Without growth."""
    check_malformed(*load.malformed(10_000))


@pytest.mark.exhaustive
def test_workers_killed_under_load_cost_only_what_they_were_at():
    """At most one request of each caller breaks with each worker; afterwards none does."""
    during, later = load.killed(9.0)
    assert set(during.statuses) <= {0, 200}
    assert 0 < during.statuses[0] <= 2 * 16
    assert set(later.statuses) == {200}
