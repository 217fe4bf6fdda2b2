"""What stops a job early: a signal, a budget, too many errors, a refused key, a full disk, another job."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest

from cohere_rerank import RetryPolicy
from cohere_rerank.jobs import JobError, JobStoppedError
from cohere_rerank.limits import RateLimit
from tests.fake_server import error, good_reply, reply
from tests.jobs.conftest import rows_of


@contextmanager
def signalled(server, n_requests, *signals):
    """Send signals to this process when the server has received so many requests."""

    def send():
        server.wait_until(lambda s: len(s.requests) >= n_requests)
        for number in signals:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread.start()
    yield
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_requests_in_flight_finish(write, run, server, tmp_path, number):
    """The result of every request that was sent is saved, and the error says how to resume."""
    source = write(600)
    with signalled(server, 50, number), pytest.raises(JobStoppedError, match=r"interrupted; .* resume") as stopped:
        run(source, concurrency=4)
    n_saved = len(rows_of(tmp_path / "out.jsonl"))
    assert 50 <= n_saved == len(server.requests) < 600
    report = stopped.value.report
    assert (report.stopped, report.rows) == ("interrupted", n_saved)
    assert 0 < report.fraction <= 1
    report = run(source, resume=True)
    assert (report.rows, len(server.requests)) == (600, 600)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(600))


SLOW = RateLimit(requests=4, period_s=3600)
PATIENT = RetryPolicy(wait_initial_s=200, wait_max_s=200)
PAGES = ['{"query": "q", "documents": ["d"], "page": 7}'] * 199  # rows with a field that is not known


@pytest.mark.parametrize(("options", "why"), [({}, "interrupted"), ({"budget_units": 6}, "budget")])
def test_a_signal_does_not_wait_for_the_rate_limit(write, run, server, tmp_path, options, why):
    """Waiting rows are not failed rows. The next run sends them. This also holds when the job was stopping anyway."""
    source = write(50)
    with signalled(server, 4, signal.SIGTERM), pytest.raises(JobStoppedError, match=why) as stopped:
        run(source, concurrency=8, client_options={"limit": SLOW}, **options)
    assert (stopped.value.report.rows, stopped.value.report.failed) == (4, 0)
    report = run(source, resume=True)
    assert (report.rows, report.failed, len(server.requests)) == (50, 0, 50)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(50))


def test_a_signal_does_not_wait_for_retries(write, run, server, tmp_path):
    """The results of other rows are saved at any place of the order."""
    from tests.fake_server import delayed

    source = write(3)
    server.script(error(503, "overloaded"), delayed(0.5, good_reply()), delayed(0.5, good_reply()))
    with signalled(server, 3, signal.SIGINT), pytest.raises(JobStoppedError, match="interrupted") as stopped:
        run(source, client_options={"retry_policy": PATIENT})
    assert (stopped.value.report.rows, stopped.value.report.failed) == (2, 0)
    assert run(source, resume=True).failed == 0
    assert len(server.requests) == 4


def test_a_second_signal_stops_the_job_at_once(write, run, server, tmp_path, caplog):
    """It does not wait for responses. Saved rows stay."""
    source = write(20)
    second_signal = [signal.SIGINT]

    def tell(report):
        if report.stopped == "interrupted" and second_signal:
            os.kill(os.getpid(), second_signal.pop())

    with server.hold_replies(), signalled(server, 4, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        run(source, concurrency=4, progress=tell)
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelname == "ERROR"]
    assert run(source, resume=True).rows == 20


def test_a_budget_is_never_exceeded_and_is_remembered(write, run, server, tmp_path):
    """It holds for any number of requests in flight. The next run knows what earlier runs spent."""
    source = write([{"id": n, "query": "q", "documents": ["a"] * 150} for n in range(20)])
    for budget, n_rows in ((9, 4), (10, 5), (21.9, 10)):
        with pytest.raises(JobStoppedError, match=f"budget of {budget:g} search units") as stopped:
            run(source, concurrency=8, budget_units=budget, resume=True)
        report = stopped.value.report
        assert (report.stopped, report.rows, report.search_units) == ("budget", n_rows, 2.0 * n_rows)
        spent, reserved = re.search(r"([\d.]+) were spent, ([\d.]+) are reserved", str(stopped.value)).groups()
        assert float(spent) + float(reserved) == 2 * n_rows
        assert len(server.requests) == n_rows
    assert run(source, budget_units=40, resume=True).rows == 20


def test_a_budget_estimates_a_cost_that_is_not_reported(write, run, server):
    """An unknown cost is not 0."""
    server.default = reply(200, json={"results": [{"index": index, "relevance_score": 0.5} for index in range(3)]})
    with pytest.raises(JobStoppedError) as stopped:
        run(write(10), budget_units=3)
    assert (stopped.value.report.rows, stopped.value.report.estimated_units) == (3, 3.0)


def test_too_many_errors_stop_a_job(write, run, server, tmp_path):
    """It stops after 100 rows. The error has the numbers, the last error, and how to continue."""
    server.default = error(404, "no such model")
    with pytest.raises(JobStoppedError, match=r"100 of 100 rows failed, .* no such model") as stopped:
        run(write(300), concurrency=2)
    assert stopped.value.report.stopped == "errors"
    assert re.search(
        r"; 0 results and 10\d errors are saved in .*; find the cause, then retry_errors", str(stopped.value)
    )
    assert "resume" not in str(stopped.value)
    assert 100 <= len(rows_of(tmp_path / "out.jsonl")) == len(server.requests) <= 104
    server.default = good_reply()
    report = run(write(300), retry_errors=True)
    assert (report.rows, report.failed) == (300, 0)


def test_invalid_rows_are_counted_separately_and_can_be_retried(write, run):
    """The job's own arguments may have been wrong."""
    with pytest.raises(JobStoppedError, match="find the cause, then retry_errors sends") as stopped:
        run(write(['{"query": "q", "documents": ["d"]}', *PAGES]))
    assert stopped.value.report.invalid == stopped.value.report.failed >= 100
    report = run(write(['{"query": "q", "documents": ["d"]}', *PAGES]), retry_errors=True, ignore_unknown=True)
    assert (report.rows, report.failed, report.invalid) == (200, 0, 0)


