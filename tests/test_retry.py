"""When a call is retried and how long it waits before that. Time is passed in, so nothing sleeps."""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import itertools
import logging
import math
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank._error_bodies import is_busy
from cohere_rerank._retry import COHERE_WINDOW_S, RetryBudget, RetryLoop, RetryPolicy
from cohere_rerank._transport import errors as transport_errors
from cohere_rerank._wire.retry_after import retry_after_s
from cohere_rerank.testing import FakeClock

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def failed(status, retry_after=None, body=None):
    error = errors.error_from_response(status, {}, body)
    error.retry_after = retry_after
    return error


def not_connected(cls=httpx.ConnectError):
    return transport_errors.map_httpx_error(cls("refused"), Deadline(FakeClock(), 1))


def http_date(seconds_from_now):
    return email.utils.formatdate(NOW + seconds_from_now, usegmt=True)


# Hints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500.5"}, 1.5005),
        ({"retry-after-ms": "0"}, 0),
        ({"retry-after-ms": "-5"}, 0),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": ""}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "120"}, 120),
        ({"retry-after": "86400"}, 86400),
        ({"retry-after": "1e2"}, 100),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "7 seconds"}, None),
        ({"retry-after": http_date(30)}, 30),
        ({"retry-after": http_date(0)}, 0),
        ({"retry-after": http_date(-30)}, 0),
        ({"retry-after": http_date(3600)}, 3600),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:50 GMT"}, 30),  # RFC 850
        ({"retry-after": "Tue Nov 14 22:13:50 2023"}, 30),  # asctime, which is UTC too
        ({"retry-after": "Tue, 14 Nov 2023 23:13:50 +0100"}, 30),
        ({"retry-after": "Tue, 31 Foo 2023 22:13:50 GMT"}, None),
        ({"x-ratelimit-reset": "1700000045"}, 45),
        ({"x-ratelimit-reset": "1700000045.5"}, 45.5),
        ({"x-ratelimit-reset": "1699999999"}, 0),
        ({"x-ratelimit-reset": "45"}, 45),
        ({"x-ratelimit-reset": "0"}, 0),
        ({"x-ratelimit-reset": "-1"}, 0),
        ({"x-ratelimit-reset": "tomorrow"}, None),
        ({"x-ratelimit-reset": "inf"}, None),
        # The more exact one first, and a broken one does not hide a good one.
        ({"retry-after-ms": "1500", "retry-after": "2", "x-ratelimit-reset": "9"}, 1.5),
        ({"retry-after": "2", "x-ratelimit-reset": "9"}, 2),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after-ms": "0", "retry-after": "2"}, 0),
        ({"retry-after": "soon", "x-ratelimit-reset": "9"}, 9),
        ({"retry-after": "0", "x-ratelimit-reset": "9"}, 0),
        # Numbers are read by their size.
        ({"retry-after": "1700000045"}, 45),
        ({"retry-after": "1700000045000"}, 45),
        ({"retry-after": "1699999999000"}, 0),
        ({"x-ratelimit-reset": "1700000045000"}, 45),
        ({"x-ratelimit-reset": "30000"}, 30),
        ({"x-ratelimit-reset": "3600"}, 3600),
        ({"retry-after": "100000"}, 100),
        ({"retry-after-ms": "100000000"}, None),
        ({"retry-after-ms": "1700000045000", "retry-after": "2"}, 2),
        # A wait of more than a day is not a hint.
        ({"retry-after": "86400001"}, None),
        ({"retry-after": "1800000000"}, None),
        ({"retry-after": http_date(86_401)}, None),
        ({"retry-after": "9" * 400}, None),
        ({"x-ratelimit-reset": "1e300"}, None),
        # A time is by the server's clock.
        ({"retry-after": http_date(5000), "date": http_date(4970)}, 30),
        ({"x-ratelimit-reset": "1600000045", "date": "Sun, 13 Sep 2020 12:26:40 GMT"}, 45),
        ({"retry-after": "7", "date": http_date(5000)}, 7),
        ({"retry-after": http_date(30), "date": "no date"}, 30),
        # Other forms of a number, of a date and of a duration.
        ({"retry-after": "1e1"}, 10),
        ({"retry-after": "7, 9"}, 7),
        ({"retry-after": "7s"}, 7),
        ({"retry-after": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset": "20ms"}, 0.02),
        ({"retry-after": "25h"}, None),
        ({"retry-after": "2023-11-14T22:13:50Z"}, 30),
        ({"retry-after": "2023-11-14T23:13:50.5+01:00"}, 30.5),
        ({"retry-after": "2023-11-14T22:13:50"}, 30),
    ],
)
def test_every_form_of_a_hint(headers, expected):
    """It is the seconds from now, never negative. Text that cannot be read is not a hint."""
    assert retry_after_s(429, headers, NOW) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("status", [400, 408, 500, 502, 503])
