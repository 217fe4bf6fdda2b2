"""The command ``cohere-rerank batch``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.jobs.conftest import rows_of

pytest.importorskip("click")
pytest.importorskip("rich")


@pytest.fixture
def batch(tmp_path, server):
    """``batch("in.jsonl", ...)``: the finished process of the command, or with ``start=True`` the running one."""
    environment = {**os.environ, "CO_API_KEY": "secret-key", "CO_API_URL": server.url}
    started = []

    def call(*arguments, start=False, unset=()):
        env = {name: value for name, value in environment.items() if name not in unset}
        command = [sys.executable, "-m", "cohere_rerank", "batch", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        if not start:
            return subprocess.run(command, cwd=tmp_path, env=env, timeout=60, check=False, **pipes)
        started.append(subprocess.Popen(command, cwd=tmp_path, env=env, **pipes))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_runs_from_the_command_line(write, batch, server, tmp_path):
    """The exit code is 0. The numbers are on standard error, and standard output is empty."""
    write(5)
    done = batch("in.jsonl", "-o", "out.jsonl", "--top-n", 1, "--model", "mine")
    assert (done.returncode, done.stdout) == (0, "")
    assert "done: 5 rows" in done.stderr
    assert [len(row["results"]) for row in rows_of(tmp_path / "out.jsonl")] == [1] * 5
    assert {request.json["model"] for request in server.requests} == {"mine"}


def test_failed_rows_are_reported_and_sent_again(write, batch, server, tmp_path):
    """The exit code is 1, and the message names the next command. Invalid rows stay errors."""
    from tests.fake_server import error

    write([{"id": "a", "query": "q", "documents": ["d"]}, "broken", {"id": "b", "query": "q", "documents": ["d"]}])
    server.script(error(400, "no"))
    done = batch("in.jsonl", "-o", "out.jsonl", "--concurrency", 1)
    assert done.returncode == 1
    assert "rows that could not be sent: 1; fix them and run them as a new job; if an option" in done.stderr
    assert "other rows with an error: 1; send them again with the same command and --retry-errors" in done.stderr
    done = batch("in.jsonl", "-o", "out.jsonl", "--concurrency", 1, "--retry-errors")
    assert done.returncode == 1
    assert "rows that could not be sent: 1" in done.stderr
    assert "with an error: 1; the same command" not in done.stderr
    assert "most common error: InvalidRequestError (1 of 1), such as line 2: not JSON" in done.stderr
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == ["a", None, "b"]
    assert ["error" in row for row in rows_of(tmp_path / "out.jsonl")] == [False, True, False]


def test_the_most_common_error_is_shown_without_a_servers_text(write, batch, server):
    """The message has its type, its status, and the number of rows that have it."""
    from tests.fake_server import error, good_reply

    write(5)
    server.script(good_reply(), error(400, "your query is secret"))
    server.default = error(404, "no model for query 3")
    done = batch("in.jsonl", "-o", "out.jsonl", "--concurrency", 1)
    assert done.returncode == 1
    assert "most common error: NotFoundError, status 404 (3 of 4)\n" in done.stderr
    assert "rows with an error: 4; send them again with the same command and --retry-errors" in done.stderr
    assert "query" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_saves_its_rows_and_says_how_to_resume(write, batch, server, tmp_path, number):
    """The exit code is 130. Then --resume sends the other rows."""
    write(1000)
    job = batch("in.jsonl", "-o", "out.jsonl", "--concurrency", 2, "--limit", "none", start=True)
    server.wait_until(lambda s: len(s.requests) >= 20)
    job.send_signal(number)
    stderr = job.communicate(timeout=60)[1]
    assert job.returncode == 130
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert len(rows_of(tmp_path / "out.jsonl")) == len(server.requests) < 1000
    assert batch("in.jsonl", "-o", "out.jsonl", "--limit", "none", "--resume").returncode == 0
    assert len(server.requests) == 1000


def test_a_second_interrupt_also_says_how_to_resume(write, batch, server, tmp_path):
    """A second interrupt does not wait for responses."""
    write(4)
    with server.hold_replies():
        job = batch("in.jsonl", "-o", "out.jsonl", "--limit", "none", start=True)
        server.wait_until(lambda s: len(s.requests) >= 4)
        job.send_signal(signal.SIGINT)
        stderr = job.stderr.readline()
        assert "interrupt again" in stderr
        job.send_signal(signal.SIGTERM)
        stderr = job.communicate(timeout=60)[1]
    assert job.returncode == 130
    assert "--resume" in stderr
    assert "Traceback" not in stderr


def test_a_budget_that_is_spent_is_exit_code_1(write, batch, server):
    """A command that stops for its budget says so and names --resume."""
    write(5)
    done = batch("in.jsonl", "-o", "out.jsonl", "--budget-units", 3)
    assert done.returncode == 1
    assert "budget of 3 search units" in done.stderr
    assert "--resume" in done.stderr
    assert len(server.requests) == 3


def test_a_budget_in_usd_takes_its_prices_from_a_file(write, batch, server, tmp_path):
    """The dry run shows the cost, and so does the last line."""
    write(5)
    (tmp_path / "prices.json").write_text('{"rerank-v4.0-fast": {"per_search_unit": 0.5}}')
    command = ("in.jsonl", "--prices", "prices.json", "--model", "rerank-v4.0-fast")
    assert "cost          about 2.50 USD" in batch(*command, "--dry-run").stdout
    done = batch(*command, "-o", "out.jsonl", "--budget-usd", 1.5)
    assert done.returncode == 1
    assert "budget of 1.5 USD" in done.stderr
    assert "--resume" in done.stderr
    assert len(server.requests) == 3
    assert "5 search units, 2.50 USD" in batch(*command, "-o", "out.jsonl", "--resume").stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not a JSON file"), ("[]", "must be a mapping"), ('{"m": {"usd": 1}}', "no field")],
)
def test_a_file_of_prices_that_is_not_valid_is_refused(write, batch, tmp_path, content, message):
    """Before anything is sent."""
    write(1)
    (tmp_path / "prices.json").write_text(content)
    done = batch("in.jsonl", "-o", "out.jsonl", "--prices", "prices.json")
    assert done.returncode == 2
    assert message in done.stderr


def test_a_job_with_too_many_errors_says_which_command_continues_it(write, batch, server, tmp_path):
    """--retry-errors continues it. It also fixes rows that could not be sent because an option was wrong."""
    from tests.fake_server import error, good_reply

    server.default = error(404, "no such model")
    write(150)
    done = batch("in.jsonl", "-o", "out.jsonl", "--limit", "none")
    assert done.returncode == 1
    assert done.stderr.endswith("(resume with the same command and --retry-errors)\n")
    write(['{"query": "q", "documents": ["d"]}', *['{"query": "q", "documents": ["d"], "page": 7}'] * 149])
    done = batch("in.jsonl", "-o", "other.jsonl")
    assert done.returncode == 1
    assert done.stderr.endswith("(resume with the same command and --retry-errors)\n")
    server.default = good_reply()
    done = batch("in.jsonl", "-o", "other.jsonl", "--ignore-unknown", "--retry-errors")
    assert done.returncode == 0
    assert ["error" in row for row in rows_of(tmp_path / "other.jsonl")] == [False] * 150


def test_a_command_that_cannot_run_is_exit_code_2(write, batch, server, tmp_path):
    """A wrong file or option gives one line, and nothing is sent."""
    write(2)
    (tmp_path / "there.jsonl").write_text("mine\n")
    for arguments, message in (
        (["in.jsonl"], "--output"),
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl"),
        (["in.jsonl", "-o", "there.jsonl"], "exists already"),
        (["in.jsonl", "-o", "out.txt"], "must end with"),
        (["in.jsonl", "-o", "out.jsonl", "--limit", "fast"], "requests per minute"),
        (["in.jsonl", "-o", "out.jsonl", "--processes", 4], "--processes needs --local"),
        (["in.jsonl", "--dry-run", "--processes", 4, "--base-url", server.url], "--processes needs --local"),
    ):
        done = batch(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert "secret-key" not in done.stderr
    assert server.requests == []


def test_the_message_for_a_missing_key_names_the_options_of_the_command(write, batch, tmp_path):
    """Without a key no file is written."""
    write(2)
    done = batch("in.jsonl", "-o", "out.jsonl", unset=("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))
    assert done.returncode == 2
    assert done.stderr.endswith("set CO_API_KEY (or COHERE_API_KEY); --local needs no key\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_dry_run_prints_the_plan_and_sends_nothing(write, batch, server, tmp_path):
    """It prints rows, requests, units and time. The exit code is 1 if a row cannot be sent, else 0."""
    write([{"query": "q", "documents": ["d"]}])
    assert batch("in.jsonl", "--dry-run").returncode == 0
    write([{"query": "q", "documents": ["d"]}] * 150 + ["broken"])
    done = batch("in.jsonl", "--dry-run", "--limit", 100)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "rows          151 (1 cannot be sent)",
        "requests      150",
        "search units  about 150",
        "cost          unknown: a price is missing; state it with --prices",
        "time          about 1m 0s at the limit",
    ]
    assert "line 151" in done.stderr
    assert server.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_local_command_needs_no_key_and_no_network(write, batch, server, tmp_path):
    """It uses as many processes as it may."""
    write(40)
    done = batch("in.jsonl", "-o", "out.csv", "--local", "--processes", 2)
    assert done.returncode == 0
    assert server.requests == []
    assert (tmp_path / "out.csv").read_text().count("\n") == 41


def test_a_terminal_shows_a_progress_bar(write, server, monkeypatch, tmp_path):
    """The bar has rows, speed and units. It disappears when the job is done."""
    terminal = pytest.importorskip("tests.cli.terminal", reason="no terminals here", exc_type=ImportError)
    from tests.fake_server import delayed, good_reply

    source = write(3)
    server.script(good_reply(), good_reply(), delayed(2, good_reply()))
    environment = {"CO_API_KEY": "k", "CO_API_URL": server.url}
    options = [source, "-o", tmp_path / "out.jsonl", "--concurrency", "1"]
    shown, code = terminal.on_terminal("batch", *options, env=environment, columns=120)
    assert code == 0
    assert "2 rows" in shown
    assert "rows/s" in shown
    assert "done: 3 rows" in shown


def test_a_closed_terminal_stops_a_command_as_a_signal_does(write, batch, server, tmp_path):
    """The exit code is 130 although the progress bar and the last line cannot be written."""
    pty = pytest.importorskip("pty", reason="no terminals here")
    source = write(1000)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        command = [sys.executable, "-m", "cohere_rerank", "batch", str(source), "-o", "out.jsonl", "--limit", "none"]
        environment = {**os.environ, "CO_API_KEY": "k", "CO_API_URL": server.url}
        os.execve(sys.executable, [*command, "--concurrency", "1"], environment)
    server.wait_until(lambda s: len(s.requests) >= 5)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert len(rows_of(tmp_path / "out.jsonl")) == len(server.requests) < 1000


def test_csv_safe_is_an_option_of_the_command(write, batch, tmp_path):
    """It needs a CSV file."""
    write([{"id": "=1+1", "query": "q", "documents": ["d"]}])
    assert batch("in.jsonl", "-o", "out.csv", "--csv-safe").returncode == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("'=1+1,1,")
    done = batch("in.jsonl", "-o", "out.jsonl", "--csv-safe")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--csv-safe" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_a_job_runs_with_closed_streams(write, server, tmp_path, closed):
    """The result is the same, and no file of the job takes the place of a stream."""
    write(20)
    environment = {**os.environ, "CO_API_KEY": "secret-key", "CO_API_URL": server.url}
    # The library writes to the number of standard error while the job runs, as C libraries do.
    code = (
        "import os, sys, runpy\nfrom cohere_rerank.jobs import job\ncheckpoint = job.Job.finalize\n"
        "def finalize(self):\n    os.write(2, b'noise')\n    checkpoint(self)\n"
        "job.Job.finalize = finalize\nsys.argv[0] = 'x'\nrunpy.run_module('cohere_rerank', run_name='__main__')\n"
    )
    (tmp_path / "noisy.py").write_text(code)
    command = f"{sys.executable} noisy.py batch in.jsonl -o out.jsonl {closed}"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, env=environment, timeout=60, check=False)
    assert done.returncode == 0
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(20))


def test_the_job_waits_through_a_short_outage_and_stops_at_its_deadline(write, batch, server, tmp_path):
    """Without a terminal the messages are plain lines. The exit code is 1, and --resume continues."""
    from tests.fake_server import error, good_reply

    write(3)
    server.default = error(503, "down")
    done = batch("in.jsonl", "-o", "out.jsonl", "--deadline", "3s", "--concurrency", 1)
    assert done.returncode == 1
    assert "the deadline of the job has passed (3 s); no row is saved" in done.stderr
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr
    n_requests = len(server.requests)
    server.script(*[error(503, "down")] * 3)
    server.default = good_reply()
    done = batch("in.jsonl", "-o", "out.jsonl", "--deadline", "5m", "--resume", "--concurrency", 1)
    assert done.returncode == 0
    assert len(server.requests) == n_requests + 6
    assert batch("in.jsonl", "-o", "other.jsonl", "--retry-for", "soon").returncode == 2


def test_a_corrected_option_is_used_for_the_failed_rows(write, batch, server, tmp_path):
    """The printed advice works."""
    write([{"query": "q", "documents": ["d"]}, {"query": "q", "documents": ["", "d"]}])
    done = batch("in.jsonl", "-o", "out.jsonl", "--concurrency", 1)
    assert done.returncode == 1
    assert "if an option was wrong, correct it and add --retry-errors" in done.stderr
    refused = batch("in.jsonl", "-o", "out.jsonl", "--on-empty", "skip", "--resume")
    assert refused.returncode == 2
    assert "--on-empty was None, now 'skip'; set --retry-errors to keep the results" in refused.stderr
    done = batch("in.jsonl", "-o", "out.jsonl", "--on-empty", "skip", "--retry-errors")
    assert done.returncode == 0
    assert [row["results"][0]["index"] for row in rows_of(tmp_path / "out.jsonl")] == [0, 1]
