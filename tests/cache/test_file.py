"""Scores in a file: later and concurrent processes use them, and no text is in it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
from typing import Any

import pytest

from cohere_rerank import ClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.cache.helpers import ABC, CALL, TIMEOUT_S, sent
from tests.fake_server import score


def test_a_file_serves_later_processes(server, make_either, tmp_path):
    """Scores outlive the cache object."""
    for _ in range(2):
        make_either(cache=ScoreCache(path=str(tmp_path / "scores"))).rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]


def test_no_text_and_no_unkeyed_digest_is_on_disk(make_either, tmp_path):
    """The same documents have different keys in different files."""
    contents = []
    for name in ("one", "two"):
        make_either(cache=ScoreCache(path=tmp_path / name)).rerank(
            model="m", query="a secret query", documents=["a secret document"]
        )
        contents.append(b"".join(path.read_bytes() for path in tmp_path.glob(f"{name}*")))
        database = sqlite3.connect(tmp_path / name)
        contents.append(database.execute("SELECT key FROM scores").fetchall())
        database.close()
    assert not any(b"secret query" in content or b"secret document" in content for content in contents[::2])
    assert contents[1] != contents[3]
    if os.name == "posix":
        assert (tmp_path / "one").stat().st_mode & 0o077 == 0


def test_a_file_that_is_not_a_cache_is_rejected(tmp_path):
    """The error contains its path, and the file is not changed."""
    (tmp_path / "notes.txt").write_text("these are notes\n" * 100)
    with pytest.raises(errors.InvalidRequestError, match=r"notes\.txt' cannot be used"):
        ScoreCache(path=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text().startswith("these are notes")
    with pytest.raises(errors.InvalidRequestError, match="cannot be used"):
        ScoreCache(path=tmp_path / "no" / "folder")
    other = sqlite3.connect(tmp_path / "newer")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(errors.InvalidRequestError, match="format 99"):
        ScoreCache(path=tmp_path / "newer")


def test_a_broken_file_costs_hits_and_no_answers(server, make_either, tmp_path, caplog):
    """All calls are answered, and one line is logged."""
    client = make_either(cache=ScoreCache(path=tmp_path / "scores"))
    client.rerank(**CALL, documents=ABC)
    breaker = sqlite3.connect(tmp_path / "scores")
    breaker.execute("DROP TABLE scores")
    breaker.close()
    with caplog.at_level(logging.WARNING, logger="cohere_rerank"):
        for _ in range(2):
            assert len(client.rerank(**CALL, documents=ABC).results) == 3
    assert len(server.requests) == 2  # the memory of the process keeps what cannot be written
    assert len([record for record in caplog.records if "cache file" in record.message]) == 1


def ask_in_process(url: str, path: str, start: Any) -> None:
    start.wait(TIMEOUT_S)
    with ClientV2("test-key", base_url=url, cache=ScoreCache(path=path)) as client:
        for number in range(20):
            documents = [f"document {number} {i}" for i in range(20)]
            assert client.rerank(**CALL, documents=documents).scores == [score("q", one) for one in documents]


def test_processes_share_a_file(server, tmp_path):
    """Processes that write at the same time do not fail, and share their scores."""
    path = str(tmp_path / "scores")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    workers = [context.Process(target=ask_in_process, args=(server.url, path, start)) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    n_sent = len(server.requests)
    start.set()
    ask_in_process(server.url, path, start)
    assert len(server.requests) == n_sent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_cache_works_in_a_forked_process(server, cache):
    """Even if a thread held its lock during the fork, or a request was in flight."""
    client = ClientV2("test-key", base_url=server.url, cache=cache)
    client.rerank(**CALL, documents=ABC)
    cache._in_flight[b"never ends"] = object()
    with cache._store._lock:
        pid = os.fork()
        if pid == 0:
            try:
                fine = client.rerank(**CALL, documents=[*ABC, "ddd"]).scores == [score("q", d) for d in [*ABC, "ddd"]]
                os._exit(0 if fine and not cache._is_in_flight([b"never ends"]) else 1)
            finally:
                os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert sent(server) == [ABC, ["ddd"]]
    client.close()
