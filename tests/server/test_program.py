"""``cohere-rerank serve`` as a process: signals, workers, logs, usage."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.server.request_helpers import request_head
from tests.server.running_server import RERANK_BODY, ServeProgram, command_line, program, wait_until

on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")

# Long enough to score that a signal comes meanwhile; what it waits for tells that it has begun.
LONG = {"model": "m", "query": "green tea and black coffee " * 20, "documents": ["green tea " * 2000] * 150}


@pytest.fixture(scope="module")
def running():
    with program(CO_SERVER_API_KEY="key-one,key-two") as started:
        yield started


def in_thread(call):
    got = []
    threading.Thread(target=lambda: got.append(call()), daemon=True).start()
    return got


def test_it_serves_with_the_keys_of_the_environment(running):
    """Each key of the list is accepted, and no other."""
    statuses = [running.post(authorization=f"Bearer {key}").status_code for key in ("key-one", "key-two", "three")]
    assert statuses == [200, 200, 401]


def test_its_log_is_json_without_content(running):
    """Every line is JSON, also uvicorn's, without keys and texts."""
    running.post(
        body={**RERANK_BODY, "query": "secret-query", "documents": ["secret-text"]}, authorization="Bearer key-one"
    )
    wait_until(lambda: any('"documents": 1' in line for line in running.lines))
    records = running.records()
    assert {"time", "level", "message"} <= set(records[0])
    text = "".join(running.lines)
    assert "secret" not in text
    assert "key-one" not in text


WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


@WORKERS
def test_sigterm_lets_running_requests_finish(workers):
    """After SIGTERM the whole response arrives, then the program ends with 0."""
    started = ServeProgram("--workers", workers)
    # The callers' connection is open before the signal: only new ones are refused afterwards.
    got = in_thread(lambda: httpx.post(f"{started.url}/v2/rerank", json=LONG, timeout=60))
    wait_until(lambda: "cohere_rerank_running 1.0" in started.http.get("/metrics").text)
    assert started.stop() == 0
    wait_until(lambda: got)
    assert len(got[0].json()["results"]) == 150
    with pytest.raises(httpx.ConnectError):
        started.post()


@WORKERS
def test_ctrl_c_ends_it_quietly(workers):
    """After Ctrl-C the exit code is 130, without a stack trace."""
    started = ServeProgram("--workers", workers)
    assert started.stop(signal.SIGINT) == 130
    assert "Traceback" not in "".join(started.lines)


ANSWERED = 'cohere_rerank_requests_total{method="POST",path="/v2/rerank",status="200"}'


def metric(started, name):
    lines = started.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and "_created" not in line)


