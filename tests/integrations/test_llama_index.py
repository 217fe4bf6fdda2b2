"""The node postprocessor in query engines and workflows of LlamaIndex."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle

import pytest
from pydantic import Field

from cohere_rerank import (
    AsyncClientV2,
    ClientV2,
    InvalidRequestError,
    MissingApiKeyError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tests.fake_server import error, score

pytest.importorskip("llama_index.core", reason="needs llama_index")

from llama_index.core import SummaryIndex, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from cohere_rerank.integrations.llama_index import CohereRerank, RankedNode

KEY = "sk-very-secret"
SPANS = {"mode": "enabled"}
TEA = "Some people drink coffee. Green tea is healthy. Trains are late."


def make_nodes():
    texts = {"c": "black coffee", "t": "green tea", "u": "a cup of tea"}
    return [NodeWithScore(node=TextNode(id_=name, text=text), score=0.5) for name, text in texts.items()]


def ranked_ids(nodes, query="green tea"):
    """The ids in the order of the server."""
    return [each.node_id for each in sorted(nodes, key=lambda each: -score(query, each.text))]


def postprocess(reranker, nodes, query="green tea", is_async=False):
    if is_async:
        return asyncio.run(reranker.apostprocess_nodes(nodes, query_str=query))
    return reranker.postprocess_nodes(nodes, query_str=query)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


@pytest.fixture
def make_reranker(server):
    def make(**options):
        return CohereRerank(**{"model": "m", "base_url": server.url, "api_key": KEY, **options})

    return make


# The nodes --------------------------------------------------------------------------------------


def test_the_best_nodes_come_first_with_the_facts_of_the_ranking(server, make_reranker, is_async):
    """A returned node has the relevance score, its score before, and the node of the caller."""
    nodes = make_nodes()
    ranked = postprocess(make_reranker(), nodes, is_async=is_async)
    assert [each.node_id for each in ranked] == ranked_ids(nodes)[:2]
    best = ranked[0]
    assert isinstance(best, RankedNode)
    assert best.node is next(each.node for each in nodes if each.node_id == best.node_id)
    assert (best.score, best.retrieval_score) == (score("green tea", best.text), 0.5)
    assert (best.rank, best.is_fallback, best.answered_by) == (1, False, server.url.partition("//")[2])
    assert best.request_id
    body = server.requests[0].json
    assert (body["model"], body["query"], body["top_n"]) == ("m", "green tea", 2)


def test_the_nodes_of_the_caller_do_not_change(make_reranker, is_async):
    """Neither the list, nor a score, nor the metadata of a node."""
    nodes = make_nodes()
    before = [each.model_dump_json() for each in nodes]
    postprocess(make_reranker(relevant_spans=SPANS), nodes, is_async=is_async)
    assert [each.model_dump_json() for each in nodes] == before


def test_a_node_without_text_is_left_out(server, make_reranker, is_async):
    """An image without text does not fail the call, and the other nodes keep their places."""
    nodes = [NodeWithScore(node=ImageNode()), *make_nodes()[:1]]
    assert [each.node_id for each in postprocess(make_reranker(), nodes, is_async=is_async)] == ["c"]
    assert postprocess(make_reranker(), nodes[:1], is_async=is_async) == []
    assert postprocess(make_reranker(), [], is_async=is_async) == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (None, "title: Drinks\n\ntea"),
        (MetadataMode.EMBED, "title: Drinks\n\ntea"),
        (MetadataMode.ALL, "title: Drinks\npath: /x\n\ntea"),
        (MetadataMode.NONE, "tea"),
    ],
)
def test_the_metadata_mode_chooses_what_is_sent(server, make_reranker, mode, text):
    """By default a node is sent as for its embedding."""
    metadata = {"title": "Drinks", "path": "/x"}
    node = TextNode(text="tea", metadata=metadata, excluded_embed_metadata_keys=["path"])
    options = {} if mode is None else {"metadata_mode": mode}
    postprocess(make_reranker(**options), [NodeWithScore(node=node)])
    assert server.requests[0].json["documents"] == [text]


def test_top_n_min_score_and_further_arguments(server, make_reranker, is_async):
    """top_n is 2 as in the official class; None returns all. Other arguments are those of rerank."""
    nodes = [NodeWithScore(node=TextNode(text=f"text {number}")) for number in range(5)]
    assert len(postprocess(make_reranker(), nodes, is_async=is_async)) == 2
    ranked = postprocess(make_reranker(top_n=None), nodes, is_async=is_async)
    assert len(ranked) == 5
    options = {"top_n": None, "min_score": ranked[2].score, "max_tokens_per_doc": 9, "arguments": {"priority": 7}}
    assert len(postprocess(make_reranker(**options), nodes, is_async=is_async)) == 3
    assert (server.requests[-1].json["priority"], server.requests[-1].json["max_tokens_per_doc"]) == (7, 9)


def test_spans_refer_to_the_text_that_was_sent(is_async):
    """A returned node has the positions and the texts of its spans."""
    reranker = CohereRerank(model="m", base_url="local:", relevant_spans=SPANS)
    node = TextNode(text=TEA, metadata={"title": "Drinks"})
    (best,) = postprocess(reranker, [NodeWithScore(node=node)], is_async=is_async)
    (span,) = best.relevant_spans
    sent = node.get_content(metadata_mode=MetadataMode.EMBED)
    assert [sent[span.start : span.end]] == best.span_texts
    assert best.span_texts[0].strip() == "Green tea is healthy."


# Clients and errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("fallback", "has_scores"), [("local", True), ("keep-order", False)])
def test_a_fallback_is_marked(is_async, fallback, has_scores):
    """When the API cannot answer, the fallback does, and each node says so."""
    options = {"fallback": fallback, "max_retries": 0}
    reranker = CohereRerank(model="m", base_url="http://127.0.0.1:9", api_key=KEY, client_options=options)
    best = postprocess(reranker, make_nodes(), is_async=is_async)[0]
    assert (best.is_fallback, best.score is not None) == (True, has_scores)
    assert best.node_id == ("t" if has_scores else "c")


def test_errors_of_the_client_are_raised_as_they_are(server, make_reranker, is_async):
    """A program can handle the same classes as with the client."""
    server.keys = {"other"}
    with pytest.raises(UnauthorizedError):
        postprocess(make_reranker(), make_nodes(), is_async=is_async)
    server.keys = None
    server.default = error(429, "too many requests")
    with pytest.raises(TooManyRequestsError):
        postprocess(make_reranker(client_options={"max_retries": 0}), make_nodes(), is_async=is_async)


def test_a_call_needs_a_query(make_reranker):
    """LlamaIndex allows calls without one."""
    with pytest.raises(InvalidRequestError, match="the query is missing"):
        make_reranker().postprocess_nodes(make_nodes())
    assert len(make_reranker().postprocess_nodes(make_nodes(), query_bundle=QueryBundle("tea"))) == 2


def test_clients_of_the_caller_are_used(server):
    """Each kind of method uses its client. With a blocking client alone, the asynchronous methods use a thread."""
    client, async_client = ClientV2(KEY, base_url=server.url), AsyncClientV2(KEY, base_url=server.url)
    reranker = CohereRerank(model="m", client=client, async_client=async_client)
    postprocess(reranker, make_nodes())
    postprocess(reranker, make_nodes(), is_async=True)
    assert (client.usage.calls, async_client.usage.calls) == (1, 1)
    postprocess(CohereRerank(model="m", client=client), make_nodes(), is_async=True)
    assert client.usage.calls == 2
    client.close()


def test_wrong_settings_are_an_error_at_once(monkeypatch):
    """Nothing waits for the first call, and no message shows the key."""
    for wrong in ({"top_n": 0}, {"client_options": {"proxy": f"http://u:{KEY}@p"}}, {"client": ClientV2("k")}):
        with pytest.raises(InvalidRequestError) as caught:
            CohereRerank(**{"model": "m", "api_key": KEY, **wrong})
        assert KEY not in str(caught.value)
    with pytest.raises(ValueError, match="1 validation error") as caught_by_pydantic:
        CohereRerank(model="m", api_key=KEY, top_n="many")
    assert KEY not in str(caught_by_pydantic.value)
    with pytest.raises(MissingApiKeyError):
        CohereRerank(model="m")
    monkeypatch.setenv("COHERE_API_KEY", KEY)
    CohereRerank(model="m")


# Instrumentation --------------------------------------------------------------------------------


class Events(BaseEventHandler):
    """Keeps the events of the dispatcher."""

    seen: list = Field(default_factory=list)

    def handle(self, event, **_):
        self.seen.append(event)


@pytest.fixture
def dispatcher():
    """The root dispatcher, with handlers for the time of the test."""
    root = get_dispatcher()
    handlers = (list(root.event_handlers), list(root.span_handlers))
    yield root
    root.event_handlers, root.span_handlers = handlers


def test_a_call_dispatches_its_start_and_end_within_a_span(make_reranker, dispatcher, is_async):
    """Observers of LlamaIndex see the query, the model and the nodes before and after."""
    events, spans = Events(), SimpleSpanHandler()
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    nodes = make_nodes()
    ranked = postprocess(make_reranker(top_n=None), nodes, is_async=is_async)
    start, end = events.seen
    assert isinstance(start, ReRankStartEvent)
    assert (start.query.query_str, start.model_name, start.top_n, start.nodes) == ("green tea", "m", 3, nodes)
    assert isinstance(end, ReRankEndEvent)
    assert end.nodes == ranked
    assert start.span_id == end.span_id
    name = "_apostprocess_nodes" if is_async else "_postprocess_nodes"
    assert any(f"CohereRerank.{name}" in each.id_ for each in spans.completed_spans)


def test_a_failed_call_dispatches_no_end(server, make_reranker, dispatcher, is_async):
    """Its span is dropped with the error."""
    events, spans = Events(), SimpleSpanHandler()
    dispatcher.add_event_handler(events)
    dispatcher.add_span_handler(spans)
    server.keys = {"other"}
    with pytest.raises(UnauthorizedError):
        postprocess(make_reranker(), make_nodes(), is_async=is_async)
    assert [type(event).__name__ for event in events.seen if "ReRank" in type(event).__name__] == ["ReRankStartEvent"]
    assert len(spans.dropped_spans) == 1


def test_the_callback_manager_sees_the_reranking(make_reranker, is_async):
    """Handlers of the older callbacks get the event of the type RERANKING, as from the official class."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    postprocess(make_reranker(callback_manager=CallbackManager([debug])), make_nodes(), is_async=is_async)
    start, end = debug.get_event_pairs("reranking")[0]
    assert start.payload["query_str"] == "green tea"
    assert len(end.payload["nodes"]) == 2


