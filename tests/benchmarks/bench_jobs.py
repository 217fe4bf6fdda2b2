"""CPU time of a file job for each row, beside plain calls with the same rows.

    python tests/benchmarks/bench_jobs.py [ROUNDS]

A row has 5 documents of 60 characters. The job of a server has 32 requests in flight, and so have the plain tasks. The
local job has one process. The measures take turns in one process. A time is the median of the rounds, and a ratio is
the median of the ratios of the rounds. This takes a minute.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cohere_rerank import AsyncClientV2, ClientV2
from cohere_rerank.jobs import run_job
from tests.benchmarks.common import serving

N_ROWS = 3000


def write_input(path: Path) -> None:
    with path.open("w") as file:
        for number in range(N_ROWS):
            text = "return an order within thirty days, with the receipt " * 2
            documents = [f"{number} {n} {text}"[:60] for n in range(5)]
            json.dump({"id": f"row {number}", "query": "how to return an order", "documents": documents}, file)
            file.write("\n")


def read_input(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def job(folder: Path, url: str) -> None:
    output = folder / "out.jsonl"
    run_job(folder / "in.jsonl", output, client=AsyncClientV2("key", base_url=url), model="m", processes=1)
    output.unlink()
    output.with_name("out.jsonl.job").unlink()


def plain_tasks(folder: Path, url: str) -> None:
    async def main() -> None:
        rows = iter(read_input(folder / "in.jsonl"))
        async with AsyncClientV2("key", base_url=url) as client:

            async def work() -> None:
                for row in rows:
                    await client.rerank(model="m", query=str(row["query"]), documents=row["documents"])  # type: ignore[arg-type]

            await asyncio.gather(*(work() for _ in range(32)))

    asyncio.run(main())


def plain_local(folder: Path, url: str) -> None:
    with ClientV2(base_url=url) as client:
        for row in read_input(folder / "in.jsonl"):
            client.rerank(model="m", query=str(row["query"]), documents=row["documents"])  # type: ignore[arg-type]


def main(n_rounds: int) -> None:
    """Print a row for each address."""
    with serving() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "in.jsonl")
        plain: dict[str, Callable[[Path, str], None]] = {url: plain_tasks, "local:": plain_local}
        print("| CPU, µs per row | job | plain calls | ratio |\n|---|---:|---:|---:|")
        for address, plain_calls in plain.items():
            rounds = []
            for _ in range(n_rounds):
                times = []
                for work in (job, plain_calls):
                    start_s = time.process_time()
                    work(folder, address)
                    times.append((time.process_time() - start_s) / N_ROWS * 1e6)
                rounds.append(times)
            of_job, of_calls = (statistics.median(times) for times in zip(*rounds, strict=True))
            ratio = statistics.median(one / other for one, other in rounds)
            title = "local" if address == "local:" else "loopback server"
            print(f"| {title} | {of_job:.0f} | {of_calls:.0f} | **{ratio:.2f}** |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
