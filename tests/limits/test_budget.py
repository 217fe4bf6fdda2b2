"""A budget refuses the call that would exceed it, before it is sent, and forgets what a failed call reserved."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import sys
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import AsyncClientV2, Budget, BudgetExceededError, ClientV2, Price, ScoreCache
from cohere_rerank.errors import ApiError, InvalidRequestError, InvalidResponseError, RateLimitStoreError
from cohere_rerank.limits import FileStore, RateLimit, RedisStore
from cohere_rerank.limits.spending import Amounts, Spending, period_bounds
from cohere_rerank.testing import FakeClock
from tests.fake_server import good_reply, reply
from tests.limits.processes import Processes
from tests.limits.redis_server import RedisServer, needs_redis_server

CALL = {"model": "m", "query": "q", "documents": ["a", "b"]}  # a search unit
PRICES = {"m": Price(per_search_unit=0.5)}
RESULTS = [{"index": index, "relevance_score": 0.5} for index in range(2)]


def billing(units):
    """A reply that bills so many search units."""
    return reply(json={"results": RESULTS, "meta": {"billed_units": {"search_units": units}}})


@pytest.fixture(params=["memory", "file", "redis"])
def store(request, tmp_path):
    """Each place where a budget is counted."""
    if request.param == "memory":
        yield None
    elif request.param == "file":
        yield FileStore(tmp_path / "budget")
    else:
        pytest.importorskip("redis")
        if needs_redis_server.args[0]:
            pytest.skip(needs_redis_server.kwargs["reason"])
        with RedisServer() as server:
            yield RedisStore(server.url, "b")


def n_answered(client, n_calls=10):
    """How many of these calls the budget allows in a row."""
    n = 0
    for _ in range(n_calls):
        try:
            client.rerank(**CALL)
        except BudgetExceededError:
            break
        n += 1
    return n


@pytest.mark.parametrize("limit", [{"usd": 1.5}, {"units": 3}, {"usd": 1.5, "units": 9}, {"usd": 9, "units": 3.2}])
def test_the_call_that_would_exceed_the_budget_is_not_sent(server, make_either, store, limit):
    """The calls before it are answered, also the one that uses up the rest."""
    client = make_either(prices=PRICES, budget=Budget(**limit, store=store))
    assert n_answered(client) == len(server.requests) == 3
    with pytest.raises(BudgetExceededError):
        client.rerank(**CALL)
    assert len(server.requests) == 3


def test_the_error_says_what_is_spent_and_when_the_budget_is_reset(make_either):
    """It has the numbers, and its text has no document."""
    clock = FakeClock()
    client = make_either(prices=PRICES, budget=Budget(usd=0.7), clock=clock)
    client.rerank(**CALL)
    with pytest.raises(
        BudgetExceededError, match=r"0\.7 USD per day .* 0\.5 USD are spent .* about 0\.5; .*UTC"
    ) as refused:
        client.rerank(**CALL)
    error = pickle.loads(pickle.dumps(refused.value))
    assert (error.unit, error.limit, error.spent, error.estimate) == ("usd", 0.7, 0.5, 0.5)
    assert error.resets_in_s == 86_400 - clock.time() % 86_400
    assert error.attempts == 0


@pytest.mark.parametrize(("per", "period_s"), [("hour", 3600), ("day", 86_400)])
def test_the_budget_starts_anew_with_the_period_of_utc(make_either, store, per, period_s):
    """Not a period after the first call, but at the full hour or at midnight."""
    clock = FakeClock()
    client = make_either(prices=PRICES, budget=Budget(usd=1, per=per, store=store), clock=clock)
    assert n_answered(client) == 2
    clock.advance(period_s - clock.time() % period_s - 0.001)
    assert n_answered(client) == 0
    clock.advance(0.002)
    assert n_answered(client) == 2


def test_a_total_budget_is_never_reset(make_either, store):
    """It has no periods, and its error names none."""
    clock = FakeClock()
    client = make_either(prices=PRICES, budget=Budget(usd=1, per="total", store=store), clock=clock)
    assert n_answered(client) == 2
    clock.advance(400 * 86_400)
    with pytest.raises(BudgetExceededError, match="in total") as refused:
        client.rerank(**CALL)
    assert refused.value.resets_in_s is None


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [("2026-11-30T23:59", "2026-11-01", "2026-12-01"), ("2026-12-01T00:00", "2026-12-01", "2027-01-01")],
)
def test_a_month_is_that_of_the_calendar(now, start, end):
    """In UTC, also at the end of a year."""
    seconds = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() for text in (now, start, end)]
    assert period_bounds("month", seconds[0]) == tuple(seconds[1:])


@pytest.mark.parametrize("units", [0.25, 4])
def test_the_bill_replaces_the_estimate(server, make_either, store, units):
    """A call that costs less leaves more for the others, and one that costs more leaves less."""
    server.default = billing(units)
    client = make_either(budget=Budget(units=4, store=store))
    assert n_answered(client, 20) == (13 if units < 1 else 1)


def test_a_failed_call_releases_its_reservation(server, make_either, store):
    """A server that refuses bills nothing."""
    client = make_either(budget=Budget(units=1, store=store), max_retries=0)
    server.script(reply(503), reply(400))
    for _ in range(2):
        with pytest.raises(ApiError):
            client.rerank(**CALL)
    assert n_answered(client) == 1


def test_retries_reserve_once(server, make_either, clock):
    """They are the same call."""
    server.script(reply(503), reply(503))
    assert n_answered(make_either(budget=Budget(units=1), clock=clock)) == 1
    assert len(server.requests) == 3


def test_a_reply_that_breaks_the_contract_stays_counted_by_estimate(server, make_either):
    """The server has done the work, and its bill cannot be read."""
    server.script(reply(json={"results": "none"}))
    client = make_either(budget=Budget(units=2))
    with pytest.raises(InvalidResponseError):
        client.rerank(**CALL)
    assert n_answered(client) == 1


def test_a_reply_without_a_bill_stays_counted_by_estimate(server, make_either):
    """Unknown is not free."""
    server.default = reply(json={"results": RESULTS})
    assert n_answered(make_either(budget=Budget(units=2))) == 2


@pytest.mark.parametrize("units", [-5, float("inf"), float("nan")])
def test_a_bill_that_is_not_an_amount_is_not_known(server, make_either, units):
    """It does not fail the call, and does not release what others have spent."""
    server.default = billing(units)
    client = make_either(budget=Budget(units=2, usd=50), prices=PRICES)
    assert client.rerank(**CALL).cost is None
    assert n_answered(client) == 1
    usage = client.client.usage
    assert (usage.cost, usage.billed_units, usage.unbilled_replies) == (None, {}, 2)


def test_the_largest_bill_uses_a_budget_up(server, make_either):
    """It does not fail the call."""
    server.default = billing(1e308)
    client = make_either(budget=Budget(units=2, usd=50), prices=PRICES)
    assert n_answered(client) == 1
    assert client.client.usage.search_units == 1e308


def test_the_parts_that_were_answered_stay_counted_when_their_call_fails(server, make_either):
    """They are billed."""
    client = make_either(budget=Budget(units=3), max_documents_per_request=1, max_retries=0)

    async def refused_once_the_other_was_read(exchange):
        while client.client.usage.search_units is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
        await reply(400)(exchange)

    server.script(good_reply(), refused_once_the_other_was_read)
    with pytest.raises(ApiError):
        client.rerank(**CALL)
    assert n_answered(client) == 1


def test_calls_in_flight_cannot_exceed_the_budget_together(server):
    """Their estimates are reserved before they are sent."""
    budget, outcomes = Budget(units=3), []

    def call():
        try:
            client.rerank(**CALL)
        except BudgetExceededError as error:
            outcomes.append(error)

    with ClientV2("k", base_url=server.url, budget=budget) as client:
        threads = [threading.Thread(target=call) for _ in range(8)]
        with server.hold_replies():
            for thread in threads:
                thread.start()
            server.wait_until(lambda s: len(s.requests) + len(outcomes) == 8)
            assert len(server.requests) == 3
        for thread in threads:
            thread.join()
    assert len(outcomes) == 5


def test_a_cancelled_call_releases_its_reservation(server, store):
    """Its task waits for the store, but not for the server."""

    async def main():
        async with AsyncClientV2("k", base_url=server.url, budget=Budget(units=1, store=store)) as client:
            with server.hold_replies():
                task = asyncio.create_task(client.rerank(**CALL))
                await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await client.rerank(**CALL)

    asyncio.run(main())


def test_clients_and_copies_that_hold_one_budget_share_it(make_client):
    """Two budgets that look the same are two."""
    budget = Budget(units=2)
    first, second = make_client(budget=budget), make_client(budget=copy.deepcopy(budget))
    first.rerank(**CALL)
    second.with_options(tag="t").rerank(**CALL)
    assert n_answered(first) == n_answered(second) == 0
    assert n_answered(first.with_options(budget=Budget(units=2))) == 2


def test_what_sends_nothing_needs_no_budget(make_either):
    """The local engine, no documents, and scores of the cache."""
    with ClientV2(base_url="local:", budget=Budget(usd=0)) as local:
        local.rerank(**CALL)
    client = make_either(budget=Budget(units=1), cache=ScoreCache())
    for documents in (["a", "b"], ["b", "a"], []):
        client.rerank(**{**CALL, "documents": documents})
    with pytest.raises(BudgetExceededError):
        client.rerank(**{**CALL, "documents": ["c"]})


def test_a_fallback_answers_when_the_budget_is_used_up(server, make_either):
    """As for a used-up quota. The warning says why."""
    client = make_either(budget=Budget(units=1), fallback="local")
    answers = [client.rerank(**CALL) for _ in range(2)]
    assert [answer.is_fallback for answer in answers] == [False, True]
    assert "budget of 1 search units" in answers[1].meta.warnings[0]
    assert len(server.requests) == 1


def test_a_batch_stops_at_the_budget(server, make_client):
    """Every further request would be refused too, so the error is raised after the results."""
    client, done = make_client(budget=Budget(units=3)), []
    with pytest.raises(BudgetExceededError):
        done.extend(iter(client.rerank_many([CALL] * 10, concurrency=1)))
    assert len(server.requests) == 3


def test_a_budget_in_usd_needs_the_price_of_the_model(server, make_either):
    """A budget that cannot count must not let calls through."""
    client = make_either(budget=Budget(usd=1), prices={"other": Price(per_search_unit=1)})
    with pytest.raises(InvalidRequestError, match=r"price of the model 'm' is not known.*prices="):
        client.rerank(**CALL)
    assert not server.requests


def test_models_that_are_billed_by_tokens_count_in_usd(server, make_either):
    """The estimate has tokens, and so has the bill."""
    server.default = reply(json={"results": RESULTS, "meta": {"billed_units": {"input_tokens": 250_000}}})
    client = make_either(budget=Budget(usd=0.03), prices={"m": Price(per_million_tokens=0.04)})
    assert n_answered(client) == 3


def test_usage_has_the_estimates_and_the_bills_of_the_same_calls(server, make_either):
    """Their difference is the error of the estimates. A call without a bill is in neither."""
    server.script(billing(3), reply(json={"results": RESULTS}), billing(1))
    client = make_either(budget=Budget(usd=10), prices=PRICES)
    for _ in range(3):
        client.rerank(**CALL)
    usage = client.client.usage
    assert usage.estimated == {"search_units": 2.0, "usd": 1.0}
    assert usage.settled == {"search_units": 4.0, "usd": 2.0}


def test_spent_is_what_the_current_period_has(make_client, store):
    """With the real clock, as a program would read it."""
    budget = Budget(usd=9, per="total", store=store)
    make_client(budget=budget, prices=PRICES).rerank(**CALL)
    assert (budget.spent().usd, budget.spent().units, budget.spent().resets_at) == (0.5, 1.0, None)
    assert Budget(units=1, per="month").spent().resets_at > datetime.now(timezone.utc)


def test_a_store_that_does_not_answer_lets_nothing_through(server, make_either, tmp_path):
    """Money is not spent without a count."""
    (tmp_path / "other").write_bytes(b"something else")
    client = make_either(budget=Budget(units=1, store=FileStore(tmp_path / "other")))
    with pytest.raises(RateLimitStoreError, match="count a budget: it is not a file of a budget"):
        client.rerank(**CALL)
    assert not server.requests


def test_the_file_of_a_limit_is_not_that_of_a_budget(tmp_path):
    """And the other way round: one would damage the other."""
    store = FileStore(tmp_path / "shared")
    store.acquire(RateLimit(per_minute=1), 0.0)
    with pytest.raises(RateLimitStoreError):
        Budget(units=1, store=store).spent()


@needs_redis_server
def test_a_redis_that_dies_lets_nothing_more_through(server, make_client, caplog):
    """The call in flight keeps its response. Its estimate stays counted, and one line is logged."""
    pytest.importorskip("redis")
    with RedisServer() as redis_server:
        client = make_client(budget=Budget(units=9, store=RedisStore(redis_server.url, "b")))

        async def dies_first(exchange):
            redis_server.kill()
            await billing(2)(exchange)

        server.script(dies_first)
        assert client.rerank(**CALL).results
        assert "the estimate stays counted" in caplog.text
        with pytest.raises(RateLimitStoreError, match="Redis does not answer"):
            client.rerank(**CALL)
        redis_server.start()
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_processes_share_a_budget(server, tmp_path, kind):
    """Four processes with ten calls each get what the budget allows, together and not each."""
    if kind == "redis":
        pytest.importorskip("redis")
        if needs_redis_server.args[0]:
            pytest.skip(needs_redis_server.kwargs["reason"])
        redis_server = RedisServer()
        redis_server.start()
        store = f"RedisStore({redis_server.url!r}, 'k')"
    else:
        redis_server, store = None, repr(FileStore(tmp_path / "budget"))
    try:
        with Processes(4, "budget_worker.py", server.url, store, 13, 10) as processes:
            processes.start()
            outcomes = processes.outcomes()
    finally:
        if redis_server is not None:
            redis_server.__exit__()
    assert [log for _, log in outcomes] == [""] * 4
    assert sum(int(n) for n, _ in outcomes) == len(server.requests) == 13


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")
def test_a_forked_process_counts_on_its_own():
    """It starts with what its parent has spent."""
    budget = Budget(units=3)
    assert budget.counts.reserve("total", budget.limits, Amounts(0, 2 * 10**9), 0.0).is_granted
    pid = os.fork()
    if not pid:
        os._exit(budget.counts.reserve("total", budget.limits, Amounts(0, 2 * 10**9), 0.0).is_granted)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert pickle.loads(pickle.dumps(budget)).spent().units == 0.0


@given(st.lists(st.tuples(st.integers(0, 3 * 86_400), st.integers(0, 12)), max_size=30))
def test_no_order_of_calls_overspends_a_period(steps):
    """Whatever the clocks of the processes say, reservations in one period never exceed the budget."""
    spending = Spending()
    for now_s, wanted in steps:
        answer = spending.reserve("day", (None, 10), Amounts(0, wanted), float(now_s))
        assert answer.is_granted == (answer.spent.units + wanted <= 10)
        assert 0 <= spending.spent.units <= 10


@given(st.binary(max_size=40))
def test_any_content_of_a_file_is_a_state_or_an_error(content):
    """A damaged file recovers."""
    try:
        spending = Spending.from_bytes(content)
    except ValueError:
        return
    spending.reserve("day", (None, None), Amounts(1, 1), 1e9)
    assert Spending.from_bytes(spending.to_bytes()) == spending


def test_a_period_far_ahead_comes_from_a_wrong_clock():
    """It would lock the budget for years. One that has just begun elsewhere is taken over."""
    spending = Spending(10 * 86_400, Amounts(0, 5))
    assert spending.reserve("day", (None, 5), Amounts(0, 1), 0.0).is_granted
    spending = Spending(86_400, Amounts(0, 5))
    assert not spending.reserve("day", (None, 5), Amounts(0, 1), 86_399.0).is_granted


def test_a_bill_of_a_period_that_is_over_changes_nothing():
    """Its money was that of the day before."""
    spending = Spending()
    before = spending.reserve("day", (None, 9), Amounts(0, 5), 0.0)
    spending.reserve("day", (None, 9), Amounts(0, 1), 90_000.0)
    spending.correct(before.period_s, Amounts(0, 3))
    assert spending.spent == Amounts(0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs usd= or units="),
        ({"usd": -1}, "usd of a Budget must be between 0 and"),
        ({"units": float("inf")}, "units of a Budget"),
        ({"usd": "5"}, "must be a number"),
        ({"usd": 1, "per": "week"}, "per must be one of 'hour'"),
        ({"usd": 1, "per": None}, "per must be"),
        ({"usd": 1, "store": "budget.db"}, "FileStore or a RedisStore"),
    ],
)
def test_budgets_that_are_not_valid_are_refused(arguments, message):
    """When they are made."""
    with pytest.raises(InvalidRequestError, match=message):
        Budget(**arguments)
    with pytest.raises(InvalidRequestError, match="budget must be a Budget"):
        ClientV2("k", budget=5)
