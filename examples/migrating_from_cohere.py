"""Run a program that was written for the official package; only its import line was changed."""

from __future__ import annotations

import os

import cohere_rerank as cohere  # was: import cohere

if not any(map(os.environ.get, ("CO_API_KEY", "COHERE_API_KEY", "CO_API_URL"))):
    os.environ["CO_API_URL"] = "local:"
    print("CO_API_KEY is not set: the local engine answers.")

DOCUMENTS = [
    "Carson City is the capital city of the American state of Nevada.",
    "Washington, D.C. is the capital of the United States.",
    "Capital punishment has existed in the United States since before it was a country.",
]

co = cohere.ClientV2()
try:
    response = co.rerank(
        model="rerank-v4.0-pro",
        query="What is the capital of the United States?",
        documents=DOCUMENTS,
        top_n=2,
        request_options={"max_retries": 5, "timeout": 20},
    )
except cohere.errors.TooManyRequestsError as error:
    raise SystemExit(f"rate limit: {error.status_code}") from error

for result in response.results:
    print(f"{result.relevance_score:.3f}  {DOCUMENTS[result.index]}")

raw = co.with_raw_response.rerank(model="rerank-v4.0-pro", query="capital", documents=["capital city"])
print(f"raw response: {raw.headers['content-type']}, {len(raw.data.results)} result")
