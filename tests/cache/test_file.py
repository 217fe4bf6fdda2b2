"""Scores in a file: for later processes and for several at once, with nothing legible in it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
from typing import Any

import pytest

from cohere_rerank import ClientV2, errors
from cohere_rerank.cache import ScoreCache
from tests.cache.calls import ABC, CALL, PATIENCE_S, sent
from tests.fake_server import score


def test_a_file_serves_later_processes(server, make_either, tmp_path):
    """Scores outlive the cache object."""
    for _ in range(2):
        make_either(cache=ScoreCache(path=str(tmp_path / "scores"))).rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]


def test_no_text_and_no_unkeyed_digest_is_on_disk(make_either, tmp_path):
    """Two files hold nothing in common that would tell that their documents are the same."""
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


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    """And left as it is; the error names it."""
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


def test_a_file_in_trouble_costs_hits_and_no_answers(server, make_either, tmp_path, caplog):
    """What was paid for is given; the log says so once."""
    client = make_either(cache=ScoreCache(path=tmp_path / "scores"))
    client.rerank(**CALL, documents=ABC)
    breaker = sqlite3.connect(tmp_path / "scores")
    breaker.execute("DROP TABLE scores")
    breaker.close()
    with caplog.at_level(logging.WARNING, logger="cohere_rerank"):
        for _ in range(2):
            assert len(client.rerank(**CALL, documents=ABC).results) == 3
    assert len(server.requests) == 3
    assert len([record for record in caplog.records if "cache file" in record.message]) == 1


def ask_in_process(url: str, path: str, start: Any) -> None:
    start.wait(PATIENCE_S)
    with ClientV2("test-key", base_url=url, cache=ScoreCache(path=path)) as client:
        for number in range(20):
            documents = [f"document {number} {i}" for i in range(20)]
            assert client.rerank(**CALL, documents=documents).scores == [score("q", one) for one in documents]


def test_processes_share_a_file(server, tmp_path):
    """Several write at once; none fails, and what one has written another need not send."""
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_cache_works_on_in_a_forked_process(server, cache):
    """Also if another thread was inside of it at that moment, or a request was under way."""
    client = ClientV2("test-key", base_url=server.url, cache=cache)
    client.rerank(**CALL, documents=ABC)
    cache._flights[b"never ends"] = object()
    with cache._store._lock:
        pid = os.fork()
        if pid == 0:
            try:
                fine = client.rerank(**CALL, documents=[*ABC, "ddd"]).scores == [score("q", d) for d in [*ABC, "ddd"]]
                os._exit(0 if fine and not cache._is_flying([b"never ends"]) else 1)
            finally:
                os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert sent(server) == [ABC, ["ddd"]]
    client.close()
