"""The costs of a call as ratios, beside those that were recorded: ours, the official client, and the least possible.

    python tests/benchmarks/bench_targets.py [--ours PYTHON] [--theirs PYTHON] [--rounds N] [--record]

A ratio above the recorded one by more than a fifth is marked as a regression. `--record` writes today's ratios to
`recorded.json`, and draws the picture of the documentation. Without --ours and --theirs, pip makes fresh environments
for the first calls, and this interpreter is used for the rest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import bench_cold
from tests.benchmarks.common import HERE, OFFICIAL, OURS, Child, ratio, serving, take_turns
from tests.benchmarks.log_chart import Bars, draw, short

LIMIT = "limit"
RECORDED = HERE / "recorded.json"
PICTURE = HERE.parent.parent / "docs" / "images" / "performance.svg"
MAX_GROWTH = 1.2  # of a ratio; two runs on a busy machine differ by less

Rounds = dict[str, list[float]]  # for each client, one value a round


class Target(NamedTuple):
    """One row: two clients whose ratio counts, what it should be at most (or at least), and the last figure."""

    name: str
    over: str
    goal: float
    unit: str
    is_share: bool = False  # of the limit: more is better


def main() -> None:
    options = parse_arguments(__doc__)
    rows: dict[Target, Rounds] = {}
    for measure in (measure_blocking, measure_threads, measure_async, measure_split, measure_first_calls):
        for target, rounds in measure(options):
            rows[target] = rounds
            print(f"{target.name}: {target.over} {ratio(rounds[OURS], rounds[target.over]):.3f}", file=sys.stderr)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["ratios"] if RECORDED.exists() else {}
    print_rows(rows, recorded)
    if options.record:
        record(rows)


def parse_arguments(doc: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="PYTHON", help="interpreter that has cohere-rerank")
    parser.add_argument("--theirs", metavar="PYTHON", help="interpreter that has cohere")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--record", action="store_true", help="write the ratios and the picture")
    return parser.parse_args()


Measured = list[tuple[Target, Rounds]]


def ours(options: argparse.Namespace, kind: str, url: str, **settings: Any) -> Child:
    return Child(options.ours, "worker.py", "cohere_rerank", kind, url, json.dumps(settings))


def theirs(options: argparse.Namespace, kind: str, url: str) -> Child:
    return Child(options.theirs, "worker.py", "cohere", kind, url)


def limit(options: argparse.Namespace, kind: str, url: str) -> Child:
    return Child(options.ours, "limit_worker.py", kind, url)


def cpu_us(client: Child, **work: int) -> float:
    return client.do(**{"concurrency": 1, **work})["cpu_s"] / work["n_calls"] * 1e6


def rounds_of(options: argparse.Namespace, measures: Mapping[str, Callable[[], float]]) -> Rounds:
    take_turns(1, measures)  # opens the connections
    return take_turns(options.rounds, measures)


def measure_blocking(options: argparse.Namespace) -> Measured:
    """One blocking call after another on an open connection."""
    goals = {(5, 60, 200): (0.10, 6.0), (100, 500, 60): (0.09, None), (1000, 2000, 10): (0.13, None)}
    found: Measured = []
    with (
        serving() as url,
        ours(options, "sync", url, without="orjson") as one,
        ours(options, "sync", url) as fast,
        theirs(options, "sync", url) as other,
        limit(options, "sync", url) as least,
    ):
        clients = {OURS: one, OFFICIAL: other, LIMIT: least}
        for (n, size, n_calls), (goal, goal_to_limit) in goals.items():
            work = {"n_documents": n, "n_characters": size, "n_calls": n_calls}
            name = f"blocking, {n} documents of {size}"
            rounds = rounds_of(options, {who: partial(cpu_us, client, **work) for who, client in clients.items()})
            found.append((Target(name, OFFICIAL, goal, "µs"), rounds))
            if goal_to_limit is not None:
                found.append((Target(f"{name}, to the limit", LIMIT, goal_to_limit, "µs"), rounds))
        with_orjson = {OURS: partial(cpu_us, fast, **work), OFFICIAL: partial(cpu_us, other, **work)}
        found.append((Target(f"{name}, with orjson", OFFICIAL, 0.085, "µs"), rounds_of(options, with_orjson)))
    return found


def measure_threads(options: argparse.Namespace) -> Measured:
    """32 threads on one client."""
    work = {"n_documents": 20, "n_characters": 300, "n_calls": 640, "concurrency": 32}
    with serving() as url, ours(options, "sync", url) as one, theirs(options, "sync", url) as other:
        rounds = rounds_of(options, {OURS: partial(cpu_us, one, **work), OFFICIAL: partial(cpu_us, other, **work)})
    return [(Target("32 threads, one client", OFFICIAL, 0.18, "µs"), rounds)]


def measure_async(options: argparse.Namespace) -> Measured:
    """Many calls in flight, and how many calls a second the machine can do at 50 ms of latency."""
    found: Measured = []
    with (
        serving() as url,
        ours(options, "async", url) as one,
        theirs(options, "async", url) as other,
        limit(options, "async", url) as least,
    ):
        for concurrency, n_calls, goal in ((1, 200, 0.09), (32, 640, 0.04), (256, 768, 0.035)):
            work = {"n_documents": 20, "n_characters": 300, "n_calls": n_calls, "concurrency": concurrency}
            clients = {OURS: one, OFFICIAL: other, LIMIT: least}
            rounds = rounds_of(options, {who: partial(cpu_us, client, **work) for who, client in clients.items()})
            found.append((Target(f"asynchronous, {concurrency} in flight", OFFICIAL, goal, "µs"), rounds))
    work = {"n_documents": 20, "n_characters": 300, "n_calls": 2048, "concurrency": 256}
    with (
        serving(50) as url,
        ours(options, "async", url, max_connections=256) as one,
        limit(options, "async", url) as least,
    ):
        measures = {who: partial(calls_per_s, client, **work) for who, client in {OURS: one, LIMIT: least}.items()}
        rounds = rounds_of(options, measures)
    found.append((Target("256 in flight at 50 ms, share of the limit", LIMIT, 0.85, "calls/s", is_share=True), rounds))
    return found


def calls_per_s(client: Child, **work: int) -> float:
    return work["n_calls"] / client.do(**work)["wall_s"]


def measure_split(options: argparse.Namespace) -> Measured:
    """One call with 100,000 documents, which is sent in parts. Its goal is a time for each document."""
    n = 100_000
    work = {"n_documents": n, "n_characters": 500, "n_calls": 1}
    with serving() as url, ours(options, "sync", url, without="orjson") as one:
        rounds = rounds_of(options, {OURS: lambda: cpu_us(one, **work) / n, "1 µs": lambda: 1.0})
    return [(Target("split call, for each document", "1 µs", 4.5, "µs"), rounds)]


def measure_first_calls(options: argparse.Namespace) -> Measured:
    """A process that makes one call."""
    start = "import asyncio\nfrom {module} import AsyncClientV2\nasync def main():\n"
    make = "    client = AsyncClientV2(api_key='k' * 40, base_url={url!r})\n"
    call = "    response = await client.rerank(model='m', query='q', documents=['a', 'b'])\n"
    codes = {
        "first call, blocking": (bench_cold.CONSTRUCT + bench_cold.CALL, 0.18),
        "first call, asynchronous": (f"{start}{make}{call}    assert response.results\nasyncio.run(main())", 0.24),
    }
    found: Measured = []
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        pythons = {
            OURS: (options.ours or bench_cold.fresh_environment(Path(folder, "ours"), str(HERE.parent.parent))),
            OFFICIAL: (options.theirs or bench_cold.fresh_environment(Path(folder, "theirs"), "cohere")),
        }
        modules = {OURS: "cohere_rerank", OFFICIAL: "cohere"}
        for name, (code, goal) in codes.items():
            measures = {
                who: partial(process_us, python, code.format(module=modules[who], url=url))
                for who, python in pythons.items()
            }
            found.append((Target(name, OFFICIAL, goal, "µs"), rounds_of(options, measures)))
    return found


def process_us(python: str, code: str) -> float:
    return bench_cold.cost(python, code)[0] * 1e3


def print_rows(rows: Mapping[Target, Rounds], recorded: Mapping[str, float]) -> None:
    """Print the table as Markdown."""
    print("\n| | ours | official | limit | ratio | recorded | goal | |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for target, rounds in rows.items():
        today, before = ratio(rounds[OURS], rounds[target.over]), recorded.get(target.name)
        growth = 1.0 if before is None else before / today if target.is_share else today / before
        reached = today >= target.goal if target.is_share else today <= target.goal
        note = "**regression**" if growth > MAX_GROWTH else "" if reached else "goal not reached"
        cells = [short(statistics.median(rounds[who])) if who in rounds else "" for who in (OURS, OFFICIAL, LIMIT)]
        sign, shown = "≥" if target.is_share else "≤", "" if before is None else f"{before:.3g}"
        print(f"| {target.name}, {target.unit} |", " | ".join(cells), f"| **{today:.3g}** | {shown}", end=" | ")
        print(f"{sign} {target.goal:g} | {note} |")


def record(rows: Mapping[Target, Rounds]) -> None:
    """Write the ratios and the times, and draw the picture."""
    ratios = {target.name: round(ratio(rounds[OURS], rounds[target.over]), 4) for target, rounds in rows.items()}
    times = {
        target.name: {who: round(statistics.median(rounds[who]), 3) for who in (OURS, OFFICIAL, LIMIT) if who in rounds}
        for target, rounds in rows.items()
        if target.over == OFFICIAL
    }
    recorded = {"ratios": ratios, "times_us": times}
    RECORDED.write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draw_picture(PICTURE)


def draw_picture(path: Path) -> None:
    """Draw the recorded times."""
    times = json.loads(RECORDED.read_text(encoding="utf-8"))["times_us"]
    bars = [Bars(name, values) for name, values in times.items()]
    path.write_text(draw("CPU time of the client for each call, µs", bars), encoding="utf-8")


if __name__ == "__main__":
    main()
