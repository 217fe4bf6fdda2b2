"""A recording is replayed without a server. It contains no key and, on request, no text."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cohere_rerank as ours
from cohere_rerank.testing import cassette
from cohere_rerank.testing.redaction import Redaction
from tests.fake_server import error, good_reply, reply

pytest.importorskip("vcr")

KEY = "co-Secret/Key+12345"
CALL = {"model": "rerank-v4.0-fast", "query": "Wie heißt der Fluß?", "documents": ["Zeppelin über Xanten", "Quokka"]}
TEXTS = ["heißt", "Fluß", "Zeppelin", "Xanten", "Quokka"]


def in_file(path):
    """Return the cassette, plain and with the escapes of YAML and JSON decoded."""
    raw = path.read_text(encoding="utf-8")
    return raw + raw.encode().decode("unicode_escape", "replace") + json.dumps(raw) + as_utf_8(raw)


def as_utf_8(raw):
    import yaml

    bodies = [part["body"] for pair in yaml.safe_load(raw)["interactions"] for part in pair.values()]
    texts = [body.get("string", "") if isinstance(body, dict) else body for body in bodies]
    return "".join(t.decode() if isinstance(t, bytes) else str(t) for t in texts)


def call_ours(url, **options):
    with ours.ClientV2(KEY, base_url=url, max_retries=0) as client:
        return [(r.index, r.relevance_score) for r in client.rerank(**{**CALL, **options}).results]


def call_ours_async(url, **options):
    async def scenario():
        async with ours.AsyncClientV2(KEY, base_url=url, max_retries=0) as client:
            return [(r.index, r.relevance_score) for r in (await client.rerank(**{**CALL, **options})).results]

    return asyncio.run(scenario())


def call_own_httpx(url, **options):
    with (
        httpx.Client(trust_env=False) as http,
        ours.ClientV2(KEY, base_url=url, max_retries=0, httpx_client=http) as client,
    ):
        return [(r.index, r.relevance_score) for r in client.rerank(**{**CALL, **options}).results]


def call_official(url, **options):
    cohere = pytest.importorskip("cohere")
    with cohere.ClientV2(KEY, base_url=url) as client:
        return [(r.index, r.relevance_score) for r in client.rerank(**{**CALL, **options}).results]


CALLERS = [call_ours, call_ours_async, call_own_httpx, call_official]


@pytest.mark.parametrize("redact_texts", [False, True])
@pytest.mark.parametrize("call", CALLERS)
def test_a_replay_returns_what_was_recorded(server, tmp_path, call, redact_texts):
    """Each kind of client is replayed without a server. The file has no key and, on request, no text."""
    path = tmp_path / "cassettes" / "one.yaml"
    with cassette(path, redact_texts=redact_texts):
        recorded = call(server.url)
    n_asked = len(server.requests)
    with cassette(path, record="none", redact_texts=redact_texts) as used:
        assert call(server.url) == recorded
    assert (len(server.requests), used.play_count) == (n_asked, 1)
    text = in_file(path)
    assert KEY not in text and "Secret" not in text and "uthorization" not in text
    found = [word for word in TEXTS if word in text]
    assert found == ([] if redact_texts else TEXTS)
    assert "rerank-v4.0-fast" in text


def test_a_client_created_before_the_block_is_recorded_inside_it(server, tmp_path):
    """A client created before the block is recorded inside it and uses its own connections afterwards."""
    with ours.ClientV2(KEY, base_url=server.url) as client:
        client.rerank(**CALL)
        with cassette(tmp_path / "one.yaml"):
            client.rerank(**CALL)
        with cassette(tmp_path / "one.yaml", record="none"):
            client.rerank(**CALL)
        client.rerank(**CALL)
    assert [request.connection for request in server.requests] == [1, 2, 1]


def test_another_request_is_rejected_without_showing_it(server, tmp_path):
    """Changed texts are detected, redacted or not. The error names the field and shows no text."""
    for redact in (False, True):
        path = tmp_path / f"{redact}.yaml"
        with cassette(path, redact_texts=redact):
            call_ours(server.url)
        import vcr

        with (
            cassette(path, redact_texts=redact),
            pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException) as caught,
        ):
            call_ours(server.url, query="Zwölf Boxkämpfer?")
        assert ("fingerprint" if redact else "query") in str(caught.value)
        assert "Zwölf" not in str(caught.value) and KEY not in str(caught.value)
    assert len(server.requests) == 2


def test_split_lists_and_retries_are_recorded_one_by_one(server, tmp_path):
    """Each part has its own response in any order, and a retry gets the second response."""
    documents = [f"text {i}" for i in range(25)]
    server.script(error(503, "later"))

    def call():
        with ours.ClientV2(KEY, base_url=server.url, max_documents_per_request=10, clock=Clock()) as client:
            return client.rerank(**{**CALL, "documents": documents}).results

    from cohere_rerank.testing import FakeClock as Clock

    with cassette(tmp_path / "one.yaml"):
        recorded = call()
    assert len(server.requests) == 4
    with cassette(tmp_path / "one.yaml", record="none") as used:
        assert call() == recorded
    assert used.play_count == 4 and len(server.requests) == 4


def test_errors_are_replayed_as_the_same_errors(server, tmp_path):
    """Status, hint and message are the same. A message that quotes the key loses it."""
    headers = {"retry-after": "7", "set-cookie": "session=abcdefgh1234"}
    for record in ("once", "none"):
        server.script(error(429, f"the key {KEY} is limited to 10 calls / month", headers=headers))
        with (
            cassette(tmp_path / "one.yaml", record=record),
            pytest.raises(ours.QuotaExceededError, match="limited to 10 calls") as caught,
        ):
            call_ours(server.url)
        assert caught.value.retry_after == 7
    text = in_file(tmp_path / "one.yaml")
    assert KEY not in text and "abcdefgh1234" not in text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_replies_are_recorded_as_text(server, tmp_path, encoding):
    """Redaction and grep see the whole body."""
    body = {"results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "Quokka"}}], "echo": KEY}
    server.script(reply(json=body, encoding=encoding))
    with cassette(tmp_path / "one.yaml", redact_texts=True):
        assert call_ours(server.url, top_n=1) == [(1, 0.5)]
    text = in_file(tmp_path / "one.yaml")
    assert "Quokka" not in text and KEY not in text and "relevance_score" in text


def test_addresses_keep_no_password_and_no_parameter(server, tmp_path):
    """Proxies accept keys there."""
    url = server.url.replace("http://", "http://user:open-sesame@") + "/v2/rerank?api-key=open-sesame2"
    with cassette(tmp_path / "one.yaml"):
        httpx.post(url, json=CALL, headers={"x-api-key": "open-sesame3", "cookie": "a=open-sesame4"}, trust_env=False)
    text = in_file(tmp_path / "one.yaml")
    assert "sesame" not in text and "api-key=redacted" in text


def test_modes_are_vcrpy_s(server, tmp_path):
    """`new_episodes` adds missing requests, `all` records again, and an unknown mode is an error."""
    path = tmp_path / "one.yaml"
    for record, query, n_asked in (
        ("once", "a", 1),
        ("new_episodes", "a", 1),
        ("new_episodes", "b", 2),
        ("all", "a", 3),
    ):
        with cassette(path, record=record):
            call_ours(server.url, query=query)
        assert len(server.requests) == n_asked
    with pytest.raises(ours.InvalidRequestError, match="once, none, new_episodes, all"), cassette(path, record="never"):
        pass


def test_nothing_is_logged(server, tmp_path, caplog):
    """vcrpy does not log replies inside the block, and its log level is restored."""
    server.script(error(400, "Quokka is no document"), good_reply())
    with caplog.at_level(logging.DEBUG), cassette(tmp_path / "one.yaml"):
        with pytest.raises(ours.BadRequestError):
            call_ours(server.url)
        call_ours(server.url)
    assert not [record for record in caplog.records if record.name.startswith("vcr")]
    assert not [word for word in (*TEXTS, KEY) if word in caplog.text]


def test_local_rankings_are_not_recorded(tmp_path):
    """`local:` sends nothing."""
    with cassette(tmp_path / "one.yaml"):
        call_ours("local:")
    assert list(tmp_path.iterdir()) == []


def test_without_vcrpy_the_error_names_the_extra(tmp_path, monkeypatch):
    """Nothing else happens."""
    import sys

    monkeypatch.setitem(sys.modules, "vcr", None)
    with pytest.raises(ImportError, match=r'pip install "cohere-rerank\[testing\]"'), cassette(tmp_path / "x.yaml"):
        pass


# The rules of redaction -------------------------------------------------------------------------


class Recorded:
    """The part of vcrpy's Request that redaction needs."""

    def __init__(self, body, headers=None, uri="https://api.cohere.com/v2/rerank"):
        self.body, self.headers, self.uri = body, dict(headers or {}), uri


