"""Rank every row of a file into another file, with a job that can be interrupted and resumed."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from cohere_rerank.jobs import JobReport, JobStoppedError, run_job

QUESTIONS = {
    "dinner": ("a quick dinner", ["Bread that rises overnight", "Twenty-minute pasta", "A quick weeknight curry"]),
    "sweet": ("something sweet", ["Pickled onions", "Sweet rice pudding", "Roast chicken"]),
    "broken": ("a row without documents", None),
}


def show(report: JobReport) -> None:
    """Print the progress; the job calls this about once a second."""
    print(f"{report.rows} rows, {report.search_units:g} search units")


def main() -> None:
    """Write a small input, run the job, and print the best document of each row."""
    if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
        os.environ["CO_API_URL"] = "local:"
        print("CO_API_KEY is not set: the local engine answers.")
    folder = Path(tempfile.mkdtemp())
    source, output = folder / "questions.jsonl", folder / "rankings.jsonl"
    rows = [{"id": name, "query": query, "documents": documents} for name, (query, documents) in QUESTIONS.items()]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        report = run_job(source, output, model="rerank-v4.0-fast", resume=True, progress=show)
    except JobStoppedError as error:
        raise SystemExit(str(error)) from None
    for line in output.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "error" in row:
            print(f"{row['id']}: {row['error']['message']}")
        else:
            documents = QUESTIONS[row["id"]][1] or []
            print(f"{row['id']}: {documents[row['results'][0]['index']]}")
    print(f"{report.rows} rows, {report.failed} with an error; the output is {output}")


if __name__ == "__main__":
    main()
