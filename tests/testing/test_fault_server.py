"""The fault server replies as set, fails as planned, and does the same in every run."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import pytest

import cohere_rerank as ours
from cohere_rerank.local.endpoint import handle
from cohere_rerank.testing import FakeClock, FaultServer
from cohere_rerank.testing.malformed import MALFORMED

CALL = {"model": "rerank-v4.0-fast", "query": "red kite", "documents": ["a stone", "a kite", "a bee"]}


@pytest.fixture
def fake():
    with FaultServer() as server:
        yield server


def ask(fake, key="test-key", **changes):
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(fake.url + "/v2/rerank", json={**CALL, **changes}, headers=headers, trust_env=False, timeout=5)


def statuses(fake, n):
    return [ask(fake).status_code for _ in range(n)]


# Good answers -----------------------------------------------------------------------------------


def test_it_replies_as_local_does(fake):
    """Rankings and errors equal those of `local:` to the byte, because both use one API."""
    from cohere_rerank.local.registry import scorer_resolver

    for body in (json.dumps(CALL), "{", json.dumps({**CALL, "top_k": 1}), json.dumps({**CALL, "documents": []})):
        got = httpx.post(fake.url + "/v2/rerank", content=body, trust_env=False)
        status, _, content = handle(body.encode(), scorer_resolver("local:"))
        assert (got.status_code, got.content) == (status, content)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.3, 0.2], [(1, 0.3), (2, 0.2), (0, 0.1)]),
        ({"a bee": 0.7}, [(2, 0.7), (0, 0.0), (1, 0.0)]),
        (lambda query, documents: [len(text) / 10 for text in documents], [(0, 0.7), (1, 0.6), (2, 0.5)]),
    ],
    ids=["list", "mapping", "function"],
)
def test_set_scores_are_returned(fake, scores, expected):
    """Scores by position, by text and by a function stay for later requests."""
    fake.reply(scores)
    client = fake.client()
    for _ in range(2):
        assert [(r.index, r.relevance_score) for r in client.rerank(**CALL).results] == expected


def test_a_score_for_a_text_that_is_not_a_document_is_an_error(fake):
    """A typing error must not make every score 0. The message shows no text, and it can be turned off."""
    client = fake.client()
    fake.reply({"a bee": 0.7, "a beee": 1.0})
    with pytest.raises(ours.BadRequestError) as caught:
        client.rerank(**CALL)
    said = str(caught.value)
    assert "text 2 of the 2 in reply() is not among the 3 documents of the request; did you mean documents[2]?" in said
    assert "bee" not in said
    fake.reply({"qqqq": 1.0})
    with pytest.raises(ours.BadRequestError, match="Correct the text, or pass allow_missing=True"):
        client.rerank(**CALL)
    fake.reply({"a bee": 0.7, "not asked": 1.0}, allow_missing=True)
    assert client.rerank(**CALL).scores == [0.0, 0.0, 0.7]


def test_queued_steps_are_used_in_order_and_the_last_scores_stay(fake):
    """Two replies with a fault between them come in order. The second stays until load_plan."""
    fake.reply([0.1, 0.2, 0.3])
    fake.fail(times=2, status=503)
    fake.reply([0.6, 0.5, 0.4])
    got = [ask(fake) for _ in range(5)]
    assert [g.status_code for g in got] == [200, 503, 503, 200, 200]
    assert [g.json()["results"][0]["relevance_score"] for g in (got[0], got[3], got[4])] == [0.3, 0.6, 0.6]
    fake.load_plan()
    assert fake.calls == []
    assert ask(fake).json()["results"][0]["relevance_score"] not in (0.3, 0.6)


def test_scores_that_do_not_fit_are_a_400_with_the_reason(fake):
    """A mistake of the test is a 400, so that no client retries."""
    client = fake.client()
    for scores in ([0.5], [0.1, 0.2, 3], lambda query, documents: 1 / 0):
        fake.reply(scores)
        with pytest.raises(ours.BadRequestError) as caught:
            client.rerank(**CALL)
        assert caught.value.attempts == 1
    fake.reply([0.5])
    with pytest.raises(ours.BadRequestError, match="1 scores for 3 documents"):
        client.rerank(**CALL)
    for scores in ("high", 0.5, None):
        with pytest.raises(ours.InvalidRequestError):
            fake.reply(scores)


def test_calls_have_the_content_and_their_repr_does_not(fake):
    """A call has model, query, documents, key and headers. Its repr, which pytest prints, has none."""
    fake.client("a-secret-key", client_name="me").rerank(**CALL, top_n=2)
    (call,) = fake.calls
    assert (call.model, call.query, call.documents) == (CALL["model"], CALL["query"], CALL["documents"])
    assert call.json["top_n"] == 2 and call.key == "a-secret-key" and call.header("X-Client-Name") == "me"
    assert repr(fake.calls) == f"[<POST /v2/rerank, {len(call.body)} bytes>]"


def test_other_paths_and_methods_are_not_calls(fake):
    """A health check uses no fault, and a script may wait for it."""
    fake.fail(status=503)
    for path, status in (("/health", "ok"), ("/ready", "ready")):
        got = httpx.get(fake.url + path, trust_env=False)
        assert (got.status_code, got.json()) == (200, {"status": status})
        assert httpx.post(fake.url + path, trust_env=False).headers["allow"] == "GET"
    assert httpx.get(fake.url + "/v1/rerank", trust_env=False).status_code == 404
    got = httpx.get(fake.url + "/v2/rerank", trust_env=False)
    assert (got.status_code, got.headers["allow"], got.json()["message"]) == (405, "POST", "method not allowed")
    assert fake.calls == [] and statuses(fake, 2) == [503, 200]


def test_a_scorer_can_be_a_function():
    """The server accepts a function as its scorer, as the client does."""
    with FaultServer(scorer=lambda query, documents: [0.25] * len(documents)) as fake:
        assert {r.relevance_score for r in fake.client().rerank(**CALL).results} == {0.25}


def test_a_taken_port_is_an_error_and_leaves_no_thread(fake):
    """The failed server leaves no thread."""
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        FaultServer(port=fake.port).__enter__()
    assert threading.active_count() == before


def test_the_async_client_is_served_too(fake):
    """`async_client` accepts the options of AsyncClientV2."""
    fake.fail(status=503)
    fake.reply([0.1, 0.2, 0.3])

    async def scenario():
        async with fake.async_client(max_retries=1, clock=FakeClock()) as client:
            return await client.rerank(**CALL)

    assert asyncio.run(scenario()).results[0].index == 2
    assert len(fake.calls) == 2


# Faults -----------------------------------------------------------------------------------------


READABLE = ("unsorted", "bare-list")  # clients accept these malformed replies


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 400}, ours.BadRequestError),
        ({"status": 401, "message": "invalid api token"}, ours.UnauthorizedError),
        ({"status": 429}, ours.TooManyRequestsError),
        ({"status": 429, "message": "limited to 1000 API calls / month"}, ours.QuotaExceededError),
        ({"status": 500}, ours.InternalServerError),
        ({"status": 502, "body": "<html>bad gateway</html>"}, ours.BadGatewayError),
        ({"status": 503}, ours.ServiceUnavailableError),
        ({"status": 504, "body": ""}, ours.GatewayTimeoutError),
        ({"reset": "start"}, ours.ConnectionFailedError),
        ({"reset": "head"}, ours.ConnectionFailedError),
        ({"reset": "body"}, ours.ConnectionFailedError),
        ({"hang_up": True}, ours.ConnectionFailedError),
        ({"truncated": "length"}, ours.ConnectionFailedError),
        ({"truncated": "chunked"}, ours.ConnectionFailedError),
        *(
            ({"malformed": kind}, ours.InvalidResponseError)
            for kind in MALFORMED
            if kind not in ("unsorted", "bare-list")
        ),
    ],
    ids=str,
)
def test_every_fault_causes_its_error(fake, fault, error):
    """Each fault causes its error once, and the next request is ranked."""
    fake.fail(**fault)
    client = fake.client(max_retries=0)
    with pytest.raises(error) as caught:
        client.rerank(**CALL)
    assert type(caught.value) is error or isinstance(caught.value, ours.ConnectionFailedError)
    assert client.rerank(**CALL).results[0].index == 1


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_reply_differs_in_its_body_only(fake, kind):
    """Its HTTP is valid: status 200, the declared length, a connection that stays open."""
    with httpx.Client(base_url=fake.url, trust_env=False) as http:
        good = http.post("/v2/rerank", json=CALL).content
        fake.fail(malformed=kind)
        got = http.post("/v2/rerank", json=CALL)
        assert got.status_code == 200 and got.content != good
        assert len(got.content) == int(got.headers["content-length"])
        assert http.post("/v2/rerank", json=CALL).content == good
    assert fake.n_connections == 1


def test_results_out_of_order_are_the_same_results(fake):
    """An unsorted list breaks the contract of the server, but a client that sorts can use it."""
    fake.fail(malformed="unsorted")
    http = ask(fake).json()["results"]
    assert [r["relevance_score"] for r in http] == sorted(r["relevance_score"] for r in http)


def test_a_rejected_request_is_not_malformed(fake):
    """A fault changes a valid reply only: an invalid request still gets its 400."""
    fake.fail(malformed="index-twice")
    assert ask(fake, documents=[]).status_code == 400


def test_hints_are_sent_and_waited_for(fake):
    """Hints in seconds, in milliseconds and none are sent as set. A client with a fake clock waits them out."""
    fake.fail(status=429, retry_after=7)
    fake.fail(status=429, headers={"retry-after-ms": "2500"})
    clock = FakeClock()
    fake.client(clock=clock, max_retries=2).rerank(**CALL)
    assert clock.sleeps == [7, 2.5]
    fake.fail(status=429)
    assert "retry-after" not in ask(fake).headers


def test_a_hang_ends_with_the_client(fake):
    """The client's timeout ends a hang."""
    fake.fail(hang=True)
    with pytest.raises(ours.TimeoutExceededError):
        fake.client(max_retries=0, timeout=0.05).rerank(**CALL)
    fake.wait_until(lambda server: server.n_in_flight == 0)


