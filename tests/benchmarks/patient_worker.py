"""One client alone in its process. It counts the calls that succeed, and measures how long they take.

    python patient_worker.py {cohere,cohere_rerank} URL SETTINGS CALL_OPTIONS

The last two are JSON: the arguments of the constructor and of each call. ``limit`` is a string or the arguments of a
RateLimit.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time


async def all_at_once(client, n_calls: int, arguments) -> dict[str, float]:
    """Start that many calls together, as with ``asyncio.gather``."""
    started_s, cpu_s = time.perf_counter(), time.process_time()
    answers = await asyncio.gather(*(client.rerank(**arguments) for _ in range(n_calls)), return_exceptions=True)
    cost = {"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s}
    return {"n_succeeded": sum(hasattr(answer, "results") for answer in answers), **cost}


async def main(module_name: str, url: str, settings_json: str, options_json: str) -> None:
    sys.modules["httpx_aiohttp"] = None  # type: ignore[assignment] # the official client would use it by itself
    module, settings = importlib.import_module(module_name), json.loads(settings_json)
    if isinstance(settings.get("limit"), dict):
        settings["limit"] = module.RateLimit(**settings["limit"])
    arguments = {"model": "rerank-v4.0-fast", "query": "tea", "documents": ["green tea", "coffee"]}
    arguments.update(json.loads(options_json))
    client = module.AsyncClientV2(api_key="benchmark", base_url=url, **settings)
    for line in sys.stdin:  # no other task runs meanwhile
        print(json.dumps(await all_at_once(client, json.loads(line)["n_calls"], arguments)), flush=True)
    await client.__aexit__(None, None, None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