# In the framework -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["summary", "vectors"])
def test_it_works_in_a_query_engine(make_reranker, is_async, kind):
    """The sources of an answer are the ranked nodes, and no fact of the ranking is in the prompt."""
    nodes = [each.node for each in make_nodes()]
    if kind == "summary":
        index, options = SummaryIndex(nodes=nodes), {}
    else:
        index, options = VectorStoreIndex(nodes=nodes, embed_model=MockEmbedding(embed_dim=3)), {"similarity_top_k": 3}
    engine = index.as_query_engine(llm=MockLLM(), node_postprocessors=[make_reranker()], **options)
    response = asyncio.run(engine.aquery("green tea")) if is_async else engine.query("green tea")
    assert [each.node_id for each in response.source_nodes] == ranked_ids(make_nodes())[:2]
    assert [each.rank for each in response.source_nodes] == [1, 2]
    assert "rank" not in str(response)  # the model echoes its prompt
    assert "green tea" in str(response)


def test_it_works_in_a_workflow(make_reranker):
    """A step awaits it."""
    reranker = make_reranker()

    class Search(Workflow):
        @step
        async def rerank(self, event: StartEvent) -> StopEvent:
            ranked = await reranker.apostprocess_nodes(event.nodes, query_str=event.query)
            return StopEvent(result=ranked)

    async def run():
        return await Search().run(query="green tea", nodes=make_nodes())

    assert [each.node_id for each in asyncio.run(run())] == ranked_ids(make_nodes())[:2]