@pytest.mark.parametrize("status", [401, 404])
def test_a_job_without_a_result_says_how_to_continue(write, run, server, status):
    """If no row is saved, there is nothing to resume."""
    server.default = error(status, "no")
    with pytest.raises(JobStoppedError) as stopped:
        run(write(300), concurrency=2)
    hint = "retry_errors sends" if status == 404 else "no row is saved, so the same job may start again"
    assert hint in str(stopped.value)
    server.default = good_reply()
    assert run(write(300), retry_errors=status == 404).failed == 0


def test_a_job_that_starts_to_fail_later_stops_within_a_thousand_rows(write, run, server):
    """The rows that succeeded before do not delay the stop."""
    bad = '{"query": "q"}'
    good = '{"query": "q", "documents": []}'
    source = write([good] * 3000 + [bad] * 1500)
    with pytest.raises(JobStoppedError, match=r"501 of the last 1,000 rows failed, more than max_.* \(0\.5\)"):
        run(source)
    assert run(source, "all.jsonl", max_error_fraction=1).failed == 1500


def test_a_few_errors_do_not_stop_a_job(write, run, server):
    """The share of failed rows may be as large as max_error_fraction."""
    bad = '{"query": "q"}'
    good = '{"query": "q", "documents": ["a"]}'
    assert run(write([good, bad] * 100), max_error_fraction=0.5).failed == 100
    with pytest.raises(JobStoppedError):
        run(write([good, bad] * 100), "other.jsonl", max_error_fraction=0.49)
    assert run(write([good, *[bad] * 98]), "few.jsonl", max_error_fraction=0).failed == 98


@pytest.mark.parametrize("status", [401, 402])
def test_a_refused_key_stops_the_job_and_fails_no_row(write, run, server, tmp_path, status):
    """The job resumes with a key that works."""
    source = write(20)
    server.script(*[good_reply()] * 5)
    server.default = error(status, "not with this key")
    with pytest.raises(JobStoppedError, match="not with this key") as stopped:
        run(source, concurrency=2)
    assert stopped.value.report.stopped == "failed"
    assert stopped.value.report.failed == 0
    server.default = good_reply()
    report = run(source, resume=True)
    assert (report.rows, report.failed) == (20, 0)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(20))


def test_results_after_a_failed_row_are_kept_and_the_order_is_restored(write, run, server, tmp_path):
    """A paid result is saved although an earlier row has none yet."""
    from tests.fake_server import delayed

    source = write(8)
    server.script(good_reply(), delayed(0.3, error(429, "monthly limit")), good_reply(), good_reply(), good_reply())
    with pytest.raises(JobStoppedError):
        run(source, concurrency=2)
    n_paid = len(server.requests) - 1
    assert len(rows_of(tmp_path / "out.jsonl")) == n_paid > 1
    run(source, resume=True)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(8))
    assert len(server.requests) == 9


def test_an_input_that_is_cut_keeps_the_rows_that_were_read(write, run, server, tmp_path):
    """All rows before the cut are ranked and saved."""
    import gzip

    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(write(500).read_bytes())[:-100])
    with pytest.raises(JobStoppedError, match="broken after line") as stopped:
        run(path)
    assert stopped.value.report.rows == len(rows_of(tmp_path / "out.jsonl")) == len(server.requests) > 0


