"""What breaks between client and server, and what the client makes of it: one table, both clients."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import tracemalloc

import httpx
import pytest

from cohere_rerank import errors
from tests.adapters import is_async
from tests.fake_server import (
    Server,
    deep_json,
    drip,
    error,
    gzip_bomb,
    hang,
    hang_up,
    html,
    huge,
    raw,
    redirect,
    refusing_url,
    reply,
    reset,
    score,
    stall,
    truncated,
)

SECRET_DOCUMENT = "a document about penguins"
CALL = {"model": "rerank-v3.5", "query": "birds", "documents": [SECRET_DOCUMENT, "one about trains"]}
BEST_FIRST = sorted(range(2), key=lambda index: -score("birds", CALL["documents"][index]))
TIMEOUT_S = 0.5  # for replies that never come
PROMPT_S = 5.0  # an upper bound for what ends at once, with room for a busy machine


def ranking(response):
    return [item.index for item in response.results]


@pytest.fixture(
    params=[
        "own connections",
        pytest.param("httpx", marks=pytest.mark.exhaustive),
        pytest.param("httpx2", marks=pytest.mark.exhaustive),
    ]
)
def make_any(request, make_either):
    """As ``make_either``. The clients use their own connections, or a client of httpx or httpx2 that sends for them."""
    if request.param == "own connections":
        return make_either
    library = pytest.importorskip(request.param)
    kind = library.AsyncClient if is_async(make_either(base_url="local:")) else library.Client

    def make(*args, **options):
        return make_either(*args, httpx_client=kind(timeout=300), **options)

    return make


def patience(fault):
    """A short timeout where nothing will come; else the default, which no busy machine exceeds."""
    return TIMEOUT_S if fault == "no reply in time" else None


# Connections that break --------------------------------------------------------------------------

BROKEN = {
    "hang up": (hang_up, httpx.RemoteProtocolError),
    "reset before a byte": (lambda: reset("start"), httpx.ReadError),
    "reset inside the headers": (lambda: reset("head"), httpx.ReadError),
    "reset inside the body": (lambda: reset("body"), httpx.ReadError),
    "truncated body": (truncated, httpx.RemoteProtocolError),
    "truncated chunks": (lambda: truncated(chunked=True), httpx.RemoteProtocolError),
    "not HTTP": (lambda: raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), httpx.RemoteProtocolError),
    "no reply in time": (hang, httpx.ReadTimeout),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_connection_is_tried_again(server, clock, make_any, fault):
    """Rerank only reads, so a request whose reply was lost is sent again, after one wait."""
    client = make_any(clock=clock, timeout=patience(fault))
    server.script(BROKEN[fault][0]())
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    first, second = server.requests
    assert first.body == second.body
    assert len(clock.sleeps) == 1


@pytest.mark.parametrize("fault", BROKEN)
def test_a_connection_that_stays_broken_is_a_typed_error(server, clock, make_any, fault):
    """The error is ours and the httpx one of what happened, counts its attempts, and is one sentence."""
    server.default, as_httpx = BROKEN[fault][0](), BROKEN[fault][1]
    client = make_any(clock=clock, timeout=patience(fault), max_retries=1)
    with pytest.raises(errors.ConnectionFailedError) as caught:
        client.rerank(**CALL)
    failure = caught.value
    assert isinstance(failure, as_httpx)
    assert isinstance(failure, TimeoutError) == issubclass(as_httpx, httpx.TimeoutException)
    assert failure.attempts == len(server.requests) == 2
    assert failure.waited_s == pytest.approx(sum(clock.sleeps))
    assert "\n" not in str(failure)
    assert SECRET_DOCUMENT not in str(failure)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_connection_is_not_kept(server, clock, make_any, fault):
    """After a failure no connection stays open, and the next call gets its own reply."""
    client = make_any(clock=clock, timeout=patience(fault), max_retries=0)
    server.script(BROKEN[fault][0]())
    with pytest.raises(errors.ConnectionFailedError):
        client.rerank(**CALL)
    server.wait_until(lambda s: s.n_open == 0)
    assert ranking(client.rerank(**CALL)) == BEST_FIRST


def test_a_refused_connection_is_a_connect_error(clock, make_any):
    """A closed port is retried with waits on the clock. Then the error is ours and httpx's connect error."""
    with refusing_url() as url:
        client = make_any(base_url=url, clock=clock)
        started = time.monotonic()
        with pytest.raises(errors.ConnectionFailedError) as caught:
            client.rerank(**CALL)
    assert isinstance(caught.value, httpx.ConnectError)
    assert caught.value.attempts == 3
    assert len(clock.sleeps) == 2
    assert time.monotonic() - started < PROMPT_S


