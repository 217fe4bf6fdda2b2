"""The ranker in pipelines of Haystack."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from dataclasses import asdict

import pytest

from cohere_rerank import (
    AsyncClientV2,
    ClientV2,
    InvalidRequestError,
    MissingApiKeyError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tests.fake_server import error, score

pytest.importorskip("haystack", reason="needs haystack")

from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.core.errors import PipelineRuntimeError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret

from cohere_rerank.integrations.haystack import CohereRanker

KEY = "sk-very-secret"
SPANS = {"mode": "enabled"}
TEA = "Some people drink coffee. Green tea is healthy. Trains are late."


def make_documents():
    return [
        Document(content="black coffee", meta={"page": 1}),
        Document(content="green tea", meta={"page": 2}, score=0.1),
        Document(content="a cup of tea"),
    ]


def ranked_ids(documents, query="green tea"):
    """The ids in the order of the server."""
    return [each.id for each in sorted(documents, key=lambda each: -score(query, each.content))]


def rank(ranker, documents, query="green tea", is_async=False, **inputs):
    if is_async:
        return asyncio.run(ranker.run_async(query=query, documents=documents, **inputs))
    return ranker.run(query=query, documents=documents, **inputs)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


@pytest.fixture
def make_ranker(server):
    def make(**options):
        return CohereRanker(**{"model": "m", "api_base_url": server.url, "api_key": Secret.from_token(KEY), **options})

    return make


# The documents ----------------------------------------------------------------------------------


def test_the_best_documents_come_first(server, make_ranker, is_async):
    """A copy has the relevance score, and the caller's id and meta. `meta` says who answered."""
    documents = make_documents()
    outputs = rank(make_ranker(top_k=2), documents, is_async=is_async)
    ranked, meta = outputs["documents"], outputs["meta"]
    assert [each.id for each in ranked] == ranked_ids(documents)[:2]
    assert [each.score for each in ranked] == [score("green tea", each.content) for each in ranked]
    given = {each.id: each for each in documents}
    assert [each.meta for each in ranked] == [given[each.id].meta for each in ranked]
    assert (meta["model"], meta["is_fallback"], meta["score_scale"]) == ("m", False, None)
    assert meta["answered_by"] == server.url.partition("//")[2]
    assert meta["request_id"]
    body = server.requests[0].json
    assert (body["model"], body["query"], body["top_n"]) == ("m", "green tea", 2)


def test_the_documents_of_the_caller_do_not_change(make_ranker, is_async):
    """Neither the list, nor a score, nor meta."""
    documents = make_documents()
    before = copy.deepcopy(list(map(asdict, documents)))
    rank(make_ranker(relevant_spans=SPANS), documents, is_async=is_async)
    assert list(map(asdict, documents)) == before


def test_a_document_without_text_is_left_out(server, make_ranker, is_async):
    """An image does not fail the run, and the other documents keep their places."""
    documents = [Document(content=None), Document(content=" "), *make_documents()[:1]]
    assert [each.content for each in rank(make_ranker(), documents, is_async=is_async)["documents"]] == ["black coffee"]
    assert rank(make_ranker(), documents[:2], is_async=is_async)["documents"] == []
    assert rank(make_ranker(), [], is_async=is_async)["documents"] == []
    assert len(server.requests) == 1


def test_fields_of_meta_are_sent_before_the_text(server, make_ranker):
    """Those that a document has, in the given order, as the official ranker sends them."""
    documents = [Document(content="tea", meta={"a": 1, "b": "x", "c": ""}), Document(content="tea")]
    rank(make_ranker(meta_fields_to_embed=["b", "a", "c"], meta_data_separator=" | "), documents)
    assert server.requests[0].json["documents"] == ["x | 1 | tea", "tea"]


def test_the_number_of_documents_can_be_set_for_each_run(server, make_ranker, is_async):
    """top_k is 10 as in the official ranker; None returns all. min_score leaves out worse documents."""
    documents = [Document(content=f"text {number}") for number in range(12)]
    assert len(rank(make_ranker(), documents, is_async=is_async)["documents"]) == 10
    assert len(rank(make_ranker(), documents, is_async=is_async, top_k=3)["documents"]) == 3
    ranked = rank(make_ranker(top_k=None), documents, is_async=is_async)["documents"]
    assert len(ranked) == 12
    options = {"top_k": None, "min_score": ranked[4].score, "max_tokens_per_doc": 9, "arguments": {"priority": 7}}
    assert len(rank(make_ranker(**options), documents, is_async=is_async)["documents"]) == 5
    assert (server.requests[-1].json["priority"], server.requests[-1].json["max_tokens_per_doc"]) == (7, 9)
    with pytest.raises(InvalidRequestError, match="top_n must be a whole number"):
        rank(make_ranker(), documents, is_async=is_async, top_k=0)


def test_a_long_list_is_not_cut(server, make_ranker, is_async):
    """All of 2,500 documents are ranked, here in three requests."""
    documents = [Document(content=f"text {number}") for number in range(2500)]
    ranker = make_ranker(top_k=None, client_options={"max_documents_per_request": 1000})
    ranked = rank(ranker, documents, is_async=is_async)["documents"]
    assert [each.id for each in ranked] == ranked_ids(documents)
    assert sorted(len(request.json["documents"]) for request in server.requests) == [833, 833, 834]


