"""Many rows through one client: each given back once, a bounded window of them at a time, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import aclosing
from itertools import count, islice
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import AsyncClientV2, ClientV2, errors
from cohere_rerank.batch import BatchProgress
from cohere_rerank.batch.rules import AsDone, InOrder
from cohere_rerank.limits import RateLimit
from tests.server import error, hang, score

COMMON: dict[str, Any] = {"model": "rerank-v3.5"}
DOCUMENTS = ["one", "two", "three"]
# httpx's stream of a request's body is a generator, which trio minds when a cancellation cuts it off.
CUT_OFF = pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator object ByteStream")
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
PATIENCE_S = 10.0  # for what should happen at once
QUOTA = "You have reached your monthly limit of calls."


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"row {number}", "query": f"query {number}", "documents": DOCUMENTS, **more}


def rows(n: int) -> list[dict[str, Any]]:
    return [row(number) for number in range(n)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait inside of a reply for what the server has seen."""
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)


def is_right(number: int, response: Any) -> bool:
    """Whether these are the scores that the server gives to row *number*."""
    return response.scores == [score(f"query {number}", document) for document in DOCUMENTS]


class Driver:
    """Runs a whole batch on one kind of client and keeps what it gave, whatever ends it."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.given: list[tuple[Any, Any]] = []
        self._settings = {"api_key": "test-key", "base_url": url}

    @property
    def ids(self) -> list[Any]:
        return [row_id for row_id, _ in self.given]

    def run(self, requests: Any, *, client: dict[str, Any] | None = None, **options: Any) -> list[tuple[Any, Any]]:
        settings = {**self._settings, **(client or {})}
        options = {**COMMON, **options}
        if self.kind != "sync":
            anyio.run(self._run, requests, settings, options, backend=self.kind)
            return self.given
        with ClientV2(**settings) as blocking:
            for outcome in blocking.rerank_many(requests, **options):
                self.given.append(outcome)
        return self.given

    async def _run(self, requests: Any, settings: dict[str, Any], options: dict[str, Any]) -> None:
        async with AsyncClientV2(**settings) as client, aclosing(client.rerank_many(requests, **options)) as batch:
            async for outcome in batch:
                self.given.append(outcome)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def driver(request, server):
    return Driver(request.param, server.url)


@pytest.fixture
def no_threads_left():
    """Fails if a thread of a batch outlives the test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "cohere_rerank batch":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


# What comes out ----------------------------------------------------------------------------------


def test_rows_come_back_in_their_order_each_with_its_id_and_its_answer(driver, no_threads_left):
    """As many calls of rerank would have given."""
    given = driver.run(rows(20), concurrency=4)
    assert driver.ids == [f"row {number}" for number in range(20)]
    assert all(is_right(number, response) for number, (_, response) in enumerate(given))


def test_an_early_answer_waits_for_its_turn_or_not(server, driver):
    """The first row is answered only when the server has seen the fourth."""
    good = server.default

    async def first_row_late(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) >= 4)
        await good(exchange)

    server.default = first_row_late
    driver.run(rows(6), concurrency=2, ordered=False)
    assert driver.ids[:2] == ["row 1", "row 2"]
    assert sorted(driver.ids) == [f"row {number}" for number in range(6)]
    server.requests.clear()
    driver.given.clear()
    driver.run(rows(6), concurrency=2)
    assert driver.ids == [f"row {number}" for number in range(6)]


def test_a_row_without_an_id_has_its_position(driver):
    """Counted from 0 over all rows; any value may be an id, and nobody compares them."""
    requests = [row(0, id=None), row(1, id=("a", 1)), {k: v for k, v in row(2).items() if k != "id"}, row(3, id=0)]
    assert [row_id for row_id, _ in driver.run(requests)] == [0, ("a", 1), 2, 0]