def redacted_reply(redaction, body):
    response = {"headers": {"content-type": ["application/json"]}, "body": {"string": body}}
    return redaction.response(response)["body"]["string"]


words = st.text(st.characters(categories=["L"]), min_size=6, max_size=12)


@given(query=words, documents=st.lists(words, min_size=1, max_size=4), shown=st.integers(0, 3))
def test_no_text_stays_in_request_or_reply(query, documents, shown):
    """No text in any script stays in fields, echoes or messages. Numbers and lengths stay."""
    redaction = Redaction(texts=True)
    body = json.dumps(
        {"model": "m-1", "query": query, "documents": documents, "top_n": 2}, ensure_ascii=bool(shown % 2)
    )
    request = redaction.request(Recorded(body.encode()))
    fields = json.loads(request.body)
    assert fields["model"] == "m-1" and fields["top_n"] == 2
    assert len(fields["documents"]) == len(documents) and set(fields["documents"]) == {"[redacted]"}
    again = redaction.request(Recorded(request.body)).body
    assert again == request.body
    echo = {"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": documents[0]}}]}
    quote = {"message": f"in 2026 {documents[-1]}: {query}!", "id": "12"}
    for body in (echo, quote):
        kept = json.loads(redacted_reply(redaction, json.dumps(body).encode()))
        plain = json.dumps(kept, ensure_ascii=False)
        assert not [text for text in (query, *documents) if text in plain.replace("[redacted]", "")]
    assert kept["id"] == "12" and "2026" in kept["message"]
    page = redacted_reply(redaction, f"<p>{query} 2026</p>".encode()).decode()
    assert query not in page and "2026" in page