def test_spans_are_in_the_meta_of_the_copies(is_async):
    """The text stays as it is, and each span is a part of it."""
    ranker = CohereRanker(model="m", api_base_url="local:", relevant_spans=SPANS)
    (best,) = rank(ranker, [Document(content=TEA, meta={"a": 1})], is_async=is_async)["documents"]
    (span,) = best.meta["relevant_spans"]
    assert (best.content, best.meta["a"]) == (TEA, 1)
    assert TEA[span["start"] : span["end"]].strip() == "Green tea is healthy."


# Clients and errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("fallback", "has_scores"), [("local", True), ("keep-order", False)])
def test_a_fallback_is_marked(make_ranker, is_async, fallback, has_scores):
    """When the API cannot answer, the fallback does, and `meta` says so."""
    options = {"fallback": fallback, "max_retries": 0}
    ranker = make_ranker(api_base_url="http://127.0.0.1:9", client_options=options)
    outputs = rank(ranker, make_documents(), is_async=is_async)
    best = outputs["documents"][0]
    assert (outputs["meta"]["is_fallback"], best.score is not None) == (True, has_scores)
    assert best.content == ("green tea" if has_scores else "black coffee")


def test_errors_of_the_client_are_raised_as_they_are(server, make_ranker, is_async):
    """A pipeline makes them the cause of its own error."""
    server.keys = {"other"}
    with pytest.raises(UnauthorizedError):
        rank(make_ranker(), make_documents(), is_async=is_async)
    pipeline = Pipeline()
    pipeline.add_component("ranker", make_ranker())
    inputs = {"ranker": {"query": "tea", "documents": make_documents()}}
    with pytest.raises(PipelineRuntimeError) as caught:
        asyncio.run(pipeline.run_async(inputs)) if is_async else pipeline.run(inputs)
    assert isinstance(caught.value.__cause__, UnauthorizedError)
    server.keys = None
    server.default = error(429, "too many requests")
    with pytest.raises(TooManyRequestsError):
        rank(make_ranker(client_options={"max_retries": 0}), make_documents(), is_async=is_async)


def test_clients_of_the_caller_are_used(server):
    """Each kind of run uses its client. With a blocking client alone, the asynchronous run uses a thread."""
    client, async_client = ClientV2(KEY, base_url=server.url), AsyncClientV2(KEY, base_url=server.url)
    ranker = CohereRanker(model="m", client=client, async_client=async_client)
    rank(ranker, make_documents())
    rank(ranker, make_documents(), is_async=True)
    assert (client.usage.calls, async_client.usage.calls) == (1, 1)
    rank(CohereRanker(model="m", client=client), make_documents(), is_async=True)
    assert client.usage.calls == 2
    ranker.close()  # it does not close what it did not open
    rank(ranker, make_documents())
    client.close()