def test_common_arguments_are_every_rows_unless_it_has_its_own(server, driver):
    """None in a row means "not given", as everywhere."""
    requests = [row(0), row(1, top_n=1, model="rerank-v4.0-pro"), row(2, top_n=None)]
    driver.run(requests, top_n=2, priority=7, concurrency=1)
    sent = [request.json for request in server.requests]
    assert [body["top_n"] for body in sent] == [2, 1, 2]
    assert [body["model"] for body in sent] == ["rerank-v3.5", "rerank-v4.0-pro", "rerank-v3.5"]
    assert {body["priority"] for body in sent} == {7}


def test_rows_of_the_caller_are_not_changed(driver):
    """Nor is what is common to them."""
    requests = rows(2)
    driver.run(requests, request_options={"max_retries": 0})
    assert requests == rows(2)


def test_no_rows_and_no_documents(server, driver):
    """Nothing to do is done at once."""
    assert driver.run([]) == []
    [(row_id, response)] = driver.run([row(0, documents=[])])
    assert (row_id, response.results, server.requests) == ("row 0", [], [])


# Failures ----------------------------------------------------------------------------------------


def test_a_bad_row_is_an_error_in_its_place(server, driver):
    """It says what is wrong, costs nothing, and the others go on."""
    bad = [17, "text", None, {"query": "q"}, row(4, foo=1, **{"x" * 500: 2}), row(5, top_n=0), row(6, documents=[""])]
    given = driver.run([*bad, row(7)], concurrency=3)
    assert driver.ids == [0, 1, 2, 3, "row 4", "row 5", "row 6", "row 7"]
    assert all(type(result) is errors.InvalidRequestError for _, result in given[:-1])
    assert is_right(7, given[-1][1])
    assert len(server.requests) == 1
    assert "no documents" in str(given[3][1])
    assert "'foo'" in str(given[4][1])
    assert len(str(given[4][1])) < 400


def test_a_failed_call_is_an_error_in_its_place(server, driver):
    """With the type that rerank would have raised, and no frames that hold on to the documents."""
    server.script(error(404, "model 'x' not found"), error(503, "down"))
    given = driver.run(rows(4), client={"max_retries": 0}, concurrency=1)
    kinds = [type(result).__name__ for _, result in given]
    assert kinds == ["NotFoundError", "ServiceUnavailableError", "V2RerankResponse", "V2RerankResponse"]
    assert given[0][1].__traceback__ is None


@CUT_OFF
def test_raise_ends_with_the_first_error_in_order(server, driver, no_threads_left):
    """What precedes it is given; the error says which row it is; not all that follows is sent."""
    server.script(*[server.default] * 3, error(404, "model 'x' not found"))
    with pytest.raises(errors.NotFoundError, match=r"request 'row 3': .*not found"):
        driver.run((row(number) for number in count()), concurrency=1, on_error="raise")
    assert driver.ids == ["row 0", "row 1", "row 2"]
    assert len(server.requests) == 4


@CUT_OFF
def test_raise_does_not_wait_for_what_is_under_way(server, driver, no_threads_left):
    """As completed, the error comes while another row hangs."""
    with server.hold():
        with pytest.raises(errors.InvalidRequestError):
            driver.run([row(0), row(1, top_n=0)], concurrency=2, ordered=False, on_error="raise")
    assert driver.given == []


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "invalid api token", errors.UnauthorizedError),
        (402, "Please add or update your payment method", errors.PaymentRequiredError),
        (429, QUOTA, errors.QuotaExceededError),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_what_every_further_row_would_meet_ends_the_batch(server, driver, status, message, kind, ordered):
    """Even where errors are returned; that row is not given back, so that it can be sent again."""
    good = server.default

    async def after_two_rows(exchange):
        await (good if exchange.request.json["query"] < "query 2" else error(status, message))(exchange)

    server.default = after_two_rows
    with pytest.raises(kind):
        driver.run((row(number) for number in count()), concurrency=2, ordered=ordered)
    assert sorted(driver.ids) == ["row 0", "row 1"]
    assert len(server.requests) <= 4


