"""The server over real sockets: every request gets JSON with a message, whatever it is."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohere_rerank.local.choose import by_name
from cohere_rerank.local.endpoint import FIELDS, answer
from tests.server_app.running import ASKED, Held, Running, wait_until

LIMIT = 100_000  # of the shared server


def sentence(response, status):
    """The message of an error in the form that all errors have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return body["message"]


# Answers ------------------------------------------------------------------------------------------


def test_v2_answers_what_the_endpoint_answers(plain):
    """The same bytes, but for the id, which is the request's."""
    _, _, expected = answer(json.dumps(ASKED).encode(), lambda _: by_name("lexical"))
    got = plain.post(asked=ASKED)
    assert got.status_code == 200
    assert {**got.json(), "id": ""} == {**json.loads(expected), "id": ""}


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/v2/rerank/"])
def test_every_rerank_path_ranks(plain, path):
    """The same order by each."""
    results = plain.post(path).json()["results"]
    assert [result["index"] for result in results] == [1, 2, 0]


def test_tei_shares_its_path_with_jina(plain):
    """`texts` instead of `documents` makes the difference."""
    ranked = plain.post("/rerank", {"query": "green tea", "texts": ASKED["documents"]}).json()
    assert [item["index"] for item in ranked] == [1, 2, 0]


def test_top_n_above_the_number_of_documents_gives_all(plain):
    """As with the API."""
    assert len(plain.post(asked={**ASKED, "top_n": 99}).json()["results"]) == 3


def test_spans_and_cuts_work_as_they_do_locally(plain):
    """The options of v2 reach the engine."""
    asked = {**ASKED, "relevant_spans": {"mode": "enabled", "max_spans": 1}, "max_tokens_per_doc": 100, "top_n": 1}
    result = plain.post(asked=asked).json()["results"][0]
    assert [(span["start"], span["end"]) for span in result["relevant_spans"]] == [(0, 9)]


