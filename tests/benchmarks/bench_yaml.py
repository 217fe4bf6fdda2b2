"""Structured documents to YAML: documents per second of our writer and of PyYAML's.

    python tests/benchmarks/bench_yaml.py [SECONDS]

The writers take turns. Each figure is the median of the rounds, in CPU time. Ratios are comparable between machines,
times are not. The last column counts the records for which a writer's text equals ours.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from functools import partial

import yaml

from cohere_rerank._wire.documents import to_yaml

WIDE = {"sort_keys": False, "allow_unicode": True, "width": 2**31 - 1}
WORDS = ["carson", "city", "nevada", "capital", "mariana", "pacific", "ocean", "population", "census", "café", "the"]
N_ROUNDS = 7


def record(n, paragraph):
    """A record of 1 kB with five fields: title, author, year, tags and text."""
    draw = random.Random(n)
    words = draw.choices(WORDS, k=150)
    return {
        "title": f"Report no. {n}: " + " ".join(words[:6]),
        "author": "José Álvarez",
        "year": 1990 + n % 30,
        "tags": words[6:10],
        "text": paragraph(" ".join(words[10:])),
    }


# The speed of a writer depends on the characters of the text.
PARAGRAPHS = {
    "one line": lambda text: text,
    "lines and quotes": lambda text: text.replace(" the ", "\n\nit's: "),
    "emoji": lambda text: text + " 😀",
    "code (breaks beside spaces)": lambda text: text.replace(" the ", ":\n    "),
}


def writers():
    """The writers by name. The first one is the reference."""
    found = {
        "yaml.dump(sort_keys=False)": partial(yaml.dump, sort_keys=False),
        "SafeDumper, unescaped, unfolded": partial(yaml.dump, Dumper=yaml.SafeDumper, **WIDE),
    }
    if yaml.__with_libyaml__:
        found["CSafeDumper, unescaped, unfolded"] = partial(yaml.dump, Dumper=yaml.CSafeDumper, **WIDE)
    return {**found, "cohere_rerank": to_yaml}


def per_second(write, documents, seconds):
    """Documents written per second of CPU time, measured for about that many seconds."""
    n_written, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        for document in documents:
            write(document)
        n_written += len(documents)
    return n_written / elapsed


def main(seconds):
    """Measure and print one table for each kind of text."""
    found = writers()
    for name, paragraph in PARAGRAPHS.items():
        documents = [record(n, paragraph) for n in range(20)]
        ours = [to_yaml(document) for document in documents]
        rounds = [
            {writer: per_second(write, documents, seconds / N_ROUNDS) for writer, write in found.items()}
            for _ in range(N_ROUNDS)
        ]
        medians = {writer: statistics.median(each[writer] for each in rounds) for writer in found}
        reference = next(iter(medians.values()))
        print(f"\n{name:34}{'documents/s':>12}{'ratio':>8}{'same text':>12}")
        for writer, speed in medians.items():
            n_same = sum(found[writer](document) == text for document, text in zip(documents, ours))
            print(f"{writer:34}{speed:12,.0f}{speed / reference:8.1f}{n_same:9} of {len(documents)}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.5)