def test_what_is_under_way_is_given_before_such_an_end(server, driver):
    """Answers that are paid for are not lost, not even behind the row that failed."""
    good = server.default

    async def the_first_fails_first(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) == 2)
            await error(401, "invalid api token")(exchange)
            return
        await until(lambda: len(server.requests) == 2 and server.n_in_flight == 1)
        await good(exchange)

    server.default = the_first_fails_first
    with pytest.raises(errors.UnauthorizedError):
        driver.run(rows(2), concurrency=2)
    assert driver.ids == ["row 1"]


def test_a_source_that_fails_fails_after_its_rows(server, driver):
    """All rows it gave are answered first; the error is its own."""

    def source():
        yield from rows(5)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        driver.run(source(), concurrency=3)
    assert driver.ids == [f"row {number}" for number in range(5)]


def test_an_error_of_the_programs_own_ends_the_batch(driver):
    """Here of an iterable of documents: it is no answer about a row, and is not swallowed."""

    def documents():
        yield "one"
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        driver.run([row(0), row(1, documents=documents())], concurrency=1)
    assert driver.ids == ["row 0"]


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
@settings(max_examples=15, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["good", "bad", "failing", "empty"]), max_size=25),
    concurrency=st.integers(1, 6),
    ordered=st.booleans(),
)
def test_each_row_comes_back_exactly_once_whatever_happens_to_it(kind, fates, concurrency, ordered):
    """In order, if asked; with the right kind of outcome."""

    def scorer(query, documents):
        if query == "failing":
            raise RuntimeError("no")
        return [0.5] * len(documents)

    requests = [
        {"query": " " if fate == "bad" else fate, "documents": [] if fate == "empty" else ["d"]} for fate in fates
    ]
    driver = Driver(kind, "local:")
    given = driver.run(iter(requests), client={"scorer": scorer}, concurrency=concurrency, ordered=ordered)
    assert (driver.ids if ordered else sorted(driver.ids)) == list(range(len(fates)))
    kinds = {"good": "V2RerankResponse", "empty": "V2RerankResponse", "bad": "InvalidRequestError"}
    assert all(type(result).__name__ == kinds.get(fates[row_id], "ScorerError") for row_id, result in given)


@given(st.permutations(range(8)), st.integers(0, 7))
def test_order_is_kept_also_around_a_gap(positions, missing):
    """What is due is given at once; a row without an outcome holds back the rest until the end."""
    order, given = InOrder(), []
    for position in positions:
        if position != missing:
            given += [row_id for row_id, _ in order.put(position, (position, None))]
            assert given == list(range(len(given)))
    assert given + [row_id for row_id, _ in order.rest()] == [n for n in range(8) if n != missing]
    assert [*AsDone().put(3, ("x", None)), *AsDone().rest()] == [("x", None)]


# The window --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_taken_as_there_is_room(server, ordered):
    """Never more than twice the concurrency beyond what was given, and never more under way than that."""
    taken = 0

    def source():
        nonlocal taken
        for number in count():
            taken += 1
            yield row(number)

    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
        assert taken == 0
        for n_given, _ in enumerate(islice(batch, 30), start=1):
            assert taken <= n_given - 1 + 6
        batch.close()
    assert server.max_in_flight <= 3


@CUT_OFF
@BACKENDS
@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_taken_as_there_is_room_by_tasks(server, backend, ordered):
    """The same; one more row may have been read."""
    taken = 0

    async def source():
        nonlocal taken
        for number in count():
            taken += 1
            yield row(number)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(source(), concurrency=3, ordered=ordered, **COMMON)
            n_given = 0
            async with aclosing(batch):
                async for _ in batch:
                    n_given += 1
                    for _ in range(50):
                        await anyio.lowlevel.checkpoint()
                    assert taken <= n_given + 6
                    if n_given == 30:
                        break

    anyio.run(main, backend=backend)
    assert server.max_in_flight <= 3


