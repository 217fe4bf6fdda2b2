"""A job from its input to its output: order, errors, resuming, retries of failed rows."""

from __future__ import annotations

import asyncio
import os
from functools import partial

import anyio
import pytest

from cohere_rerank import AsyncClientV2, ClientV2
from cohere_rerank.errors import InvalidRequestError, MissingApiKeyError
from cohere_rerank.jobs import JobError, JobStoppedError, run_job, run_job_async
from tests.fake_server import delayed, error, good_reply
from tests.jobs.conftest import QUICK, rows_of


def test_each_row_has_the_results_of_rerank(write, run, server, tmp_path):
    """A row uses its own arguments first, then the common ones."""
    rows = [
        {"id": "x", "query": "q", "documents": ["a", {"title": "b"}], "top_n": 1},
        {"query": "q", "documents": ["c", "d", "e"], "model": "other"},
        {"id": 9, "query": "nothing", "documents": []},
    ]
    report = run(write(rows), top_n=2)
    assert sorted(request.json["model"] for request in server.requests) == ["m", "other"]
    with ClientV2("k", base_url=server.url) as client:
        expected = [client.rerank(model="m", query="q", documents=rows[0]["documents"], top_n=1)]
        expected.append(client.rerank(model="m", query="q", documents=["c", "d", "e"], top_n=2))
    made = rows_of(tmp_path / "out.jsonl")
    assert [row["results"] for row in made[:2]] == [
        [{"index": item.index, "relevance_score": item.relevance_score} for item in response.results]
        for response in expected
    ]
    assert [(row["id"], row["row"], row.get("billed_units")) for row in made] == [
        ("x", 1, {"search_units": 1.0}),
        (2, 2, {"search_units": 1.0}),
        (9, 3, None),
    ]
    assert made[2]["results"] == []
    assert (report.rows, report.failed, report.written, report.search_units) == (3, 0, 3, 2.0)
    assert (report.stopped, report.fraction, report.estimated_units) == (None, 1.0, 0.0)


BAD = [
    ('{"id": "torn", "query"', "not JSON"),
    (b'{"query": "\xff", "documents": ["a"]}', "not UTF-8"),
    ('["a"]', "must be an object"),
    ('{"query": "q"}', "has no documents"),
    ('{"documents": ["a"]}', "has no query"),
    ('{"query": " ", "documents": ["a"]}', "query"),
    ('{"query": "q", "documents": "text"}', "documents"),
    ('{"query": "q", "documents": ["a"], "topn": 3}', "topn"),
    ('{"query": "q", "documents": ["a"], "top_n": 0}', "top_n"),
    ('{"query": "q", "documents": ["a"], "request_options": {}}', "request_options"),
    ('{"id": 1.5, "query": "q", "documents": ["a"]}', "id must be"),
    ('{"id": true, "query": "q", "documents": ["a"]}', "id must be"),
]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_invalid_row_costs_only_itself_and_names_its_line(write, run, server, tmp_path, ordered):
    """It has an error at its place in the output, and nothing is sent for it."""
    good = {"id": "good", "query": "q", "documents": ["a"]}
    report = run(write([line for line, _ in BAD] + [good]), ordered=ordered)
    rows = sorted(rows_of(tmp_path / "out.jsonl"), key=lambda row: row["row"])
    for number, ((_, reason), row) in enumerate(zip(BAD, rows), start=1):
        assert row["row"] == number
        assert row["error"]["type"] == "InvalidRequestError"
        assert row["error"]["message"].startswith(f"line {number}: ")
        assert reason in row["error"]["message"]
    assert rows[-1]["id"] == "good"
    assert len(server.requests) == 1
    assert (report.rows, report.failed) == (len(BAD) + 1, len(BAD))


def test_a_duplicate_id_is_an_error_without_the_id(write, run, server, tmp_path):
    """Each id is in the output once. 1 and "1" are two ids, and a row without an id has its number."""
    rows = [{"id": name, "query": "q", "documents": ["a"]} for name in ("a", "1", 1, "a", None)]
    rows.append({"id": 5, "query": "q", "documents": ["a"]})
    run(write(rows))
    made = rows_of(tmp_path / "out.jsonl")
    assert [row["id"] for row in made] == ["a", "1", 1, None, 5, None]
    assert made[3]["error"]["message"] == "line 4: line 1 already has the id 'a'"
    assert made[5]["error"]["message"] == "line 6: line 5 already has the id 5"