def test_retry_remote_protocol_errors_can_be_turned_off(server, clock, make_any):
    """The official option keeps its meaning: False raises an early close at once."""
    client = make_any(clock=clock)
    server.default = hang_up()
    with pytest.raises(errors.ConnectionFailedError):
        client.rerank(**CALL, request_options={"retry_remote_protocol_errors": False})
    assert len(server.requests) == 1


@pytest.mark.parametrize("none", [{"max_retries": None}, {"timeout": None, "timeout_in_seconds": None}])
def test_none_in_request_options_means_not_given(server, clock, make_any, none):
    """None is the client's default, not a TypeError."""
    client = make_any(clock=clock, max_retries=1)
    server.script(hang_up())
    assert ranking(client.rerank(**CALL, request_options=none)) == BEST_FIRST


def test_documents_of_a_generator_survive_a_retry(server, clock, make_any):
    """An iterator is read once; every attempt sends all of it."""
    client = make_any(clock=clock)
    server.script(hang_up(), error(503, "later"))
    documents = (text for text in CALL["documents"])
    assert ranking(client.rerank(**{**CALL, "documents": documents})) == BEST_FIRST
    assert [request.json["documents"] for request in server.requests] == [CALL["documents"]] * 3


def test_a_connection_is_used_again(server, clock, make_any):
    """Calls in a row need one connection, error replies and compressed ones included."""
    client = make_any(clock=clock, strict=False)
    server.script(reply(json={"results": []}, encoding="gzip"), error(400, "no"), html(503))
    client.rerank(**CALL)
    with pytest.raises(errors.BadRequestError):
        client.rerank(**CALL)
    client.rerank(**CALL)
    assert server.n_connections == 1


def test_a_connection_that_the_server_closed_is_replaced(server, clock, make_any):
    """A keep-alive that ran out while idle costs neither an error nor a wait."""
    client = make_any(clock=clock)
    client.rerank(**CALL)
    server.drop_connections()
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert clock.sleeps == []
    assert (len(server.requests), server.n_connections) == (2, 2)


@pytest.mark.parametrize("race", [hang_up, reset])
def test_a_connection_dropped_just_as_it_is_reused_is_replaced(server, clock, make_any, race):
    """The server hangs up on the second request of a connection: the call succeeds on a new one."""
    client = make_any(clock=clock)
    client.rerank(**CALL)
    server.script(race())
    assert ranking(client.rerank(**CALL)) == BEST_FIRST
    assert server.n_connections == 2


async def refuse(exchange):
    """Reply, and read the rest of the request."""
    await reply(413, text="too large", headers={"connection": "close"})(exchange)


async def refuse_and_reset(exchange):
    """Reply, and close the connection while the request is still being sent."""
    await refuse(exchange)
    await asyncio.sleep(0.05)  # else the reply might be lost with the connection, and rightly so
    exchange.reset()


@pytest.mark.parametrize("refusal", [refuse, refuse_and_reset])
def test_an_early_refusal_of_a_large_request_is_read(server, clock, make_either, refusal):
    """A 413 to the headers is read, although the server never read the body."""
    client = make_either(clock=clock)
    server.reply_before_body = refusal
    with pytest.raises(errors.PayloadTooLargeError):
        client.rerank(**{**CALL, "documents": ["x" * 10_000_000] * 2})


# Time --------------------------------------------------------------------------------------------


DRIPS = {
    "nothing": hang,
    "body": lambda: drip("body"),
    "head": lambda: drip("head"),
    "1xx": lambda: drip("1xx"),
}


