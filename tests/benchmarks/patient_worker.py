"""One client alone in its process, whose calls may fail: says how many were answered, and how long that took.

    python patient_worker.py {cohere,cohere_rerank} URL SETTINGS CALL_OPTIONS

The latter two are JSON: arguments of the constructor (``limit`` as a string, or those of a RateLimit) and of each call.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time


async def all_at_once(client, n_calls: int, arguments) -> dict[str, float]:
    """Start so many calls together, as with ``asyncio.gather``."""
    started_s, cpu_s = time.perf_counter(), time.process_time()
    answers = await asyncio.gather(*(client.rerank(**arguments) for _ in range(n_calls)), return_exceptions=True)
    cost = {"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s}
    return {"n_answered": sum(hasattr(answer, "results") for answer in answers), **cost}


async def main(module_name: str, url: str, settings_json: str, options_json: str) -> None:
    sys.modules["httpx_aiohttp"] = None  # type: ignore[assignment] # the official client would take it unasked
    module, settings = importlib.import_module(module_name), json.loads(settings_json)
    if isinstance(settings.get("limit"), dict):
        settings["limit"] = module.RateLimit(**settings["limit"])
    arguments = {"model": "rerank-v4.0-fast", "query": "tea", "documents": ["green tea", "coffee"]}
    arguments.update(json.loads(options_json))
    client = module.AsyncClientV2(api_key="benchmark", base_url=url, **settings)
    for line in sys.stdin:  # nothing else is under way
        print(json.dumps(await all_at_once(client, json.loads(line)["n_calls"], arguments)), flush=True)
    await client.__aexit__(None, None, None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