# Saving -----------------------------------------------------------------------------------------


def test_no_form_of_it_shows_the_key(make_reranker):
    """repr, dictionaries, JSON and pickles have the settings without the key."""
    reranker = make_reranker()
    postprocess(reranker, make_nodes())
    forms = [repr(reranker), str(reranker), str(reranker.to_dict()), reranker.to_json(), str(reranker.model_dump())]
    assert not [form for form in forms if KEY in form]
    assert KEY.encode() not in pickle.dumps(reranker)


def test_it_is_created_again_from_its_dictionary(make_reranker, server, monkeypatch):
    """With the key of the environment, and the same settings."""
    reranker = make_reranker(top_n=None, metadata_mode=MetadataMode.NONE, client_options={"max_retries": 1})
    server.keys = {"of-environment"}
    monkeypatch.setenv("CO_API_KEY", "of-environment")
    for settings in (reranker.to_dict(), json.loads(reranker.to_json())):
        loaded = CohereRerank.from_dict(settings)
        assert loaded.to_dict() == reranker.to_dict()
        assert len(postprocess(loaded, make_nodes())) == 3


def test_a_pickle_keeps_the_client_without_its_key(make_reranker, server, monkeypatch):
    """The process that loads it uses the key of its environment."""
    server.keys = {"of-environment"}
    monkeypatch.setenv("CO_API_KEY", "of-environment")
    client = ClientV2(KEY, base_url=server.url, tag="mine")
    for reranker in (make_reranker(), CohereRerank(model="m", client=client)):
        pickled = pickle.dumps(reranker)
        assert KEY.encode() not in pickled
        assert len(postprocess(pickle.loads(pickled), make_nodes())) == 2
    client.close()


def test_a_pickle_without_a_key_loads_and_its_first_call_says_so(make_reranker):
    """As for a client."""
    loaded = pickle.loads(pickle.dumps(make_reranker()))
    with pytest.raises(MissingApiKeyError):
        postprocess(loaded, make_nodes())


def test_copies_keep_the_key(make_reranker, server, is_async):
    """A copy within the process is as good as the original."""
    server.keys = {KEY}
    for copied in (copy.copy(make_reranker()), copy.deepcopy(make_reranker()), make_reranker().model_copy(deep=True)):
        assert len(postprocess(copied, make_nodes(), is_async=is_async)) == 2


def test_a_ranked_node_is_saved_with_its_facts(make_reranker):
    """As a dictionary, as a pickle and as a copy."""
    best = postprocess(make_reranker(relevant_spans=SPANS), make_nodes())[0]
    saved = best.to_dict()
    assert (saved["class_name"], saved["rank"], saved["request_id"]) == ("RankedNode", 1, best.request_id)
    assert pickle.loads(pickle.dumps(best)) == best
    assert copy.deepcopy(best) == best