@pytest.mark.parametrize("fault", DRIPS)
def test_the_deadline_ends_what_no_timeout_would(server, make_either, fault):
    """A reply that drips, or never comes, ends with the deadline and leaves no connection behind."""
    client = make_either(strict=False)
    client.rerank(**CALL)  # imports and connects, which on a busy machine takes longer than the deadline
    server.requests.clear()
    server.default = DRIPS[fault]()
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceededError, match=r"0\.3 s") as caught:
        client.rerank(**CALL, deadline=0.3)
    assert time.monotonic() - started < PROMPT_S
    assert isinstance(caught.value, httpx.TimeoutException)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.attempts, len(server.requests)) == (1, 1)
    server.wait_until(lambda s: s.n_open == 0)
    server.default = reply(json={"results": []})
    assert ranking(client.rerank(**CALL)) == []


@pytest.mark.parametrize("fault", [drip("body"), drip("head")], ids=["body", "head"])
def test_a_timeout_ends_an_attempt_that_drips(server, make_either, fault):
    """A timeout bounds one attempt as a whole, so it bounds the call too. The attempt is retried as any timeout is."""
    server.default = fault
    client = make_either(timeout=0.2, max_retries=1)
    with pytest.raises(httpx.TimeoutException) as caught:
        client.rerank(**CALL)
    assert not isinstance(caught.value, errors.DeadlineExceededError)
    assert caught.value.attempts == 2
    assert "timeout" in str(caught.value)


def test_the_deadline_of_a_call_outranks_the_clients(server, make_any):
    """``deadline=`` can be given with the call, also in request_options."""
    server.default = hang()
    with pytest.raises(errors.DeadlineExceededError, match=r"0\.05 s"):
        make_any(deadline=0.05).rerank(**CALL)
    client = make_any(deadline=60)
    with pytest.raises(errors.DeadlineExceededError, match=r"0\.05 s"):
        client.rerank(**CALL, request_options={"deadline": 0.05})


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"timeout": 1.0}, httpx.WriteTimeout), ({"deadline": 1.0}, errors.DeadlineExceededError)],  # a body of 20 MB
)
def test_a_request_that_nobody_reads_is_given_up(server, clock, make_any, options, kind):
    """A server that takes no more bytes is a write timeout, or the deadline if that is sooner."""
    client = make_any(max_retries=0, **options)
    server.reply_before_body = stall()
    with pytest.raises(errors.TimeoutExceededError) as caught:
        client.rerank(**{**CALL, "documents": ["x" * 10_000_000] * 2})
    assert isinstance(caught.value, kind)


def test_a_dripped_error_is_ended_too(server, make_either):
    """The body of an error reply is bounded as any other."""

    async def slow_error(exchange):
        await exchange.send_head(503, [("content-length", "100000")])
        await drip("body")(exchange)

    client = make_either(deadline=0.1)
    server.default = slow_error
    with pytest.raises(errors.DeadlineExceededError):
        client.rerank(**CALL)


@pytest.mark.parametrize("headers", [{"retry-after": "301"}, {"retry-after-ms": "301000"}])
def test_a_wait_beyond_the_deadline_fails_at_once(server, clock, make_any, headers):
    """A hint is never shortened: what cannot be waited for is raised with the hint on it."""
    client = make_any(clock=clock)
    server.default = error(429, "slow down", headers=headers)
    with pytest.raises(errors.TooManyRequestsError, match="301 s") as caught:
        client.rerank(**CALL)
    assert caught.value.retry_after == 301
    assert (clock.sleeps, len(server.requests)) == ([], 1)


# Statuses ----------------------------------------------------------------------------------------

STATUSES = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    402: "PaymentRequiredError",
    403: "ForbiddenError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    409: "ConflictError",
    413: "PayloadTooLargeError",
    418: "ApiError",
    422: "UnprocessableEntityError",
    425: "ApiError",
    429: "TooManyRequestsError",
    498: "InvalidTokenError",
    499: "ClientClosedRequestError",
    500: "InternalServerError",
    501: "NotImplementedError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
    529: "ApiError",
}
REPEATED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
BODIES = {
    "json": (b'{"message": "no luck", "id": "abc"}', {"message": "no luck", "id": "abc"}),
    "html": (b"<html><b>no luck</b></html>", "<html><b>no luck</b></html>"),
    "text": (b"no luck", "no luck"),
    "empty": (b"", ""),
    "no UTF-8": (b"\xff\xfe no luck", "\ufffd\ufffd no luck"),
    "list": (b"[1]", [1]),
    "message of another type": (b'{"message": {"deep": 1}, "id": 5}', {"message": {"deep": 1}, "id": 5}),
}