ECHO = {"text": "x", "type": "SECRETDIAGNOSIS", "id": "PATIENT7", "born": 19700101, "SECRETFIELD": [{"code": 4711}]}


@pytest.mark.parametrize(
    "reply",
    [
        {"results": [{"index": 0, "relevance_score": 0.9, "document": ECHO}]},
        {"results": [{"index": 0, "relevance_score": 0.9, "document": [ECHO]}], "model": "m-1"},
        {"object": "list", "data": [{"index": 0, "relevance_score": 0.9, "text": ECHO, "id": "PATIENT7"}]},
        [{"index": 0, "score": 0.9, "text": ECHO, "type": "SECRETDIAGNOSIS"}],
        {"detail": [{"type": "SECRETDIAGNOSIS", "msg": "wrong", "input": ECHO, "ctx": {"given": 4711}}]},
        {"id": "r-1", "query": ECHO, "documents": [ECHO, "SECRET", 4711]},
    ],
    ids=["results", "lists", "data", "bare", "detail", "top"],
)
def test_of_an_echoed_document_nothing_stays(reply):
    """No field of an echo stays, whatever its name and type. The fields that a replay needs stay."""
    redaction = Redaction(texts=True)
    redaction.request(Recorded(json.dumps({"query": "q", "documents": ["other"]}).encode()))
    kept = redacted_reply(redaction, json.dumps(reply).encode()).decode()
    assert not [mark for mark in ("SECRET", "PATIENT7", "19700101", "4711") if mark in kept]
    for needed in ('"index": 0', '"relevance_score": 0.9', '"score": 0.9', '"list"', '"m-1"', '"r-1"', '"wrong"'):
        assert (needed in kept) == (needed in json.dumps(reply))


@given(st.dictionaries(words, words, min_size=1), st.dictionaries(words, words, min_size=1))
def test_the_fingerprint_is_of_all_texts(first, second):
    """The order of fields does not change it, and other texts do."""
    prints = [
        json.loads(Redaction(texts=True).request(Recorded(json.dumps(fields).encode())).body)["fingerprint"]
        for fields in (first, dict(reversed(first.items())), second)
    ]
    assert prints[0] == prints[1]
    assert (prints[0] == prints[2]) == (first == second)