def test_two_jobs_cannot_write_one_output(write, run, server, tmp_path):
    """The second job is refused, and the first is not disturbed."""
    source, refusals = write(4), []

    def run_second():
        with pytest.raises(JobError, match="another job is writing this file") as refused:
            run(source, resume=True)
        refusals.append(refused.value)

    def second(report):
        thread = threading.Thread(target=run_second)
        thread.start()
        thread.join()

    from tests.fake_server import delayed

    server.script(delayed(1.1, good_reply()))
    assert run(source, concurrency=1, progress=second).rows == 4
    assert len(refusals) == 1
    assert len(server.requests) == 4


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("replaces", [False, True])
def test_a_moved_output_stops_the_job(write, run, server, tmp_path, name, replaces):
    """It stops soon, even while no response arrives. With the file back in its place it resumes."""
    from tests.fake_server import delayed

    source, journal = write(4), tmp_path / ("out.jsonl" if name == "out.jsonl" else "out.csv.part")
    server.script(good_reply(), good_reply(), delayed(2, good_reply()))

    def move(report):
        if report.stopped is None:
            journal.rename(tmp_path / "away")
            if replaces:
                journal.touch()

    with pytest.raises(JobStoppedError, match=rf"{journal.name} was moved, .* put it back with its . rows") as stopped:
        run(source, name, concurrency=1, progress=move)
    assert stopped.value.report.stopped == "failed"
    (tmp_path / "away").replace(journal)
    assert run(source, name, resume=True).rows == 4
    assert len(server.requests) == 4


def test_an_output_that_is_removed_at_the_end_is_an_error(write, run, server, tmp_path):
    """The last check finds it."""
    source, holding = write(2), ExitStack()

    def remove():
        server.wait_until(lambda s: len(s.requests) == 2)
        (tmp_path / "out.jsonl").unlink()
        holding.close()

    holding.enter_context(server.hold_replies())
    thread = threading.Thread(target=remove)
    thread.start()
    with pytest.raises(JobStoppedError, match=r"out\.jsonl was moved, removed"):
        run(source)
    thread.join()


def long_reply(n_documents):
    """A reply that needs much disk space."""
    results = [{"index": index, "relevance_score": 0.123456789} for index in range(n_documents)]
    return reply(200, json={"results": results, "meta": {"billed_units": {"search_units": 1}}})


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 6 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_a_full_disk_loses_no_paid_result(write, run, server, tmp_path, small_disk, name):
    """The results in flight are written to the reserved space. With more space the job resumes."""
    source = write([{"id": n, "query": "q", "documents": ["d"] * 500} for n in range(300)])
    server.default = long_reply(500)
    with pytest.raises(JobStoppedError, match="No space left") as stopped:
        run(source, f"disk/{name}", concurrency=8)
    assert "could not be saved" not in str(stopped.value)
    n_paid = len(server.requests)
    assert 10 < stopped.value.report.rows == n_paid < 300
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    report = run(source, f"disk/{name}", resume=True)
    assert (report.rows, len(server.requests)) == (300, 300)


def test_a_full_disk_is_an_error_before_anything_is_sent(write, run, server, small_disk):
    """There must be space for the results in flight."""
    (small_disk / "other").write_bytes(bytes(5 << 20))
    with pytest.raises(JobError, match="No space left"):
        run(write(2), "disk/out.jsonl")
    assert server.requests == []
    assert {path.name for path in small_disk.iterdir()} <= {"other", "out.jsonl", "out.jsonl.job"}


LIMITED = """
import resource, sys
from cohere_rerank import AsyncClientV2
from cohere_rerank.jobs import JobStoppedError, run_job
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), -1))
client = AsyncClientV2("k", base_url=sys.argv[3])
try:
    run_job(sys.argv[1], sys.argv[2], client=client, model="m", resume=True, concurrency=4)
except JobStoppedError as error:
    print(error)
"""


def test_a_file_size_limit_says_how_many_results_were_lost(write, server, tmp_path):
    """No space can be reserved there. The rows are sent again, and the file has complete lines only."""
    source = write([{"id": n, "query": "q", "documents": ["d"] * 2000} for n in range(60)])
    server.default = long_reply(2000)
    command = [sys.executable, "-c", LIMITED, str(source), str(tmp_path / "out.jsonl"), server.url]
    done = subprocess.run([*command, str((4 << 20) + 200_000)], capture_output=True, text=True, timeout=60, check=True)
    assert "File too large" in done.stdout
    n_saved = len(rows_of(tmp_path / "out.jsonl"))
    n_lost = len(server.requests) - n_saved
    assert n_lost > 0
    assert f"the results of {n_lost} rows could not be saved" in done.stdout
    subprocess.run([*command, str(resource.RLIM_INFINITY)], timeout=60, check=True)
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(60))


def test_an_output_that_cannot_be_written_at_the_end_loses_no_result(write, run, server, tmp_path):
    """The rows are in the file beside it. The next run writes the output without sending them again."""
    source, holding = write(3), ExitStack()

    def create_output():
        server.wait_until(lambda s: len(s.requests) == 3)
        (tmp_path / "out.csv").write_text("of another program\n")
        holding.close()

    holding.enter_context(server.hold_replies())
    thread = threading.Thread(target=create_output)
    thread.start()
    with pytest.raises(JobStoppedError, match=r"another program has changed this file; .* all rows are done and saved"):
        run(source, "out.csv")
    thread.join()
    assert (tmp_path / "out.csv").read_text() == "of another program\n"
    with pytest.raises(JobError, match="this job has not written this file"):
        run(source, "out.csv", resume=True)
    (tmp_path / "out.csv").unlink()
    assert run(source, "out.csv", resume=True).rows == 3
    assert len(server.requests) == 3
    assert json.loads((tmp_path / "out.csv.job").read_text())["ended"]["rows"] == 3
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.csv", "out.csv.job"}