def test_models_are_listed_in_both_forms(plain):
    """`models` for Cohere's clients, `data` for OpenAI's."""
    listed = plain.http.get("/v1/models").json()
    names = [model["name"] for model in listed["models"]]
    assert {"rerank-v4.0-fast", "local-lexical"} <= set(names)
    assert [model["id"] for model in listed["data"]] == names


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/openapi.json", "/v1/models"])
def test_pages_answer_get_and_head(plain, path):
    """HEAD with the same headers and no body."""
    got, head = plain.http.get(path), plain.http.head(path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert got.content
    assert not head.content


# Refusals -----------------------------------------------------------------------------------------

MALFORMED = {
    "empty": b"",
    "cut short": b'{"model": "m", "query": ',
    "no object": b"[1, 2]",
    "null": b"null",
    "deep": b'{"documents": ' + b"[" * 40_000,
    "deep and whole": b'{"model":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "bad UTF-8": b'{"model": "m", "query": "\xff\xfe", "documents": ["a"]}',
    "lone surrogate": b'{"model": "m", "query": "\\ud800", "documents": ["a"]}',
    "NaN": b'{"model": "m", "query": "q", "documents": ["a"], "top_n": NaN}',
    "zero bytes": bytes(1000),
    "UTF-16": json.dumps(ASKED).encode("utf-16"),
}


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_json_is_refused_as_such(plain, name, path):
    """400 in Cohere's words, never an internal error."""
    assert sentence(plain.post(path, MALFORMED[name]), 400).startswith("invalid json syntax")


WRONG = [
    ({"model": None}, 400, "a model parameter is required for this endpoint."),
    ({"query": " "}, 400, "invalid request: query must not be empty or be only whitespace"),
    ({"query": {}}, 422, "invalid type: parameter 'query' must be a string"),
    ({"query": 3}, 422, "invalid type: parameter 'query' must be a string"),
    ({"documents": "abc"}, 422, "invalid type: parameter 'documents' must be a list"),
    ({"documents": []}, 400, "invalid request: list of documents must not be empty"),
    ({"documents": ["a", ""]}, 400, "invalid request: document at index 1 cannot be empty"),
    ({"documents": [{"text": "a"}]}, 422, "invalid type: parameter 'documents[0]' must be a string"),
    ({"top_n": 0}, 400, "invalid request: top_n must be at least 1"),
    ({"top_n": "3"}, 422, "invalid type: parameter 'top_n' must be an integer"),
]


@pytest.mark.parametrize(("changes", "status", "words"), WRONG)
def test_wrong_values_are_refused_in_coheres_words(plain, changes, status, words):
    """The endpoint's own messages pass through."""
    assert sentence(plain.post(asked={**ASKED, **changes}), status) == words


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
@pytest.mark.parametrize("is_strict", [False, True])
def test_a_wrong_type_is_said_to_be_one_in_every_dialect(path, is_strict):
    """Rather than that it is empty."""
    with Running(is_strict=is_strict) as running:
        assert "'documents' must be a list" in sentence(running.post(path, {**ASKED, "documents": "abc"}), 422)
        assert "'query' must be a string" in sentence(running.post(path, {**ASKED, "query": {}}), 422)
        assert "'texts' must be a list" in sentence(running.post("/rerank", {"query": "q", "texts": "abc"}), 422)


def test_what_real_clients_send_too_much_is_tolerated(plain):
    """Nulls mean nothing; unknown fields have no effect, and a warning says so."""
    said = plain.post(asked={**ASKED, "top_n": None, "return_documents": False, "top_k": 1}).json()
    assert len(said["results"]) == 3
    assert said["meta"]["warnings"][-1] == "fields without effect here: 'top_k'"


def test_strict_refuses_what_cohere_refuses():
    """422, and the field's name."""
    with Running(is_strict=True) as running:
        unknown = running.post(asked={**ASKED, "return_documents": True})
        assert sentence(unknown, 422) == "unknown field: parameter 'return_documents' is not a valid field"
        assert sentence(running.post(asked={**ASKED, "top_n": None}), 422)
        assert running.post().status_code == 200


def test_unknown_paths_and_methods(plain):
    """404 names the paths that there are; 405 says which methods are allowed."""
    assert "/v2/rerank" in sentence(plain.http.get("/v2/embed"), 404)
    for method, path, allowed in [("GET", "/v2/rerank", "POST"), ("POST", "/health", "GET, HEAD")]:
        refused = plain.http.request(method, path)
        assert allowed in sentence(refused, 405)
        assert refused.headers["allow"] == allowed


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_other_content_types_are_refused(plain, kind):
    """A form that another web page could send is among them."""
    headers = {} if kind is None else {"content-type": kind}
    refused = plain.http.post("/v2/rerank", content=json.dumps(ASKED).encode(), headers=headers)
    assert "application/json" in sentence(refused, 415)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_a_charset_of_utf8_is_fine(plain, kind):
    """In any case."""
    assert plain.post(**{"content-type": kind}).status_code == 200


def test_compressed_bodies_are_refused(plain):
    """Rather than unpacked without a bound."""
    assert "compressed" in sentence(plain.post(**{"content-encoding": "gzip"}), 415)


def test_errors_at_rerank_are_readable_for_tei_clients(plain):
    """`error` and `error_type` beside `message`."""
    body = plain.post("/rerank", {"query": "q", "texts": []}).json()
    assert body["error"] == body["message"]
    assert body["error_type"] == "Validation"


# Bodies -------------------------------------------------------------------------------------------


def head_of(n_bytes, path="/v2/rerank"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {n_bytes}\r\n\r\n"
    ).encode()


CHUNKED_HEAD = (
    b"POST /v2/rerank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(plain):
    """413 comes though not a byte of it was sent."""
    with socket.create_connection(("127.0.0.1", plain.port), 20) as connection:
        connection.sendall(head_of(LIMIT + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_turns_out_too_long_is_refused_while_it_is_read(plain):
    """413 comes though its end never does."""
    with socket.create_connection(("127.0.0.1", plain.port), 20) as connection:
        connection.sendall(CHUNKED_HEAD)
        piece = b"%x\r\n%b\r\n" % (LIMIT // 2, b" " * (LIMIT // 2))
        connection.sendall(piece * 3)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_longest_body_allowed_is_read(plain):
    """And one byte more is refused, with the connection still of use."""
    body = json.dumps(ASKED).encode()
    assert plain.post(asked=body + b" " * (LIMIT - len(body))).status_code == 200
    assert str(LIMIT) in sentence(plain.post(asked=body + b" " * (LIMIT + 1 - len(body))), 413)
    assert plain.post().status_code == 200


def test_a_body_that_does_not_come_is_given_up():
    """408, and its place in the queue is free again."""
    with Running(body_timeout_s=0.05, concurrency=1, queue=0) as running:
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(head_of(10) + b"{")
            reply = connection.makefile("rb").read()
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.05 seconds" in reply
        assert running.post().status_code == 200


def test_a_caller_who_leaves_amid_the_body_leaves_nothing_behind(plain):
    """The server goes on, and counts the request as one whose caller left."""
    before = plain.metric("cohere_rerank_requests_total")
    plain.raw(head_of(1000) + b"{")
    wait_until(lambda: plain.metric("cohere_rerank_requests_total") > before + 1)
    assert 'status="499"' in plain.http.get("/metrics").text
    assert plain.metric("cohere_rerank_admitted") == 0


NO_HTTP = [b"hello\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"]


@pytest.mark.parametrize("sent", NO_HTTP, ids=["a word", "HTTP/0.9", "no Host", "TLS"])
def test_what_is_no_http_does_no_harm(plain, sent):
    """400, and the next caller is served."""
    assert plain.raw(sent).startswith(b"HTTP/1.1 400 ")
    assert plain.post().status_code == 200


def test_endless_headers_are_refused(plain):
    """400 comes though their end never does: they are not gathered without a bound."""
    with socket.create_connection(("127.0.0.1", plain.port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"x-a: b\r\n" * 8_200)  # 65,600 bytes
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
NAMES = sorted(FIELDS | {"texts", "rank_fields", "return_documents", "max_chunks_per_doc", "raw_scores"})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.sampled_from(["/v2/rerank", "/v1/rerank", "/rerank"]),
    changes=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON_VALUES, max_size=4),
)
def test_no_json_makes_the_server_fail(plain, path, changes):
    """Whatever the values: a ranking, or a refusal with a message."""
    said = plain.post(path, {**ASKED, **changes})
    assert said.status_code in (200, 400, 422), said.text
    assert said.status_code == 200 or sentence(said, said.status_code)


# Keys ---------------------------------------------------------------------------------------------

KEYS = ("first-key", "second-key")


@pytest.fixture(scope="module")
def locked():
    with Running(api_keys=KEYS) as running:
        yield running


@pytest.mark.parametrize("header", [f"{word} {key}" for word in ("Bearer", "bearer", "BEARER") for key in KEYS])
def test_each_key_opens(locked, header):
    """The word before it in any case."""
    assert locked.post(authorization=header).status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "no api key supplied"),
        ({"authorization": "Bearer"}, "no api key supplied"),
        ({"authorization": "Basic Zm9v"}, "no api key supplied"),
        ({"authorization": "Bearer wrong"}, "invalid api token"),
        ({"authorization": "Bearer first-key second-key"}, "invalid api token"),
        ({"authorization": "Bearer first-ke"}, "invalid api token"),
        ({"authorization": "Bearer first-key,second-key"}, "invalid api token"),
    ],
)
def test_other_keys_are_refused(locked, headers, words):
    """401 in Cohere's words, before the body is looked at."""
    refused = locked.post("/v2/rerank", b"no json", **headers)
    assert sentence(refused, 401) == words
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_key_of_any_bytes_is_refused_not_failed_on(locked):
    """Headers need not be ASCII."""
    got = locked.raw(b"POST /v2/rerank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xc3\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 401 ")


def test_models_want_the_key_and_probes_do_not(locked):
    """What a monitor asks for is open."""
    assert sentence(locked.http.get("/v1/models"), 401)
    for path in ("/health", "/ready", "/metrics", "/openapi.json", "/"):
        assert locked.http.get(path).status_code == 200


# Ids and logs -------------------------------------------------------------------------------------


def test_a_callers_request_id_is_kept_and_others_are_made(plain):
    """One that could break a log line is replaced."""
    assert plain.post(**{"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert plain.post(**{"x-request-id": "abc-1"}).json()["id"] == "abc-1"
    for odd in ("", "a b", "x" * 129, '"}', "a\tb"):
        uuid.UUID(plain.post(**{"x-request-id": odd}).headers["x-request-id"])
    assert plain.post().headers["x-request-id"] != plain.post().headers["x-request-id"]


def test_access_logs_tell_all_but_what_was_sent(locked, caplog):
    """One record a request: id, path, status, time and sizes; no document, query or key."""
    caplog.set_level(logging.INFO, logger="cohere_rerank.server.access")
    asked = {**ASKED, "query": "secret-query", "documents": ["secret-document"] * 2}
    locked.http.post("/v2/rerank?secret-parameter=1", json=asked, headers={"authorization": "Bearer first-key"})
    wait_until(lambda: caplog.records)
    record = caplog.records[-1].fields
    assert (record["method"], record["path"], record["status"], record["documents"]) == ("POST", "/v2/rerank", 200, 2)
    assert record["request_bytes"] > 0
    assert record["ms"] >= 0
    assert "secret" not in str(record)
    assert "first-key" not in str(record)


def test_paths_of_callers_make_no_new_series(plain):
    """Any unknown path or method is counted as `other`."""
    plain.http.get("/made-up-path")
    plain.http.request("BREW", "/v2/rerank")
    text = plain.http.get("/metrics").text
    assert "made-up-path" not in text
    assert 'method="other"' in text
    assert 'path="other"' in text


# Failures of the scorer ---------------------------------------------------------------------------


def broken(query, documents):
    raise ValueError(f"cannot score {documents}")


def nonsense(query, documents):
    return [2.0] * len(documents)


@pytest.mark.parametrize("scorer", [broken, nonsense])
def test_a_scorer_that_fails_is_an_internal_error_without_details(scorer, caplog):
    """500; the log has the request's id and the place, neither has a document."""
    from cohere_rerank.server.logs import JsonFormatter

    with Running(scorer=scorer) as running:
        refused = running.post(asked={**ASKED, "documents": ["secret-document"]})
        assert "secret" not in sentence(refused, 500)
    record = next(record for record in caplog.records if record.levelno >= logging.ERROR)
    line = json.loads(JsonFormatter().format(record))
    assert line["request_id"] == refused.json()["id"]
    assert line["where"]
    assert "secret" not in json.dumps(line)
    plain_text = logging.Formatter().format(record)  # of a program that we run in
    assert "secret" not in plain_text
    assert refused.json()["id"] in plain_text


def test_what_fails_unforeseen_is_logged_without_its_text(caplog, monkeypatch):
    """A program that we run in may print whatever exception it is given."""
    from cohere_rerank.server import answers

    def fail(*_):
        raise KeyError("secret-document")

    monkeypatch.setattr(answers.endpoint, "answer", fail)
    with Running() as running:
        refused = running.post()
    assert sentence(refused, 500).startswith("internal server error")
    record = next(record for record in caplog.records if record.levelno >= logging.ERROR)
    assert record.fields["error"] == "KeyError"
    assert "secret" not in logging.Formatter().format(record)


def test_a_scorer_that_cannot_be_loaded_is_logged_without_its_text(caplog):
    """By its type and place; and the server does not start."""
    from cohere_rerank.server import Settings, create_app

    app, sent = create_app(Settings()), []

    def fail():
        raise OSError("secret-path")

    async def scenario():
        async def receive():
            return {"type": "lifespan.startup"}

        async def send(message):
            sent.append(message)

        app._answers.load = fail
        await app({"type": "lifespan"}, receive, send)

    asyncio.run(scenario())
    assert sent == [{"type": "lifespan.startup.failed", "message": "OSError"}]
    assert caplog.records[-1].fields["where"]
    assert "secret" not in logging.Formatter().format(caplog.records[-1])


def test_a_model_that_cannot_be_had_is_not_found(plain):
    """404, with what to install or to say."""
    assert "local:onnx" in sentence(plain.post(asked={**ASKED, "model": "local-onnx"}), 404)


# Load ---------------------------------------------------------------------------------------------


def in_thread(running, path="/v2/rerank", **changes):
    """Post in a thread; its answer is in the list when there is one."""
    got = []
    thread = threading.Thread(target=lambda: got.append(running.post(path, {**ASKED, **changes})), daemon=True)
    thread.start()
    return got


def test_a_full_queue_is_answered_at_once_and_empties():
    """503 with Retry-After for what finds no place; all that found one are served; then the next."""
    held = Held()
    with Running(scorer=held, concurrency=1, queue=2) as running:
        accepted = [in_thread(running) for _ in range(3)]
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 3)
        refused = running.post()
        assert "queue is full" in sentence(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert sentence(running.http.get("/ready"), 503)
        assert running.http.get("/health").status_code == 200
        assert len(held.queries) == 1
        held.go.set()
        wait_until(lambda: all(accepted))
        assert [got[0].status_code for got in accepted] == [200] * 3
        assert running.post().status_code == 200
        assert running.http.get("/ready").status_code == 200


def test_scoring_keeps_the_loop_free_and_within_its_threads():
    """While two requests are scored the third waits, and the server still answers."""
    held = Held()
    with Running(scorer=held, concurrency=2) as running:
        accepted = [in_thread(running) for _ in range(3)]
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 3)
        wait_until(lambda: running.metric("cohere_rerank_running") == 2)
        assert running.http.get("/health").status_code == 200
        assert len(held.queries) == 2
        held.go.set()
        wait_until(lambda: all(accepted))
        wait_until(lambda: running.metric("cohere_rerank_running") == 0)


def test_a_caller_who_leaves_the_queue_is_never_scored():
    """The place is free at once; what already runs ends by itself."""
    held = Held()
    with Running(scorer=held, concurrency=1, queue=1) as running:
        body = json.dumps({**ASKED, "query": "left"}).encode()
        first = in_thread(running, query="first")
        wait_until(lambda: held.queries == ["first"])
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(head_of(len(body)) + body)
            wait_until(lambda: running.metric("cohere_rerank_admitted") == 2)
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 1)
        last = in_thread(running, query="last")
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 2)
        held.go.set()
        wait_until(lambda: first and last)
        assert held.queries == ["first", "last"]


