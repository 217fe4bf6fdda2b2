"""`cohere-rerank doctor` prints ok, warn or fail for each step, and its exit code is 1 if a step failed."""

from __future__ import annotations

import json

import pytest

from cohere_rerank.cli._probes import PROBES, dialect_of, interpret, limits, most_severe
from tests.cli.terminal import on_terminal
from tests.fake_server import Server, drip, error, hang_up, html, huge, refusing_url, reply

KEY = "secret-key-0123456789"


@pytest.fixture
def diagnose(run):
    """``diagnose(url)`` returns the exit code and the findings by check."""

    def diagnosed(url, *options, key=KEY):
        done = run("doctor", url, *options, "--json", env={"CO_API_KEY": key})
        assert done.stderr == ""
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        assert [finding["advice"] is None for finding in findings] == [
            finding["status"] == "ok" for finding in findings
        ], "only a warning or a failure has advice"
        return done.exit_code, {finding["check"]: finding for finding in findings}

    return diagnosed


def statuses(findings):
    return {check: finding["status"] for check, finding in findings.items()}


def test_a_good_server_passes_every_check(diagnose, server):
    """At most five requests are sent, all with the key."""
    server.keys = {KEY}
    code, findings = diagnose(server.url)
    assert code == 0
    assert statuses(findings) == dict.fromkeys(
        ["address", "dns", "connect", "key", "dialect", "limits", "latency"], "ok"
    )
    assert findings["dialect"]["message"] == "cohere at /v2/rerank"
    assert len(server.requests) <= 5
    assert {request.header("authorization") for request in server.requests} == {f"Bearer {KEY}"}


def test_each_finding_is_a_line(run, server):
    """The line has the status, the check and the result. Advice is on the next line."""
    server.path = "/elsewhere"
    done = run("doctor", server.url)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"ok    address  {server.url}"
    assert lines[-2].startswith("fail  dialect  ")
    assert lines[-1].startswith(" " * 15)


def test_colours_need_a_terminal_without_no_color():
    """NO_COLOR also works in commands without rich."""
    coloured, code = on_terminal("doctor", "local:")
    plain, _ = on_terminal("doctor", "local:", env={"NO_COLOR": "1"})
    assert code == 0
    assert "\x1b[32mok" in coloured
    assert "\x1b" not in plain


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v2", "/v2/rerank"])
def test_an_address_has_the_same_forms_as_for_a_client(diagnose, server, ending):
    """It can be a base, a version, or the full endpoint."""
    assert diagnose(server.url + ending)[1]["dialect"]["message"] == "cohere at /v2/rerank"


def test_the_address_of_the_environment_is_the_default(run, server):
    """The default is CO_API_URL, as for the client."""
    done = run("doctor", env={"CO_API_URL": server.url})
    assert (done.exit_code, server.url in done.stdout) == (0, True)


def test_a_rejected_key_fails(diagnose, server):
    """This is so for a missing key and for a wrong one."""
    server.keys = {KEY}
    for key in (None, "another-key-012345"):
        code, findings = diagnose(server.url, key=key)
        assert (code, findings["key"]["status"]) == (1, "fail")
        assert "CO_API_KEY" in findings["key"]["advice"]
        assert "dialect" not in findings


def test_a_server_without_keys_is_ok_without_one(diagnose, server):
    """The finding says that no key was needed."""
    code, findings = diagnose(server.url, key=None)
    assert (code, findings["key"]["message"]) == (0, "not set, and not needed")


def test_a_refused_connection_ends_the_diagnosis(diagnose):
    """The steps that need a connection are skipped."""
    with refusing_url() as url:
        code, findings = diagnose(url)
    assert (code, statuses(findings)) == (1, {"address": "ok", "dns": "ok", "connect": "fail"})
    assert "start the server" in findings["connect"]["advice"]


def test_an_unknown_name_ends_the_diagnosis(diagnose):
    """Names that end in `.invalid` never exist (RFC 2606)."""
    code, findings = diagnose("http://rerank.invalid")
    assert (code, findings["dns"]["status"], list(findings)[-1]) == (1, "fail", "dns")