def test_as_many_are_under_way_as_asked_for(server, driver):
    """And not one more."""
    with server.hold():
        done = threading.Thread(target=driver.run, args=(rows(8),), kwargs={"concurrency": 4}, daemon=True)
        done.start()
        server.wait_until(lambda s: s.n_in_flight == 4)
        assert server.max_in_flight == 4
    done.join(PATIENCE_S)
    assert len(driver.given) == 8


def test_a_slow_row_holds_back_a_bounded_number(server):
    """In order, rows beyond the window wait unread until the first one is answered."""
    taken = 0

    def source():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield row(number)

    async def late(exchange):
        await released.wait()
        await server.default(exchange)

    released = asyncio.Event()
    server.script(late)
    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(source(), concurrency=2, **COMMON)
        first = threading.Thread(target=next, args=(batch,), daemon=True)
        first.start()
        server.wait_until(lambda s: len(s.requests) == 4 and s.n_in_flight == 1)
        assert taken == 4
        server._loop.call_soon_threadsafe(released.set)
        first.join(PATIENCE_S)
        assert len(list(batch)) == 99


# Ends --------------------------------------------------------------------------------------------


def only_the_first_is_well(server):
    """It is answered once another one is under way; others are told to come back in 100 seconds."""
    good, later = server.default, error(503, "down", headers={"retry-after": "100"})

    async def reply(exchange):
        if exchange.request.json["query"] == "query 0":
            await until(lambda: len(server.requests) >= 2)
            await good(exchange)
        else:
            await later(exchange)

    server.default = reply


@pytest.mark.parametrize("how", ["close", "break"])
def test_leaving_early_ends_the_threads_and_sends_nothing_more(server, no_threads_left, how):
    """What is under way is not waited for, and what failed is not repeated: nobody waits for 100 seconds."""
    only_the_first_is_well(server)
    with ClientV2("test-key", base_url=server.url) as client:
        batch = client.rerank_many(rows(50), concurrency=4, **COMMON)
        assert next(batch)[0] == "row 0"
        server.wait_until(lambda s: len(s.requests) >= 2 and s.n_in_flight == 0)
        if how == "close":
            batch.close()
        del batch
        for thread in [thread for thread in threading.enumerate() if thread.name == "cohere_rerank batch"]:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        assert len(server.requests) <= 8
        assert client.rerank(**COMMON, query="query 0", documents=DOCUMENTS).results


@CUT_OFF
@BACKENDS
@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_leaving_early_leaves_no_task_and_no_connection(server, backend, how):
    """By ``aclose``, or because the program's own scope ends while it waits for an answer."""
    only_the_first_is_well(server)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(50), concurrency=4, **COMMON)
            assert (await anext(batch))[0] == "row 0"
            if how == "aclose":
                await batch.aclose()
            else:
                with anyio.move_on_after(0.05) as scope:
                    await anext(batch)
                assert scope.cancelled_caught
            if backend == "asyncio":
                assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.rerank(**COMMON, query="query 0", documents=DOCUMENTS)).results
            with pytest.raises(StopAsyncIteration):
                await anext(batch)

    anyio.run(main, backend=backend)
    server.wait_until(lambda s: s.n_open == 0)
    assert len(server.requests) <= 1 + 8 + 1


@CUT_OFF
@BACKENDS
def test_aclose_does_not_wait_for_replies(server, backend):
    """Requests under way are cut off."""
    good = server.default

    async def some_never(exchange):
        await (hang() if exchange.request.json["query"] > "query 4" else good)(exchange)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(9), concurrency=4, **COMMON)
            for _ in range(5):
                await anext(batch)
            await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 4)
            await batch.aclose()
            await anyio.to_thread.run_sync(server.wait_until, lambda s: s.n_in_flight == 0)

    server.default = some_never
    anyio.run(main, backend=backend)