def test_unknown_fields_can_be_ignored(write, run, server, tmp_path):
    """In the first row they refuse the file, and nothing is written. In another row they are an error of that row."""
    source = write([{"query": "q", "documents": ["a"], "page": 3}])
    with pytest.raises(JobError, match=r"unknown field page; .* set ignore_unknown=True \(--ignore-unknown\)"):
        run(source)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    source = write([{"query": "q", "documents": ["a"]}, {"query": "q", "documents": ["a"], "page": 3}])
    assert run(source).failed == 1
    assert "line 2: unknown field page" in rows_of(tmp_path / "out.jsonl")[1]["error"]["message"]
    report = run(source, ignore_unknown=True, retry_errors=True)
    assert report.failed == 0
    assert "page" not in server.requests[0].json


def test_rows_are_in_the_order_of_the_input(write, run, server, tmp_path):
    """With ordered=False they are in the order of the responses."""
    for ordered in (True, False):
        server.script(delayed(0.2, good_reply()))
        run(write(20), f"{ordered}.jsonl", ordered=ordered, concurrency=4)
        ids = [row["id"] for row in rows_of(tmp_path / f"{ordered}.jsonl")]
        assert sorted(ids) == list(range(20))
        assert (ids == sorted(ids)) is ordered


def test_a_response_that_reports_no_cost_is_counted_by_estimate(write, run, server, tmp_path):
    """The row is marked as an estimate. 101 documents are two units."""
    from tests.fake_server import reply

    server.default = reply(200, json={"results": [{"index": 0, "relevance_score": 0.5}]})
    report = run(write([{"query": "q", "documents": ["a"] * 101}]), top_n=1)
    row = rows_of(tmp_path / "out.jsonl")[0]
    assert "billed_units" not in row
    assert row["estimated_search_units"] == 2.0
    assert (report.search_units, report.estimated_units) == (2.0, 2.0)


def test_retry_errors_sends_only_the_failed_rows(write, run, server, tmp_path):
    """Each result is written at the place of its row, with and without an errors file."""
    source = write(6)
    for options in ({}, {"errors": tmp_path / "errors.jsonl"}):
        output = f"out{len(options)}.jsonl"
        server.default, bad = good_reply(), error(400, "no such luck")
        server.script(good_reply(), bad, good_reply(), bad)
        assert run(source, output, concurrency=1, **options).failed == 2
        made = rows_of(tmp_path / output)
        if options:
            made = sorted([*made, *rows_of(tmp_path / "errors.jsonl")], key=lambda row: row["row"])
        failures = {row["id"]: row["error"] for row in made if "error" in row}
        assert failures.keys() == {1, 3}
        assert (failures[1]["type"], failures[1]["status_code"], failures[1]["attempts"]) == ("BadRequestError", 400, 1)
        server.requests.clear()
        server.script(bad)
        report = run(source, output, retry_errors=True, concurrency=1, **options)
        assert [request.json["query"] for request in server.requests] == ["query 1", "query 3"]
        assert (report.rows, report.failed, report.written) == (6, 1, 2)
        report = run(source, output, retry_errors=True, concurrency=1, **options)
        assert (report.rows, report.failed, report.written) == (6, 0, 1)
        assert [row["id"] for row in rows_of(tmp_path / output)] == list(range(6))
        assert all("results" in row for row in rows_of(tmp_path / output))
        if options:
            assert rows_of(tmp_path / "errors.jsonl") == []


def stopped_at(write, run, server, n_rows, at, **options):
    """Run a job that stops after so many rows because of a quota."""
    source = write(n_rows)
    server.script(*[good_reply()] * at, error(429, "You have reached your monthly limit"))
    with pytest.raises(JobStoppedError, match="monthly"):
        run(source, concurrency=1, **options)
    return source


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.jsonl.gz"])
def test_a_job_resumes_where_it_stopped(write, run, server, tmp_path, name):
    """No row that is done is sent again. Resuming a finished job does nothing."""
    source = stopped_at(write, run, server, 10, 4, output=name)
    server.requests.clear()
    report = run(source, name, resume=True, concurrency=1)
    assert [request.json["query"] for request in server.requests] == [f"query {n}" for n in range(4, 10)]
    assert (report.rows, report.written, report.search_units) == (10, 6, 10.0)
    before = (tmp_path / name).read_bytes()
    report = run(source, name, resume=True)
    assert (report.rows, report.failed, report.search_units, len(server.requests)) == (10, 0, 10.0, 6)
    assert (tmp_path / name).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", name, f"{name}.job"}


