"""`serve --upstream` uses a key of its own for the upstream."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from tests.fake_server import Server, error, reply
from tests.server.running_server import RunningServer, program, wait_until

NOTE = "there is no key for the upstream, in CO_API_KEY or in a file"


@pytest.fixture
def upstream():
    """An upstream that requires a key."""
    with Server() as server:
        server.keys = {"upstream-key"}
        yield server


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_a_key_it_warns_at_its_start(upstream, workers):
    """The log warns once, every request gets 502, and the caller's key is not forwarded."""
    with program("--upstream", upstream.url, "--workers", workers) as started:
        assert started.post(authorization="Bearer upstream-key").status_code == 502
        (request,) = upstream.requests
        assert request.header("authorization") is None
        wait_until(lambda: any('"status": 502' in line for line in started.lines))
        said = [line for line in started.lines if NOTE in line]
    assert said == [started.lines[0]]
    assert json.loads(said[0])["level"] == "warning"
    assert "upstream-key" not in "".join(started.lines)


def test_the_log_says_that_the_key_was_rejected(upstream):
    """Each such request has a warning with its id and the status, without the upstream's text and without a key."""
    upstream.script(error(401, "invalid api token: wrong-key, secret words"), error(403, "secret words"))
    with program("--upstream", upstream.url, CO_API_KEY="wrong-key") as started:
        replies = [started.post(**{"x-request-id": f"r{n}"}) for n in range(2)]
        wait_until(lambda: any('"r1"' in line and '"status": 502' in line for line in started.lines))
        said = [record for record in started.records() if record["level"] == "warning"]
    assert [reply.json()["message"] for reply in replies] == ["the upstream rejected this server's own key"] * 2
    logged = [(line["message"], line["request_id"], line["reason"], line["upstream_status"]) for line in said]
    assert logged == [
        ("the upstream rejected this server's own key", "r0", "UnauthorizedError", 401),
        ("the upstream rejected this server's own key", "r1", "ForbiddenError", 403),
    ]
    assert not any(word in "".join(started.lines) for word in ("wrong-key", "secret"))


def test_an_error_of_the_caller_is_not_a_warning(upstream):
    """The upstream's 404 is forwarded, and the log has no warning."""
    upstream.script(error(404, "model 'secret' not found"))
    with program("--upstream", upstream.url, CO_API_KEY="upstream-key") as started:
        assert started.post().status_code == 404
        wait_until(lambda: any('"status": 404' in line for line in started.lines))
        assert not [record for record in started.records() if record["level"] == "warning"]
    assert "secret" not in "".join(started.lines)


@pytest.mark.parametrize("name", ["CO_API_KEY", "COHERE_API_KEY"])
def test_with_a_key_it_does_not_warn(upstream, name):
    """Both variables work, and the upstream gets the key."""
    with program("--upstream", upstream.url, **{name: "upstream-key"}) as started:
        assert started.post(authorization="Bearer callers").status_code == 200
        wait_until(lambda: any('"status": 200' in line for line in started.lines))
    assert NOTE not in "".join(started.lines)
    assert "upstream-key" not in "".join(started.lines)


def test_without_an_upstream_it_does_not_warn():
    """The local engine needs no key."""
    with program() as started:
        assert started.post().status_code == 200
    assert NOTE not in "".join(started.lines)


@pytest.mark.parametrize("status", [200, 400])
def test_an_upstream_that_quotes_the_key_does_not_reveal_it(monkeypatch, status):
    """The caller gets no form of the operator's key, from a reply or an error."""
    key = "operator/Key+12345"
    forms = [key, quote(key, safe=""), b64encode(f"x:{key}".encode()).decode(), key.replace("/", "&#x2f;")]
    reply_body = {"id": "1", "results": [], "message": str(forms), "meta": {"warnings": forms}}
    monkeypatch.setenv("CO_API_KEY", key)
    with Server() as upstream, RunningServer(upstream=upstream.url) as running:
        upstream.default = reply(status, json=reply_body)
        response = running.post()
    assert (response.status_code, upstream.requests[0].key) == (status, key)
    assert not [form for form in forms if form in response.text]
