"""The document compressor with LangChain, LangGraph and their callbacks."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import warnings

import pytest

from cohere_rerank import (
    AsyncClientV2,
    ClientV2,
    InvalidRequestError,
    MissingApiKeyError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tests import environments
from tests.fake_server import error, reply, score

pytest.importorskip("langchain_core", reason="needs langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumpd, dumps, load
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from cohere_rerank.integrations.langchain import CohereRerank

KEY = "sk-very-secret"
SPANS = {"mode": "enabled"}
TEA = "Some people drink coffee. Green tea is healthy. Trains are late."


def make_documents():
    return [
        Document(page_content="black coffee", id="c", metadata={"page": 1}),
        Document(page_content="green tea", id="t", metadata={"page": 2, "tags": ["x"]}),
        Document(page_content="a cup of tea", id="u"),
    ]


def ranked_ids(documents, query="green tea"):
    """The ids in the order of the server."""
    return [each.id for each in sorted(documents, key=lambda each: -score(query, each.page_content))]


def compress(reranker, documents, query="green tea", is_async=False, **options):
    if is_async:
        return asyncio.run(reranker.acompress_documents(documents, query, **options))
    return reranker.compress_documents(documents, query, **options)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


@pytest.fixture
def make_reranker(server):
    def make(**options):
        return CohereRerank(**{"model": "m", "base_url": server.url, "api_key": KEY, **options})

    return make


class Recorder(BaseCallbackHandler):
    """Keeps the events of runs."""

    def __init__(self):
        self.events = []

    def on_chain_start(self, serialized, inputs, **details):
        self.events.append(("start", inputs, details))

    def on_chain_end(self, outputs, **details):
        self.events.append(("end", outputs, details))

    def on_chain_error(self, error, **details):
        self.events.append(("error", error, details))

    def of_reranker(self):
        runs = {details["run_id"] for _, _, details in self.events if details.get("name") == "CohereRerank"}
        return [event for event in self.events if event[2]["run_id"] in runs]


class AllDocuments(BaseRetriever):
    """A retriever that returns every document."""

    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


# The documents ----------------------------------------------------------------------------------


def test_the_best_documents_come_first_with_their_ids_and_metadata(server, make_reranker, is_async):
    """A copy has the caller's id and metadata, the score, and the facts of the ranking."""
    documents = make_documents()
    best, second = compress(make_reranker(top_n=2), documents, is_async=is_async)
    assert [best.id, second.id] == ranked_ids(documents)[:2]
    given = next(each for each in documents if each.id == best.id)
    assert best.page_content == given.page_content
    assert best.metadata.items() > given.metadata.items()
    assert best.metadata["relevance_score"] == score("green tea", best.page_content)
    assert best.metadata["relevance_score"] > second.metadata["relevance_score"]
    about = best.metadata["rerank"]
    assert (about["rank"], about["is_fallback"], about["answered_by"]) == (1, False, server.url.partition("//")[2])
    assert about["request_id"]
    assert second.metadata["rerank"]["rank"] == 2
    body = server.requests[0].json
    assert (body["model"], body["query"], body["top_n"]) == ("m", "green tea", 2)
    assert body["documents"] == ["black coffee", "green tea", "a cup of tea"]


def test_the_documents_of_the_caller_do_not_change(make_reranker, is_async):
    """Neither the list, nor a document, nor its metadata."""
    documents = make_documents()
    before = copy.deepcopy(documents)
    compress(make_reranker(relevant_spans=SPANS, spans_in="page_content"), documents, is_async=is_async)
    assert documents == before


def test_a_document_without_text_is_left_out(server, make_reranker, is_async):
    """It does not fail the call, and the other documents keep their places."""
    documents = [Document(page_content=""), Document(page_content="  "), Document(page_content="tea", id="t")]
    assert [each.id for each in compress(make_reranker(), documents, is_async=is_async)] == ["t"]
    assert compress(make_reranker(), [Document(page_content="")], is_async=is_async) == []
    assert len(server.requests) == 1


def test_no_documents_need_no_request(server, make_reranker, is_async):
    """An empty list returns an empty list."""
    assert compress(make_reranker(), [], is_async=is_async) == []
    assert server.requests == []


