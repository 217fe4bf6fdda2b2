"""Show what the errors look like, how a call is limited in time, and how a fallback answers during an outage.

This example needs no key: it calls an address of this machine where no server listens.
"""

from __future__ import annotations

import logging
import socket

import cohere_rerank as cohere

logging.getLogger("cohere_rerank").setLevel(logging.ERROR)  # the fallback below would log a warning

with socket.socket() as free_port:  # closed again at once, so no server listens there
    free_port.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{free_port.getsockname()[1]}"

DOCUMENTS = ["black coffee", "green tea, loose"]

# Invalid input raises before a request is sent.
client = cohere.ClientV2("no-key", base_url=address, max_retries=1, deadline=5)
try:
    client.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS, top_n=0)
except cohere.InvalidRequestError as error:
    print(f"invalid:  {error}")

# Every other failure has a type of its own too, and says how often the request was sent.
try:
    client.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS)
except cohere.TooManyRequestsError as error:
    print(f"limited:  try again in {error.retry_after} s")
except cohere.ApiError as error:
    print(f"status:   {error.status_code}, request {error.request_id}")
except cohere.ConnectionFailedError as error:
    print(f"failed:   {error.attempts} attempts, {error.waited_s:.1f} s of backoff between them")

# A fallback answers during an outage, and its response says so. Invalid input still raises.
with client.with_options(fallback="local", max_retries=0) as covered:
    response = covered.rerank(model="rerank-v4.0-fast", query="green tea", documents=DOCUMENTS)
    print(f"fallback: {response.is_fallback}, the best document is {response.results[0].document!r}")