@pytest.mark.parametrize("status", STATUSES)
def test_the_status_decides_the_class(server, clock, make_any, status):
    """Each status has one class, whatever the body is. Only failures that may pass are retried."""
    client = make_any(clock=clock, max_retries=1)
    for content, expected in BODIES.values():
        server.default = reply(status, body=content, headers={"x-request-id": "r1"})
        server.requests.clear()
        with pytest.raises(errors.ApiError) as caught:
            client.rerank(**CALL)
        failure = caught.value
        assert type(failure) is getattr(errors, STATUSES[status])
        assert failure.status_code == status
        assert failure.body == expected
        assert failure.headers["x-request-id"] == "r1"
        assert failure.attempts == len(server.requests) == (2 if status in REPEATED else 1)
        assert str(status) in str(failure)
        assert "<" not in str(failure)
        assert failure.request_id in str(failure)


def test_a_deep_error_body_is_text(server, clock, make_any):
    """An error body that no parser can take does not hide the status."""
    server.default = reply(400, body=b"[" * 100_000)
    with pytest.raises(errors.BadRequestError):
        make_any(clock=clock).rerank(**CALL)


def test_a_monthly_quota_is_not_repeated(server, clock, make_any):
    """No sane wait clears it."""
    server.default = error(429, "You are using a Trial key, which is limited to 1000 API calls / month.")
    with pytest.raises(errors.QuotaExceededError):
        make_any(clock=clock).rerank(**CALL)
    assert (len(server.requests), clock.sleeps) == (1, [])


# Successes that are none -------------------------------------------------------------------------


def answering(*results, **fields):
    items = [{"index": index, "relevance_score": value} for index, value in results]
    return reply(body=json.dumps({"results": items, **fields}).encode())


