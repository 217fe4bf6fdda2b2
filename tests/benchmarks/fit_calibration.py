"""Fit the coefficients of `cohere_rerank.local.calibration`, and measure how well they predict.

    python tests/benchmarks/fit_calibration.py --only '^(?!cisi|cranfield|sib-neighbour|udhr)'
        --data labelled.jsonl.gz

The data are JSON Lines, gzipped or not, with `query`, `documents`, `relevant` (indices) and `set`, or with `queries` in
place of `query` and `relevant`. Each list is used as it is, and once more without its relevant documents, so half of
all lists have no relevant document. Samples of 1 to 10 documents of both show what a score means in a short list. The
script prints the lines for calibration.py, and the quality on sets that were left out of the fit.

Lists in another language or script than the query (sets with "xling" in their name) are fitted apart. The numbers of
calibration.py for them are of an earlier fit, with a lower constant: with those that the script prints now, a chance
match in another script reaches 0.67. The script needs numpy, and some minutes for 1,000 lists.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cohere_rerank.local.calibration import Coefficients, Evidence, ForeignCoefficients, calibrate, features
from cohere_rerank.local.lexical import raw_scores

SAMPLE_SIZES = (1, 2, 3, 5, 10)
N_BINS = 15


class Example(NamedTuple):
    """One scored list."""

    group: str
    raw: list[float]
    evidence: Evidence
    relevant: list[bool]
    weight: float
    whole: bool


def read(path: Path, only: str) -> list[dict[str, Any]]:
    """Read the labelled lists of the sets that match."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    lines = [json.loads(line) for line in text.split("\n") if line.strip()]
    rows = [{**line, **query} for line in lines for query in line.get("queries", [{}])]
    return [row for row in rows if re.search(only, row.get("set", ""))]


def examples(rows: list[dict[str, Any]]) -> Iterator[Example]:
    """Score each list and samples of it, with and without relevant documents."""
    rng = random.Random(0)
    for row in rows:
        relevant = sorted(set(row["relevant"]))
        others = [i for i in range(len(row["documents"])) if i not in relevant]
        yield scored(row, [*others, *relevant], 1.0, whole=True)
        yield scored(row, others or row["documents"], 1.0, whole=True)
        if not relevant or not others:
            continue
        for size in SAMPLE_SIZES:
            weight = 12 / size
            yield scored(row, rng.sample(others, min(size, len(others))), weight, whole=False)
            answered = [*rng.sample(others, min(size - 1, len(others))), rng.choice(relevant)]
            yield scored(row, answered, weight, whole=False)


def scored(row: dict[str, Any], indices: list[int], weight: float, *, whole: bool) -> Example:
    """Score some documents of a list."""
    raw, evidence = raw_scores(row["query"], [row["documents"][i] for i in indices])
    relevant = [i in row["relevant"] for i in indices]
    return Example(row.get("set", ""), raw, evidence, relevant, weight, whole)


def inputs(example: Example) -> list[list[float]]:
    """Return the inputs of the model for each document of a list."""
    constant, *others = features(example.raw, example.evidence)
    top = max(example.raw)
    return [[constant, score - top, *others] for score in example.raw]


def fit_examples(lists: Sequence[Example]) -> list[float]:
    """Fit the coefficients to scored lists."""
    x = np.array([row for example in lists for row in inputs(example)])
    y = np.array([relevant for example in lists for relevant in example.relevant], float)
    weight = np.concatenate([np.full(len(example.raw), example.weight) for example in lists])
    return [round(float(value), 2) for value in fit(x, y, weight)]


def fit(x: Any, y: Any, weight: Any, steps: int = 15) -> Any:
    """Logistic regression by Newton's method, with a little ridge regularization."""
    beta = np.zeros(x.shape[1])
    for _ in range(steps):
        p = chances(x, beta)
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(beta))
        beta += np.linalg.solve(curve, x.T @ (weight * (y - p)) - 1e-3 * beta)
    return beta


def chances(x: Any, beta: Any) -> Any:
    """The prediction of the model for each row."""
    return 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))


def quality(pairs: Sequence[tuple[float, bool]]) -> str:
    """Brier score and expected calibration error of (chance, outcome) pairs."""
    brier = sum((p - y) ** 2 for p, y in pairs) / len(pairs)
    bins = defaultdict(list)
    for p, y in pairs:
        bins[min(N_BINS - 1, int(p * N_BINS))].append((p, y))
    ece = sum(abs(sum(p for p, _ in b) - sum(y for _, y in b)) for b in bins.values()) / len(pairs)
    base = sum(y for _, y in pairs) / len(pairs)
    return f"Brier {brier:.5f} (a constant: {base * (1 - base):.5f})  ECE {ece:.4f}  relevant {base:.4f}"


def main() -> None:
    """Fit, check on the sets that were left out, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, nargs="+")
    parser.add_argument("--only", default="", help="sets whose name matches this regular expression")
    args = parser.parse_args()
    rows = [row for path in args.data for row in read(path, args.only)]
    lists = list(examples(rows))
    foreign = [example for example in lists if example.evidence.is_foreign]
    lists = [example for example in lists if not example.evidence.is_foreign and "xling" not in example.group]
    fitted = Coefficients(*fit_examples(lists))
    print("FITTED =", fitted)
    if foreign:
        print("FITTED_FOREIGN =", ForeignCoefficients(*fit_examples(foreign)))

    # By the length of the list; each set with coefficients that were fitted on the others.
    judged: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for some, model, name in ((lists, Coefficients, ""), (foreign, ForeignCoefficients, "foreign, ")):
        for group in sorted({example.group for example in some}):
            numbers = model(*fit_examples([example for example in some if example.group != group]))
            for example in some:
                if example.group == group:
                    coefficients: Any = {"foreign": numbers} if some is foreign else {"fitted": numbers}
                    scores = calibrate(example.raw, example.evidence, **coefficients)
                    kind = name + ("whole" if example.whole else f"{len(example.raw)} documents")
                    judged[kind] += zip(scores, example.relevant, strict=True)
    for kind, pairs in judged.items():
        print(f"{kind:22s} {quality(pairs)}")

    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        kept: dict[bool, list[bool]] = {True: [], False: []}
        for example in lists:
            if example.whole:
                best = max(calibrate(example.raw, example.evidence, fitted))
                kept[any(example.relevant)].append(best > threshold)
        shares = {answered: sum(some) / len(some) for answered, some in kept.items()}
        print(f"above {threshold}: {shares[True]:.0%} of lists with an answer, {shares[False]:.0%} of those without")


if __name__ == "__main__":
    main()
