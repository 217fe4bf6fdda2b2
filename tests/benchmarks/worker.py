"""One client alone in its process. It reads tasks, a line of JSON each, and writes what each task cost.

    python worker.py {cohere,cohere_rerank} {sync,async,aiohttp,stream}[:{httpx,httpx2}] URL [SETTINGS]

`sync:httpx2` makes the client with `httpx_client=httpx2.Client()`. SETTINGS are further ones of the client, in JSON.
Their `without` names a package to do without. Threads use a blocking client if the concurrency is above 1. The worker
needs only the standard library and the client, so every environment can run it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import math
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

PHRASE = "paris is the capital of france — café naïve “quoted” über and a few more words to fill a line or two "


def texts(n_documents: int, n_characters: int) -> list[str]:
    """Documents of a length, all different, with a few characters outside of ASCII."""
    filler = PHRASE * (n_characters // len(PHRASE) + 2)
    return [f"{n}: {filler[n % len(PHRASE) :]}"[:n_characters] for n in range(n_documents)]


def measured(run) -> dict[str, float]:
    """CPU time of this process, elapsed time, and the memory afterwards."""
    gc.collect()
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    cost = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - clock}
    return {**cost, "resident_mb": resident_mb()}


def resident_mb() -> float:
    """Memory of this process now. NaN if the system has no /proc."""
    try:
        n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return math.nan
    return n_pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def one_after_another(client, n_calls: int, concurrency: int, arguments) -> None:
    """Make blocking calls, in as many threads as the concurrency says."""

    def make_calls(n: int) -> None:
        for _ in range(n):
            response = client.rerank(**arguments)
        assert len(response.results) == len(arguments["documents"])

    if concurrency == 1:
        make_calls(n_calls)
        return
    threads = [threading.Thread(target=make_calls, args=(n_calls // concurrency,)) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def all_at_once(client, n_calls: int, concurrency: int, arguments) -> None:
    """Make the calls, with *concurrency* of them in flight."""
    calls = iter(range(n_calls))

    async def task():
        for _ in calls:
            response = await client.rerank(**arguments)
            assert len(response.results) == len(arguments["documents"])

    await asyncio.gather(*(task() for _ in range(concurrency)))


async def streamed(client, n_calls: int, concurrency: int, arguments) -> None:
    """Make the calls with our own ``rerank_many``."""
    rows = ({"id": n} for n in range(n_calls))
    async for _, response in client.rerank_many(rows, concurrency=concurrency, **arguments):
        assert len(response.results) == len(arguments["documents"])


def serve(run, client) -> None:
    """Do the tasks from the standard input."""
    for line in sys.stdin:
        task = json.loads(line)
        documents = texts(task["n_documents"], task["n_characters"])
        arguments = {"model": "rerank-v4.0-fast", "query": "What is the capital of France?", "documents": documents}
        cost = measured(partial(run, client, task["n_calls"], task["concurrency"], arguments))
        print(json.dumps(cost), flush=True)


def main(module_name: str, kind: str, url: str, more: str = "{}") -> None:
    kind, _, library = kind.partition(":")
    if kind != "aiohttp":  # the official client uses aiohttp by itself if it is installed
        sys.modules["httpx_aiohttp"] = None  # type: ignore[assignment]
    settings = {"api_key": "k" * 40, "base_url": url, **json.loads(more)}  # as long as Cohere's
    if without := settings.pop("without", None):
        sys.modules[without] = None  # type: ignore[assignment]
    module = importlib.import_module(module_name)
    if kind == "sync":
        if library:
            settings["httpx_client"] = importlib.import_module(library).Client(timeout=300)
        with module.ClientV2(**settings) as client:
            serve(one_after_another, client)
        return
    loop = asyncio.new_event_loop()

    async def start():
        if kind == "aiohttp":
            settings["httpx_client"] = module.DefaultAioHttpClient()
        elif library:
            settings["httpx_client"] = importlib.import_module(library).AsyncClient(timeout=300)
        return module.AsyncClientV2(**settings)

    client = loop.run_until_complete(start())
    run = streamed if kind == "stream" else all_at_once
    serve(lambda *work: loop.run_until_complete(run(*work)), client)
    loop.run_until_complete(client.__aexit__(None, None, None))
    loop.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