INVALID = {
    "HTML": html,
    "empty": lambda: reply(200),
    "no content": lambda: reply(204),
    "cut JSON with the right length": lambda: reply(body=b'{"results": [{"ind'),
    "no UTF-8": lambda: reply(body=b'{"results": [], "id": "\xff\xfe"}'),
    "deep JSON": deep_json,
    "deep JSON aside": lambda: reply(body=b'{"results": [], "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "two values": lambda: reply(body=b'{"results": []} {"results": []}'),
    "list at the top": lambda: reply(json=[{"index": 0, "relevance_score": 0.5}]),
    "text at the top": lambda: reply(json="results"),
    "results missing": lambda: reply(json={"id": "x"}),
    "results null": lambda: reply(json={"results": None}),
    "results an object": lambda: reply(json={"results": {"0": 0.5}}),
    "result null": lambda: reply(json={"results": [None]}),
    "score missing": lambda: reply(json={"results": [{"index": 0}]}),
    "score text": lambda: answering((0, "0.5")),
    "score NaN": lambda: answering((0, float("nan"))),
    "score infinite": lambda: answering((0, float("inf"))),
    "score too large for a float": lambda: reply(body=b'{"results": [{"index": 0, "relevance_score": 1e999}]}'),
    "score null": lambda: answering((0, None)),
    "score true": lambda: answering((0, True)),
    "index missing": lambda: reply(json={"results": [{"relevance_score": 0.5}]}),
    "index text": lambda: answering(("0", 0.5)),
    "index 1.5": lambda: answering((1.5, 0.5)),
    "index true": lambda: answering((True, 0.5)),
    "index negative": lambda: answering((-1, 0.5)),
    "index past the end": lambda: answering((2, 0.5)),
    "index huge": lambda: answering((10**30, 0.5)),
    "index twice": lambda: answering((0, 0.5), (0, 0.4)),
    "not gzip": lambda: reply(body=b'{"results": []}', headers={"content-encoding": "gzip"}),
    "not deflate": lambda: reply(body=b'{"results": []}', headers={"content-encoding": "deflate"}),
    "brotli": lambda: reply(body=b"\x0b\x02\x80{}\x03", headers={"content-encoding": "br"}),
    "gzip cut short": lambda: reply(
        body=b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab", headers={"content-encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("fault", INVALID)
def test_an_invalid_answer_is_never_handed_out(server, clock, make_any, fault):
    """A 200 that breaks the contract is a typed error. It is not retried and quotes no document."""
    client = make_any(clock=clock)
    server.default = INVALID[fault]()
    with pytest.raises(errors.InvalidResponseError) as caught:
        client.rerank(**CALL)
    assert caught.value.status_code in (200, 204)
    assert caught.value.attempts == len(server.requests) == 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_results_beyond_top_n_are_cut(server, clock, make_any):
    """Some servers ignore top_n."""
    server.default = answering((0, 0.4), (1, 0.5))
    assert ranking(make_any(clock=clock).rerank(**CALL, top_n=1)) == [1]


@pytest.mark.parametrize("indices", [(1.0, 0.0), (1, 0.0), ("1", "0"), ("01", 0)])
def test_an_index_that_is_a_whole_number_is_read(server, clock, make_any, indices):
    """Some servers compute indices as floats, or send them as texts. 0.5 is not an index."""
    server.default = answering((indices[0], 0.1), (indices[1], 0.4))
    assert ranking(make_any(clock=clock).rerank(**CALL)) == [0, 1]
    server.default = answering((0.5, 0.1))
    with pytest.raises(errors.InvalidResponseError, match="index"):
        make_any(clock=clock).rerank(**CALL)


NOT_DEPLOYED = "model bge-x is not deployed"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": NOT_DEPLOYED}},
        {"error": NOT_DEPLOYED, "error_type": "validation"},
        {"detail": NOT_DEPLOYED},
        {"object": "error", "message": NOT_DEPLOYED, "code": 404},
        {"success": False, "errors": [{"code": 7, "message": NOT_DEPLOYED}], "result": None},
        {"code": 400, "msg": NOT_DEPLOYED},
        {"fault": {"faultstring": NOT_DEPLOYED}},
        {"object": "error", "message": {"detail": [{"msg": NOT_DEPLOYED}]}},
        NOT_DEPLOYED,
    ],
)
def test_a_success_with_an_error_inside_shows_the_servers_words(server, clock, make_any, body):
    """The message, the body, the status and the headers are on the error."""
    server.default = reply(text=body) if isinstance(body, str) else reply(json=body)
    with pytest.raises(errors.InvalidResponseError, match=f"answered 200 with an error: {NOT_DEPLOYED}") as caught:
        make_any(clock=clock).rerank(**CALL)
    assert (caught.value.body, caught.value.status_code) == (body, 200)
    assert caught.value.headers["content-type"] in ("application/json", "text/plain")


def test_results_out_of_order_are_sorted(server, clock, make_any):
    """Best first, ties by index, whatever order they came in."""
    server.default = answering((2, 0.5), (0, 0.1), (3, 0.9), (1, 0.5))
    response = make_any(clock=clock).rerank(**{**CALL, "documents": list("abcd")})
    assert ranking(response) == [3, 1, 2, 0]


def test_an_echoed_document_stays_out_of_the_error(server, clock, make_any):
    """The text of the error does not contain what the reply says about documents."""
    item = {"index": 0, "relevance_score": SECRET_DOCUMENT, "document": {"text": SECRET_DOCUMENT}}
    server.default = reply(json={"results": [item]})
    with pytest.raises(errors.InvalidResponseError) as caught:
        make_any(clock=clock).rerank(**CALL)
    assert SECRET_DOCUMENT not in f"{caught.value}{caught.value!r}"


# Sizes -------------------------------------------------------------------------------------------

CAP = 1_000_000
TOO_LARGE = {
    "announced": lambda: huge(3 * CAP),
    "chunked": lambda: huge(3 * CAP, chunked=True),
    "bomb": lambda: gzip_bomb(50 * CAP),
    "error bomb": lambda: _with_status(500, gzip_bomb(50 * CAP)),
}


def _with_status(status, inner):
    async def send(exchange):
        original = exchange.send
        old, new = b"HTTP/1.1 200 OK", b"HTTP/1.1 %d No" % status
        exchange.send = lambda data: original(data.replace(old, new, 1))
        await inner(exchange)

    return send


@pytest.mark.parametrize("fault", TOO_LARGE)
def test_a_reply_past_the_cap_is_refused(server, clock, make_any, fault):
    """Neither a huge body nor a bomb is read to its end, and memory stays near the cap."""
    client = make_any(clock=clock, max_response_bytes=CAP, strict=False)
    client.rerank(**CALL)
    server.default = TOO_LARGE[fault]()
    tracemalloc.start()
    try:
        # An error's status decides, whatever its body: only a success is refused for its size.
        refused = errors.InternalServerError if "error" in fault else errors.ResponseTooLargeError
        with pytest.raises(refused):
            client.rerank(**CALL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * CAP
    assert len(server.requests) == (4 if "error" in fault else 2)  # a 500 is repeated, a refusal is not
    server.default = reply(json={"results": []})
    assert ranking(client.rerank(**CALL)) == []


def test_a_reply_within_the_cap_is_read(server, clock, make_any):
    """The cap counts decompressed bytes, and a reply just below it passes."""
    client = make_any(clock=clock, max_response_bytes=CAP, strict=False)
    server.script(huge(CAP - 70_000), huge(CAP - 70_000, chunked=True), gzip_bomb(0))
    for _ in range(3):
        assert ranking(client.rerank(**CALL)) == []


def test_compressed_answers_are_read(server, clock, make_any):
    """gzip and deflate, whole and in chunks, also when deflate is the bare stream."""
    import zlib

    packer = zlib.compressobj(wbits=-15)
    bare = packer.compress(b'{"results": []}') + packer.flush()
    client = make_any(clock=clock, strict=False)
    empty = {"results": []}
    server.script(
        reply(json=empty, encoding="gzip"),
        reply(json=empty, encoding="deflate", chunked=True),
        reply(body=bare, headers={"content-encoding": "deflate"}),
        reply(json=empty, headers={"content-encoding": "identity"}),
    )
    for _ in range(4):
        assert ranking(client.rerank(**CALL)) == []
    assert server.requests[0].header("accept-encoding") == "gzip, deflate"


# Redirects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("form", ["absolute", "path", "relative"])
def test_a_redirect_within_the_origin_is_followed(server, clock, make_any, status, form):
    """Method, body and key are kept."""
    server.path = "/v2/rerank-moved"
    where = {"absolute": server.url + server.path, "path": server.path, "relative": "rerank-moved"}
    server.script(redirect(status, where[form]))
    assert ranking(make_any(clock=clock).rerank(**CALL)) == BEST_FIRST
    first, second = server.requests
    assert (second.method, second.path) == ("POST", "/v2/rerank-moved")
    assert second.body == first.body
    assert second.header("authorization") == "Bearer test-key"
    assert clock.sleeps == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305])
