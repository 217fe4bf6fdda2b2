"""The memory that one request costs, measured in a process of its own. Linux only."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from tests.server.running_server import program

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")

MIB = 1024 * 1024
N_BYTES = 8 * MIB


def documents(n, text):
    """Return n documents that fill a body of 8 MiB."""
    n_repeats = (N_BYTES - 1000) // n // (len(text.encode()) + 1)
    return [text * n_repeats] * n


def excerpts(query, n_chars):
    """Return 10,000 parts of the query. Each of them contains as many grams of the query as it has characters."""
    draw = random.Random(0)
    starts = draw.choices(range(len(query) - n_chars), k=10_000)
    return [query[start : start + n_chars] for start in starts]


HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))
WORDS = " ".join(f"{a}{b}{c}x" for a in "abcdef" for b in "ghijklm" for c in "nopqrs")[:1000]
WHOLE = {"max_tokens_per_doc": 10**6}
SPANS = {"relevant_spans": {"mode": "enabled"}}

BODIES = {
    "texts": {"documents": documents(500, "green tea ")},
    "wide texts": {"documents": ["😀" + text for text in documents(500, "green tea ")]},  # 4 bytes a character
    "wide text": {"documents": ["😀" + text for text in documents(1, "ab ")], **WHOLE, **SPANS},
    "wide short texts": {"documents": ["😀" + text for text in documents(5000, "green tea ")]},
    "one text": {"documents": documents(1, "green tea ")},
    "returned texts": {"documents": documents(500, "green tea "), "return_documents": True},
    "spans": {"documents": documents(2000, "green tea. "), **SPANS},
    "texts that expand": {"documents": documents(1, "\ufdfa "), **WHOLE},
    "parts of the query": {"query": WORDS, "documents": excerpts(WORDS, 395)},
    "parts of a Han query": {"query": HAN, "documents": excerpts(HAN, 100)},
    "short texts": {"documents": ["a"] * (N_BYTES // 5)},
    "lists": {"documents": [[]] * (N_BYTES // 4)},
    "numbers": {"documents": [], "x": [1] * (N_BYTES // 3)},
}
N_RESULTS_MIB = 10  # 10,000 results and spans, whatever the size of the body is


def peak_mib(started):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{started.process.pid}/status").read_text())[1]) / 1024


@pytest.mark.parametrize("name", BODIES)
def test_the_memory_of_a_request_is_a_small_multiple_of_its_size(name):
    """It is at most 8 times the body, and 10 MiB for the results."""
    body = json.dumps(
        {"model": "m", "query": "tea", **BODIES[name]}, separators=(",", ":"), ensure_ascii=False
    ).encode()
    with program() as started:
        started.post()
        before = peak_mib(started)
        response = started.http.post(
            "/v2/rerank", content=body, headers={"content-type": "application/json"}, timeout=120
        )
        assert response.status_code in (200, 400)
        assert peak_mib(started) - before < 8 * len(body) / MIB + N_RESULTS_MIB
