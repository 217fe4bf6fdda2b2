"""Measure what a local scorer can and cannot do, as the tables of docs/explanation/local-quality.md.

    python tests/benchmarks/measure_local.py --data labelled.jsonl.gz [--scorer local:semantic] [--worst 8]

The data are JSON Lines, gzipped or not, with `query`, `documents`, `relevant` (indices), `set` and `lang`. The everyday
and the adversarial lists of tests/local/data are always measured too. Each list is one call of the public API. Short
lists are samples of the given lists, each with its answer and once more without it. It prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cohere_rerank import ClientV2
from tests.benchmarks.fit_calibration import quality, read

SHIPPED = Path(__file__).resolve().parents[1] / "local" / "data" / "everyday.jsonl"
SHORT_SIZES = (1, 2, 3, 5, 10)

Score = Callable[[str, Sequence[str]], list[float]]


def scorer_of(address: str) -> Score:
    """Return a function that scores one list through the client."""
    client = ClientV2(base_url=address)

    def score(query: str, documents: Sequence[str]) -> list[float]:
        response = client.rerank(model="local", query=query, documents=list(documents))
        scores = {result.index: result.relevance_score for result in response.results}
        return [scores[index] for index in range(len(documents))]

    return score


def ndcg(scores: Sequence[float], relevant: Sequence[int], k: int = 10) -> float:
    """Return nDCG@10 of binary judgements."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    gain = sum(1 / math.log2(rank + 2) for rank, i in enumerate(order) if i in relevant)
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant))))


def table(title: str, groups: dict[str, list[float]]) -> None:
    """Print the mean of each group."""
    print(f"\n| {title} | lists | nDCG@10 |\n|---|---:|---:|")
    for name in sorted(groups):
        print(f"| {name} | {len(groups[name])} | {sum(groups[name]) / len(groups[name]):.3f} |")


def measure_lists(rows: Iterable[dict[str, Any]], score: Score) -> None:
    """Print nDCG@10 by set and by language."""
    by_set: dict[str, list[float]] = defaultdict(list)
    by_language: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = ndcg(score(row["query"], row["documents"]), row["relevant"])
        by_set[row["set"]].append(value)
        by_language[row["lang"]].append(value)
    table("set", by_set)
    table("language", by_language)


def measure_short(rows: Iterable[dict[str, Any]], score: Score) -> None:
    """Print how well the scores of short lists are calibrated."""
    rng = random.Random(0)
    pairs: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        others = [i for i in range(len(row["documents"])) if i not in row["relevant"]]
        for size in SHORT_SIZES:
            without = rng.sample(others, min(size, len(others)))
            for indices in (without, [*without[: size - 1], rng.choice(row["relevant"])]):
                scores = score(row["query"], [row["documents"][i] for i in indices])
                pairs[size] += zip(scores, [i in row["relevant"] for i in indices], strict=True)
    print("\n| documents in a list | calibration |\n|---:|---|")
    for size, of_size in pairs.items():
        print(f"| {size} | {quality(of_size)} |")


def measure_shipped(score: Score, n_worst: int) -> None:
    """Print how often the answer comes first, and the worst of the wrong documents."""
    wrong: list[tuple[float, str, str]] = []
    counts: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    for row in read(SHIPPED, ""):
        scores = score(row["query"], row["documents"])
        others = [(scores[i], text) for i, text in enumerate(row["documents"]) if i not in row["relevant"]]
        first = scores.index(max(scores)) in row["relevant"]
        kept = any(scores[i] > 0.5 for i in row["relevant"])
        counts[row["set"]].append((first, kept, max(others)[0] > 0.5))
        wrong.append((max(others)[0], row["query"], max(others)[1]))
    print(
        "\n| lists | number | answer first | answer above 0.5 | wrong document above 0.5 |\n|---|---:|---:|---:|---:|"
    )
    for name, results in counts.items():
        first, kept, above = (sum(column) for column in zip(*results, strict=True))
        print(f"| {name} | {len(results)} | {first} | {kept} | {above} |")
    print("\n| score | query | wrong document |\n|---:|---|---|")
    for value, query, text in sorted(wrong, reverse=True)[:n_worst]:
        print(f"| {value:.2f} | {query} | {text} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--only", default="", help="sets whose name matches this regular expression")
    parser.add_argument("--short", default="", help="sets of which short lists are sampled, as --only")
    parser.add_argument("--scorer", default="local:", help="the address of the scorer")
    parser.add_argument("--worst", type=int, default=8, help="how many wrong documents are printed")
    args = parser.parse_args()
    score = scorer_of(args.scorer)
    measure_shipped(score, args.worst)
    for path in args.data:
        measure_lists(read(path, args.only), score)
        measure_short(read(path, args.short or args.only), score)


if __name__ == "__main__":
    main()