def test_a_redirect_that_would_drop_the_body_is_an_error(server, clock, make_any, status):
    """The error names the target. No other request is sent."""
    server.default = redirect(status, "/v2/moved")
    with pytest.raises(errors.RedirectError, match="/v2/moved") as caught:
        make_any(clock=clock).rerank(**CALL)
    assert (caught.value.status_code, caught.value.location) == (status, "/v2/moved")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{other}/v2/rerank",
        "//127.0.0.1:{other}/v2/rerank",
        "http://localhost:{port}/v2/rerank",
        "https://127.0.0.1:{port}/v2/rerank",
        "http://user:word@127.0.0.1:{port}/v2/rerank",
    ],
)
def test_the_key_never_crosses_origins(server, clock, make_any, status, target):
    """Another port, host, scheme or user is another origin. It is an error, and nothing is sent there."""
    with Server() as other:
        server.default = redirect(status, target.format(other=other.port, port=server.port))
        with pytest.raises(errors.RedirectError) as caught:
            make_any(clock=clock).rerank(**CALL)
        assert other.n_connections == 0
    assert (caught.value.attempts, len(server.requests)) == (1, 1)


@pytest.mark.parametrize(
    "target", ["http:\\\\127.0.0.1:{other}/v2", "\\\\127.0.0.1:{other}/v2", "http:127.0.0.1:{other}/"]
)
def test_a_disguised_target_gets_no_key(server, clock, make_any, target):
    """A location that a browser may read as another host is a path here, or an error. Nothing is sent elsewhere."""
    with Server() as other:
        server.default = redirect(307, target.format(other=other.port))
        with pytest.raises(errors.CohereRerankError):
            make_any(clock=clock).rerank(**CALL)
        assert other.n_connections == 0