def test_an_unreadable_body_is_not_recorded():
    """A compression that vcrpy does not support would hide texts from redaction."""
    with pytest.raises(ValueError, match="cannot be redacted"):
        Redaction().response({"headers": {"Content-Encoding": ["zstd"]}, "body": {"string": b"\x28\xb5"}})


# Keys in every encoding ---------------------------------------------------------------------------


def encodings(key):
    """Return the forms in which a server may quote a key."""
    return {
        "plain": key,
        "JSON": "".join(f"\\u{ord(character):04x}" for character in key),
        "URL": "".join(f"%{ord(character):02X}" for character in key),
        "quoted": quote(key, safe=""),
        "HTML": "".join(f"&#x{ord(character):x};" for character in key),
        "base64": b64encode(f"user:{key}".encode()).decode(),
        "base64url": urlsafe_b64encode(f"x{key}y".encode()).decode(),
    }


@pytest.mark.parametrize("name", encodings(KEY))
@pytest.mark.parametrize("redact_texts", [False, True])
def test_a_key_is_removed_in_every_encoding(server, tmp_path, name, redact_texts):
    """A server may quote the key escaped in its body or in a header; the cassette keeps none of them."""
    echo = encodings(KEY)[name]
    path = tmp_path / "cassette.yaml"
    message = echo if name == "JSON" else json.dumps(echo)[1:-1]
    body = f'{{"message": "bad key {message}"}}'
    server.default = reply(401, body=body.encode(), headers={"x-api-warning": echo, "content-type": "application/json"})
    with cassette(path, redact_texts=redact_texts), pytest.raises(ours.UnauthorizedError):
        call_ours(server.url)
    text = path.read_text(encoding="utf-8")
    assert "bad key [redacted]" in text
    assert not [form for form in encodings(KEY).values() if form in text]


def test_passwords_and_parameters_are_keys_too(server, tmp_path):
    """What the address or a Basic header contains is removed from the reply."""
    path = tmp_path / "cassette.yaml"
    server.default = reply(200, json={"results": [], "id": "pass-word-1 and pass-word-2 and pass-word-3"})
    with cassette(path), httpx.Client(trust_env=False) as client:
        address = server.url.replace("//", "//user:pass-word-1@")
        client.post(f"{address}/v2/rerank?token=pass-word-2", json=CALL)
        client.post(f"{server.url}/v2/rerank", json=CALL, auth=("user", "pass-word-3"))
    recorded = path.read_text(encoding="utf-8")
    assert not [word for word in ("pass-word-1", "pass-word-2") if word in recorded]
    assert recorded.count("pass-word-3") == 1  # the first reply came before this password was used


@given(key=st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789-_./+", min_size=8, max_size=40), text=st.text())
def test_no_text_hides_a_key(key, text):
    """A key between any characters is removed from requests and replies, and the redaction ends."""
    redaction = Redaction()
    sent = redaction.request(Recorded(json.dumps({"query": f"{text}{key}{text}"}), {"authorization": f"Bearer {key}"}))
    assert key not in json.loads(sent.body)["query"]
    assert key not in json.loads(redacted_reply(redaction, json.dumps({"message": f"{text}{key}"}).encode()))["message"]


@given(body=st.binary() | st.recursive(st.text(), st.lists).map(json.dumps).map(str.encode), redact_texts=st.booleans())
def test_any_body_can_be_redacted(body, redact_texts):
    """Bodies need not be JSON or text. The redaction never fails, and removes the key."""
    redaction = Redaction(texts=redact_texts)
    redaction.request(Recorded(body + KEY.encode() + body, {"authorization": f"Bearer {KEY}"}))
    assert KEY.encode() not in redacted_reply(redaction, body + KEY.encode())


COMMAND = """
interactions:
- request: {body: null, headers: {}, method: POST, uri: "http://127.0.0.1:9/v2/rerank"}
  response: !!python/object/apply:os.mkdir ["%s"]
version: 1
"""


def test_a_cassette_cannot_run_code(tmp_path):
    """A cassette from somebody else is data: the lowest version of vcrpy does not create Python objects from it."""
    path, victim = tmp_path / "cassette.yaml", tmp_path / "created"
    path.write_text(COMMAND % victim, encoding="utf-8")
    with pytest.raises(Exception, match="constructor"), cassette(path, record="none"):
        pass
    assert not victim.exists()
