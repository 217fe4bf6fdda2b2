"""Each row is yielded once with its id and its response, in order or as completed."""

from __future__ import annotations

from contextvars import ContextVar

from tests.batch.helpers import is_right, row, rows, until


def test_rows_are_yielded_in_order_with_their_ids_and_responses(driver, no_threads_left):
    """The responses equal those of single calls of rerank."""
    outcomes = driver.run(rows(20), concurrency=4)
    assert driver.ids == [f"row {number}" for number in range(20)]
    assert all(is_right(number, response) for number, (_, response) in enumerate(outcomes))


def test_an_early_response_is_held_back_only_if_ordered(server, driver):
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
    driver.outcomes.clear()
    driver.run(rows(6), concurrency=2)
    assert driver.ids == [f"row {number}" for number in range(6)]


def test_a_row_without_an_id_has_its_position(driver):
    """Positions count all rows from 0. Any value may be an id, and ids are not compared."""
    requests = [row(0, id=None), row(1, id=("a", 1)), {k: v for k, v in row(2).items() if k != "id"}, row(3, id=0)]
    assert [row_id for row_id, _ in driver.run(requests)] == [0, ("a", 1), 2, 0]


def test_common_arguments_apply_to_every_row_that_has_none_of_its_own(server, driver):
    """None in a row counts as not given."""
    requests = [row(0), row(1, top_n=1, model="rerank-v4.0-pro"), row(2, top_n=None)]
    driver.run(requests, top_n=2, priority=7, concurrency=1)
    sent = [request.json for request in server.requests]
    assert [body["top_n"] for body in sent] == [2, 1, 2]
    assert [body["model"] for body in sent] == ["rerank-v3.5", "rerank-v4.0-pro", "rerank-v3.5"]
    assert {body["priority"] for body in sent} == {7}


def test_the_rows_of_the_caller_are_not_changed(driver):
    """The batch copies their arguments."""
    requests = rows(2)
    driver.run(requests, request_options={"max_retries": 0})
    assert requests == rows(2)


def test_no_rows_or_no_documents_send_nothing(server, driver):
    """An empty batch yields nothing; a row without documents gets an empty response."""
    assert driver.run([]) == []
    [(row_id, response)] = driver.run([row(0, documents=[])])
    assert (row_id, response.results, server.requests) == ("row 0", [], [])


def test_a_source_runs_in_one_context(driver):
    """A context variable that the source sets for one row has this value in the next row."""
    number = ContextVar("number", default=-1)

    def source():
        for position in range(20):
            assert number.get() == position - 1
            number.set(position)
            yield row(position)

    driver.run(source(), concurrency=4)
    assert driver.ids == [f"row {position}" for position in range(20)]
