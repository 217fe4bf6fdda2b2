"""What failures look like, how long a call may take, and a fallback that answers when the API cannot."""

from __future__ import annotations

import logging
import socket

import cohere_rerank as cohere

logging.getLogger("cohere_rerank").setLevel(logging.ERROR)  # the fallback below would log a warning

with socket.socket() as nobody:  # a port where nothing listens: the outage of this example
    nobody.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{nobody.getsockname()[1]}"

DOCUMENTS = ["black coffee", "green tea, loose"]

# Bad input is refused before anything is sent.
client = cohere.ClientV2("no-key", base_url=address, max_retries=1, deadline=5)
try:
    client.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS, top_n=0)
except cohere.InvalidRequestError as error:
    print(f"refused:  {error}")

# Whatever happens on the way is one of our types, and says how often it was tried.
try:
    client.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS)
except cohere.TooManyRequestsError as error:
    print(f"limited:  come back in {error.retry_after} s")
except cohere.ApiError as error:
    print(f"status:   {error.status_code}, request {error.request_id}")
except cohere.ConnectionFailedError as error:
    print(f"failed:   after {error.attempts} attempts and {error.waited_s:.0f} s of waiting")

# A fallback answers through outages, and says so; errors of the caller's own making still raise.
with client.with_options(fallback="local", max_retries=0) as covered:
    response = covered.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS)
    print(f"fallback: {response.is_fallback}, best is document {response.results[0].index}")