def test_a_reset_of_the_quota_asks_for_a_wait_only_with_a_429(status):
    """With another status it describes the quota. Retry-After asks for a wait with every status."""
    assert retry_after_s(status, {"x-ratelimit-reset": "3600"}, NOW) is None
    assert retry_after_s(status, {"x-ratelimit-reset": "3600", "retry-after": "7"}, NOW) == 7
    assert retry_after_s(429, {"x-ratelimit-reset": "3600"}, NOW) == 3600


def test_dates_do_not_depend_on_the_time_zone(monkeypatch):
    """Dates in HTTP are UTC, in every time zone of the client."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        waits = [retry_after_s(429, {"retry-after": d}, NOW) for d in (http_date(30), "Tue Nov 14 22:13:50 2023")]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert waits == [30, 30]


@given(
    st.dictionaries(
        st.sampled_from(["retry-after-ms", "retry-after", "x-ratelimit-reset", "date"]),
        st.text(max_size=40)
        | st.text("0123456789+-.,: eGMTFriJanNovZmsh", max_size=40)
        | st.floats().map(str)
        | st.integers().map(str)
        | st.from_regex(
            r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{2,5} \d{2}:\d{2}:\d{2} (GMT|[+-]\d{4})", fullmatch=True
        ),
    )
)
def test_any_hint_is_a_finite_wait_or_none(headers):
    """No header makes the reading of an error fail."""
    wait = retry_after_s(429, headers, NOW)
    assert wait is None or 0 <= wait <= 86_400


# What is repeated --------------------------------------------------------------------------------

REPEATED = {408, 409, 425, 429} | set(range(500, 600)) - {501}


@pytest.mark.parametrize("status", range(300, 600))
def test_which_statuses_are_retried(status):
    """408, 409, 425, 429 and 5xx except 501 are retried. Rerank only reads, so a retry is always safe."""
    assert RetryPolicy().should_retry(failed(status)) == (status in REPEATED)


MONTHLY = {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}


@pytest.mark.parametrize(
    ("error", "repeated", "outage"),
    [
        (failed(402), False, False),
        (failed(422), False, False),
        (failed(498), False, False),
        (failed(501), False, True),
        (failed(429, body=MONTHLY), False, True),
        (failed(429, body={"message": "limited to 10 API calls / minute"}), True, True),
        (failed(500), True, True),
        (failed(400), False, False),
        (failed(401), False, False),
        (failed(404), False, False),
        (failed(499), False, False),
        (errors.RedirectError(status_code=302), False, False),
        (errors.MissingApiKeyError(), False, False),
        (errors.InvalidRequestError("x"), False, False),
        (errors.InvalidResponseError("x", status_code=200), False, True),
        (errors.ResponseTooLargeError("x", status_code=500), False, True),
        (failed(424), False, True),
        (errors.ScorerError("x"), False, False),
        (errors.ClientClosedError("x"), False, False),
        (transport_errors.deadline_exceeded(Deadline(FakeClock(), 1)), False, True),
        (transport_errors.UntrustedCertificate("x"), False, False),
        (not_connected(httpx.LocalProtocolError), False, False),
        (not_connected(httpx.UnsupportedProtocol), False, False),
        (ValueError("x"), False, False),
        (KeyboardInterrupt(), False, False),
        (asyncio.CancelledError(), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_which_errors_are_retried_and_which_are_an_outage(error, repeated, outage):
    """A fallback answers if the API cannot, and never for a mistake in the call or the configuration."""
    assert RetryPolicy().should_retry(error) is repeated
    assert RetryPolicy().is_outage(error) is outage


@pytest.mark.parametrize(
    "cls",
    [
        httpx.ConnectError,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.ProxyError,
        httpx.ConnectTimeout,
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.PoolTimeout,
        httpx.TimeoutException,
        httpx.NetworkError,
        httpx.TransportError,
    ],
)
def test_connection_failures_are_retried(cls):
    """This includes stale connections and lost responses."""
    error = not_connected(cls)
    assert RetryPolicy().should_retry(error)
    assert RetryPolicy().is_outage(error)


def test_retries_after_a_disconnect_can_be_turned_off():
    """The official option turns off these retries and no others."""
    policy = RetryPolicy(remote_protocol_errors=False)
    hang_up = not_connected(httpx.RemoteProtocolError)
    assert not policy.should_retry(hang_up)
    assert policy.is_outage(hang_up)
    assert policy.should_retry(not_connected(httpx.ReadError))


def test_statuses_can_be_chosen():
    """The statuses can be more or fewer. An outage stays an outage."""
    policy = RetryPolicy(retry_statuses=frozenset({404}), no_retry_statuses=frozenset({501, 503}))
    assert policy.should_retry(failed(404))
    assert not policy.should_retry(failed(429))
    assert not policy.should_retry(failed(503))
    assert policy.is_outage(failed(429))
    assert policy.is_outage(failed(503))


# The policy as a value ---------------------------------------------------------------------------


def test_a_policy_is_a_frozen_value():
    """Policies can be compared, hashed and copied with changes. The default is two retries."""
    assert RetryPolicy() == RetryPolicy(max_retries=2)
    assert len({RetryPolicy(), RetryPolicy(), RetryPolicy(max_retries=1)}) == 2
    assert dataclasses.replace(RetryPolicy(), max_retries=5).max_retries == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryPolicy().max_retries = 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(["max_retries", "budget"], [-1, 1.5, "2", None, math.nan]),
        *itertools.product(["wait_initial_s", "wait_max_s"], [-0.1, math.nan, "1", None]),
        *itertools.product(["rate_limit_window_s"], [-0.1, math.nan, "1"]),
        *itertools.product(["jitter"], [-0.1, 1.1, math.nan, "0", None]),
    ],
)
def test_values_out_of_range_are_rejected(name, value):
    """The error names the value when the policy is made."""
    with pytest.raises(errors.InvalidRequestError, match=rf"^{name} must be"):
        RetryPolicy(**{name: value})


# Waits -------------------------------------------------------------------------------------------

POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 10),
    wait_initial_s=st.floats(0, 10),
    wait_max_s=st.floats(0, 60),
    jitter=st.floats(0, 1),
    rate_limit_window_s=st.floats(0, 120),
)
DRAWS = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 10_000)
LEFT = st.floats(-5, 600)
ERRORS = st.sampled_from([failed(429), failed(500), failed(408), not_connected(), not_connected(httpx.ReadTimeout)])


@given(policy=POLICIES, hint=st.floats(0, 1e6), status=st.sampled_from([429, 503, 408]), n=ATTEMPTS, left=LEFT, d=DRAWS)
def test_a_hint_is_never_shortened(policy, hint, status, n, left, d):
    """Neither a cap nor jitter nor the deadline makes a hint shorter."""
    assert policy.backoff_s(failed(status, hint), n, left, lambda: d) >= hint


@given(policy=POLICIES, error=ERRORS, n=ATTEMPTS, left=LEFT, d=DRAWS)
def test_waits_are_bounded(policy, error, n, left, d):
    """Waits are finite and never negative. Without a hint they never exceed their cap."""
    wait = policy.backoff_s(error, n, left, lambda: d)
    assert math.isfinite(wait)
    assert wait >= 0
    if getattr(error, "status_code", None) == 429:
        assert wait <= policy.rate_limit_window_s * (1 + policy.jitter)
        assert wait <= max(left, 0)
    else:
        assert wait <= policy.wait_max_s


def test_backoff_doubles_up_to_its_cap():
    """It doubles from the first wait on."""
    policy = RetryPolicy(wait_initial_s=0.5, wait_max_s=3, jitter=0)
    assert [policy.backoff_s(failed(500), n, 300) for n in (1, 2, 3, 4, 5, 5000)] == [0.5, 1, 2, 3, 3, 3]


@given(jitter=st.floats(0, 1), d=DRAWS)
def test_jitter_moves_a_wait_by_at_most_its_share(jitter, d):
    """It moves a wait in both directions, so the mean stays."""
    policy = RetryPolicy(wait_initial_s=1, wait_max_s=100, jitter=jitter)
    assert 2 * (1 - jitter) <= policy.backoff_s(failed(500), 2, 300, lambda: d) <= 2 * (1 + jitter)


def test_clients_that_fail_together_do_not_come_back_together():
    """Each policy draws its own jitter."""
    for error in (failed(500), failed(429)):
        assert len({RetryPolicy().backoff_s(error, 1, 300) for _ in range(20)}) > 10


def waits_of(policy, error, deadline_s, draws):
    """Return the waits of a call whose attempts all fail at once with this error."""
    waits, left = [], deadline_s
    for n in range(1, policy.max_retries + 1):
        wait = policy.backoff_s(error, n, left, lambda n=n: draws[n % len(draws)])
        if wait >= left:
            break
        waits.append(wait)
        left -= wait
    return waits


@given(max_retries=st.integers(1, 6), draws=st.lists(DRAWS, min_size=1, max_size=6))
def test_a_429_without_a_hint_is_spread_over_the_minute(max_retries, draws):
    """With enough time all retries are sent, the last one after Cohere's window has passed."""
    waits = waits_of(RetryPolicy(max_retries=max_retries, rate_limit_window_s=COHERE_WINDOW_S), failed(429), 300, draws)
    assert len(waits) == max_retries
    assert 60 <= sum(waits) <= 75
    assert max(waits) <= 1.25 * min(waits)


