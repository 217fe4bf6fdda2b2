"""Rerank a file of rows into another one; run it again after Ctrl-C, and it goes on.

Runs offline with CO_API_URL=local:, against Cohere with CO_API_KEY.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from cohere_rerank.jobs import JobReport, JobStoppedError, run_job

QUESTIONS = {
    "dinner": ("a quick dinner", ["Bread that proves overnight", "Twenty-minute pasta", "A quick weeknight curry"]),
    "sweet": ("something sweet", ["Pickled onions", "Sweet rice pudding", "Roast chicken"]),
    "none": ("a row that cannot be sent", None),
}


def show(report: JobReport) -> None:
    """Tell how far the job is, about once a second."""
    print(f"{report.rows} rows, {report.search_units:g} search units")


def main() -> None:
    """Write a small input, run the job, print the best document of each row."""
    folder = Path(tempfile.mkdtemp())
    source, output = folder / "questions.jsonl", folder / "rankings.jsonl"
    rows = [{"id": name, "query": query, "documents": documents} for name, (query, documents) in QUESTIONS.items()]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        report = run_job(source, output, model="rerank-v4.0-fast", resume=True, progress=show)
    except JobStoppedError as error:
        raise SystemExit(str(error)) from None
    for line in output.read_text().splitlines():
        row = json.loads(line)
        if "error" in row:
            print(f"{row['id']}: {row['error']['message']}")
        else:
            documents = QUESTIONS[row["id"]][1] or []
            print(f"{row['id']}: {documents[row['results'][0]['index']]}")
    print(f"{report.rows} rows, {report.failed} with an error")


if __name__ == "__main__":
    main()