def test_top_n_and_min_score_limit_the_documents(make_reranker, is_async):
    """top_n is 3 as in langchain-cohere; None returns all. min_score leaves out worse documents."""
    documents = [Document(page_content=f"text {number}") for number in range(5)]
    assert len(compress(make_reranker(), documents, is_async=is_async)) == 3
    ranked = compress(make_reranker(top_n=None), documents, is_async=is_async)
    assert len(ranked) == 5
    limit = ranked[2].metadata["relevance_score"]
    assert len(compress(make_reranker(top_n=None, min_score=limit), documents, is_async=is_async)) == 3


def test_further_arguments_are_sent(server, make_reranker):
    """`arguments` and `max_tokens_per_doc` are those of rerank, and rank_fields can name metadata."""
    arguments = {"priority": 7, "rank_fields": ["metadata.page", "page_content"]}
    compress(make_reranker(max_tokens_per_doc=9, arguments=arguments), make_documents()[:1])
    body = server.requests[0].json
    assert (body["priority"], body["max_tokens_per_doc"]) == (7, 9)
    assert body["documents"] == ["metadata.page: 1\npage_content: black coffee\n"]


def test_spans_are_positions_in_the_metadata(is_async):
    """The text stays as it is, and each span is a part of it."""
    reranker = CohereRerank(model="m", base_url="local:", relevant_spans=SPANS)
    (best,) = compress(reranker, [Document(page_content=TEA)], is_async=is_async)
    (span,) = best.metadata["rerank"]["relevant_spans"]
    assert best.page_content == TEA
    assert TEA[span["start"] : span["end"]].strip() == "Green tea is healthy."
    assert 0 < span["score"] <= 1


def test_spans_can_replace_the_text(is_async):
    """The text of a document becomes that of its spans. A document without spans keeps its text."""
    reranker = CohereRerank(model="m", base_url="local:", relevant_spans=SPANS, spans_in="page_content")
    documents = [Document(page_content="Ships."), Document(page_content=TEA, id="t")]
    best, other = compress(reranker, documents, is_async=is_async)
    assert (best.page_content.strip(), best.id) == ("Green tea is healthy.", "t")
    assert (other.page_content, other.metadata["rerank"]["relevant_spans"]) == ("Ships.", [])


def test_spans_stand_in_the_order_of_the_document_and_overlaps_only_once(server, make_reranker):
    """Spans arrive best first. Those that touch or overlap are one passage."""
    spans = [(8, 10), (0, 4), (2, 6), (3, 5)]
    found = [{"start": start, "end": end, "score": 0.5} for start, end in spans]
    server.script(reply(json={"results": [{"index": 0, "relevance_score": 0.9, "relevant_spans": found}]}))
    reranker = make_reranker(relevant_spans=SPANS, spans_in="page_content")
    (document,) = compress(reranker, [Document(page_content="0123456789")])
    assert document.page_content == "012345\n89"


# Clients and errors -----------------------------------------------------------------------------


def test_a_fallback_is_marked(is_async):
    """When the API cannot answer, the local engine does, and each document says so."""
    options = {"fallback": "local", "max_retries": 0}
    reranker = CohereRerank(model="m", base_url="http://127.0.0.1:9", api_key=KEY, client_options=options)
    best = compress(reranker, make_documents(), is_async=is_async)[0]
    assert (best.id, best.metadata["rerank"]["is_fallback"]) == ("t", True)
    assert best.metadata["rerank"]["answered_by"] == "local-lexical"


def test_documents_without_scores_are_kept(is_async):
    """The fallback "keep-order" has no scores: a min_score cannot leave anything out."""
    options = {"fallback": "keep-order", "max_retries": 0}
    reranker = CohereRerank(
        model="m", base_url="http://127.0.0.1:9", api_key=KEY, client_options=options, min_score=0.9
    )
    kept = compress(reranker, make_documents(), is_async=is_async)
    assert [(each.id, each.metadata["relevance_score"]) for each in kept] == [("c", None), ("t", None), ("u", None)]


def test_errors_of_the_client_are_raised_as_they_are(server, make_reranker, is_async):
    """A program can handle the same classes as with the client."""
    server.keys = {"other"}
    with pytest.raises(UnauthorizedError):
        compress(make_reranker(), make_documents(), is_async=is_async)
    server.keys = None
    server.default = error(429, "too many requests")
    with pytest.raises(TooManyRequestsError):
        compress(make_reranker(client_options={"max_retries": 0}), make_documents(), is_async=is_async)
    with pytest.raises(InvalidRequestError, match="query must not be empty"):
        compress(make_reranker(), make_documents(), query=" ", is_async=is_async)


