"""Fit the coefficients of `cohere_rerank.local.calibration`, and measure how well they predict.

    python tests/benchmarks/fit_calibration.py --only '^(?!cisi|cranfield|sib|udhr)'
        --data labelled.jsonl.gz tests/local/data/everyday.jsonl

The data are JSON Lines, gzipped or not, with `query`, `documents`, `relevant` (indices) and `set`, or with `queries` in
place of `query` and `relevant`. Each list is used as it is, and once more without its relevant documents, so half of
all lists have no relevant document. Samples of 1 to 10 documents of both show what a score means in a short list. The
script prints the lines for calibration.py, and the quality on sets that were left out of the fit. Documents in
another language or script than the query are fitted apart. It needs only the standard library, and some minutes for
1,000 lists.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Row(NamedTuple):
    """One document: the inputs of the model, whether it is relevant, and its weight."""

    x: tuple[float, ...]
    y: float
    weight: float


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


def rows_of(lists: Sequence[Example]) -> list[Row]:
    """Turn lists into rows for the fit."""
    rows = []
    for example in lists:
        constant, *others = features(example.raw, example.evidence)
        top = max(example.raw)
        for score, relevant in zip(example.raw, example.relevant, strict=True):
            x = (constant, score - top, *others)
            rows.append(Row(x, float(relevant), example.weight))
    return rows


def fit(rows: Sequence[Row], start: Sequence[float] = (), steps: int = 12) -> list[float]:
    """Logistic regression by Newton's method, with a little ridge regularization."""
    size = len(rows[0].x)
    beta = list(start) or [0.0] * size
    for _ in range(steps):
        gradient = [-1e-6 * b for b in beta]
        hessian = [[1e-6 * (i == j) for j in range(size)] for i in range(size)]
        for x, y, weight in rows:
            p = 1 / (1 + math.exp(-sum(map(float.__mul__, beta, x))))
            slope, curve = weight * (y - p), weight * p * (1 - p)
            for i in range(size):
                gradient[i] += slope * x[i]
                for j in range(i, size):
                    hessian[i][j] += curve * x[i] * x[j]
        for i in range(size):
            for j in range(i):
                hessian[i][j] = hessian[j][i]
        beta = [b + step for b, step in zip(beta, solved(hessian, gradient), strict=True)]
    return beta


def solved(matrix: list[list[float]], vector: list[float]) -> list[float]:
    """Solve a small positive definite system of equations by elimination."""
    n = len(vector)
    rows = [[*row, value] for row, value in zip(matrix, vector, strict=True)]
    for i in range(n):
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    out = [0.0] * n
    for i in reversed(range(n)):
        out[i] = (rows[i][n] - sum(rows[i][j] * out[j] for j in range(i + 1, n))) / rows[i][i]
    return out


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
    lists = [example for example in lists if not example.evidence.is_foreign]
    fitted = Coefficients(*fit(rows_of(lists)))
    print("FITTED =", fitted)
    if foreign:
        print("FITTED_FOREIGN =", ForeignCoefficients(*fit(rows_of(foreign))))

    # By the length of the list; each set with coefficients that were fitted on the others.
    judged: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for group in sorted({example.group for example in lists}):
        numbers = Coefficients(*fit(rows_of([example for example in lists if example.group != group]), fitted, steps=3))
        for example in lists:
            if example.group == group:
                scores = calibrate(example.raw, example.evidence, numbers)
                kind = "whole" if example.whole else f"{len(example.raw)} documents"
                judged[kind] += zip(scores, example.relevant, strict=True)
    for kind, pairs in judged.items():
        print(f"{kind:14s} {quality(pairs)}")

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
