"""Load and faults. The tests are short here; `make test-all` runs them at full length."""

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
    """Check that an overload causes only rankings and 503 with a hint, and that rankings follow."""
    assert set(during.statuses) == {200, 503}
    assert during.hinted == during.statuses[503]
    assert set(later.statuses) == {200}


def check_malformed(bad, good, before, after):
    """Check that malformed requests get 4xx, never a server error, and that rankings follow."""
    assert set(bad.statuses) <= {0, 400, 404, 405, 413, 415, 422}
    assert set(good.statuses) == {200}
    assert after - before < GROWTH_MIB


def test_many_callers_get_no_error():
    """64 callers get rankings only, and the memory stays flat."""
    check_steady(*load.steady(0.5))


def test_overload_is_rejected_with_a_hint_and_ends():
    """64 callers compete for nine places."""
    check_overload(*load.overloaded(0.5))


def test_malformed_requests_do_not_stop_the_server():
    """Many malformed requests of every kind do not stop the server."""
    check_malformed(*load.malformed(240))


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_minute_of_load_causes_no_error(options):
    """64 callers get rankings only for 60 seconds."""
    check_steady(*load.steady(60.0, *options))


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_ten_thousand_malformed_requests_do_not_stop_the_server():
    """10,000 malformed requests do not stop the server, and the memory stays flat."""
    check_malformed(*load.malformed(10_000))


@pytest.mark.exhaustive
def test_killed_workers_break_only_their_own_requests():
    """Each kill breaks at most one request of each caller, and later requests succeed."""
    during, later = load.killed(9.0)
    assert set(during.statuses) <= {0, 200}
    assert 0 < during.statuses[0] <= 2 * 16
    assert set(later.statuses) == {200}
