"""Fit the coefficients of a scorer that combines words and vectors, and measure how well they predict.

    python tests/benchmarks/fit_fusion.py semantic --data labelled.jsonl.gz --only '^(?!cisi|cranfield|sib|udhr)'

The data and the samples are those of `fit_calibration.py`. For the semantic scorer, a question is left out if the
vectors do not know its language and the documents are in another one, because no input of the model can find a relevant
document then. The script needs the extra of the scorer, and a quarter of an hour for 1,000 lists, mostly for the
vectors.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.fit_calibration import SAMPLE_SIZES, chances, fit, quality, read

KNOWN_TO_SEMANTIC = {"ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh"}


class Example(NamedTuple):
    """One scored list."""

    group: str
    x: Any  # (documents, coefficients)
    relevant: Any
    weight: float
    whole: bool


def examples(rows: Sequence[dict[str, Any]], scorer: Any, module: Any) -> Iterator[Example]:
    """Score each list and samples of it, with and without relevant documents."""
    rng = random.Random(0)
    for row in rows:
        relevant = sorted(set(row["relevant"]))
        others = [i for i in range(len(row["documents"])) if i not in relevant]
        samples = [([*others, *relevant], 1.0), (others, 1.0)]
        for size in SAMPLE_SIZES:
            samples.append((rng.sample(others, min(size, len(others))), 12 / size))
            samples.append(([*rng.sample(others, min(size - 1, len(others))), rng.choice(relevant)], 12 / size))
        for place, (indices, weight) in enumerate(samples):
            found = scorer.raw_scores(row["query"], [row["documents"][i] for i in indices])
            yield Example(row["set"], np.array(module.features(found)), np.isin(indices, relevant), weight, place < 2)


def fit_examples(lists: Sequence[Example]) -> Any:
    """Fit the coefficients to scored lists."""
    x, y = np.concatenate([some.x for some in lists]), np.concatenate([some.relevant for some in lists])
    return fit(x, y, np.concatenate([np.full(len(some.x), some.weight) for some in lists]))


def main() -> None:
    """Fit, check on the sets that were left out, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", choices=["multilingual", "semantic"])
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--only", default="", help="sets whose name matches this regular expression")
    args = parser.parse_args()
    module = import_module(f"cohere_rerank.local.{args.scorer}")
    scorer = getattr(module, f"{args.scorer.title()}Scorer")()
    rows = read(args.data, args.only)
    if args.scorer == "semantic":
        rows = [row for row in rows if "xling" not in row["set"] or row["lang"] in KNOWN_TO_SEMANTIC]
    lists = list(examples(rows, scorer, module))
    fitted = module.Coefficients(*fit_examples(lists))
    print("FITTED = Coefficients(" + ", ".join(f"{k}={v:.2f}" for k, v in fitted._asdict().items()) + ")")

    # By the length of the list. Each set is predicted with coefficients that were fitted on the others.
    judged: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for group in sorted({some.group for some in lists}):
        beta = fit_examples([some for some in lists if some.group != group])
        for some in lists:
            if some.group == group:
                name = "whole" if some.whole else f"{len(some.x)} documents"
                judged[name] += zip(chances(some.x, beta).tolist(), some.relevant.tolist(), strict=True)
    for name, pairs in judged.items():
        print(f"{name:14s} {quality(pairs)}")


if __name__ == "__main__":
    main()
