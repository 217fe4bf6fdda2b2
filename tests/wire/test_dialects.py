"""The dialects of other servers: each against such a server, and "auto" against all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from cohere_rerank import (
    ApiError,
    AsyncClientV2,
    ClientV2,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
)
from tests.conftest import AsyncAdapter, SyncAdapter
from tests.fake_server import Request, Server, raw, score

QUERY, DOCUMENTS = "red apple", ["a blue car", "a red apple pie", "an apple"]
CALL: dict[str, Any] = {"model": "m", "query": QUERY, "documents": DOCUMENTS}


class Speaker(Server):
    """A server of one kind: its paths, what it demands of a body, how it replies."""

    paths: tuple[str, ...] = ()
    not_found: ClassVar[Any] = {"detail": "Not Found"}

    def respond(self, request: Request) -> tuple[int, Any]:
        if urlsplit(request.path).path not in self.paths:
            return 404, self.not_found
        return self.ranked(request.json)

    def ranked(self, body: Any) -> tuple[int, Any]:
        raise NotImplementedError


def pairs(query: str, texts: list[str]) -> list[tuple[int, float]]:
    """(index, score), best first."""
    return sorted(((i, score(query, text)) for i, text in enumerate(texts)), key=lambda pair: (-pair[1], pair[0]))


class Vllm(Speaker):
    paths = ("/rerank", "/v1/rerank", "/v2/rerank")

    def ranked(self, body):
        if "top_n" in body and type(body["top_n"]) is not int:
            return 400, {"error": {"message": "top_n: Input should be a valid integer", "type": "BadRequest"}}
        top_n = body.get("top_n") or len(body["documents"])
        results = [
            {"index": i, "document": {"text": body["documents"][i], "multi_modal": None}, "relevance_score": s}
            for i, s in pairs(body["query"], body["documents"])
        ]
        usage = {"prompt_tokens": 11, "total_tokens": 12}
        return 200, {"id": "rerank-1", "model": body.get("model"), "usage": usage, "results": results[:top_n]}


class Infinity(Speaker):
    paths = ("/rerank",)

    def ranked(self, body):
        results = [{"index": i, "relevance_score": s, "document": None} for i, s in pairs(QUERY, body["documents"])]
        usage = {"prompt_tokens": 0, "total_tokens": 90}
        return 200, {"object": "rerank", "results": results[: body.get("top_n")], "model": "m", "usage": usage}


class Jina(Infinity):
    paths = ("/v1/rerank",)

    def ranked(self, body):
        status, reply = super().ranked(body)
        for item in reply["results"]:
            item["document"] = {"text": body["documents"][item["index"]]}
        return status, {**reply, "usage": {"total_tokens": 40}}


class Xinference(Speaker):
    paths = ("/v1/rerank",)

    def ranked(self, body):
        results = [{"index": i, "relevance_score": s, "document": None} for i, s in pairs(QUERY, body["documents"])]
        meta = {"api_version": None, "billed_units": None, "tokens": None, "warnings": None}
        return 200, {"id": "x", "results": results[: body.get("top_n")], "meta": meta}


class CohereV1(Speaker):
    paths = ("/v1/rerank",)
    known = frozenset({"model", "query", "documents", "top_n", "rank_fields", "return_documents", "max_chunks_per_doc"})
    not_found: ClassVar[Any] = {"message": "404 page not found"}

    def ranked(self, body):
        for name in body.keys() - self.known:
            return 422, {"message": f"unknown field: parameter '{name}' is not a valid field"}
        results = [{"index": i, "relevance_score": s} for i, s in pairs(QUERY, body["documents"])]
        meta = {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}
        return 200, {"id": "v", "results": results[: body.get("top_n")], "meta": meta}


class Tei(Speaker):
    paths = ("/rerank",)
    not_found = None

    def ranked(self, body):
        if "texts" not in body:
            return 422, "Failed to deserialize the JSON body into the target type: missing field `texts`"
        if len(body["texts"]) > 32:
            n = len(body["texts"])
            return 422, {"error": f"batch size {n} > maximum allowed batch size 32", "error_type": "Validation"}
        return 200, [{"index": i, "score": s} for i, s in pairs(body["query"], body["texts"])]


class LlamaCpp(Speaker):
    paths = ("/rerank", "/reranking", "/v1/rerank", "/v1/reranking")
    not_found: ClassVar[Any] = {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}

    def ranked(self, body):
        """As older builds: unsorted, raw logits, and a top_n that is not looked at."""
        logits = [(i, 8 * s - 5) for i, s in pairs(QUERY, body["documents"])]
        results = [{"index": i, "relevance_score": logit} for i, logit in sorted(logits)]
        usage = {"prompt_tokens": 30, "total_tokens": 30}
        return 200, {"model": "m", "object": "list", "usage": usage, "results": results}


class DataServer(Speaker):
    """As Voyage and Pinecone reply."""

    paths = ("/v1/rerank",)

    def ranked(self, body):
        data = [{"index": i, "score": s, "document": {"text": "?"}} for i, s in pairs(QUERY, body["documents"])]
        return 200, {"object": "list", "data": data[: body.get("top_n")], "usage": {"rerank_units": 1}}


SPEAKERS = [
    (Vllm, "cohere"),
    (Jina, "jina"),
    (Xinference, "jina"),
    (CohereV1, "v1"),
    (Tei, "tei"),
    (LlamaCpp, "llamacpp"),
    (DataServer, "jina"),
]
EVERY = [*SPEAKERS, (Infinity, None), (Server, "cohere")]


@contextmanager
def client_of(server: Server, kind: str, **options: Any) -> Iterator[Any]:
    options = {"api_key": "k", "base_url": server.url, **options}
    adapter = SyncAdapter(ClientV2(**options)) if kind == "sync" else AsyncAdapter(AsyncClientV2(**options))
    try:
        yield adapter
    finally:
        adapter.close()


def ranking(response: Any) -> list[int]:
    return [result.index for result in response.results]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("speaker", "dialect"), SPEAKERS)
def test_a_client_told_the_dialect_ranks_with_one_request(speaker, dialect, kind):
    with speaker() as server, client_of(server, kind, dialect=dialect) as client:
        response = client.rerank(**CALL)
        assert ranking(response) == [i for i, _ in pairs(QUERY, DOCUMENTS)]
        assert response.results[0].document == DOCUMENTS[response.results[0].index]
        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("speaker", "_dialect"), EVERY)
def test_auto_finds_out_with_the_first_call_and_remembers(speaker, _dialect, kind):
    with speaker() as server, client_of(server, kind, dialect="auto") as client:
        first = client.rerank(**CALL)
        n_probes = len(server.requests)
        second = client.rerank(**CALL)
        assert ranking(first) == ranking(second) == [i for i, _ in pairs(QUERY, DOCUMENTS)]
        assert len(server.requests) == n_probes + 1
        copy = client.client.with_options(tag="x")
        assert copy._state is client.client._state


@pytest.mark.parametrize(("speaker", "dialect"), EVERY)
def test_top_n_holds_whatever_the_server_makes_of_it(speaker, dialect):
    with speaker() as server, client_of(server, "sync", dialect=dialect or "auto") as client:
        assert ranking(client.rerank(**CALL, top_n=1)) == [pairs(QUERY, DOCUMENTS)[0][0]]


def test_a_prefix_and_a_full_endpoint_are_kept():
    class Prefixed(Tei):
        paths = ("/models/rerank",)

    with Prefixed() as server:
        for url in (f"{server.url}/models", f"{server.url}/models/rerank"):
            for dialect in ("tei", "auto"):
                with client_of(server, "sync", dialect=dialect, base_url=url) as client:
                    assert len(client.rerank(**CALL).results) == 3


def test_logits_stay_as_they_are_and_the_scale_is_recorded():
    with LlamaCpp() as server, client_of(server, "sync", dialect="llamacpp") as client:
        response = client.rerank(**CALL)
        assert response.score_scale == "logit"
        assert response.results[-1].relevance_score == 8 * pairs(QUERY, DOCUMENTS)[-1][1] - 5
    with Vllm() as server, client_of(server, "sync", dialect="auto") as client:
        assert client.rerank(**CALL).score_scale is None


def test_tokens_and_units_are_read_where_servers_say_them():
    with Vllm() as server, client_of(server, "sync", dialect="auto") as client:
        assert client.rerank(**CALL).meta.tokens.input_tokens == 11
        assert client.client.usage.search_units is None
    with Jina() as server, client_of(server, "sync", dialect="jina") as client:
        assert client.rerank(**CALL).meta.tokens.input_tokens == 40
    with DataServer() as server, client_of(server, "sync", dialect="jina") as client:
        client.rerank(**CALL)
        assert client.client.usage.billed_units == {"rerank_units": 1}


@pytest.mark.parametrize("dialect", ["v1", "jina", "tei", "llamacpp"])
@pytest.mark.parametrize("argument", ["priority", "max_tokens_per_doc", "relevant_spans"])
def test_what_a_dialect_has_no_word_for_is_refused_before_anything_is_sent(server, dialect, argument):
    value = {"mode": "enabled"} if argument == "relevant_spans" else 5
    with client_of(server, "sync", dialect=dialect) as client:
        with pytest.raises(InvalidRequestError, match=argument):
            client.rerank(**CALL, **{argument: value})
        assert not server.requests


def test_cohere_fields_reach_a_server_under_v2_with_auto(server):
    with client_of(server, "sync", dialect="auto") as client:
        client.rerank(**CALL, max_tokens_per_doc=9, priority=3)
    assert (server.requests[0].json["max_tokens_per_doc"], server.requests[0].json["priority"]) == (9, 3)


def test_split_lists_work_in_every_part():
    with Tei() as server, client_of(server, "async", dialect="auto", max_documents_per_request=32) as client:
        documents = [f"document {i}" for i in range(70)] + ["red apple"]
        assert ranking(client.rerank(**{**CALL, "documents": documents})) == [i for i, _ in pairs(QUERY, documents)]


def test_a_limit_that_the_server_states_is_learned():
    """The list is sent again in parts of that size."""
    with Tei() as server, client_of(server, "sync", dialect="tei") as client:
        response = client.rerank(**{**CALL, "documents": [f"d{i}" for i in range(40)]})
        assert sorted(item.index for item in response.results) == list(range(40))
        assert [len(request.json["texts"]) for request in server.requests[1:]] == [20, 20]


def test_a_model_that_is_not_there_is_no_other_dialect():
    class NoModel(Server):
        def respond(self, request):
            return 404, {"message": "model 'm' not found, make sure the correct model ID was used"}

    with NoModel() as server, client_of(server, "sync", dialect="auto") as client:
        with pytest.raises(NotFoundError, match="model 'm' not found"):
            client.rerank(**CALL)
        assert len(server.requests) == 1


def test_a_server_without_any_of_the_paths_says_404_after_a_bounded_search():
    class Other(Speaker):
        paths = ()

    with Other() as server, client_of(server, "sync", dialect="auto") as client:
        with pytest.raises(NotFoundError):
            client.rerank(**CALL)
        assert [request.path for request in server.requests] == ["/v2/rerank", "/v1/rerank", "/rerank"]


def test_a_refused_key_is_not_probed_further(server):
    server.keys = {"other"}
    with client_of(server, "sync", dialect="auto") as client:
        with pytest.raises(ApiError):
            client.rerank(**CALL)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"{}",
        b"[1, 2]",
        b"nonsense",
        b'{"results": null}',
        b'[{"index": 0}]',
        b'[{"index": 0, "score": "high"}]',
        b'[{"index": 0, "score": NaN}]',
        b'[{"index": 9, "score": 0.5}]',
        b'[{"index": 0, "score": 0.5}, {"index": 0, "score": 0.4}]',
        b"[" * 100_000,
    ],
)
def test_a_reply_that_is_no_ranking_is_a_typed_error(reply):
    with Server() as server, client_of(server, "sync", dialect="tei", max_retries=0) as client:
        server.script(raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(reply), reply)))
        with pytest.raises(InvalidResponseError):
            client.rerank(**CALL)


@pytest.mark.parametrize("dialect", ["voyage", "", 3])
def test_an_unknown_dialect_is_refused(dialect):
    with pytest.raises(ValueError, match="dialect must be one of 'cohere'"):
        ClientV2("k", dialect=dialect)


@pytest.mark.parametrize(("server", "dialect"), [("vllm", "cohere"), ("Xinference", "jina"), ("llama.cpp", "llamacpp")])
def test_the_name_of_a_server_is_refused_with_its_dialect(server, dialect):
    """The message says which dialect the server has."""
    with pytest.raises(ValueError, match=f"got '{server}'; that server has '{dialect}'"):
        ClientV2("k", dialect=server)


def test_an_infinite_logit_is_a_typed_error():
    body = json.dumps([{"index": 0, "score": -math.inf}]).encode()
    with Server() as server, client_of(server, "sync", dialect="tei", max_retries=0) as client:
        server.script(raw(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)))
        with pytest.raises(InvalidResponseError):
            client.rerank(**CALL)


class Logits(LlamaCpp):
    """Sends the numbers in the documents as scores."""

    def ranked(self, body):
        results = [{"index": i, "relevance_score": float(text)} for i, text in enumerate(body["documents"])]
        return 200, {"results": results}


def test_one_part_with_logits_makes_the_whole_answer_one_of_logits():
    with Logits() as server, client_of(server, "sync", dialect="jina", max_documents_per_request=2) as client:
        response = client.rerank(**{**CALL, "documents": ["0.5", "0.2", "-7", "9"]})
    assert (ranking(response), response.score_scale) == ([3, 0, 1, 2], "logit")


def test_a_server_of_logits_sends_logits_also_where_all_lie_between_0_and_1():
    with Logits() as server, client_of(server, "sync", dialect="llamacpp") as client:
        assert client.rerank(**{**CALL, "documents": ["0.5", "0.2"]}).score_scale == "logit"
