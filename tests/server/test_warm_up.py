"""What a server does before its first request."""

from __future__ import annotations

import subprocess
import sys

from tests.server.running_server import RunningServer

# The server in a thread of its own, with a client that imports nothing which the server could need.
FILES_OF_FIRST_RANKING = """
import asyncio, http.client, json, sys
import uvicorn
from cohere_rerank.server import create_app
from cohere_rerank.server.listener import bind
from cohere_rerank.server.run import uvicorn_options

opened = []

def post(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status

async def main():
    socket = bind("127.0.0.1", 0)
    port = socket.getsockname()[1]
    options = {**uvicorn_options("127.0.0.1", 0), "log_config": None}
    server = uvicorn.Server(uvicorn.Config(create_app(), lifespan="on", **options))
    serving = asyncio.create_task(server.serve([socket]))
    while not server.started:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(post, port, "/unknown", "{}")  # the imports of the client
    sys.addaudithook(lambda event, values: opened.append(values[0]) if event in ("open", "import") else None)
    body = json.dumps({"model": "m", "query": "capital of France", "documents": ["Paris", "a train"]})
    status = await asyncio.to_thread(post, port, "/v2/rerank", body)
    print(status, opened)
    server.should_exit = True
    await serving

asyncio.run(main())
"""


def test_the_first_ranking_reads_no_file():
    """The data and the imports of the lexical scorer are read at the start. The first caller does not wait for them."""
    done = subprocess.run(
        [sys.executable, "-c", FILES_OF_FIRST_RANKING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("200 []\n", "")


def test_the_callers_own_scorer_is_not_called_at_the_start():
    """A function of the caller may cost money, or count its calls."""
    queries = []

    def scorer(query, documents):
        queries.append(query)
        return [0.5] * len(documents)

    with RunningServer(scorer=scorer) as running:
        assert running.post().status_code == 200
    assert queries == ["green tea"]
