"""Call a running `cohere-rerank serve` with real clients. Each must return the documents in the server's order.

The clients are heavy, so this is a script and not a test. Its last result is in results.md:

    pip install "cohere-rerank[server,cli]" cohere langchain-cohere llama-index-postprocessor-cohere-rerank \
        cohere-haystack litellm
    python tests/compat/frameworks.py            # the table names the clients that are missing
    python tests/compat/frameworks.py --record   # writes results.md too
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

QUERY = "What is the capital of the United States?"
DOCUMENTS = [
    "Carson City is the capital city of the American state of Nevada.",
    "The Commonwealth of the Northern Mariana Islands is a group of islands. Its capital is Saipan.",
    "Washington, D.C. is the capital of the United States. It is a federal district.",
    "Capital punishment has existed in the United States since before it was a country.",
    "Die Hauptstadt von Österreich ist Wien. 東京は日本の首都です。",
]
MODEL = "rerank-v4.0-fast"
KEY = "a-key-for-this-run"
N = len(DOCUMENTS)
RESULTS = Path(__file__).with_name("results.md")


def ours(url: str) -> list[str]:
    import cohere_rerank

    with cohere_rerank.ClientV2(KEY, base_url=url) as client:
        return [DOCUMENTS[item.index] for item in client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS).results]


def cohere_sync(url: str) -> list[str]:
    import cohere

    response = cohere.ClientV2(KEY, base_url=url).rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    return [DOCUMENTS[item.index] for item in response.results]


def cohere_async(url: str) -> list[str]:
    import cohere

    async def rerank() -> list[str]:
        client = cohere.AsyncClientV2(KEY, base_url=url)
        response = await client.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
        return [DOCUMENTS[item.index] for item in response.results]

    return asyncio.run(rerank())


def cohere_v1(url: str) -> list[str]:
    import cohere

    response = cohere.Client(KEY, base_url=url).rerank(
        model=MODEL, query=QUERY, documents=[{"text": text} for text in DOCUMENTS], return_documents=True
    )
    return [item.document.text for item in response.results if item.document is not None]


def langchain(url: str) -> list[str]:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    reranker = CohereRerank(cohere_api_key=KEY, base_url=url, model=MODEL, top_n=N)
    ranked = reranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    return [document.page_content for document in ranked]


def llama_index(url: str) -> list[str]:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    reranker = CohereRerank(api_key=KEY, base_url=url, model=MODEL, top_n=N)
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]
    return [node.node.get_content() for node in reranker.postprocess_nodes(nodes, query_str=QUERY)]


def haystack(url: str) -> list[str]:
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    ranker = CohereRanker(model=MODEL, top_k=N, api_key=Secret.from_token(KEY), api_base_url=url)
    documents = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
    return [document.content for document in documents]


def litellm(url: str) -> list[str]:
    import litellm as library

    response = library.rerank(
        model=f"cohere/{MODEL}", query=QUERY, documents=DOCUMENTS, top_n=N, api_base=url, api_key=KEY
    )
    return [DOCUMENTS[item["index"]] for item in response.results]


def litellm_async(url: str) -> list[str]:
    import litellm as library

    response = asyncio.run(
        library.arerank(model=f"cohere/{MODEL}", query=QUERY, documents=DOCUMENTS, top_n=N, api_base=url, api_key=KEY)
    )
    return [DOCUMENTS[item["index"]] for item in response.results]


CLIENTS: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "cohere.ClientV2": ("cohere", cohere_sync),
    "cohere.AsyncClientV2": ("cohere", cohere_async),
    "cohere.Client (v1)": ("cohere", cohere_v1),
    "langchain-cohere CohereRerank": ("langchain-cohere", langchain),
    "LlamaIndex CohereRerank": ("llama-index-postprocessor-cohere-rerank", llama_index),
    "Haystack CohereRanker": ("cohere-haystack", haystack),
    "litellm.rerank": ("litellm", litellm),
    "litellm.arerank": ("litellm", litellm_async),
}


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start a server as a user does, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cohere_rerank", "serve", "--port", str(port), "--api-key", KEY]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/ready"):
                break
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


def call(package: str, rank: Callable[[str], list[str]], url: str, expected: list[str]) -> tuple[str, str]:
    """Call with one client, and return the version of its package and the result."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-", "not installed"
    try:
        order = rank(url)
    except Exception as error:
        return version, f"failed: {type(error).__name__}: {error}"[:120]
    return version, "same order" if order == expected else "another order"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write results.md")
    record = parser.parse_args().record
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # otherwise litellm downloads a list of prices
    with serving() as url:
        expected = ours(url)
        rows = {name: (package, *call(package, rank, url, expected)) for name, (package, rank) in CLIENTS.items()}
    lines = ["| client | package | result |", "|---|---|---|"]
    lines += [f"| {name} | {package} {version} | {result} |" for name, (package, version, result) in rows.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    if record:
        head = (
            f"# Real clients against `cohere-rerank serve`\n\nRecorded {time.strftime('%Y-%m-%d')} by `frameworks.py`"
        )
        RESULTS.write_text(f"{head}, Python {sys.version.split()[0]}.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(result in ("same order", "not installed") for _, _, result in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