@pytest.mark.parametrize(
    "wrong",
    [{"top_k": 0}, {"client_options": {"params": {"key": KEY}}}, {"min_score": "high"}, {"api_base_url": "ftp://x"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_settings_are_an_error_at_once(make_ranker, wrong):
    """A pipeline cannot be built with them, and no message shows the key."""
    with pytest.raises(InvalidRequestError) as caught:
        make_ranker(**wrong)
    assert KEY not in str(caught.value)


def test_the_key_is_read_when_the_ranker_warms_up(server, monkeypatch):
    """A pipeline can be built without a key. CO_API_KEY and COHERE_API_KEY are the default."""
    server.keys = {KEY}
    ranker = CohereRanker(model="m", api_base_url=server.url)
    with pytest.raises(MissingApiKeyError):
        ranker.warm_up()
    monkeypatch.setenv("CO_API_KEY", "")  # counts as unset
    monkeypatch.setenv("COHERE_API_KEY", KEY)
    ranker = CohereRanker(model="m", api_base_url=server.url)
    ranker.warm_up()
    assert len(rank(ranker, make_documents())["documents"]) == 3
    monkeypatch.setenv("MINE", KEY)
    ranker = CohereRanker(model="m", api_base_url=server.url, api_key=Secret.from_env_var("MINE"))
    assert len(rank(ranker, make_documents())["documents"]) == 3


def test_a_closed_ranker_opens_its_clients_again(make_ranker):
    """`close` and `close_async` close the connections."""
    ranker = make_ranker()
    ranker.close()
    rank(ranker, make_documents())
    ranker.close()
    assert len(rank(ranker, make_documents())["documents"]) == 3

    async def run():
        await ranker.run_async(query="tea", documents=make_documents())
        await ranker.close_async()
        return await ranker.run_async(query="tea", documents=make_documents())

    assert len(asyncio.run(run())["documents"]) == 3
    ranker.close()


# In pipelines -----------------------------------------------------------------------------------


def test_it_works_between_other_components(make_ranker, is_async):
    """A retriever passes its documents on, and a prompt gets the best ones."""
    store = InMemoryDocumentStore()
    store.write_documents(make_documents())
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store))
    pipeline.add_component("ranker", make_ranker(top_k=1))
    template = "{% for each in documents %}[{{ each.content }}]{% endfor %}"
    pipeline.add_component("prompt", PromptBuilder(template, required_variables=["documents"]))
    pipeline.connect("retriever.documents", "ranker.documents")
    pipeline.connect("ranker.documents", "prompt.documents")
    inputs = {"retriever": {"query": "green tea"}, "ranker": {"query": "green tea"}}
    options = {"include_outputs_from": {"retriever"}}
    outputs = asyncio.run(pipeline.run_async(inputs, **options)) if is_async else pipeline.run(inputs, **options)
    best = max(outputs["retriever"]["documents"], key=lambda each: score("green tea", each.content))
    assert outputs["prompt"]["prompt"] == f"[{best.content}]"
    assert outputs["ranker"]["meta"]["is_fallback"] is False


# Saving -----------------------------------------------------------------------------------------

LOADING = """
import sys
from haystack import Document, Pipeline
pipeline = Pipeline.loads(sys.stdin.read())
documents = [Document(content=text) for text in ("black coffee", "green tea")]
print(pipeline.run({"ranker": {"query": "green tea", "documents": documents}})["ranker"]["documents"][0].content)
"""


def test_a_process_that_only_loads_a_pipeline_needs_no_allow_list():
    """`Pipeline.loads` accepts the saved name, without an import of our module."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", CohereRanker(model="m", api_base_url="local:"))
    done = subprocess.run(
        [sys.executable, "-c", LOADING], input=pipeline.dumps(), capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "green tea\n", done.stderr


def test_a_pipeline_of_the_official_ranker_loads_after_its_name_is_replaced():
    """Both rankers have the same arguments. This is what cohere-haystack 11.0.0 saves."""
    saved = """
components:
  ranker:
    init_parameters:
      api_base_url: https://api.cohere.com
      api_key:
        env_vars:
        - COHERE_API_KEY
        - CO_API_KEY
        strict: true
        type: env_var
      max_tokens_per_doc: 4096
      meta_data_separator: "\\n"
      meta_fields_to_embed: []
      model: rerank-v3.5
      top_k: 10
    type: haystack_integrations.components.rankers.cohere.ranker.CohereRanker
connections: []
metadata: {}
"""
    name = ("rankers.cohere.ranker.CohereRanker", "rankers.cohere_rerank.CohereRanker")
    ranker = Pipeline.loads(saved.replace(*name)).get_component("ranker")
    assert isinstance(ranker, CohereRanker)
    assert (ranker.model, ranker.max_tokens_per_doc) == ("rerank-v3.5", 4096)


def test_it_is_created_again_from_its_dictionary():
    """With all settings. The key is the name of its variable."""
    ranker = CohereRanker(
        model="m",
        top_k=None,
        api_key=Secret.from_env_var("MINE"),
        api_base_url="local:",
        meta_fields_to_embed=["a"],
        meta_data_separator=" ",
        max_tokens_per_doc=9,
        min_score=0.1,
        relevant_spans=SPANS,
        arguments={"priority": 7},
        client_options={"max_retries": 1},
    )
    saved = ranker.to_dict()
    before = copy.deepcopy(saved)
    assert CohereRanker.from_dict(saved).to_dict() == saved == before
    assert saved["init_parameters"]["api_key"] == {"type": "env_var", "env_vars": ["MINE"], "strict": True}


def test_a_key_must_be_a_secret_of_haystack():
    """A text would be part of a saved pipeline. The message does not show it."""
    with pytest.raises(InvalidRequestError, match="must be a Secret of Haystack, got str; pass Secret") as caught:
        CohereRanker("m", api_key=KEY)
    assert KEY not in str(caught.value)


def test_a_key_or_a_client_is_never_saved(make_ranker):
    """A ranker with one of them cannot be saved, because it would load with another."""
    with pytest.raises(ValueError, match="Cannot serialize token-based secret") as caught:
        make_ranker().to_dict()
    assert KEY not in str(caught.value)
    with pytest.raises(InvalidRequestError, match="cannot be saved"):
        CohereRanker(model="m", client=ClientV2(base_url="local:")).to_dict()


def test_a_pickle_uses_the_key_of_the_environment(make_ranker, server, monkeypatch):
    """Neither a pickle nor repr has the key."""
    ranker = make_ranker()
    rank(ranker, make_documents())
    pickled = pickle.dumps(ranker)
    assert KEY not in repr(ranker)
    assert KEY.encode() not in pickled
    server.keys = {"of-environment"}
    monkeypatch.setenv("CO_API_KEY", "of-environment")
    assert len(rank(pickle.loads(pickled), make_documents())["documents"]) == 3


def test_copies_keep_the_key(make_ranker, server, is_async):
    """A deep copy is as good as the original, also after a run."""
    server.keys = {KEY}
    ranker = make_ranker()
    for _ in range(2):
        assert len(rank(copy.deepcopy(ranker), make_documents(), is_async=is_async)["documents"]) == 3
        rank(ranker, make_documents(), is_async=is_async)
