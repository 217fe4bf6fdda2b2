"""Which engine answered: in the response, in the log and in the metrics."""

from __future__ import annotations

import json
import logging

import pytest

from cohere_rerank import errors
from cohere_rerank.server.upstream import failure_kind
from tests.fake_server import Server, error, reply
from tests.server.running_server import RERANK_BODY, RunningServer, wait_until

DOWN = [reply(503, json={"message": "down"}, headers={"retry-after": "0"})] * 3  # once, and two retries


def test_the_local_engine_is_named(open_server, caplog):
    """The header, the log line and the counter have the scorer's name."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    name = 'cohere_rerank_answers_total{engine="local-lexical",fallback="false"}'
    before = open_server.http.get("/metrics").text
    assert open_server.post().headers["x-answered-by"] == "local-lexical"
    wait_until(lambda: caplog.records)
    assert caplog.records[-1].fields["answered_by"] == "local-lexical"
    after = open_server.http.get("/metrics").text
    assert _value(after, name) == _value(before, name) + 1


def _value(metrics, name):
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))


def test_an_error_names_no_engine(open_server):
    """A request that was not ranked has no engine."""
    assert "x-answered-by" not in open_server.post(body=b"{").headers


def test_a_fallback_can_be_told_from_the_upstream(server: Server, caplog):
    """Operators see how many answers came from the local engine, why, and whether the breaker is open."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    with RunningServer(upstream=server.url) as running:
        host = server.url.removeprefix("http://")
        assert running.post().headers["x-answered-by"] == f"{host}/m"
        assert running.metric("cohere_rerank_upstream_circuits_open") == 0
        server.script(*DOWN)
        assert [running.post().headers["x-answered-by"] for _ in range(2)] == ["local-lexical"] * 2
        metrics = running.http.get("/metrics").text
    assert 'cohere_rerank_answers_total{engine="upstream",fallback="false"} 1.0' in metrics
    assert 'cohere_rerank_answers_total{engine="local-lexical",fallback="true"} 2.0' in metrics
    assert 'cohere_rerank_upstream_failures_total{kind="server_error"} 1.0' in metrics
    assert "cohere_rerank_upstream_circuits_open 1.0" in metrics
    engines = [record.fields["answered_by"] for record in caplog.records if "answered_by" in record.fields]
    assert engines == [f"{host}/m", "local-lexical", "local-lexical"]


def test_a_rejected_key_is_counted_and_a_wrong_request_is_not(server: Server):
    """An operator must act on the first. The second is the caller's mistake."""
    server.script(error(401, "invalid api token"), error(404, "model 'm' not found"))
    with RunningServer(upstream=server.url) as running:
        assert [running.post().status_code for _ in range(2)] == [502, 404]
        assert 'cohere_rerank_upstream_failures_total{kind="key_rejected"} 1.0' in running.http.get("/metrics").text
        assert running.metric("cohere_rerank_upstream_failures_total") == 1


@pytest.mark.parametrize("model", ["a\r\nx-evil: 1", "ü", "m" * 101, "a b"])
def test_a_model_name_cannot_break_the_header(server: Server, model):
    """Then only the host is named."""
    with RunningServer(upstream=server.url) as running:
        reply = running.post(body={**RERANK_BODY, "model": model})
    assert reply.headers["x-answered-by"] == server.url.removeprefix("http://")
    assert "x-evil" not in reply.headers


def test_the_name_of_a_function_cannot_break_the_header():
    """A scorer of your own may have a name in any script."""

    def größe(_query, documents):
        return [0.5] * len(documents)

    with RunningServer(scorer=größe) as running:
        assert running.post().headers["x-answered-by"] == "gr??e"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (errors.TimeoutExceededError("late"), "timeout"),
        (errors.ConnectionFailedError("lost"), "connection"),
        (errors.InvalidRequestError("wrong"), None),
        (errors.InvalidResponseError("odd"), "invalid_response"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_has_a_kind(failure, kind):
    """A failure of the request itself has none."""
    assert failure_kind(failure) == kind


def test_successful_probes_are_not_logged(open_server, caplog):
    """Probes come every few seconds. A failed one is logged."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    for path in ("/health", "/ready", "/metrics", "/openapi.json"):
        assert open_server.http.get(path).status_code == 200
    wait_until(lambda: caplog.records)
    assert [record.fields["path"] for record in caplog.records] == ["/openapi.json"]
    caplog.set_level(logging.DEBUG, logger="cohere_rerank.server.access")
    open_server.http.get("/health")
    wait_until(lambda: len(caplog.records) == 2)
    assert json.dumps(caplog.records[-1].fields["path"]) == '"/health"'