def test_a_caller_who_leaves_while_being_scored_frees_the_place_but_not_the_thread():
    """A thread cannot be stopped: no other starts in its stead."""
    held = Held()
    with Running(scorer=held, concurrency=1, queue=0) as running:
        body = json.dumps({**ASKED, "query": "left"}).encode()
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(head_of(len(body)) + body)
            wait_until(lambda: held.queries == ["left"])
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 0)
        assert running.metric("cohere_rerank_running") == 1
        following = in_thread(running, query="following")
        wait_until(lambda: running.metric("cohere_rerank_admitted") == 1)
        assert held.queries == ["left"]
        held.go.set()
        wait_until(lambda: following)
        assert held.queries == ["left", "following"]


def test_a_refused_body_is_not_kept_in_memory():
    """A caller may go on sending after a 413: nothing of it is gathered, and the connection serves the next."""
    with Running(max_body_bytes=1000) as running:
        before = running.metric("process_resident_memory_bytes")
        n_bytes = 200_000_000
        with socket.create_connection(("127.0.0.1", running.port), 20) as connection:
            connection.sendall(head_of(n_bytes))
            for _ in range(n_bytes // 1_000_000):
                connection.sendall(b" " * 1_000_000)
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in connection.recv(65536)
        assert running.metric("process_resident_memory_bytes") - before < 100_000_000