@on_linux
def test_a_process_that_ended_since_it_was_listed_has_no_command_line():
    """Other tests look for workers while a worker dies."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        wait_until(lambda: b"input()" in command_line(process.pid))
        process.communicate(b"\n")
    assert command_line(process.pid) == b""


@on_linux
def test_a_killed_worker_is_replaced_and_the_others_serve_on(tmp_path):
    """kill -9 loses only the requests of that worker, and the metrics stay complete."""
    with program("--workers", "2", TMPDIR=str(tmp_path)) as started:
        wait_until(lambda: len(started.workers()) == 2)
        for _ in range(20):
            assert started.post().status_code == 200
        wait_until(lambda: metric(started, ANSWERED) == 20)  # each is counted once its answer is out
        victim, other = started.workers()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(started.workers()) == 2 and victim not in started.workers())
        for _ in range(20):
            assert started.post().status_code == 200
        assert other in started.workers()
        wait_until(lambda: metric(started, ANSWERED) == 40)
        assert metric(started, "cohere_rerank_admitted") == 0
        assert list(tmp_path.glob("cohere-rerank-metrics-*/*.db"))
    assert not list(tmp_path.glob("cohere-rerank-metrics-*"))


@on_linux
def test_gauges_of_a_killed_worker_are_removed():
    """The gauges of a killed worker are removed."""
    with program("--workers", "2", "--concurrency", "1") as started:
        wait_until(lambda: len(started.workers()) == 2)
        with socket.create_connection((httpx.URL(started.url).host, httpx.URL(started.url).port)) as connection:
            connection.sendall(request_head(9) + b"{")
            wait_until(lambda: metric(started, "cohere_rerank_admitted") == 1)
            before = started.workers()
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            wait_until(lambda: len(started.workers()) == 2 and not set(before) & set(started.workers()))
            wait_until(lambda: started.post().status_code == 200)
        started.http.close()
        started.http = httpx.Client(base_url=started.url)
        assert metric(started, "cohere_rerank_admitted") == 0


def test_body_timeout_is_an_option():
    """A slow body gets 408 after the time of --body-timeout."""
    with program("--body-timeout", "0.05") as started:
        address = httpx.URL(started.url)
        with socket.create_connection((address.host, address.port), 20) as connection:
            connection.sendall(request_head(9) + b"{")
            assert b"did not arrive within 0.05 seconds" in connection.makefile("rb").read()


# Usage --------------------------------------------------------------------------------------------


def run(*options, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CO_")}
    return subprocess.run(
        [sys.executable, "-m", "cohere_rerank", "serve", *options],
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        (["--scorer", "nonsense"], {}, "nonsense"),
        (["--scorer", "lexical", "--upstream", "http://x"], {}, "mutually exclusive"),
        (["--upstream", "nowhere"], {}, "upstream must look like https://host"),
        (["--upstream", "local:"], {}, "--scorer"),
        (["--body-timeout", "0"], {}, "--body-timeout"),
        ([], {"CO_SERVER_API_KEY": ","}, "CO_SERVER_API_KEY"),
        (["--api-key", ""], {}, "empty"),
        (["--port", "99999"], {}, "--port"),
        (["--faults", __file__, "--workers", "2"], {}, "'--workers' cannot be used with --faults"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(options, environment, words):
    """The mistake is reported before the server listens."""
    done = run(*options, **environment)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@WORKERS
def test_a_taken_port_is_reported_in_one_line(workers):
    """The error is one line, and the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), "--workers", workers)
    assert done.returncode == 1
    line = f"cohere-rerank: error: cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"
    assert done.stderr.splitlines() == [line]


@pytest.mark.parametrize("host", ["no such host", "203.0.113.1", "::zz", "a" * 70])
def test_a_host_that_this_machine_does_not_have_is_reported_in_one_line(host):
    """The error is one line, and the exit code is 1."""
    done = run("--host", host, CO_SERVER_API_KEY="key")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot listen on" in done.stderr


@WORKERS
def test_a_model_that_cannot_be_loaded_ends_it_with_1(workers):
    """The log has the reason, and the last line points to it."""
    done = run("--port", "0", "--workers", workers, "--model", "local-onnx")
    assert done.returncode == 1
    *log, last = done.stderr.splitlines()
    assert last == "cohere-rerank: error: the scorer cannot be loaded; the log has the reason"
    assert any("local:onnx" in json.loads(line)["message"] for line in log)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_faults_file_replaces_the_server(tmp_path, how, code):
    """The testing kit serves the file, with the log format and the exit codes of the server."""
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"faults": [{"status": 503}, {"requests": 9, "status": 500}]}))
    process = subprocess.Popen(
        [sys.executable, "-m", "cohere_rerank", "serve", "--port", "0", "--faults", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stderr.readline()
        said = re.search(r'"listening on (http://127\.0\.0\.1:\d+)"', first)
        assert said, first
        reply = httpx.post(f"{said[1]}/v2/rerank", json=RERANK_BODY, headers={"authorization": "Bearer k"})
        assert reply.status_code == 503
        process.send_signal(how)
        out, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (code, "")
    log_lines = [json.loads(line) for line in [first, *log.splitlines()]]
    assert [line["level"] for line in log_lines] == ["info", "info", "warning"]
    assert log_lines[0]["url"] == said[1]


def test_a_fault_server_on_an_open_address_warns(tmp_path):
    """It accepts every caller, so it is for tests on a trusted network only. The port makes it fail at once."""
    file = tmp_path / "faults.json"
    file.write_text("{}")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        done = run("--host", "0.0.0.0", "--port", str(taken.getsockname()[1]), "--faults", str(file))
    assert done.returncode == 1
    assert "the fault server on 0.0.0.0 accepts every caller" in done.stderr
