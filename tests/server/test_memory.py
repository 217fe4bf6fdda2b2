"""The memory that one request costs, measured in a process of its own. Linux only."""

from __future__ import annotations

import json
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


BODIES = {
    "texts": {"documents": documents(500, "green tea ")},
    "wide texts": {"documents": ["😀" + text for text in documents(500, "green tea ")]},  # 4 bytes a character
    "wide text": {"documents": ["😀" + text for text in documents(1, "green tea ")], "max_tokens_per_doc": 10**6},
    "wide short texts": {"documents": ["😀" + text for text in documents(5000, "green tea ")]},
    "one text": {"documents": documents(1, "green tea ")},
    "returned texts": {"documents": documents(500, "green tea "), "return_documents": True},
    "spans": {"documents": documents(2000, "green tea. "), "relevant_spans": {"mode": "enabled"}},
    "short texts": {"documents": ["a"] * (N_BYTES // 5)},
    "lists": {"documents": [[]] * (N_BYTES // 4)},
    "numbers": {"documents": [], "x": [1] * (N_BYTES // 3)},
}


# Python stores a text with an emoji in four bytes a character, and the engine keeps a second form of each text.
WIDE = {"wide texts": 9, "wide short texts": 9, "wide text": 15}


def peak_mib(started):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{started.process.pid}/status").read_text())[1]) / 1024


@pytest.mark.parametrize("name", BODIES)
def test_the_memory_of_a_request_is_a_small_multiple_of_its_size(name):
    """The body is parsed once, and lists with too many values are rejected before that."""
    body = json.dumps(
        {"model": "m", "query": "tea", **BODIES[name]}, separators=(",", ":"), ensure_ascii=False
    ).encode()
    with program() as started:
        started.post()
        before = peak_mib(started)
        response = started.http.post("/v2/rerank", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 400)
        factor = (peak_mib(started) - before) * MIB / len(body)
        assert factor < WIDE.get(name, 8)