@given(policy=POLICIES, deadline_s=st.floats(0.001, 600), draws=st.lists(DRAWS, min_size=1, max_size=6))
def test_a_429_without_a_hint_uses_the_remaining_time(policy, deadline_s, draws):
    """With less than a window left, the retries share it and leave time for the requests."""
    waits = waits_of(policy, failed(429), deadline_s, draws)
    assert len(waits) == policy.max_retries
    assert sum(waits) < deadline_s


@pytest.mark.parametrize(
    ("status", "body", "is_model_busy"),
    [
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, True),
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, True),
        (503, {"error": "Model BAAI/bge-reranker-base is currently loading", "estimated_time": 20.0}, True),
        (503, "Model BAAI/bge-reranker-base is still loading", True),
        (500, {"error": "Model is overloaded"}, False),
        (503, {"message": "overloaded"}, False),
        (429, {"message": "Please wait and try again later"}, False),
        (503, {"error": "the model failed while loading its weights"}, False),
        (503, "Loading" * 100_000, False),
        (503, None, False),
    ],
)
def test_a_busy_model_is_recognized(status, body, is_model_busy):
    """By the texts of text-embeddings-inference, llama.cpp and Hugging Face's servers, with their statuses."""
    assert is_busy(status, body) is is_model_busy


# Budget and deadline -----------------------------------------------------------------------------


