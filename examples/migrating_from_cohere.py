"""A program written for the official package: only its import line has changed.

Runs offline with CO_API_URL=local:, against Cohere with CO_API_KEY.
"""

from __future__ import annotations

import cohere_rerank as cohere  # was: import cohere

co = cohere.ClientV2()

try:
    results = co.rerank(
        model="rerank-v4.0-pro",
        query="What is the capital of the United States?",
        documents=[
            "Carson City is the capital city of the American state of Nevada.",
            "Washington, D.C. is the capital of the United States.",
            "Capital punishment has existed in the United States since before it was a country.",
        ],
        top_n=3,
        request_options={"max_retries": 5, "timeout": 20},
    )
except cohere.errors.TooManyRequestsError as error:
    raise SystemExit(f"limited: {error.status_code}") from error

print(results.model_dump_json(indent=1, include={"results": {"__all__": {"index"}}}))
raw = co.with_raw_response.rerank(model="rerank-v4.0-pro", query="capital", documents=["capital city"])
print(raw.status_code, raw.headers["content-type"], len(raw.data.results))
