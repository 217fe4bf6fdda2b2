"""The key and the documents never come out in reprs, messages, logs, tracebacks or pickles."""

from __future__ import annotations

import base64
import copy
import gc
import json
import logging
import pickle
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import httpcore
import httpx
import pytest

import cohere_rerank
from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.fake_server import (
    Server,
    drip,
    error,
    gzip_bomb,
    hang,
    hang_up,
    html,
    redirect,
    refusing_url,
    reply,
    reset,
    stall,
    truncated,
)

# Constants, not locals: a traceback with locals would show them in the tests' own frames.
KEY = "sk-0123-THE-KEY-4567"
OLD_KEY = "sk-9876-ANOTHER-KEY"
QUERY = "a question about a lawsuit"
DOCUMENTS = ["the first confidential memo", {"title": "the second confidential memo", "pages": 3}]
PACKAGE = str(Path(cohere_rerank.__file__).parent)
SECRETS = (KEY, OLD_KEY, QUERY, "confidential memo")


def call(**changes):
    return {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS, **changes}


def leaks(text, secrets=SECRETS):
    """Which secrets a text (or bytes) holds."""
    as_text = text.decode("latin-1") if isinstance(text, bytes) else text
    return [secret for secret in secrets if secret in as_text]


def ours_alone(trace):
    """The part of a traceback below the frames of the tests."""
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
        trace = trace.tb_next
    return trace


def chain(failure):
    """An exception and all that a traceback shows it was raised from or during."""
    seen = []
    while failure is not None and failure not in seen:
        seen.append(failure)
        failure = failure.__cause__ if failure.__suppress_context__ else failure.__context__
    return seen


def locals_of(failure):
    """The frames of the whole chain, with the reprs of their locals, as error reporters show them."""
    frames = []
    for one in chain(failure):
        walked = traceback.walk_tb(ours_alone(one.__traceback__))
        frames += traceback.StackSummary.extract(walked, capture_locals=True)
    return frames


FAILURES = {
    "refused request": (lambda: error(401, "invalid api token"), {}),
    "unknown field": (lambda: error(422, "unknown field: parameter 'x' is not a valid field."), {}),
    "request echoed by a validator": (
        lambda: reply(422, json={"detail": [{"loc": ["body"], "input": {"query": QUERY, "documents": DOCUMENTS}}]}),
        {},
    ),
    "server error": (lambda: html(500), {}),
    "rate limit": (lambda: error(429, "slow down", headers={"retry-after": "900"}), {}),
    "hang up": (hang_up, {}),
    "reset": (reset, {}),
    "reset inside the body": (lambda: reset("body"), {}),
    "truncated": (truncated, {}),
    "timeout": (hang, {"timeout": 0.2}),
    "deadline": (lambda: drip("body"), {"deadline": 0.2}),
    "deadline in the headers": (lambda: drip("head"), {"deadline": 0.2}),
    "broken JSON": (lambda: reply(body=b'{"results": ['), {}),
    "documents echoed in a broken reply": (
        lambda: reply(json={"results": [{"index": 0, "relevance_score": "confidential memo"}]}),
        {},
    ),
    "a bomb": (lambda: gzip_bomb(5_000_000), {"max_response_bytes": 1_000_000}),
    "no gzip": (lambda: reply(body=b"x", headers={"content-encoding": "gzip"}), {}),
    "a redirect": (lambda: redirect(302, "https://elsewhere.example/"), {}),
}


def failed(server, clock, make_either, name):
    """The error of one scenario."""
    server.default, options = FAILURES[name][0](), FAILURES[name][1]
    if "deadline" not in options:
        options = {**options, "clock": clock, "max_retries": 1}
    client = make_either(KEY, **options)
    with pytest.raises(errors.CohereRerankError) as caught:
        client.rerank(**call())
    assert server.requests[0].header("authorization") == f"Bearer {KEY}"
    return caught.value


@pytest.mark.parametrize("name", FAILURES)
def test_errors_and_logs_keep_secrets(server, clock, make_either, caplog, name):
    """Message, repr, arguments, traceback, pickle and every log line at DEBUG, of the whole chain."""
    caplog.set_level(logging.DEBUG)
    failure = failed(server, clock, make_either, name)
    for one in chain(failure):
        assert not leaks(f"{one} {one!r} {one.args!r}")
    assert not leaks("".join(traceback.format_exception(failure)))
    assert not leaks(caplog.text)
    for duplicate in (pickle.loads(pickle.dumps(failure)), copy.copy(failure), copy.deepcopy(failure)):
        assert type(duplicate) is type(failure)
        assert str(duplicate) == str(failure)
    assert not leaks(pickle.dumps(failure), (KEY,))