def test_a_budget_runs_out():
    """In an outage, the server receives the calls and a few retries, not three times the calls."""
    budget = RetryBudget(3)
    assert [budget.try_acquire() for _ in range(5)] == [True, True, True, False, False]


def test_a_retry_that_succeeds_is_refunded():
    """Ten calls that succeed at the first attempt earn one retry as well."""
    budget = RetryBudget(2)
    assert (budget.try_acquire(), budget.try_acquire(), budget.try_acquire()) == (True, True, False)
    budget.refund(n_tokens=1)
    assert (budget.try_acquire(), budget.try_acquire()) == (True, False)
    for _ in range(11):
        budget.refund()
    assert (budget.try_acquire(), budget.try_acquire()) == (True, False)


@given(st.lists(st.sampled_from(["take", "success", "repeated success"]), max_size=60), st.integers(0, 5))
def test_a_budget_never_holds_more_than_its_size(steps, size):
    """Retries that are not used are not saved."""
    budget = RetryBudget(size)
    for step in steps:
        if step == "take":
            budget.try_acquire()
        else:
            budget.refund(3 if step == "repeated success" else 0)
    assert sum(budget.try_acquire() for _ in range(size + 5)) <= size


def test_a_deadline_counts_down(clock):
    """It counts on the clock that it was made with."""
    deadline = Deadline(clock, 10)
    assert deadline.remaining() == 10
    clock.advance(4)
    assert deadline.remaining() == 6
    clock.advance(7)
    assert deadline.remaining() <= 0


def test_the_system_clock_waits_under_asyncio_and_trio():
    """It is monotonic, has the time since the epoch, and does not spin while it waits."""
    trio = pytest.importorskip("trio")
    system = SystemClock()
    assert abs(system.time() - time.time()) < 60
    started = system.monotonic()
    system.sleep(0)
    asyncio.run(system.async_sleep(0))
    trio.run(system.async_sleep, 0)
    assert system.monotonic() >= started