@pytest.mark.parametrize("name", ["out.csv", "errors.jsonl"])
def test_a_finished_job_without_its_files_is_an_error(write, run, server, tmp_path, name):
    """The error says what to do, and doing it helps."""
    source, options = write(3), {"errors": tmp_path / "errors.jsonl", "resume": True}
    run(source, "out.csv", **options)
    (tmp_path / name).rename(tmp_path / "away")
    with pytest.raises(JobError, match=rf"{name}: the job is done, but .* remove .*out\.csv\.job"):
        run(source, "out.csv", **options)
    (tmp_path / "away").rename(tmp_path / name)
    assert run(source, "out.csv", **options).rows == 3
    for left in ("out.csv", "errors.jsonl", "out.csv.job"):
        (tmp_path / left).unlink()
    assert run(source, "out.csv", **options).written == 3


def test_resume_starts_a_new_job(write, run, server, tmp_path):
    """One command can serve nightly runs."""
    assert run(write(3), resume=True).rows == 3


def test_another_input_or_other_options_are_refused(write, run, server, tmp_path):
    """The error names what changed. Nothing is sent or written."""
    source = stopped_at(write, run, server, 10, 4)
    n_requests, before = len(server.requests), (tmp_path / "out.jsonl").read_bytes()
    for options, message in (
        ({"model": "other"}, "model was 'm', now 'other'"),
        ({"top_n": 3}, "top_n was None, now 3"),
        ({"ordered": False}, "ordered was True, now False"),
        ({"client_options": {"base_url": "http://127.0.0.1:9"}}, "address was"),
    ):
        with pytest.raises(JobError, match=message):
            run(source, resume=True, **options)
    write(9)
    with pytest.raises(JobError, match=r"the input has changed .*; choose another output"):
        run(source, resume=True)
    assert (len(server.requests), (tmp_path / "out.jsonl").read_bytes()) == (n_requests, before)
    source = write(10)
    os.utime(source, (1, 1))  # the content counts, not the date
    assert run(source, resume=True, concurrency=7).rows == 10


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_link_stays_a_link_to_the_output(write, run, tmp_path, name):
    """The output is written to the target of the link."""
    (tmp_path / "far").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "far" / f"real-{name}")
    run(write(2), name)
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "far" / f"real-{name}").read_text().count("\n") >= 2
    (tmp_path / f"lost-{name}").symlink_to(tmp_path / "nowhere" / name)
    with pytest.raises(JobError, match=r"there is no folder .*nowhere"):
        run(write(2), f"lost-{name}")


def test_an_existing_output_is_not_overwritten(write, run, server, tmp_path):
    """Neither the output of a job nor a file of another program."""
    source = write(2)
    run(source)
    (tmp_path / "mine.jsonl").write_text("mine\n")
    with pytest.raises(JobError, match=r"out\.jsonl: exists already; set resume=True to resume .*, or choose"):
        run(source)
    for resume in (False, True):
        with pytest.raises(JobError, match=r"mine\.jsonl: exists already"):
            run(source, "mine.jsonl", resume=resume)
    assert (tmp_path / "mine.jsonl").read_text() == "mine\n"
    assert not (tmp_path / "mine.jsonl.job").exists()
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(JobError, match=r"empty\.jsonl: exists already"):
        run(source, "empty.jsonl")
    (tmp_path / "out.jsonl.job").write_text("nonsense")
    with pytest.raises(JobError, match="or it is corrupt"):
        run(source, resume=True)