@pytest.mark.parametrize("name", FAILURES)
def test_a_traceback_with_locals_keeps_the_key(server, clock, make_either, name):
    """Error reporters print the locals of every frame: no frame of ours, or below, shows the key."""
    frames = locals_of(failed(server, clock, make_either, name))
    assert {"rerank", "_attempt"} <= {frame.name for frame in frames}
    assert not leaks(" ".join(str(frame.locals) for frame in frames), (KEY,))


@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
@pytest.mark.parametrize("key", [KEY, lambda: KEY])
def test_a_client_shows_no_key(kind, key):
    """Nor does anything that hangs on it, as debuggers show it."""
    client = kind(key, base_url="http://127.0.0.1:1", client_name="app")
    shown = [repr(client), str(client), repr(vars(client)), repr(client.v2), repr(client.with_raw_response)]
    shown += [repr(vars(client.with_raw_response)), repr(client.with_options(max_retries=1))]
    shown += [repr(value) for value in vars(client).values()]
    assert not leaks(" ".join(shown))


@pytest.mark.parametrize("kind", [ClientV2, AsyncClientV2])
def test_a_pickled_client_holds_no_key(kind, monkeypatch):
    """Whether the key was an argument or in the environment; the copy takes its own."""
    monkeypatch.setenv("CO_API_KEY", OLD_KEY)
    for client in (kind(KEY), kind(), kind().with_options(api_key=KEY)):
        assert not leaks(pickle.dumps(client))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX-Evil: 1", f"{KEY}\0", f"{KEY}\u20ac", f"{KEY}\ud800"])
def test_a_key_that_cannot_be_sent_is_not_shown(server, make_either, key):
    """A key with a line break (as files have at their end) or of no known script fails without being quoted."""
    with pytest.raises((errors.CohereRerankError, ValueError)) as caught:
        make_either(key).rerank(**call())
    for one in chain(caught.value):
        assert not leaks(f"{one} {one!r}")
    assert server.requests == []


def test_a_key_function_that_fails_or_gives_nonsense_is_not_shown(server, make_either):
    """What a key function returns is never quoted either."""
    with pytest.raises(errors.InvalidRequestError) as caught:
        make_either(lambda: [KEY]).rerank(**call())
    assert not leaks(f"{caught.value} {caught.value!r}")


