"""The fault server as a process of its own, for programs in any language."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import cohere_rerank
from cohere_rerank.testing import FaultServer

HOME = str(Path(cohere_rerank.__file__).resolve().parent.parent)
CODE = """
import sys
from cohere_rerank.testing.serve import serve
try:
    serve("127.0.0.1", 0, sys.argv[1])
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


@pytest.fixture
def serving(tmp_path):
    """Start a process that serves the file, and return it with its address."""
    file = tmp_path / "faults.yaml"
    file.write_text("faults: [{requests: 2-3, status: 429, retry_after: 1.5}]\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, file],
        env={**os.environ, "PYTHONPATH": HOME},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.stderr.readline()
    yield process, re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", said).group(1)
    process.kill()
    process.communicate()


def post(url):
    body = json.dumps({"model": "m", "query": "secret question", "documents": ["secret text"]}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url + "/v2/rerank", body, {"authorization": "Bearer secret-key"})
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["retry-after"]


def test_it_serves_the_file_until_a_signal(serving):
    """The plan applies by request number, the log has no texts and keys, and the exit code is 0."""
    process, url = serving
    assert [post(url) for _ in range(4)] == [200, (429, "1.5"), (429, "1.5"), 200]
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=20)
    assert process.returncode == 0 and out == ""
    assert [line.rpartition(" ")[2] for line in log.splitlines()] == ["fault", "status", "status", "fault"]
    assert "secret" not in log
    assert log.splitlines()[0] == "1: POST /v2/rerank, status 200: no fault"


HAS_SIGHUP = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")


@pytest.mark.parametrize(
    ("number", "code", "end"),
    [
        pytest.param(signal.SIGTERM, 0, [], id="term"),
        pytest.param(signal.SIGINT, 1, ["interrupted"], id="int"),
        pytest.param(getattr(signal, "SIGHUP", None), 0, [], id="closed terminal", marks=HAS_SIGHUP),
    ],
)
def test_at_the_end_it_names_unused_faults(serving, number, code, end):
    """The last line names the faults that no response showed. Only Ctrl-C is an interrupt."""
    process, url = serving
    assert post(url) == 200
    process.send_signal(number)
    _, log = process.communicate(timeout=20)
    assert log.splitlines()[1:] == ["no response showed faults[0] (status)", *end]
    assert process.returncode == code


def test_its_log_has_the_fields_of_the_real_server(caplog):
    """A line has status, time, sizes and the fault, and never the content or an unknown path."""
    caplog.set_level("INFO", "cohere_rerank.testing")
    with FaultServer({"faults": [{"requests": 2, "status": 503}, {"requests": 3, "reset": "start"}]}) as fake:
        assert post(fake.url) == 200
        assert post(fake.url)[0] == 503
        with pytest.raises(OSError):
            post(fake.url)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(fake.url + "/secret?key=secret", timeout=10)
        refused.value.close()
        urllib.request.urlopen(fake.url + "/health", timeout=10).close()
        fake.wait_until(lambda server: server.n_in_flight == 0)
    lines = [record.fields for record in caplog.records]
    names = ("n", "method", "path", "status", "documents", "fault")
    assert [tuple(line[name] for name in names) for line in lines] == [
        (1, "POST", "/v2/rerank", 200, 1, None),
        (2, "POST", "/v2/rerank", 503, 1, "status"),
        (3, "POST", "/v2/rerank", None, 1, "reset"),
        (None, "GET", "other", 404, 0, None),
        (None, "GET", "/health", 200, 0, None),
    ]
    assert all(line["ms"] >= 0 and line["request_bytes"] == (0 if line["n"] is None else 72) for line in lines)
    assert "secret" not in caplog.text + str(lines)


def test_a_mistake_in_the_file_is_an_error_before_the_server_listens(tmp_path):
    """The error names the entry."""
    from cohere_rerank.testing.serve import serve

    (tmp_path / "faults.yaml").write_text("faults: [{status: 1}]", encoding="utf-8")
    with pytest.raises(cohere_rerank.InvalidRequestError, match=r"faults\[0\]\.status"):
        serve("127.0.0.1", 0, tmp_path / "faults.yaml")
    with pytest.raises(FileNotFoundError):
        serve("127.0.0.1", 0, tmp_path / "missing.yaml")
