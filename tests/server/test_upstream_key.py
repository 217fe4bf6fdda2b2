"""`serve --upstream` and the key for it, which is the server's own."""

from __future__ import annotations

import json

import pytest

from tests.fake_server import Server, error
from tests.server.running_server import program, wait_until

NOTE = "CO_API_KEY is not set"


@pytest.fixture
def upstream():
    """One that wants a key."""
    with Server() as server:
        server.keys = {"upstream-key"}
        yield server


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_a_key_it_says_at_its_start_what_will_happen(upstream, workers):
    """Once, in the log; and that happens: 502, whatever key the caller shows; the caller's is not passed on."""
    with program("--upstream", upstream.url, "--workers", workers) as started:
        assert started.post(authorization="Bearer upstream-key").status_code == 502
        (request,) = upstream.requests
        assert request.header("authorization") is None
        wait_until(lambda: any('"status": 502' in line for line in started.lines))
        said = [line for line in started.lines if NOTE in line]
    assert said == [started.lines[0]]
    assert json.loads(said[0])["level"] == "warning"
    assert "upstream-key" not in "".join(started.lines)


def test_the_log_says_that_the_key_was_refused(upstream):
    """A warning for each such request, with its id; of the upstream its status, and none of its words, nor a key."""
    upstream.script(error(401, "invalid api token: wrong-key, secret words"), error(403, "secret words"))
    with program("--upstream", upstream.url, CO_API_KEY="wrong-key") as started:
        replies = [started.post(**{"x-request-id": f"r{n}"}) for n in range(2)]
        wait_until(lambda: any('"r1"' in line and '"status": 502' in line for line in started.lines))
        said = [record for record in started.records() if record["level"] == "warning"]
    assert [reply.json()["message"] for reply in replies] == ["the upstream rejected this server's own key"] * 2
    told = [(line["message"], line["request_id"], line["reason"], line["upstream_status"]) for line in said]
    assert told == [
        ("the upstream rejected this server's own key", "r0", "UnauthorizedError", 401),
        ("the upstream rejected this server's own key", "r1", "ForbiddenError", 403),
    ]
    assert not any(word in "".join(started.lines) for word in ("wrong-key", "secret"))


def test_what_the_caller_did_wrong_is_no_warning(upstream):
    """The upstream's 404 is passed on, and whoever body for that model can read it."""
    upstream.script(error(404, "model 'secret' not found"))
    with program("--upstream", upstream.url, CO_API_KEY="upstream-key") as started:
        assert started.post().status_code == 404
        wait_until(lambda: any('"status": 404' in line for line in started.lines))
        assert not [record for record in started.records() if record["level"] == "warning"]
    assert "secret" not in "".join(started.lines)


@pytest.mark.parametrize("name", ["CO_API_KEY", "COHERE_API_KEY"])
def test_with_a_key_it_has_nothing_to_say(upstream, name):
    """By either name; the upstream is body with it."""
    with program("--upstream", upstream.url, **{name: "upstream-key"}) as started:
        assert started.post(authorization="Bearer callers").status_code == 200
        wait_until(lambda: any('"status": 200' in line for line in started.lines))
    assert NOTE not in "".join(started.lines)
    assert "upstream-key" not in "".join(started.lines)


def test_without_an_upstream_no_key_is_missed():
    """The local engine needs none."""
    with program() as started:
        assert started.post().status_code == 200
    assert NOTE not in "".join(started.lines)