def raw(fake, request, n_reads=1000):
    """Send bytes, and return what arrives until the server closes, as separate reads."""
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as connection:
        connection.sendall(request)
        pieces = []
        while len(pieces) < n_reads and (piece := connection.recv(65536)):
            pieces.append(piece)
    return pieces


def until_reset(connection):
    """Return what arrives before the connection is reset."""
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionResetError:
        return got
    raise AssertionError("the connection was closed, not reset")


def post(body):
    content = json.dumps(body).encode()
    head = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % len(content) + content


def test_a_drip_is_the_real_reply_in_single_bytes(fake):
    """A raw socket needs many more reads for a drip, and gets the same bytes."""
    whole = b"".join(raw(fake, post(CALL)))
    fake.fail(drip=0.001)
    pieces = raw(fake, post(CALL))
    assert b"".join(pieces) == whole
    assert len(pieces) > len(whole) / 20


def test_a_deadline_ends_a_drip(fake):
    """Each read is quick, but together they exceed the deadline."""
    fake.fail(drip=0.02)
    with pytest.raises(ours.DeadlineExceededError):
        fake.client(max_retries=0, deadline=0.2).rerank(**CALL)


def test_resets_and_truncations_on_a_raw_socket(fake):
    """RST comes before a byte, inside the headers or inside the body. FIN comes before the declared end."""
    for where, before in (("start", b""), ("head", b"HTTP/1.1 200 OK\r\ncontent-ty"), ("body", b'{"results"')):
        fake.fail(reset=where)
        with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as connection:
            connection.sendall(post(CALL))
            got = until_reset(connection)
        assert got.endswith(before) if where == "head" else before in got
    fake.fail(truncated="length")
    fake.fail(truncated="chunked")
    cut = b"".join(raw(fake, post(CALL)))
    head, _, body = cut.partition(b"\r\n\r\n")
    assert b"content-length: 1000" in head and len(body) < 1000
    assert not b"".join(raw(fake, post(CALL))).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", b"400"),
        (b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    ],
    ids=["garbage", "length", "long head", "tls"],
)
def test_invalid_http_is_rejected_and_the_server_keeps_serving(fake, request_bytes, status):
    """Invalid HTTP gets a status and JSON, and nothing is logged."""
    got = b"".join(raw(fake, request_bytes, n_reads=1))
    assert got.startswith(b"HTTP/1.1 " + status) and b'{"message"' in got
    assert statuses(fake, 1) == [200]


