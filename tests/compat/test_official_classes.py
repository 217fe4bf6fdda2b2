"""The official classes of LangChain, LlamaIndex and Haystack call our server by its address."""

from __future__ import annotations

import json

import pytest

from tests import environments
from tests.compat import versions
from tests.server.running_server import RunningServer

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not versions.SUPPORTED, reason=versions.REASON),
]

PROGRAMS = {
    "langchain-cohere": """
from langchain_cohere import CohereRerank
from langchain_core.documents import Document
reranker = CohereRerank(cohere_api_key="the-key", base_url=URL, model="any", top_n=3)
ranked = reranker.compress_documents([Document(page_content=text) for text in TEXTS], QUERY)
show(document.page_content for document in ranked)
""",
    "llama-index-postprocessor-cohere-rerank": """
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
reranker = CohereRerank(api_key="the-key", base_url=URL, model="any", top_n=3)
nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]
show(node.node.get_content() for node in reranker.postprocess_nodes(nodes, query_str=QUERY))
""",
    "cohere-haystack": """
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
ranker = CohereRanker(model="any", top_k=3, api_key=Secret.from_token("the-key"), api_base_url=URL)
ranked = ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])["documents"]
show(document.content for document in ranked)
""",
}
START = """
import json, sys
QUERY, TEXTS, URL = "green tea", ["black coffee", "tea", "green tea"], sys.argv[1]
def show(texts):
    print(json.dumps(list(texts)))
"""


@pytest.mark.parametrize("package", PROGRAMS)
def test_official_class_returns_the_order_of_the_server(package):
    """The class needs the address and a key, and nothing else."""
    environment = environments.get(*versions.pinned([package]))
    with RunningServer(api_keys=("the-key",)) as server:
        printed = environment.run("-c", START + PROGRAMS[package], server.url)
    assert json.loads(printed.splitlines()[-1]) == ["green tea", "tea", "black coffee"]
    versions.check(environment, [package])