@pytest.mark.parametrize(
    "location", ["", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "file:///etc/passwd"]
)
def test_a_senseless_redirect_is_an_error(server, clock, make_either, location):
    """No target, or none that is an address."""
    server.default = redirect(307, location)
    with pytest.raises(errors.RedirectError):
        make_either(clock=clock).rerank(**CALL)
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["/v2/\x7f", "/v2/\x01", "/" + "a" * 70_000])
def test_a_redirect_to_what_httpx_takes_for_no_address_is_an_error(server, clock, make_either, location):
    """It is the server's fault, not that of base_url."""
    server.default = redirect(307, location)
    with pytest.raises(errors.RedirectError):
        make_either(clock=clock).rerank(**CALL)
    assert len(server.requests) == 1


def test_a_redirect_loop_ends(server, clock, make_any):
    """A few hops are followed, then the redirect is the error."""
    server.default = redirect(307, "/v2/rerank")
    with pytest.raises(errors.RedirectError):
        make_any(clock=clock).rerank(**CALL)
    assert 2 <= len(server.requests) <= 10


# Certificates ------------------------------------------------------------------------------------


def test_a_self_signed_certificate_fails_at_once(clock, make_any):
    """One handshake, no wait, no request; ours and httpx's connect error."""
    with Server(tls="self-signed") as server:
        client = make_any(base_url=server.url, clock=clock)
        with pytest.raises(errors.CertificateError, match="certificate") as caught:
            client.rerank(**CALL)
        assert isinstance(caught.value, httpx.ConnectError)
        assert (caught.value.attempts, clock.sleeps, server.requests) == (1, [], [])


def test_a_private_authority_is_trusted_when_named(clock, make_any, monkeypatch, tmp_path):
    """SSL_CERT_FILE is used, and a certificate for another host is still rejected."""
    with Server(tls="trusted") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "ca.pem")))
        assert ranking(make_any(base_url=server.url, clock=clock).rerank(**CALL)) == BEST_FIRST
        elsewhere = make_any(base_url=server.url.replace("127.0.0.1", "localhost"), clock=clock)
        with pytest.raises(errors.CertificateError):
            elsewhere.rerank(**CALL)


@pytest.mark.parametrize("fault", ["hang up", "reset inside the body", "truncated body"])
def test_a_broken_tls_connection_is_tried_again(clock, make_any, monkeypatch, tmp_path, fault):
    """Faults inside TLS are the same faults."""
    with Server(tls="trusted") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "ca.pem")))
        server.script(BROKEN[fault][0]())
        assert ranking(make_any(base_url=server.url, clock=clock).rerank(**CALL)) == BEST_FIRST
        assert len(server.requests) == 2


def test_the_wrong_scheme_is_a_typed_error(server, clock, make_any):
    """https to an http port, and http to an https port."""
    with pytest.raises(errors.ConnectionFailedError):
        make_any(base_url=f"https://127.0.0.1:{server.port}", clock=clock, timeout=2).rerank(**CALL)
    with Server(tls="trusted") as secure, pytest.raises(errors.ConnectionFailedError):
        make_any(base_url=f"http://127.0.0.1:{secure.port}", clock=clock, timeout=2).rerank(**CALL)


def test_a_callers_own_httpx_client_gives_the_same_errors(server, clock):
    """Errors of a client that was brought along are named just the same."""
    from cohere_rerank import ClientV2

    server.default = hang_up()
    with httpx.Client() as own, pytest.raises(errors.ConnectionFailedError) as caught:
        ClientV2("k", base_url=server.url, httpx_client=own, clock=clock, max_retries=0).rerank(**CALL)
    assert isinstance(caught.value, httpx.RemoteProtocolError)
    with Server(tls="self-signed") as secure, httpx.Client(verify=ssl.create_default_context()) as own:
        with pytest.raises(errors.CertificateError):
            ClientV2("k", base_url=secure.url, httpx_client=own, clock=clock).rerank(**CALL)


