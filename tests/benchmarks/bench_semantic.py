"""Documents per CPU second of `local:semantic`: with one BLAS thread, as the scorer works, and with numpy's default.

    python tests/benchmarks/bench_semantic.py [SECONDS]

The documents are new to the scorer. They are cut from the Universal Declaration of Human Rights, in English and French.
The two take turns. A figure is the median of the rounds, in CPU time of all threads. This takes half a minute.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cohere_rerank.local import semantic

UDHR = Path(__file__).resolve().parents[1] / "local" / "data" / "udhr.jsonl"
LENGTHS = (60, 250, 700)
N_DOCUMENTS = 24
N_ROUNDS = 5
QUERY = "Everyone has the right to education."


def documents(texts: list[str], length: int) -> list[str]:
    """Return documents of that many characters, which start at different words."""
    words = " ".join(texts).split()
    step = len(words) // 2 // N_DOCUMENTS
    return [" ".join(words[n * step :])[:length] for n in range(N_DOCUMENTS)]


def per_second(scorer: semantic.SemanticScorer, texts: list[str], seconds: float, numbers: itertools.count) -> float:
    """Return documents scored per second of CPU time. A number before each document makes it new."""
    started, n_scored, taken = time.process_time(), 0, 0.0
    while taken < seconds:
        scorer.score(QUERY, [f"{next(numbers)} {text}" for text in texts])
        n_scored += len(texts)
        taken = time.process_time() - started
    return n_scored / taken


def main(seconds: float) -> None:
    """Print a row for each language and length."""
    scorer, one_thread, numbers = semantic.SemanticScorer(), vars(semantic)["one_blas_thread"], itertools.count()
    encoder: Any = vars(scorer._embeddings)["_embed"].__self__
    package_limit = encoder._model._threadpool
    articles = {}
    for line in UDHR.read_text(encoding="utf-8").splitlines():
        language = json.loads(line)
        articles[language["language"]] = [text for texts in language["articles"].values() for text in texts]
    print("| documents per CPU second | one thread | numpy's default | ratio |\n|---|---:|---:|---:|")
    for code, length in itertools.product(("eng", "fra"), LENGTHS):
        texts, rounds = documents(articles[code], length), []
        for _ in range(N_ROUNDS):
            values = []
            for limit, inner in ((one_thread, package_limit), (nullcontext, None)):
                vars(semantic)["one_blas_thread"] = limit
                encoder._model._threadpool = inner
                values.append(per_second(scorer, texts, seconds, numbers))
            rounds.append(values)
        ours, default = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratio = statistics.median(one / many for one, many in rounds)
        print(f"| {code}, {length} characters | {ours:.0f} | {default:.0f} | **{ratio:.1f}** |", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.5)
