"""Open WebUI and Dify against our server: their requests as they are on the wire, and what they read of the reply.

Neither can be installed beside a test suite, so their requests are written down here. The sources were read in their
public repositories on 2026-11-30: open_webui/retrieval/models/external.py, and dify-official-plugins, models/cohere and
models/openai_api_compatible.
"""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.server.running_server import RunningServer

CHUNKS = ["black coffee", "", "green tea", " \n"]  # with empty chunks, as splitters make them


@pytest.fixture(scope="module")
def server():
    with RunningServer(api_keys=("the-key",)) as running:
        yield running


def post(url, body, **headers):
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer the-key", **headers},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_open_webui_gets_a_score_for_each_chunk(server, path):
    """It sorts the results by index and needs as many scores as it sent chunks."""
    body = {"model": "any", "query": "green tea", "documents": CHUNKS, "top_n": len(CHUNKS)}
    reply = post(f"{server.url}{path}", body, **{"X-OpenWebUI-User-Name": "Ada"})
    scores = [item["relevance_score"] for item in sorted(reply["results"], key=lambda item: item["index"])]
    assert len(scores) == len(CHUNKS)
    assert max(scores) == scores[2]


@pytest.mark.parametrize("top_n", [3, None])
def test_dify_provider_for_cohere_gets_the_texts(server, top_n):
    """It uses the official v1 client with a base URL, and reads `document.text`."""
    cohere = pytest.importorskip("cohere")
    with cohere.Client("the-key", base_url=server.url) as client:
        response = client.rerank(
            query="green tea",
            documents=CHUNKS,
            model="any",
            top_n=top_n,
            return_documents=True,
            request_options={"max_retries": 0},
        )
    assert len(response.results) == (top_n or len(CHUNKS))
    assert [item.document.text for item in response.results] == [CHUNKS[item.index] for item in response.results]
    assert response.results[0].document.text == "green tea"


@pytest.mark.parametrize("further", [{}, {"return_documents": True}])
@pytest.mark.parametrize("prefix", ["", "/v1", "/v2"])
def test_dify_provider_for_compatible_apis_gets_indices_and_scores(server, prefix, further):
    """It adds `/rerank` to its endpoint URL."""
    body = {"model": "any", "query": "green tea", "documents": CHUNKS, "top_n": 3, **further}
    reply = post(f"{server.url}{prefix}/rerank", body)
    assert reply["results"][0]["index"] == 2
    assert all(0 <= item["relevance_score"] <= 1 for item in reply["results"])