# The loop ----------------------------------------------------------------------------------------


class Script:
    """A call whose attempts fail as scripted and then succeed, as the clients run it."""

    def __init__(self, clock, *outcomes, policy=None, deadline_s=300.0, budget=None, takes_s=0.0):
        self.clock = clock
        self.outcomes = iter(outcomes)
        self.policy = policy or RetryPolicy(jitter=0)
        self.deadline = Deadline(clock, deadline_s)
        self.budget = budget or RetryBudget(100)
        self.takes_s = takes_s
        self.n_sent = 0

    def attempt(self):
        self.n_sent += 1
        self.clock.advance(self.takes_s)
        outcome = next(self.outcomes, "answer")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def run(self):
        try:
            return self.attempt()
        except errors.CohereRerankError as error:
            retries = RetryLoop(self.policy, self.budget, self.deadline, error)
        for turn in retries.attempts(self.clock):
            with turn:
                retries.reraise_first(turn.retry_state.attempt_number)
                return self.attempt()
        raise AssertionError("unreachable")

    async def run_async(self):
        try:
            return self.attempt()
        except errors.CohereRerankError as error:
            retries = RetryLoop(self.policy, self.budget, self.deadline, error)
        async for turn in retries.async_attempts(self.clock):
            with turn:
                retries.reraise_first(turn.retry_state.attempt_number)
                return self.attempt()
        raise AssertionError("unreachable")

    def error(self, is_async=False):
        with pytest.raises(errors.CohereRerankError) as caught:
            asyncio.run(self.run_async()) if is_async else self.run()
        return caught.value


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@BOTH
@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_retries_come_on_top_of_the_first_attempt(clock, max_retries, is_async):
    """``max_retries`` retries make ``max_retries + 1`` attempts. The last error is raised with their number."""
    failures = [failed(500 + n) for n in (0, 2, 3, 4, 5, 6)]
    script = Script(clock, *failures, policy=RetryPolicy(max_retries=max_retries, jitter=0))
    error = script.error(is_async)
    assert error is failures[max_retries]
    assert script.n_sent == error.attempts == max_retries + 1
    assert clock.sleeps == [0.5 * 2**n for n in range(max_retries)]
    assert error.waited_s == sum(clock.sleeps)


@BOTH
def test_a_success_ends_the_loop(clock, is_async):
    """The loop stops at the first success, whichever attempt it is."""
    script = Script(clock, failed(503), not_connected())
    assert (asyncio.run(script.run_async()) if is_async else script.run()) == "answer"
    assert script.n_sent == 3


@BOTH
def test_a_failure_that_is_not_retried_ends_the_loop(clock, is_async):
    """The error says how many requests were sent, and how long the call waited."""
    script = Script(clock, failed(503), failed(401))
    error = script.error(is_async)
    assert error.status_code == 401
    assert (error.attempts, error.waited_s, clock.sleeps) == (2, 0.5, [0.5])


def test_every_error_of_a_call_names_the_same_documents(clock):
    """The part of a split list belongs to the call, not to the attempt."""
    first, last = failed(503), failed(401)
    first.part = "documents 0 to 9"
    assert Script(clock, first, last).error() is last
    assert last.part == "documents 0 to 9"


@BOTH
def test_a_foreign_exception_passes_through(clock, is_async):
    """Cancellation and bugs are neither retried nor wrapped."""
    for foreign in (KeyboardInterrupt(), ZeroDivisionError()):
        script = Script(clock, failed(503), foreign)
        with pytest.raises(type(foreign)):
            asyncio.run(script.run_async()) if is_async else script.run()
        assert script.n_sent == 2


@BOTH
def test_hints_are_waited_for(clock, is_async):
    """Each retry waits for its own hint, and for a moment if the hint is 0."""
    script = Script(clock, failed(429, 7.25), failed(503, 0))
    assert (asyncio.run(script.run_async()) if is_async else script.run()) == "answer"
    assert clock.sleeps == [7.25, 0.5]


@pytest.mark.parametrize("hint", [10, 10.5, 1e6])
@pytest.mark.parametrize("status", [429, 503])
def test_a_hint_beyond_the_deadline_fails_at_once(clock, status, hint):
    """The call does not wait if that cannot help. The message of the error has the hint."""
    error = Script(clock, failed(status, hint), deadline_s=10).error()
    assert (error.status_code, error.retry_after, error.attempts, clock.sleeps) == (status, hint, 1, [])
    assert f"{hint:g} s" in str(error)
    assert "10 s of the deadline remain" in str(error)