def test_unusable_files_are_refused_before_anything_is_sent(write, run, server, tmp_path):
    """A missing folder, a folder instead of a file, one file for two uses, and a name without a format."""
    source = write(2)
    (tmp_path / "folder.jsonl").mkdir()
    for output, options, message in (
        ("no/out.jsonl", {}, "there is no folder"),
        ("folder.jsonl", {}, "not a regular file"),
        ("in.jsonl", {}, "different files"),
        ("out.jsonl", {"errors": tmp_path / "out.jsonl"}, "different files"),
        ("out.txt", {}, "must end with"),
        ("out.jsonl", {"errors": tmp_path / "no" / "errors.jsonl"}, "there is no folder"),
    ):
        with pytest.raises((JobError, InvalidRequestError), match=message):
            run(source, output, **options)
    assert server.requests == []
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "folder.jsonl"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"processes": 0}, "processes"),
        ({"max_error_fraction": 1.5}, "max_error_fraction"),
        ({"budget_units": -1}, "budget_units"),
        ({"progress": 3}, "progress must be a function, got int"),
        ({"documents": ["a"]}, "documents"),
        ({"topn": 3}, "topn"),
        ({"client_options": None, "client": "me"}, "AsyncClientV2"),
    ],
)
def test_options_out_of_range_are_refused(write, tmp_path, options, message):
    """They are ValueErrors, raised before a file is written."""
    options.pop("client_options", None)
    given = {"client": AsyncClientV2("k", base_url="http://127.0.0.1:9"), **options}
    with pytest.raises(InvalidRequestError, match=message):
        run_job(write(1), tmp_path / "out.jsonl", **given)
    assert not (tmp_path / "out.jsonl").exists()


def test_without_a_client_the_environments_key_and_address_are_used(write, server, tmp_path, monkeypatch):
    """Without a key it is a MissingApiKeyError."""
    with pytest.raises(MissingApiKeyError):
        run_job(write(1), tmp_path / "out.jsonl", model="m")
    monkeypatch.setenv("CO_API_KEY", "k")
    monkeypatch.setenv("CO_API_URL", server.url)
    assert run_job(write(1), tmp_path / "out.jsonl", model="m").rows == 1


def test_progress_is_reported_while_the_job_runs(write, run, server):
    """The numbers grow, and the last ones are returned."""
    server.script(*[delayed(0.5, good_reply())] * 3)
    reports = []
    report = run(write(6), concurrency=1, progress=reports.append)
    assert reports
    assert all(0 < item.rows <= 6 and item.stopped is None for item in reports)
    assert all(item.seconds_left is None or item.seconds_left >= 0 for item in reports)
    assert report.rows_per_second > 0


def test_checkpoints_are_written_while_no_response_arrives(write, run, server, tmp_path, monkeypatch):
    """An error of the progress function is raised as it is."""
    synced, fsync = [], os.fsync

    def noted(number):
        fsync(number)
        synced.append(os.fstat(number).st_size)

    def tell(report):
        if report.rows == 1:
            assert (tmp_path / "out.jsonl").stat().st_size in synced
            raise LookupError

    monkeypatch.setattr(os, "fsync", noted)
    server.script(good_reply(), delayed(60, good_reply()))
    with pytest.raises(LookupError):
        run(write(2), concurrency=1, progress=tell)


@pytest.mark.parametrize("url", ["", "local:"])
def test_a_job_runs_under_trio(write, server, tmp_path, url):
    """run_job_async runs in any event loop that anyio supports."""
    trio = pytest.importorskip("trio")
    client = AsyncClientV2("k", base_url=url or server.url)
    options = {"client": client, "model": "m", "processes": 1}
    report = trio.run(partial(run_job_async, write(6), tmp_path / "out.jsonl", **options))
    assert (report.rows, report.failed) == (6, 0)


def test_run_job_is_refused_inside_an_event_loop(write, tmp_path):
    """The error names run_job_async, and no file is written."""
    source = write(1)

    async def scenario():
        with pytest.raises(JobError, match="await run_job_async"):
            run_job(source, tmp_path / "out.jsonl", client=AsyncClientV2("k"))

    anyio.run(scenario)
    anyio.run(scenario, backend="trio")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_an_asynchronous_job_can_be_cancelled_and_resumed(write, server, tmp_path):
    """Rows that are done before the cancellation are saved."""
    source = write(6)

    async def scenario():
        async with AsyncClientV2("k", base_url=server.url, retry_policy=QUICK) as client:
            options = {"client": client, "model": "m", "concurrency": 1}
            server.script(good_reply(), good_reply(), delayed(60, good_reply()))
            task = asyncio.ensure_future(run_job_async(source, tmp_path / "out.jsonl", **options))
            await asyncio.to_thread(server.wait_until, lambda s: len(s.requests) == 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(rows_of(tmp_path / "out.jsonl")) == 2
            server.script(error(400, "no"))
            assert (await run_job_async(source, tmp_path / "out.jsonl", resume=True, **options)).failed == 1
            return await run_job_async(source, tmp_path / "out.jsonl", retry_errors=True, **options)

    report = asyncio.run(scenario())
    assert (report.rows, report.failed, report.written) == (6, 0, 1)
