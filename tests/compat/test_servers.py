"""The recipes for FastAPI and Celery in real servers: a caller that disconnects, and a worker that forks."""

from __future__ import annotations

import json
import re
import socket
import threading

import pytest

from cohere_rerank.errors import BadRequestError
from tests import environments
from tests.compat import versions
from tests.fake_server import hang, reply
from tests.server.running_server import wait_until

PAGE = versions.PAGE.read_text(encoding="utf-8")


def block_of(heading):
    """The first block of code below a heading of the page."""
    return re.search(r"```python\n(.*?)^```", PAGE[PAGE.index(f"\n## {heading}\n") :], re.DOTALL | re.MULTILINE)[1]


async def say_why(_, error):
    """Answer an error of the client with its message."""
    from fastapi.responses import PlainTextResponse

    return PlainTextResponse(error.message, 418)


@pytest.fixture
def application(server, monkeypatch):
    """The address of the recipe's application, which sends its requests to the fake API."""
    pytest.importorskip("fastapi")
    import uvicorn

    monkeypatch.setenv("CO_API_URL", server.url)
    monkeypatch.setenv("CO_API_KEY", "a-key")
    namespace: dict = {}
    exec(compile(block_of("FastAPI"), "frameworks.md", "exec"), namespace)
    namespace["app"].add_exception_handler(BadRequestError, say_why)
    running = uvicorn.Server(uvicorn.Config(namespace["app"], lifespan="on", log_config=None))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: running.started)
        yield listener.getsockname()
        running.should_exit = True
        thread.join()


REQUEST = b"POST /search?query=green+tea HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def test_fastapi_recipe_answers(application, server):
    """Requests share one client, and its connection."""
    for _ in range(3):
        with socket.create_connection(application) as connection:
            connection.sendall(REQUEST)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])[0] in ("black coffee", "green tea")
    assert (len(server.requests), server.n_connections) == (3, 1)


def test_fastapi_recipe_cancels_the_call_of_a_caller_that_disconnects(application, server):
    """The connection to the API is closed, and later callers are served."""
    server.script(hang())
    with socket.create_connection(application) as connection:
        connection.sendall(REQUEST)
        server.wait_until(lambda running: running.n_in_flight == 1)
    server.wait_until(lambda running: running.n_open == 0)
    with socket.create_connection(application) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_fastapi_recipe_lets_handlers_find_an_error(application, server):
    """By its class, and not inside an ExceptionGroup."""
    server.script(reply(400, json={"message": "no such model"}))
    with socket.create_connection(application) as connection:
        connection.sendall(REQUEST)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 418")
    assert answer.endswith(b"no such model")


PREFORK = """
from celery.contrib.testing.worker import start_worker
app.conf.worker_hijack_root_logger = False
with start_worker(app, pool="prefork", concurrency=2, perform_ping_check=False, loglevel="ERROR"):
    results = [rank.delay("green tea", ["black coffee", "green tea"]) for _ in range(20)]
    print([result.get(timeout=60) for result in results])
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not versions.SUPPORTED, reason=versions.REASON)
def test_celery_recipe_works_in_forked_workers(server, tmp_path):
    """The client called the API before the fork, and calls it in each process after it."""
    environment = environments.get(*versions.pinned(["celery"]))
    source = block_of("Celery").replace('broker="memory://"', f'broker="memory://", backend="file://{tmp_path}"')
    url = {"CO_API_URL": server.url, "CO_API_KEY": "a-key"}
    before, after = environment.run_code(source + PREFORK, env=url).splitlines()
    assert json.loads(after) == [json.loads(before)] * 20
    assert len(server.requests) == 21
    assert 2 <= server.n_connections <= 3