def test_a_hint_within_the_deadline_is_used_to_its_end(clock):
    """A hint that is a little shorter than the remaining time is waited for."""
    assert Script(clock, failed(429, 9.99), deadline_s=10).run() == "answer"
    assert clock.sleeps == [9.99]


@given(
    hints=st.lists(st.none() | st.floats(0, 50), max_size=12),
    statuses=st.lists(st.sampled_from([429, 500, 503]), min_size=12, max_size=12),
    max_retries=st.integers(0, 10),
    deadline_s=st.floats(0.01, 100),
    takes_s=st.floats(0, 3),
)
def test_no_wait_begins_that_ends_after_the_deadline(hints, statuses, max_retries, deadline_s, takes_s):
    """The call never sleeps past its deadline, whatever fails and however long the attempts take."""
    clock = FakeClock()
    failures = [failed(status, hint) for status, hint in zip(statuses, hints)]
    script = Script(
        clock, *failures, policy=RetryPolicy(max_retries=max_retries), deadline_s=deadline_s, takes_s=takes_s
    )
    try:
        script.run()
    except errors.CohereRerankError as error:
        assert error.attempts == script.n_sent  # noqa: PT017 - both outcomes are right
    assert script.n_sent == len(clock.sleeps) + 1 <= max_retries + 1
    assert sum(clock.sleeps) <= deadline_s


def test_an_outage_draws_on_the_budget_of_all_calls(clock):
    """Ten calls that all fail send ten requests and four retries. A call without a retry says why."""
    budget = RetryBudget(4)
    scripts = [Script(clock, *(failed(503) for _ in range(3)), budget=budget) for _ in range(10)]
    raised = [script.error() for script in scripts]
    assert sum(script.n_sent for script in scripts) == 14
    assert [error.attempts for error in raised] == [3, 3, *[1] * 8]
    assert "budget" in str(raised[-1])
    assert "budget" not in str(raised[0])


def test_rate_limits_do_not_draw_on_the_budget(clock):
    """A rate limit spreads the load. It is not an outage."""
    budget = RetryBudget(0)
    assert Script(clock, failed(429), failed(429, 1), budget=budget).run() == "answer"
    assert Script(clock, failed(503), budget=budget).error().attempts == 1


def test_the_loops_of_tasks_do_not_mix(clock):
    """Four calls run at once, fail once each and all succeed. One shared tenacity object cannot do that."""

    async def main():
        scripts = [Script(clock, failed(503)) for _ in range(4)]
        return await asyncio.gather(*(script.run_async() for script in scripts))

    assert asyncio.run(main()) == ["answer"] * 4


def test_a_retry_is_logged_in_one_line_without_the_words_of_the_server(clock, caplog):
    """The line is at INFO. It has the failure and the wait, and nothing that the server wrote."""
    body = {"id": "an-id", "message": "cannot rank '5ecret'", "x": "5ecret"}
    error = errors.error_from_response(503, {"authorization": "5ecret"}, body)
    with caplog.at_level(logging.INFO):
        Script(clock, error).run()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cohere_rerank", "INFO")
    said = "attempt 1 failed: ServiceUnavailableError, status 503, request id an-id; retrying in 0.5 s"
    assert record.getMessage() == said


def test_a_text_in_the_place_of_a_request_id_is_not_logged(clock, caplog):
    """Some servers return a part of the request there. A failure without a response has no id."""
    echo = errors.error_from_response(503, {"x-request-id": "what is a secret?"}, {})
    with caplog.at_level(logging.INFO):
        Script(clock, echo, errors.ConnectionFailedError("cannot reach 5ecret")).run()
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "attempt 1 failed: ServiceUnavailableError, status 503",
        "attempt 2 failed: ConnectionFailedError",
    ]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("hint", [0.0, 0.001, 0.1])
def test_a_hint_of_no_time_waits_a_little(status, hint):
    """It has jitter, so that not all clients return at the same moment."""
    policy = RetryPolicy()
    waits = {policy.backoff_s(failed(status, hint), n, 300) for n in (1, 2, 3) for _ in range(10)}
    assert len(waits) > 10
    assert 0.4 <= min(waits) <= max(waits) <= 0.6
