"""``asyncio.run`` inside a running loop, as nest_asyncio allows it in notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cohere_rerank

PROGRAM = """
import asyncio, sys
import nest_asyncio

nest_asyncio.apply()
from cohere_rerank import AsyncClientV2

client = AsyncClientV2("k", base_url=sys.argv[1])
row = {"query": "q", "documents": ["a", "b"]}

async def call():
    return len((await client.rerank(model="m", **row)).results)

async def batch():
    return len([answer async for answer in client.rerank_many([row] * 20, model="m")])

async def closing():
    async with client.with_options() as own:
        await own.rerank(model="m", **row)

async def outer():
    nested = asyncio.run(call()) + asyncio.get_event_loop().run_until_complete(call())
    return nested, await asyncio.gather(*(call() for _ in range(5))), await batch()

print(asyncio.run(outer()), asyncio.run(call()))
if "close" in sys.argv:
    asyncio.run(closing())
"""


@pytest.mark.parametrize("way", ["direct", "proxy", "close"])
def test_nested_loops_end_without_noise(server, way):
    """Calls work on the inner and the outer loop, and nothing is written to stderr when the program ends.

    nest_asyncio never closes its loop, so the connections of the loop are still open then.
    """
    pytest.importorskip("nest_asyncio")
    environment = {**os.environ, "PYTHONPATH": str(Path(cohere_rerank.__file__).parents[1])}
    if way == "proxy":
        environment["HTTP_PROXY"] = server.url  # it answers what it gets
    command = [sys.executable, "-c", PROGRAM, server.url, way]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "(4, [2, 2, 2, 2, 2], 20) 2\n"
