"""What the benchmarks share: processes, rounds in which the clients take turns, and tables.

Each client runs alone in its process. In every round all clients do the same work one after another, so a busy moment
of the machine affects all of them. A ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OURS, OFFICIAL = "cohere-rerank", "cohere"
Cases = dict[str, dict[str, list[float]]]  # for each row and client, one value a round


def arguments(doc: str | None, n_rounds: int) -> argparse.Namespace:
    """Parse the command line, which all benchmarks have in common."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="PYTHON", help="interpreter that has cohere-rerank")
    parser.add_argument("--theirs", metavar="PYTHON", help="interpreter that has cohere")
    parser.add_argument("--rounds", type=int, default=n_rounds, metavar="N", help=f"default {n_rounds}")
    return parser.parse_args()


def environment() -> dict[str, str]:
    """Our environment, without the settings that change what a client does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CO_", "COHERE_", "PYTHON")) and not name.lower().endswith("_proxy")
    }


def can_import(python: str | None, module: str) -> bool:
    return not subprocess.run(
        [python or sys.executable, "-Ic", f"import {module}"], stderr=subprocess.DEVNULL
    ).returncode


class Child:
    """A script of ours in its own process. It reads and writes lines of JSON."""

    def __init__(self, python: str | None, script: str, *options: str) -> None:
        command = [python or sys.executable, "-I", str(HERE / script), *options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended; see above")
        return json.loads(line)

    def do(self, **task: int) -> dict[str, float]:
        """Send a worker its task, and return what the task cost."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return self.read()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, which ends it


@contextmanager
def serving(latency_ms: float = 0) -> Iterator[str]:
    """Run our server, and yield its base URL."""
    with Child(None, "server.py", str(latency_ms)) as server:
        yield f"http://127.0.0.1:{server.read()}"


def take_turns(n_rounds: int, measures: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Take every measure once a round, in reverse order every second round."""
    found: dict[str, list[Any]] = {name: [] for name in measures}
    for n in range(n_rounds):
        for name in list(measures)[:: -1 if n % 2 else 1]:
            found[name].append(measures[name]())
    return found


def ratio(values: list[float], references: list[float]) -> float:
    return statistics.median(value / reference for value, reference in zip(values, references, strict=True))


def print_table(title: str, cases: Cases, reference: str = OFFICIAL) -> None:
    """Print a row for each case as Markdown: medians, then ratios to the reference."""
    names = list(next(iter(cases.values())))
    others = [name for name in names if name != reference]
    print(f"\n| {title} |", " | ".join([*names, *(f"{name} / {reference}" for name in others)]), "|")
    print("|---|" + "---:|" * (len(names) + len(others)))
    for case, values in cases.items():
        cells = [f"{statistics.median(values[name]):.3g}" for name in names]
        cells += [f"**{ratio(values[name], values[reference]):.3f}**" for name in others]
        print(f"| {case} |", " | ".join(cells), "|", flush=True)