def test_the_target_of_a_redirect_keeps_its_own_query(server, make_any):
    """The parameters of the call belong to the first address."""
    server.script(redirect(307, "/v2/rerank?token=1"))
    make_any().rerank(**CALL, request_options={"additional_query_parameters": {"a": 1}})
    assert [request.path for request in server.requests] == ["/v2/rerank?a=1", "/v2/rerank?token=1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_any_unicode_encoding_is_read(server, make_any, encoding):
    """With or without a byte order mark, as the official client reads it; errors too."""
    server.script(
        reply(body='{"results": [{"index": 0, "relevance_score": 0.5}]}'.encode(encoding)),
        reply(422, body='{"message": "no such model"}'.encode(encoding)),
    )
    client = make_any(strict=False)
    assert client.rerank(**CALL).results[0].index == 0
    with pytest.raises(errors.UnprocessableEntityError, match="answered 422: no such model"):
        client.rerank(**CALL)


@pytest.mark.parametrize(
    "text", ['data: {"results": []}', '{"results": [{"index"', "\x00\x01\x02", "PNG\x7f\x01", "[1, 2]"]
)
def test_a_broken_reply_is_not_taken_for_the_servers_words(server, make_any, text):
    """It may echo documents, or be no text at all."""
    server.default = reply(body=text.encode())
    with pytest.raises(errors.InvalidResponseError, match="breaks the rerank contract"):
        make_any().rerank(**CALL)


@pytest.mark.parametrize("status", [200, 404, 405, 501])
def test_a_page_of_html_asks_to_check_base_url(server, clock, make_any, status):
    """A website or a catch-all page is at this address, and not an API."""
    server.default = html(status)
    with pytest.raises(errors.CohereRerankError, match=r"HTML page.*check base_url.*doctor") as caught:
        make_any(clock=clock).rerank(**CALL)
    assert caught.value.status_code == status
    assert caught.value.attempts == 1


def test_tls_and_plain_http_are_told_apart(server, clock, make_any):
    """Each mistake has its own hint."""
    secure = server.url.replace("http://", "https://")
    with pytest.raises(errors.ConnectionFailedError, match="a server without TLS needs http://") as first:
        make_any(clock=clock, base_url=secure).rerank(**CALL)
    assert first.value.attempts == 1  # a retry would meet the same server
    assert "SSL" not in str(first.value)
    with Server(tls="self-signed") as encrypted:
        plain = encrypted.url.replace("https://", "http://")
        with pytest.raises(errors.ConnectionFailedError, match=r"check base_url: .*https://") as caught:
            make_any(clock=clock, base_url=plain, max_retries=0).rerank(**CALL)
    assert caught.value.is_disconnect
    server.default = hang_up()  # as some servers with TLS do after a plain request
    with pytest.raises(errors.ConnectionFailedError, match="check base_url: a server with TLS needs https://"):
        make_any(clock=clock, max_retries=0).rerank(**CALL)


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"object": "list", "data": items}])
def test_a_ranking_of_another_kind_of_server_gets_advice(server, make_any, wrap):
    """With ``dialect="auto"`` the same reply is read."""
    server.default = reply(json=wrap([{"index": 1, "score": 0.9}, {"index": 0, "score": 0.5}]))
    with pytest.raises(errors.InvalidResponseError, match='pass dialect="auto"'):
        make_any().rerank(**CALL)
    assert ranking(make_any(dialect="auto").rerank(**CALL)) == [1, 0]
    server.default = reply(json={"data": ["a"]})
    with pytest.raises(errors.InvalidResponseError) as caught:
        make_any().rerank(**CALL)
    assert "dialect" not in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nset-cookie : session=a-secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na-secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na-secret document\r\n",
    ],
)
def test_a_broken_line_of_a_reply_is_not_shown(server, make_any, head):
    """It may be a header, or a part of a document."""
    server.default = raw(head)
    with pytest.raises(errors.ConnectionFailedError, match=r"illegal (header line|chunk header)\)") as caught:
        make_any(max_retries=0).rerank(**CALL)
    assert "a-secret" not in str(caught.value)