def test_a_batch_dropped_in_the_middle_ends_with_its_loop(server):
    """A ``break`` without ``aclosing`` is cleaned up by asyncio, which warns of nothing."""

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            async for row_id, _ in client.rerank_many(rows(50), **COMMON):
                assert row_id == "row 0"
                break
            for _ in range(100):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_batch_whose_task_is_cancelled_from_outside_is_not_taken_for_done(server):
    """Some programs cancel all tasks of a loop that are not theirs."""

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            batch = client.rerank_many(rows(50), concurrency=2, **COMMON)
            await anext(batch)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            with pytest.raises(RuntimeError, match="cancelled from outside"):
                async for _ in batch:
                    pass

    asyncio.run(main())


def test_ctrl_c_ends_a_batch_at_once(server, no_threads_left):
    """While every reply is still awaited."""

    def interrupt():
        server.wait_until(lambda s: s.n_in_flight == 4)
        os.kill(os.getpid(), signal.SIGINT)

    with ClientV2("test-key", base_url=server.url) as client, server.hold():
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            list(client.rerank_many(rows(50), concurrency=4, **COMMON))
        assert server.n_in_flight == 4


@CUT_OFF
@BACKENDS
def test_an_asynchronous_source_runs_and_ends_in_one_task(server, backend):
    """A source may hold scopes open, and is closed when the batch is left early."""
    ended = []

    async def source():
        try:
            with anyio.fail_after(60):
                for number in count():
                    await anyio.lowlevel.checkpoint()
                    yield row(number)
        finally:
            ended.append(True)

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client:
            async with aclosing(client.rerank_many(source(), **COMMON)) as batch:
                assert [(await anext(batch))[0] for _ in range(10)] == [f"row {number}" for number in range(10)]

    anyio.run(main, backend=backend)
    assert ended == [True]


# Beside others -----------------------------------------------------------------------------------


@CUT_OFF
@BACKENDS
def test_batches_and_single_calls_share_a_client(server, backend):
    """Single calls are answered while two endless batches run."""

    async def drain(client):
        async for _ in client.rerank_many((row(number) for number in count()), **COMMON):
            pass

    async def main():
        async with AsyncClientV2("test-key", base_url=server.url) as client, anyio.create_task_group() as group:
            group.start_soon(drain, client)
            group.start_soon(drain, client)
            for number in range(5):
                assert is_right(number, await client.rerank(**COMMON, query=f"query {number}", documents=DOCUMENTS))
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)


def test_rows_of_a_batch_let_single_calls_go_first(monkeypatch, driver):
    """They wait for their turn in the bulk lane."""
    from cohere_rerank import _http

    lanes = []
    for name in ("Http", "AsyncHttp"):
        kind = getattr(_http, name)
        monkeypatch.setattr(kind, "_request", seen_lanes(kind._request, lanes))
    driver.run(rows(3))
    assert lanes == [1, 1, 1]


def test_a_batch_and_single_calls_share_a_limit(server, driver):
    """One at a time means one, also of two batches at once."""
    limit = RateLimit(per_minute=100_000, concurrency=1)
    others = [Driver(kind, server.url) for kind in ("sync", "asyncio")]
    threads = [
        threading.Thread(target=one.run, args=(rows(10),), kwargs={"client": {"limit": limit}}) for one in others
    ]
    for thread in threads:
        thread.start()
    driver.run(rows(10), client={"limit": limit})
    for thread in threads:
        thread.join(PATIENCE_S)
    assert all(one.ids == [f"row {number}" for number in range(10)] for one in (driver, *others))
    assert server.max_in_flight == 1


def test_a_row_waits_for_its_turn_beyond_the_deadline_of_a_call(driver, clock):
    """A limit of one an hour is kept, and costs no row: a single call would fail at once."""
    limited = {"limit": RateLimit(requests=1, period_s=3600), "clock": clock, "deadline": 10}
    given = driver.run(rows(3), client=limited, concurrency=1)  # on this clock sleepers pass each other's time
    assert all(is_right(number, response) for number, (_, response) in enumerate(given))
    assert sum(clock.sleeps) >= 2 * 3600


def seen_lanes(build, lanes):
    def request(self, config, part, *arguments):
        lanes.append(part.call.lane)
        return build(self, config, part, *arguments)

    return request