def test_clients_of_the_caller_are_used(server):
    """Each kind of method uses its client. With a blocking client alone, the asynchronous methods use a thread."""
    client = ClientV2(KEY, base_url=server.url, tag="mine")
    both = AsyncClientV2(KEY, base_url=server.url)
    compress(CohereRerank(model="m", client=client, async_client=both), make_documents())
    compress(CohereRerank(model="m", client=client, async_client=both), make_documents(), is_async=True)
    assert (client.usage.calls, both.usage.calls) == (1, 1)
    compress(CohereRerank(model="m", client=client), make_documents(), is_async=True)
    assert client.usage.calls == 2
    reranker = CohereRerank(model="m", async_client=both)
    with pytest.raises(InvalidRequestError, match=r"needs client=, but only async_client="):
        compress(reranker, make_documents())
    client.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"top_n": 0}, "top_n must be a whole number"),
        ({"arguments": {"top_k": 3}}, "top_k"),
        ({"client_options": {"timeout": "3"}}, "timeout"),
        ({"client_options": {"headers": {"api-key": KEY}}}, "must not contain headers"),
        ({"client_options": {"api_key": KEY}}, "must not contain api_key"),
        ({"client": ClientV2(base_url="local:")}, "have no effect"),
        ({"relevant_spans": {}}, "mode"),
        ({"spans_in": "page_content"}, "needs relevant_spans"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_an_error_at_once(options, error):
    """Nothing waits for the first call, and no message shows the key."""
    with pytest.raises((InvalidRequestError, TypeError), match=error) as caught:
        CohereRerank(**{"model": "m", "api_key": KEY, **options})
    assert KEY not in str(caught.value)


def test_a_missing_key_is_an_error_at_once(monkeypatch):
    """As for a client. The variables of the environment are used if no key is given."""
    with pytest.raises(MissingApiKeyError):
        CohereRerank(model="m")
    monkeypatch.setenv("CO_API_KEY", KEY)
    assert CohereRerank(model="m").api_key is None


def test_the_errors_of_pydantic_do_not_show_the_key():
    """Its errors would show the input, which contains the key."""
    for wrong in ({"tags": 3}, {"top_n": "many"}, {"client": object()}):
        with pytest.raises(ValueError, match="1 validation error") as caught:
            CohereRerank(model="m", cohere_api_key=KEY, **wrong)
        assert KEY not in str(caught.value)


# Many queries -----------------------------------------------------------------------------------


def compress_many(reranker, requests, *, is_async=False, **options):
    if is_async:
        return asyncio.run(reranker.acompress_many(requests, **options))
    return reranker.compress_many(requests, **options)


REQUESTS = [{"query": "tea", "documents": make_documents()}, {"query": "black coffee", "documents": make_documents()}]


def test_many_queries_are_ranked_in_their_order(server, make_reranker, is_async):
    """Each request is a run, and its own arguments have priority."""
    recorder = Recorder()
    requests = [*REQUESTS, {**REQUESTS[0], "top_n": 1}, {"query": "q", "documents": []}]
    first, second, third, fourth = compress_many(make_reranker(), requests, is_async=is_async, callbacks=[recorder])
    assert [each.id for each in first] == ranked_ids(make_documents(), "tea")
    assert [each.id for each in second] == ranked_ids(make_documents(), "black coffee")
    assert (len(third), fourth) == (1, [])
    assert len(server.requests) == 3
    assert sorted(name for name, _, _ in recorder.events) == ["end"] * 4 + ["start"] * 4


def test_a_request_that_fails_raises_or_is_a_value(make_reranker, is_async):
    """By default the first error is raised. return_exceptions returns it in its place. Its run has an error too."""
    requests = [REQUESTS[0], {"query": "", "documents": make_documents()}, REQUESTS[1]]
    recorder = Recorder()
    options = {"is_async": is_async, "callbacks": [recorder]}
    first, error, last = compress_many(make_reranker(), requests, return_exceptions=True, **options)
    assert isinstance(error, InvalidRequestError)
    assert (len(first), len(last)) == (3, 3)
    assert [name for name, _, _ in recorder.events].count("error") == 1
    recorder.events.clear()
    with pytest.raises(InvalidRequestError):
        compress_many(make_reranker(), requests, **options)
    started = {details["run_id"] for name, _, details in recorder.events if name == "start"}
    ended = [details["run_id"] for name, _, details in recorder.events if name != "start"]
    assert (set(ended), len(ended)) == (started, len(started))


def test_many_queries_work_with_a_blocking_client_alone(server):
    """The asynchronous method uses a thread."""
    with ClientV2(KEY, base_url=server.url) as client:
        ranked = compress_many(CohereRerank(model="m", client=client), REQUESTS, is_async=True)
    assert [len(each) for each in ranked] == [3, 3]


# Callbacks --------------------------------------------------------------------------------------


def test_a_call_is_a_run_with_inputs_and_outputs(make_reranker, is_async):
    """Handlers see the query, the documents and the result, with the tags and the metadata of the reranker."""
    recorder = Recorder()
    reranker = make_reranker(tags=["mine"], metadata={"team": "search"})
    documents = make_documents()
    ranked = compress(reranker, documents, is_async=is_async, callbacks=[recorder])
    (start, inputs, details), (end, outputs, _) = recorder.events
    assert (start, inputs) == ("start", {"query": "green tea", "documents": documents})
    assert (details["name"], details["tags"]) == ("CohereRerank", ["mine"])
    assert details["metadata"] == {"team": "search"}
    assert (end, outputs) == ("end", {"documents": ranked})


def test_a_failed_call_is_a_failed_run(server, make_reranker, is_async):
    """Handlers see the error."""
    server.keys = {"other"}
    recorder = Recorder()
    with pytest.raises(UnauthorizedError) as caught:
        compress(make_reranker(), make_documents(), is_async=is_async, callbacks=[recorder])
    assert [(name, value) for name, value, _ in recorder.events][1] == ("error", caught.value)


def test_asynchronous_handlers_are_awaited(make_reranker):
    """An AsyncCallbackHandler sees the run too."""
    seen = []

    class Handler(AsyncCallbackHandler):
        async def on_chain_end(self, outputs, **details):
            seen.append(len(outputs["documents"]))

    compress(make_reranker(), make_documents(), is_async=True, callbacks=[Handler()])
    assert seen == [3]


def test_a_call_without_callbacks_belongs_to_the_run_around_it(make_reranker):
    """A runnable that calls the compressor is the parent of its run, without passing callbacks on."""
    recorder = Recorder()
    reranker = make_reranker()
    chain = RunnableLambda(lambda query: reranker.compress_documents(make_documents(), query))
    chain.invoke("green tea", {"callbacks": [recorder], "tags": ["outer"]})
    start = next(details for name, _, details in recorder.of_reranker() if name == "start")
    outer = next(details for _, _, details in recorder.events if details.get("name") == "RunnableLambda")
    assert start["parent_run_id"] == outer["run_id"]
    assert "outer" in start["tags"]


# In the frameworks ------------------------------------------------------------------------------


def test_it_works_in_a_contextual_compression_retriever(make_reranker, is_async):
    """The run of the compressor is a child of the retriever's."""
    retrievers = pytest.importorskip("langchain_classic.retrievers", reason="needs langchain_classic")
    recorder = Recorder()
    retriever = retrievers.ContextualCompressionRetriever(
        base_compressor=make_reranker(top_n=1), base_retriever=AllDocuments(documents=make_documents())
    )
    config = {"callbacks": [recorder]}
    found = asyncio.run(retriever.ainvoke("green tea", config)) if is_async else retriever.invoke("green tea", config)
    assert [each.id for each in found] == ranked_ids(make_documents())[:1]
    assert [name for name, _, _ in recorder.of_reranker()] == ["start", "end"]
    assert recorder.of_reranker()[0][2]["parent_run_id"] is not None


def test_it_works_in_a_node_of_a_graph(make_reranker, is_async):
    """A node calls it without callbacks, and its run belongs to the run of the node."""
    graphs = pytest.importorskip("langgraph.graph", reason="needs langgraph")
    reranker = make_reranker(top_n=1)

    def rerank(state):
        return {"documents": reranker.compress_documents(state["documents"], state["query"])}

    async def arerank(state, config):  # Python 3.10 does not pass the context on to tasks
        found = await reranker.acompress_documents(state["documents"], state["query"], config.get("callbacks"))
        return {"documents": found}

    builder = graphs.StateGraph(dict)
    builder.add_node("rerank", arerank if is_async else rerank)
    builder.add_edge(graphs.START, "rerank")
    builder.add_edge("rerank", graphs.END)
    graph, recorder = builder.compile(), Recorder()
    given = ({"query": "green tea", "documents": make_documents()}, {"callbacks": [recorder]})
    state = asyncio.run(graph.ainvoke(*given)) if is_async else graph.invoke(*given)
    assert [each.id for each in state["documents"]] == ranked_ids(make_documents())[:1]
    assert recorder.of_reranker()[0][2]["parent_run_id"] is not None


STANDARD_TESTS = """
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from cohere_rerank.integrations.langchain import CohereRerank


class Words(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager, k=5):
        return [Document(page_content=f"{query} {number}") for number in range(k)]


def make(k=4):
    return ContextualCompressionRetriever(
        base_compressor=CohereRerank(model="m", base_url="local:", top_n=k), base_retriever=Words()
    )


class TestReranked(RetrieversIntegrationTests):
    retriever_constructor = staticmethod(make)
    retriever_query_example = "tea"
"""


@pytest.mark.slow
def test_it_passes_the_standard_tests_of_langchain(tmp_path):
    """A compression retriever with the compressor is a retriever by the definition of langchain-tests."""
    environment = environments.get("langchain-classic", "langchain-tests", extras=["langchain"])
    tests = tmp_path / "test_standard.py"
    tests.write_text(STANDARD_TESTS, encoding="utf-8")
    output = environment.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--asyncio-mode=auto", "-p", "no:cohere_rerank", tests),
        cwd=tmp_path,
    )
    assert "5 passed" in output