def test_expect_100_continue_is_honoured(fake):
    """curl waits for it before it sends a larger body."""
    content = json.dumps(CALL).encode()
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as connection:
        connection.sendall(
            b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(content)
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(content)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_get_one_response_each(fake):
    """No byte of a second pipelined request is lost, even if the first is chunked."""
    content = json.dumps(CALL).encode()
    chunked = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    got = b"".join(raw(fake, chunked % (len(content), content) + post(CALL)))
    assert got.count(b"HTTP/1.1 200") == 2 and [call.json for call in fake.calls] == [CALL, CALL]


@pytest.mark.parametrize(
    "status",
    [200, 299, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 498, 499, 500, 501, 502, 503, 504, 520, 529, 599],
)
def test_every_status_can_be_sent(fake, status):
    """Cohere's non-standard statuses and those of proxies arrive with a message."""
    fake.fail(status=status)
    got = ask(fake)
    assert got.status_code == status and got.json()["message"]


def test_an_error_in_the_choice_of_a_reply_is_a_500(fake, monkeypatch):
    """An error in `next_reply` is a 500 with the reason, and the connection stays open."""

    def broken(_request):
        raise LookupError("nothing was scripted")

    with httpx.Client(base_url=fake.url, trust_env=False, timeout=5) as http:
        with monkeypatch.context() as patch:
            patch.setattr(fake, "next_reply", broken)
            got = http.post("/v2/rerank", json=CALL)
        assert (got.status_code, "LookupError: nothing was scripted" in got.json()["message"]) == (500, True)
        assert http.post("/v2/rerank", json=CALL).status_code == 200
    assert fake.n_connections == 1


@pytest.mark.parametrize("times", [0, -1, "3", 1.0, True])
def test_times_is_a_count(fake, times):
    """None or a text would be a fault that never happens."""
    with pytest.raises(ours.InvalidRequestError, match="times must be a whole number, at least 1"):
        fake.fail(times=times, status=503)
    assert statuses(fake, 1) == [200]


def test_unused_lists_faults_that_no_request_got(fake):
    """`unused` has each remaining time of a queued fault, and the plan's faults with a short repr."""
    assert fake.unused == []
    fake.load_plan({"faults": [{"requests": 9, "reset": "body"}, {"requests": 2, "status": 500}, {"status": 429}]})
    fake.fail(times=2, status=503)
    assert [fault.kind for fault in fake.unused] == ["status", "status", "reset", "status", "status"]
    assert statuses(fake, 3) == [503, 503, 429]
    assert repr(fake.unused) == "[Fault(requests=((9, 9.0),), reset='body'), Fault(requests=((2, 2.0),), status=500)]"
    assert list(fake.unused_in_plan) == [0, 1]
    fake.load_plan()
    assert fake.unused == []


@pytest.mark.parametrize("fault", [{"malformed": "score-nan"}, {"drip": 0.0}])
def test_a_rejected_request_leaves_the_fault_unused(fake, fault):
    """A request that the key or the rate limit rejects does not use the fault; the next valid request does."""
    fake.load_plan({"keys": ["other"], "limit": {"requests": 1}, "faults": [{**fault, "requests": "1-3"}]})
    assert ask(fake).status_code == 401
    assert [unused.kind for unused in fake.unused] == list(fault)
    assert ask(fake, key="other").status_code == 200
    assert fake.unused == []
    fake.fail(**fault)
    assert ask(fake, key="other").status_code == 429
    assert [unused.kind for unused in fake.unused] == list(fault)


def test_an_invalid_request_leaves_a_malformed_reply_unused(fake):
    """The 400 is sent unchanged, so the fault is still unused."""
    fake.fail(malformed="score-nan")
    assert httpx.post(f"{fake.url}/v2/rerank", content=b"{", trust_env=False).status_code == 400
    assert [fault.kind for fault in fake.unused] == ["malformed"]


@pytest.mark.parametrize("fault", [{"malformed": "cut-json"}, {"status": 503}])
def test_a_fault_behind_a_delay_is_unused_if_the_client_disconnects(fake, fault):
    """The client disconnected before anything was sent."""
    fake.fail(**fault, delay=30)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{fake.url}/v2/rerank", json=CALL, trust_env=False, timeout=0.5)
    assert [unused.kind for unused in fake.unused] == list(fault)


def test_unused_can_be_read_while_requests_arrive(fake):
    """Another thread may read `unused`."""
    fake.fail(times=100, status=503)
    with ThreadPoolExecutor(2) as pool:
        senders = [pool.submit(statuses, fake, 50) for _ in range(2)]
        while wait(senders, timeout=0.001).not_done:  # a loop without a wait would starve the other threads
            assert len(fake.unused) <= 100
    assert fake.unused == []


# Plans ------------------------------------------------------------------------------------------


def test_a_plan_chooses_faults_by_the_number_of_the_request(fake):
    """A burst of 429 comes first, then every third request fails."""
    fake.load_plan({"faults": [{"requests": "1-3", "status": 429, "retry_after": 1}, {"every": 3, "status": 500}]})
    assert statuses(fake, 9) == [429, 429, 429, 200, 200, 500, 200, 200, 500]
    fake.load_plan({"faults": [{"requests": "1-3", "status": 429}]})
    assert statuses(fake, 4) == [429, 429, 429, 200]


def test_two_servers_of_one_seed_do_the_same():
    """Statuses and bodies with their ids are equal. Another seed differs."""
    faults = [{"share": 0.3, "status": 503}, {"share": 0.2, "malformed": "cut-json"}]
    seen = []
    for seed in (1, 1, 2):
        with FaultServer({"seed": seed, "faults": faults}) as fake:
            seen.append([(got.status_code, got.content) for got in (ask(fake) for _ in range(30))])
    assert seen[0] == seen[1] != seen[2]


def test_delays_are_real(fake):
    """A fault's own delay replaces the plan's. Both are real."""
    fake.load_plan({"delay": {"uniform": [0.05, 0.06]}, "faults": [{"requests": 2, "status": 503, "delay": 0.2}]})
    for at_least_s, status in ((0.05, 200), (0.2, 503)):
        began_s = time.monotonic()
        assert ask(fake).status_code == status
        assert time.monotonic() - began_s >= at_least_s


def test_a_delay_does_not_block_other_requests(fake):
    """While one request waits, others get their replies."""
    fake.load_plan({"faults": [{"requests": 1, "delay": 3600}]})
    with socket.create_connection(("127.0.0.1", fake.port), timeout=5) as connection:
        connection.sendall(post(CALL))
        fake.wait_until(lambda server: server.n_in_flight == 1)
        assert statuses(fake, 3) == [200, 200, 200]
        fake.wait_until(lambda server: server.n_in_flight == 1)


def test_keys_are_checked(fake):
    """The messages are the documented ones, and the scheme may have any case."""
    fake.load_plan({"keys": ["right-key"]})
    for header, status, message in (
        (None, 401, "no api key supplied"),
        ("Bearer wrong", 401, "invalid api token"),
        ("bearer right-key", 200, None),
    ):
        headers = {"authorization": header} if header else {}
        got = httpx.post(fake.url + "/v2/rerank", json=CALL, headers=headers, trust_env=False)
        assert (got.status_code, got.json().get("message")) == (status, message)


def test_a_fake_clock_skips_the_wait_for_a_trial_limit(fake):
    """Server and client share a clock, so the eleventh call waits a minute without real time."""
    clock = FakeClock()
    fake.load_plan({"limit": "trial"}, clock=clock)
    client = fake.client(clock=clock)
    for left in range(9, -1, -1):
        got = client.with_raw_response.rerank(**CALL)
        assert got.headers["x-trial-endpoint-call-remaining"] == str(left)
    client.rerank(**CALL)
    assert sum(clock.sleeps) >= 60 and len(fake.calls) > 11


def test_a_monthly_quota_is_not_retried(fake):
    """The quota error is raised at once."""
    fake.load_plan({"limit": {"requests": 100, "per_month": 2, "trial": True}})
    client = fake.client()
    client.rerank(**CALL)
    client.rerank(**CALL)
    with pytest.raises(ours.QuotaExceededError) as caught:
        client.rerank(**CALL)
    assert caught.value.attempts == 1
    assert not [name for name in caught.value.headers if "trial" in name or "monthly" in name]


def test_a_request_with_a_fault_does_not_count_against_the_limit(fake):
    """A request that never reached the API does not use the limit."""
    fake.load_plan({"limit": {"requests": 1}, "faults": [{"requests": "1-2", "reset": "start"}]})
    client = fake.client(clock=FakeClock())
    assert client.rerank(**CALL).results[0].index == 1


# The official client ----------------------------------------------------------------------------


def test_the_official_client_sees_the_same(fake):
    """The official client sees the scores, statuses, hints and broken connections too."""
    cohere = pytest.importorskip("cohere")
    with cohere.ClientV2("a-key", base_url=fake.url) as client:
        meet_everything(cohere, client, fake)


def meet_everything(cohere, client, fake):
    fake.reply({"a bee": 0.9})
    got = client.rerank(**CALL, top_n=1)
    assert [(r.index, r.relevance_score) for r in got.results] == [(2, 0.9)]
    fake.fail(status=429, headers={"retry-after-ms": "1"})
    assert client.rerank(**CALL).results[0].index == 2
    assert len(fake.calls) == 3
    no_retries = {"max_retries": 0}
    for fault, error in (
        ({"status": 503}, cohere.ServiceUnavailableError),
        ({"status": 429}, cohere.TooManyRequestsError),
        ({"reset": "body"}, httpx.TransportError),
        ({"truncated": "length"}, httpx.RemoteProtocolError),
    ):
        fake.fail(**fault)
        with pytest.raises(error):
            client.rerank(**CALL, request_options=no_retries)
    assert client.rerank(**CALL).results[0].index == 2


def test_two_framings_close_the_connection(fake):
    """A request with Content-Length and Transfer-Encoding gets 400, and nothing after it is read (RFC 9112, 6.3)."""
    smuggled = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    head = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n"
    got = b"".join(raw(fake, head + b"2\r\n{}\r\n0\r\n\r\n" + smuggled))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert got.count(b"HTTP/1.1 ") == 1