BAD_CALLS = {
    "document of a wrong type": call(documents=["x", object()]),
    "value of a wrong type": call(documents=[{"confidential memo": object()}, {"a": b"confidential memo"}]),
    "bytes": call(documents=[b"the first confidential memo"]),
    "bare string": call(documents="the first confidential memo"),
    "bare mapping": call(documents=DOCUMENTS[1]),
    "empty document": call(documents=[*DOCUMENTS, ""]),
    "bad top_n": call(top_n=0),
    "bad query": call(query=[QUERY]),
    "bad option": call(request_options={"x": KEY}),
    "bad header": call(request_options={"additional_headers": {"x": f"{KEY}\n"}}),
    "bad body": call(request_options={"additional_body_parameters": {"x": object(), "y": KEY}}),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_arguments_are_not_quoted(server, make_either, name):
    """Messages name the place and the type, not the text."""
    client = make_either(KEY, max_retries=0)
    with pytest.raises(errors.CohereRerankError) as caught:
        client.rerank(**BAD_CALLS[name])
    for one in chain(caught.value):
        assert not leaks(f"{one} {one!r}", (KEY, OLD_KEY, QUERY, "the first confidential memo"))


def test_warnings_quote_nothing(server, make_either):
    """The one about lone surrogates says what was done, not to which text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_either(KEY).rerank(**call(documents=["confidential memo \ud800"]))
    assert caught
    assert not leaks(" ".join(str(one.message) for one in caught))


def test_a_response_holds_no_key(server, make_either):
    """Neither a response nor a raw one; its repr shows no documents, and its dump is the wire's."""
    client = make_either(KEY)
    response = client.rerank(**call())
    raw = client.raw_rerank(**call())
    assert response.results[0].document in DOCUMENTS
    assert not leaks(repr(response) + repr(raw) + repr(raw.response) + repr(raw.headers))
    assert not leaks(str(response.model_dump()) + response.model_dump_json())
    assert not leaks(pickle.dumps(response), (KEY,))
    assert not leaks(repr(raw.response.headers) + raw.response.text)


def test_a_successful_call_logs_no_secret(server, make_either, caplog):
    """All loggers at DEBUG, those of the libraries below too."""
    caplog.set_level(logging.DEBUG)
    server.script(error(503, "later", headers={"retry-after-ms": "1"}))
    make_either(KEY).rerank(**call())
    assert "attempt 1 failed" in caplog.text
    assert not leaks(caplog.text)


def test_the_warning_of_a_fallback_quotes_nothing(server, clock, make_either, caplog):
    """The outage is named in the log and in ``meta.warnings``, the request is not."""
    caplog.set_level(logging.DEBUG)
    with refusing_url() as url:
        response = make_either(KEY, base_url=url, fallback="local", clock=clock).rerank(**call())
    assert response.is_fallback
    assert not leaks(caplog.text + " ".join(response.meta.warnings))


def test_a_refused_certificate_shows_no_secret(clock, make_either):
    """The handshake fails before anything is sent. The error names only the reason."""
    with Server(tls="self-signed") as server, pytest.raises(errors.CertificateError) as caught:
        make_either(KEY, base_url=server.url, clock=clock).rerank(**call())
    assert not leaks("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("broken_reply", [stall, reset])
def test_a_broken_upload_shows_no_secret(server, clock, make_either, caplog, broken_reply):
    """The request is half written then, so its headers are near at hand."""
    caplog.set_level(logging.DEBUG)
    server.reply_before_body = broken_reply()
    client = make_either(KEY, clock=clock, max_retries=0, timeout=0.2)
    with pytest.raises(errors.ConnectionFailedError) as caught:
        client.rerank(**call(documents=[DOCUMENTS[0] * 150_000] * 2))
    assert not leaks("".join(traceback.format_exception(caught.value)) + caplog.text)
    frames = locals_of(caught.value)
    assert not leaks(" ".join(str(frame.locals) for frame in frames), (KEY,))


def test_a_proxys_password_is_not_shown(clock, make_either, monkeypatch, caplog):
    """Credentials in HTTP_PROXY stay out of errors and logs."""
    caplog.set_level(logging.DEBUG)
    with refusing_url() as url:
        monkeypatch.setenv("HTTP_PROXY", url.replace("http://", f"http://user:{OLD_KEY}@"))
        client = make_either(KEY, base_url="http://api.example", clock=clock)
        with pytest.raises(errors.ConnectionFailedError) as caught:
            client.rerank(**call())
    for one in chain(caught.value):
        assert not leaks(f"{one} {one!r}")
    assert not leaks("".join(traceback.format_exception(caught.value)) + caplog.text)


def test_an_address_with_a_password_is_refused_unseen():
    """It is not quoted by the error that refuses it."""
    with pytest.raises(errors.InvalidRequestError) as caught:
        ClientV2("k", base_url=f"http://user:{KEY}@127.0.0.1/")
    assert not leaks(f"{caught.value} {caught.value!r}")


UNCAUGHT = """
import sys
from cohere_rerank import ClientV2
documents = sys.stdin.read().splitlines()
ClientV2(base_url=sys.argv[1], max_retries=0).rerank(model="m", query=documents[0], documents=documents[1:])
"""


def test_an_uncaught_error_prints_no_secret(server):
    """What a crashed program leaves on the screen: our error, by name, and nothing else of the call."""
    server.default = reset("body")
    environment = {"PYTHONPATH": str(Path(PACKAGE).parent), "CO_API_KEY": KEY}
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT, server.url],
        input=f"{QUERY}\n{DOCUMENTS[0]}\n",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cohere_rerank" in done.stderr
    assert "ReadError" in done.stderr
    assert not leaks(done.stderr + done.stdout)


def test_nothing_in_memory_shows_the_key(server, clock, make_either):
    """No object of ours that a debugger can reach has a repr with the key in it."""
    client = make_either(KEY, clock=clock)
    client.rerank(**call())
    gc.collect()
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("cohere_rerank")]
    shown = [repr(thing) for thing in ours]
    assert len(shown) > 3
    assert not leaks(" ".join(shown), (KEY,))


def test_a_key_that_the_server_quotes_is_not_repeated(server, make_either):
    """An error that echoes the key would carry it into messages, logs and pickles."""
    key = "sk-quoted-0123456789"
    server.default = error(401, f"invalid api token: {key}")
    with pytest.raises(errors.UnauthorizedError) as caught:
        make_either(api_key=key).rerank(model="m", query="q", documents=["d"])
    assert key not in str(caught.value)
    assert key.encode() not in pickle.dumps(caught.value)
    assert "invalid api token" in str(caught.value)


# A server that quotes the key --------------------------------------------------------------------

ECHOES = {
    "plain": KEY,
    "JSON": "".join(f"\\u{ord(character):04x}" for character in KEY),
    "URL": "".join(f"%{ord(character):02X}" for character in KEY),
    "HTML": "".join(f"&#{ord(character)};" for character in KEY),
    "base64": base64.b64encode(f"user:{KEY}".encode()).decode(),
}