def test_certificates_are_checked(diagnose, monkeypatch, tmp_path):
    """An untrusted certificate fails. With its authority in SSL_CERT_FILE, the TLS version and the days are printed."""
    with Server(tls="trusted") as server:
        code, findings = diagnose(server.url)
        assert (code, findings["tls"]["status"], list(findings)[-1]) == (1, "fail", "tls")
        assert "SSL_CERT_FILE" in findings["tls"]["advice"]
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "authority.pem")))
        code, findings = diagnose(server.url)
        assert (code, findings["tls"]["status"]) == (0, "ok")
        assert "TLSv1" in findings["tls"]["message"]


def test_https_to_a_server_without_tls_fails(diagnose, server):
    """HTTP to a server with TLS fails too."""
    code, findings = diagnose(server.url.replace("http:", "https:"))
    assert (code, findings["tls"]["status"]) == (1, "fail")
    with Server(tls="trusted") as secured:
        code, findings = diagnose(secured.url.replace("https:", "http:"))
    assert (code, findings["connect"]["status"]) == (1, "fail")


def test_a_key_without_encryption_is_a_warning(diagnose):
    """There is no warning without a key."""
    code, findings = diagnose("http://rerank.invalid")
    assert (code, findings["address"]["status"]) == (1, "warn")
    assert diagnose("http://rerank.invalid", key=None)[1]["address"]["status"] == "ok"


def test_a_proxy_is_named_without_its_password(diagnose, monkeypatch, server):
    """The proxy looks up the name and connects, so these steps are skipped."""
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//user:proxy-secret@"))
    code, findings = diagnose("http://rerank.invalid/")
    assert "dns" not in findings
    assert server.url.partition("//")[2] in findings["connect"]["message"]
    assert "proxy-secret" not in json.dumps(findings)
    assert (code, server.requests[0].path) == (0, "http://rerank.invalid/v2/rerank")  # the form of a request to a proxy


def test_limits_come_from_the_headers(diagnose, server):
    """The headers of a trial key are printed."""
    results = [{"index": 0, "relevance_score": 0.9}, {"index": 1, "relevance_score": 0.1}]
    headers = {"X-Trial-Endpoint-Call-Limit": "10", "X-Trial-Endpoint-Call-Remaining": "7"}
    server.default = reply(200, json={"results": results}, headers=headers)
    message = diagnose(server.url)[1]["limits"]["message"]
    assert "x-trial-endpoint-call-limit: 10" in message
    assert "x-trial-endpoint-call-remaining: 7" in message


def test_a_reached_limit_is_a_warning(diagnose, server):
    """The server accepts the key, but cannot be checked further now."""
    server.default = error(429, "Please wait and try again later")
    code, findings = diagnose(server.url)
    assert (code, findings["limits"]["status"]) == (0, "warn")


def test_an_unknown_model_is_not_an_unknown_path(diagnose, server):
    """Both responses are 404."""
    server.default = error(404, "model 'x' not found, make sure the correct model ID was used")
    code, findings = diagnose(server.url, "--model", "x")
    assert (code, findings["model"]["status"]) == (1, "fail")
    server.default = error(404, "404 page not found")
    code, findings = diagnose(server.url)
    assert (code, findings["dialect"]["message"]) == (1, "the server has no rerank path")


@pytest.mark.parametrize(
    "answer",
    [
        html(),
        html(502),
        hang_up(),
        drip("body"),
        huge(2_000_000),
        reply(200, json={"results": []}),
        reply(200, json=[]),
        reply(200, body=b"\xff[[["),
        reply(308, headers={"location": "https://elsewhere.invalid/"}),
    ],
    ids=["page", "page-502", "hang-up", "drip", "huge", "no-results", "bare", "no-json", "redirect"],
)
def test_the_diagnosis_ends_for_every_kind_of_server(diagnose, server, answer):
    """It ends with a finding, not with a traceback."""
    server.default = answer
    code, findings = diagnose(server.url, "--timeout", 0.3)
    assert code == 1
    assert list(findings.values())[-1]["status"] == "fail"


def test_local_addresses_are_checked_too(diagnose):
    """A scorer can exist or not."""
    assert diagnose("local:")[0] == 0
    code, findings = diagnose("local:bogus")
    assert (code, findings["scorer"]["status"]) == (1, "fail")


RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": -4.5}]


@pytest.mark.parametrize(
    ("path", "body", "dialect"),
    [
        ("/v2/rerank", {"id": "x", "results": RESULTS, "meta": {}}, "cohere"),
        ("/v2/rerank", {"id": "x", "model": "m", "results": RESULTS, "usage": {}}, "cohere"),
        ("/v1/rerank", {"id": "x", "results": RESULTS, "meta": {"api_version": {"version": "1"}}}, "v1"),
        ("/v1/rerank", {"model": "m", "object": "list", "results": RESULTS, "usage": {}}, "llamacpp"),
        ("/v1/rerank", {"model": "m", "results": RESULTS, "usage": {"total_tokens": 8}}, "jina"),
        ("/rerank", {"object": "rerank", "id": "infinity-1", "results": RESULTS, "usage": {}}, "jina"),
        ("/rerank", {"id": "x", "model": "m", "results": RESULTS, "meta": {}, "usage": {"total_tokens": 8}}, "jina"),
        ("/rerank", [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1, "text": "t"}], "tei"),
        ("/v2/rerank", {"results": []}, None),
        ("/v2/rerank", {"results": [{"index": 0}]}, None),
        ("/v2/rerank", [1, 2], None),
        ("/v2/rerank", "text", None),
        ("/v2/rerank", None, None),
    ],
)
def test_the_dialect_is_detected_from_the_response(path, body, dialect):
    """The responses are those of real servers."""
    assert dialect_of(path, body) == dialect


def test_a_server_of_another_dialect_is_a_warning_with_advice(diagnose, server):
    """The advice names the option with which the server works."""
    server.path = "/nowhere"
    server.script(
        error(404, "404 page not found"),
        error(404, "404 page not found"),
        error(422, "missing field `texts`"),
        reply(200, json=[{"index": 0, "score": 0.9}, {"index": 1, "score": 0.1}]),
        reply(200, json=[{"index": 0, "score": 0.9}, {"index": 1, "score": 0.1}]),
    )
    code, findings = diagnose(server.url)
    assert (code, findings["dialect"]["status"]) == (0, "warn")
    assert "--dialect tei" in findings["dialect"]["advice"]
    assert set(server.requests[3].json) == {"query", "texts"}


def test_the_dialects_of_our_own_server_are_detected(diagnose):
    """Its Jina format also has the ``meta`` of Cohere, but is not v1."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("prometheus_client")
    from tests.server.running_server import RunningServer

    with RunningServer() as served:
        code, findings = diagnose(served.url)
    assert (code, findings["dialect"]["message"]) == (
        0,
        "cohere at /v2/rerank, v1 at /v1/rerank, jina at /rerank, tei at /rerank",
    )


def test_the_most_severe_finding_is_the_one_to_fix_first():
    """A rejected key comes before an unknown format."""
    found = [interpret(PROBES[0], status, {}, {"message": "no"}) for status in (422, 404, 401)]
    finding = most_severe(filter(None, found))
    assert finding is not None
    assert finding.check == "key"
    assert most_severe([]) is None


def test_only_headers_about_limits_are_shown():
    """Cookies and other headers are not printed."""
    headers = {"set-cookie": "s", "x-ratelimit-reset": "3", "ratelimit-policy": "p", "retry-after": "5", "date": "d"}
    assert limits(headers) == ["x-ratelimit-reset: 3", "ratelimit-policy: p", "retry-after: 5"]


def test_headers_for_a_gateway_are_sent(diagnose, server, monkeypatch):
    """A value $NAME comes from the environment. With a header that authenticates, the key for Cohere is not sent."""
    monkeypatch.setenv("GATEWAY_KEY", "gateway-5ecret")
    code, findings = diagnose(server.url, "--header", "api-key: $GATEWAY_KEY", "--header", "X-Team: search")
    assert (code, findings["key"]["message"]) == (0, "accepted")
    for request in server.requests:
        sent = [request.header(name) for name in ("api-key", "x-team", "authorization")]
        assert sent == ["gateway-5ecret", "search", None]
