"""A job stops at its budget in USD, and continues later without losing a row or paying for it twice."""

from __future__ import annotations

import csv
import json

import pytest

from cohere_rerank import AsyncClientV2, Budget, Price
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.jobs import JobError, JobStoppedError, plan_job, run_job
from tests.fake_server import reply
from tests.jobs.conftest import rows_of

PRICES = {"m": Price(per_search_unit=0.1)}
PRICED = {"client_options": {"prices": PRICES}}
RESULTS = [{"index": index, "relevance_score": 0.5} for index in range(3)]


def billing(**units):
    """A reply that bills these units."""
    return reply(json={"results": RESULTS, "meta": {"billed_units": units}})


def test_a_budget_in_usd_is_never_exceeded_and_is_remembered(write, run, server, tmp_path):
    """It holds for any number of requests in flight. The last row that fits is sent, however sums are rounded."""
    source = write(20)
    for budget, n_rows in ((0.3, 3), (0.75, 7), (1.9, 19)):
        with pytest.raises(JobStoppedError, match=f"budget of {budget:g} USD") as stopped:
            run(source, concurrency=8, budget_usd=budget, resume=True, **PRICED)
        report = stopped.value.report
        assert (report.stopped, report.rows) == ("budget", n_rows)
        assert report.cost_usd == pytest.approx(0.1 * n_rows)
        assert len(server.requests) == n_rows
    report = run(source, budget_usd=2, resume=True, **PRICED)
    assert (report.rows, len(server.requests)) == (20, 20)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(20))
    assert {row["cost_usd"] for row in rows_of(tmp_path / "out.jsonl")} == {0.1}


def test_a_cost_that_is_not_reported_counts_by_estimate(write, run, server, tmp_path):
    """An unknown cost is not 0, and the row says that it is an estimate."""
    server.default = reply(json={"results": RESULTS})
    with pytest.raises(JobStoppedError) as stopped:
        run(write(10), budget_usd=0.3, **PRICED)
    report = stopped.value.report
    assert (report.rows, report.cost_usd) == (3, pytest.approx(0.3))
    assert report.estimated_cost_usd == pytest.approx(0.3)
    assert rows_of(tmp_path / "out.jsonl")[0]["estimated_cost_usd"] == 0.1


def test_a_bill_below_zero_counts_by_estimate(write, run, server, tmp_path):
    """It does not make room for more rows, and the job can be resumed."""
    server.default = billing(search_units=-5)
    source = write(10)
    for budget, n_rows in ((0.3, 3), (0.5, 5)):
        with pytest.raises(JobStoppedError) as stopped:
            run(source, budget_usd=budget, resume=True, **PRICED)
        assert (stopped.value.report.rows, len(server.requests)) == (n_rows, n_rows)
    assert rows_of(tmp_path / "out.jsonl")[0]["estimated_cost_usd"] == 0.1


def test_models_that_are_billed_by_tokens_have_a_budget(write, run, server):
    """Their rows have no search units."""
    server.default = billing(input_tokens=1_000_000)
    prices = {"m": Price(per_million_tokens=0.05)}
    with pytest.raises(JobStoppedError, match="USD") as stopped:
        run(write(10), concurrency=1, budget_usd=0.1, client_options={"prices": prices})
    assert stopped.value.report.cost_usd == pytest.approx(0.05 * stopped.value.report.rows)
    assert stopped.value.report.rows < 10


def test_an_unknown_price_stops_the_job_before_its_row_is_sent(write, run, server):
    """A budget that cannot count must not let rows through."""
    with pytest.raises((JobStoppedError, JobError), match=r"price of the model 'm' is not known.*prices="):
        run(write(3), budget_usd=1)
    assert not server.requests


def test_the_report_says_how_far_the_bills_were_above_the_estimates(write, run, server):
    """Only with a budget, because nothing is estimated without one."""
    server.default = billing(search_units=3)
    report = run(write(4), budget_usd=9, **PRICED)
    assert report.units_above_estimate == pytest.approx(8.0)
    assert report.usd_above_estimate == pytest.approx(0.8)
    assert run(write(4), "other.jsonl", **PRICED).units_above_estimate is None


def test_a_budget_of_the_client_stops_the_job_too(write, run, server, tmp_path):
    """No row is marked as failed, and the job can be resumed."""
    source = write(6)
    with pytest.raises(JobStoppedError, match="budget of 2 search units") as stopped:
        run(source, concurrency=1, client_options={"budget": Budget(units=2)})
    assert (stopped.value.report.stopped, stopped.value.report.rows, stopped.value.report.failed) == ("budget", 2, 0)
    assert run(source, resume=True).rows == len(server.requests) == 6


def test_a_done_job_keeps_its_costs(write, run, server):
    """Its state file has them, also where a cost is unknown."""
    source = write(2)
    for name, options, cost in (("a.csv", PRICED, 0.2), ("b.csv", {}, None)):
        assert run(source, name, **options).cost_usd == cost
        assert run(source, name, resume=True, **options).cost_usd == cost
    assert len(server.requests) == 4


def test_a_table_has_a_column_for_the_costs(write, run, tmp_path):
    """Only if a cost is known."""
    run(write(1), "priced.csv", **PRICED)
    run(write(1), "unpriced.csv")
    rows = [next(csv.DictReader((tmp_path / name).read_text().splitlines())) for name in ("priced.csv", "unpriced.csv")]
    assert rows[0]["cost_usd"] == "0.1"
    assert "cost_usd" not in rows[1]


def test_a_plan_estimates_the_cost(write):
    """None if a price is not known, and 0 for the local engine."""
    source = write(3)
    costs = [
        plan_job(source, client=AsyncClientV2("", **options), model="m").cost_usd
        for options in ({"prices": PRICES}, {}, {"base_url": "local:"})
    ]
    assert costs == [pytest.approx(0.3), None, 0.0]


def test_a_local_job_needs_no_budget(write, tmp_path):
    """It costs nothing."""
    source = write(3)
    client = AsyncClientV2(base_url="local:")
    report = run_job(source, tmp_path / "out.jsonl", client=client, model="m", budget_usd=0, processes=1)
    assert report.rows == 3
    assert "cost_usd" not in json.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0])


@pytest.mark.parametrize("budget", [-1, "5", float("nan")])
def test_a_budget_that_is_not_valid_is_refused(write, run, budget):
    """Before a file is written."""
    with pytest.raises(InvalidRequestError, match="budget_usd"):
        run(write(1), budget_usd=budget)
