"""Rows that fail are errors in their place; what every further row would meet ends the batch."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank.batch.rules import AsDone, InOrder
from tests.batch.driving import CUT_OFF, Driver, is_right, row, rows, until
from tests.fake_server import error

QUOTA = "You have reached your monthly limit of calls."


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
    with server.hold_replies():
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