@pytest.mark.parametrize("form", ECHOES)
@pytest.mark.parametrize("status", [401, 429, 500, 302, 200])
def test_a_key_that_a_server_quotes_is_hidden(server, clock, make_either, form, status):
    """In the body, the Location, the request id and any other header, in the usual encodings."""
    echo = ECHOES[form]
    headers = {"location": f"https://x.example/?k={echo}", "x-request-id": f"id-{echo}", "x-note": f"Bearer {echo}"}
    body = b'{"message": "not a valid key: %s", "results": "%s"}' % (echo.encode(), echo.encode())
    server.default = reply(status, body=body, headers=headers)
    with pytest.raises(errors.CohereRerankError) as caught:
        make_either(KEY, clock=clock, max_retries=0).rerank(**call())
    failure = caught.value
    shown = f"{failure} {failure!r} {failure.args} {vars(failure)}"
    assert not leaks(shown, (KEY, echo))
    assert "[your key]" in shown
    assert not leaks(pickle.dumps(failure), (KEY, echo))


@pytest.mark.parametrize("name", ["x-request-id", "x-note"])
@pytest.mark.parametrize("form", ECHOES)
def test_a_successful_reply_that_quotes_the_key_is_not_logged(server, make_either, caplog, form, name):
    """Log lines, events and the request id do not show it. The result is what the server sent, in its own fields."""
    caplog.set_level(logging.DEBUG)
    found = []
    scores = [{"index": index, "relevance_score": 0.5} for index in range(len(DOCUMENTS))]
    body = {"id": KEY, "results": scores, "meta": {"warnings": [f"hello {KEY}"]}}
    server.default = reply(200, body=json.dumps(body).encode(), headers={name: ECHOES[form]})
    client = make_either(KEY, on_event=found.append)
    response, raw = client.rerank(**call()), client.raw_rerank(**call())
    assert len(found) >= 4
    assert not leaks(caplog.text + repr(found) + repr(response.request_id) + repr(raw.headers), (KEY, ECHOES[form]))
    assert response.id == KEY


def test_the_key_in_the_headers_of_an_unreadable_reply_is_hidden(server, clock, make_either):
    """Also if the reply is rejected before its body is read."""
    server.default = reply(body=b"x", headers={"content-encoding": "br", "x-request-id": f"id-{KEY}"})
    with pytest.raises(errors.InvalidResponseError) as caught:
        make_either(KEY, clock=clock, max_retries=0).rerank(**call())
    assert caught.value.request_id == "id-[your key]"
    assert not leaks(str(vars(caught.value)), (KEY,))


# Frames ------------------------------------------------------------------------------------------


def linked(failure):
    """An exception and everything linked to it, whether a traceback shows it or not."""
    pending, seen = [failure], []
    while pending:
        one = pending.pop()
        if one is not None and not any(one is other for other in seen):
            seen.append(one)
            pending += [one.__cause__, one.__context__]
    return seen


def frames_below(failure):
    """All frames of all linked exceptions, below those of the tests."""
    traces = [ours_alone(one.__traceback__) for one in linked(failure)]
    return [frame for trace in traces for frame, _ in traceback.walk_tb(trace)]


def deep_values(value, depth=4):
    """What a curious error reporter finds in a local variable, some attributes and items down."""
    yield value
    if depth and not isinstance(value, BaseException):  # an httpx error has its request, as its users expect
        inner = list(vars(value).values()) if hasattr(value, "__dict__") else []
        inner += list(value.values()) if isinstance(value, dict) else []
        inner += list(value) if isinstance(value, (list, tuple)) else []
        for one in inner:
            yield from deep_values(one, depth - 1)


@pytest.mark.parametrize("name", ["reset", "reset inside the body", "truncated", "timeout", "hang up", "a bomb"])
def test_no_frame_of_a_failure_holds_a_request(server, clock, make_either, name):
    """Not its headers as bytes either, in any exception that the error was raised from or during."""
    for frame in frames_below(failed(server, clock, make_either, name)):
        for local in frame.f_locals.values():
            for value in deep_values(local):
                assert not isinstance(value, (httpx.Request, httpcore.Request))
                assert not (isinstance(value, (bytes, bytearray)) and KEY.encode() in value), frame


def test_the_traceback_of_the_callers_own_exception_is_kept(server, make_either):
    """A call inside an except block does not touch what that block handles."""
    server.default = hang_up
    client = make_either(KEY, max_retries=0)

    def handle():
        try:
            raise ValueError("of the caller")
        except ValueError:
            client.rerank(**call())

    with pytest.raises(errors.ConnectionFailedError) as caught:
        handle()
    outer = next(one for one in linked(caught.value) if isinstance(one, ValueError))
    assert outer.__traceback__ is not None


def test_a_servers_message_is_cut(server, clock, make_either):
    """A server may quote the documents in it: 200 characters are in the text, all of them in the body."""
    server.default = error(400, "bad document: " + "confidential memo " * 1000)
    with pytest.raises(errors.BadRequestError) as caught:
        make_either(KEY, clock=clock).rerank(**call())
    assert len(str(caught.value)) < 350
    assert len(caught.value.body["message"]) > 10_000