# Saving -----------------------------------------------------------------------------------------


def test_no_form_of_it_shows_the_key(make_reranker):
    """repr, dumps, dictionaries, JSON and pickles have the settings without the key."""
    reranker = make_reranker(tags=["a"])
    compress(reranker, make_documents())
    forms = [repr(reranker), str(reranker), dumps(reranker), str(reranker.model_dump()), reranker.model_dump_json()]
    assert not [form for form in forms if KEY in form]
    assert KEY.encode() not in pickle.dumps(reranker)


def test_a_dump_of_langchain_can_be_loaded(make_reranker, server):
    """The key is a secret with the name of its variable."""
    reranker = make_reranker(top_n=None, relevant_spans=SPANS, client_options={"max_retries": 1})
    dumped = json.loads(json.dumps(dumpd(reranker)))
    assert dumped["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": ["CO_API_KEY"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `load` is a beta
        loaded = load(
            dumped,
            allowed_objects=[CohereRerank],
            valid_namespaces=["cohere_rerank"],
            secrets_map={"CO_API_KEY": "other"},
        )
    assert loaded.model_dump(exclude={"api_key"}) == reranker.model_dump(exclude={"api_key"})
    server.keys = {"other"}
    assert len(compress(loaded, make_documents())) == 3


def test_a_reranker_with_a_client_is_dumped_as_a_description(make_reranker):
    """A client cannot be saved, and a dump that loads with another client would be wrong."""
    assert dumpd(CohereRerank(model="m", client=ClientV2(base_url="local:")))["type"] == "not_implemented"


def test_a_pickle_uses_the_key_of_the_environment(make_reranker, server, monkeypatch):
    """As for a client. The pickle of a reranker with a client contains the client, without its key."""
    server.keys = {"of-environment"}
    monkeypatch.setenv("CO_API_KEY", "of-environment")
    with ClientV2(KEY, base_url=server.url) as client:
        for reranker in (make_reranker(), CohereRerank(model="m", client=client)):
            pickled = pickle.dumps(reranker)
            assert KEY.encode() not in pickled
            assert len(compress(pickle.loads(pickled), make_documents())) == 3


def test_copies_keep_the_key(make_reranker, server, is_async):
    """A copy within the process is as good as the original."""
    server.keys = {KEY}
    for copied in (copy.copy(make_reranker()), copy.deepcopy(make_reranker()), make_reranker().model_copy(deep=True)):
        assert len(compress(copied, make_documents(), is_async=is_async)) == 3