def test_a_plain_call_loads_nothing_of_this():
    """Nor does making a client."""
    code = """
import sys
from cohere_rerank import ClientV2
ClientV2(base_url="local:").rerank(model="m", query="q", documents=["a"])
print(*(name for name in sys.modules if name.startswith(("cohere_rerank.batch", "cohere_rerank.cache"))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")


# Progress ----------------------------------------------------------------------------------------


def test_a_function_is_told_how_far_the_batch_is(driver):
    """After every outcome; a generator does not say how many there will be."""
    told: list[BatchProgress] = []
    driver.run([row(0), row(1, top_n=0), row(2)], progress=told.append)
    driver.run(iter(rows(2)), progress=told.append)
    assert [(at.n_done, at.n_failed, at.n_total) for at in told] == [
        (1, 0, 3), (2, 1, 3), (3, 1, 3), (1, 0, None), (2, 0, None)
    ]  # fmt: skip
    assert all(at.elapsed_s >= 0 for at in told)


def test_a_bar_is_drawn(driver, capsys):
    """On standard error, with the number of rows."""
    pytest.importorskip("tqdm")
    driver.run(rows(3), progress=True)
    assert "3/3" in capsys.readouterr().err


def test_a_bar_without_tqdm_names_the_extra(driver, monkeypatch):
    """Before anything is sent."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"cohere-rerank\[progress\]"):
        driver.run(rows(3), progress=True)


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number, at least 1"),
        ({"concurrency": None}, "concurrency must be"),
        ({"on_error": "ignore"}, "on_error must be 'return' or 'raise', got 'ignore'"),
        ({"progress": "yes"}, "progress must be a bool or a function, got str"),
        ({"top_k": 3}, "rerank takes no 'top_k'"),
        ({"requests": "text"}, "requests must be an iterable of mappings, got str"),
        ({"requests": {"query": "q"}}, "got dict"),
        ({"requests": 5}, "got int"),
    ],
)
@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
def test_wrong_arguments_are_refused_at_once(kind, options, message):
    """Not only when the first outcome is asked for."""
    options = {"requests": [], **options}
    with pytest.raises(errors.InvalidRequestError, match=message):
        kind(base_url="local:").rerank_many(options.pop("requests"), **options)


def test_the_blocking_client_takes_no_asynchronous_rows():
    """It names the client that does."""

    async def source():
        yield row(0)

    with pytest.raises(errors.InvalidRequestError, match="AsyncClientV2"):
        ClientV2(base_url="local:").rerank_many(source())  # type: ignore[arg-type]


# Memory ------------------------------------------------------------------------------------------

MEMORY = """
import asyncio, os, sys
from contextlib import aclosing
from cohere_rerank import AsyncClientV2, ClientV2

def rows(n):
    for number in range(n):
        yield {"query": f"query {number}", "documents": [f"document {i} of {number} " * 20 for i in range(4)]}

def now_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

marks = []
def mark(number):
    if number in (N // 10, N - 1):
        marks.append(now_mb())

async def main():
    async with AsyncClientV2(base_url="local:", scorer=scorer) as client:
        async with aclosing(client.rerank_many(rows(N), concurrency=64, model="m")) as batch:
            async for number, _ in batch:
                mark(number)

def scorer(query, documents):
    return [0.5] * len(documents)

kind, N = sys.argv[1], int(sys.argv[2])
if kind == "async":
    asyncio.run(main())
else:
    with ClientV2(base_url="local:", scorer=scorer) as client:
        for number, _ in client.rerank_many(rows(N), concurrency=64, model="m"):
            mark(number)
print((marks[1] - marks[0]) / (N * 0.9) * 100_000)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_memory_does_not_grow_with_the_rows(kind):
    """At most 5 MB for each 100,000, with 64 under way."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, "100000"], capture_output=True, text=True, timeout=110, check=True
    )
    assert float(done.stdout) < 5
