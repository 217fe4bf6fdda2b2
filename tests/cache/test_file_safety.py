"""A cache file that was damaged, poisoned, locked or replaced costs hits, milliseconds at most, and never an answer."""

from __future__ import annotations

import os
import sqlite3
import stat
import time

import pytest

from cohere_rerank import errors
from cohere_rerank.cache import ScoreCache, file_store
from tests.cache.helpers import ABC, CALL, Pointwise, pairs, sent

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file types")
SPANS = {**CALL, "query": "tea", "relevant_spans": {"mode": "enabled"}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scores"


def change(path, *statements):
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@posix
def test_only_the_owner_can_read_and_write_the_file(path, make_either):
    """The mode of all its files is 0600, even with an umask that allows more."""
    before = os.umask(0)
    try:
        client = make_either(cache=ScoreCache(path=path))
        client.rerank(**CALL, documents=ABC)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("scores*")} == {0o600}


@posix
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "folder"])
def test_a_file_that_is_not_regular_is_refused_at_once(path, suffix, kind):
    """Nothing is written through a symbolic link, and a FIFO does not hang the constructor."""
    target, place = path.parent / "target", path.parent / f"scores{suffix}"
    if kind == "link":
        target.touch()
    {"fifo": os.mkfifo, "folder": os.mkdir}.get(kind, lambda place: place.symlink_to(target))(place)
    with pytest.raises(errors.InvalidRequestError, match="is not a regular file"):
        ScoreCache(path=path)
    assert not target.exists() or target.stat().st_size == 0
    assert suffix == "" or not path.exists()


def test_the_database_of_another_program_is_refused_and_not_changed(path):
    """Even if it has no format number."""
    change(path, "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('milk')")
    before = path.read_bytes()
    with pytest.raises(errors.InvalidRequestError, match="a database of another program"):
        ScoreCache(path=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM secret",
        "DROP TABLE secret",
        "UPDATE secret SET value = 'text'",
        "UPDATE secret SET value = NULL",
        "UPDATE secret SET value = x'00'",
        "INSERT INTO secret VALUES (x'00')",
        "DROP TABLE scores",
        "ALTER TABLE scores RENAME TO other",
        "CREATE TRIGGER t AFTER INSERT ON scores BEGIN DELETE FROM secret; END",
        "CREATE VIEW v AS SELECT 1",
    ],
)
def test_a_damaged_file_is_a_typed_error_when_it_is_opened(path, damage):
    """The error says which file it is and what to do."""
    cache = ScoreCache(path=path)
    change(path, damage)
    with pytest.raises(errors.InvalidRequestError, match=r"scores' cannot be used: .*use another path"):
        ScoreCache(path=path)
    cache.clear()


@pytest.mark.parametrize("n_bytes", [0, 100, 5000])
def test_a_part_of_a_file_is_a_typed_error(path, n_bytes, make_client):
    """An empty file counts as new."""
    make_client(cache=ScoreCache(path=path)).rerank(**CALL, documents=ABC)
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    part = path.parent / "part"
    part.write_bytes(path.read_bytes()[:n_bytes])
    if n_bytes:
        with pytest.raises(errors.InvalidRequestError, match="cannot be used"):
            ScoreCache(path=part)
    else:
        assert make_client(cache=ScoreCache(path=part)).rerank(**CALL, documents=ABC).results


@pytest.mark.parametrize(
    "poison",
    [
        "score = 'text'",
        "score = NULL",
        "score = 9e999",
        "score = x'ff'",
        "spans = 'text'",
        "spans = x'7b'",
        'spans = CAST(\'[{"start": -1, "end": 1, "score": 1}]\' AS BLOB)',
        "spans = CAST('[1]' AS BLOB)",
        "spans = zeroblob(2000000)",
        "scale = 7",
        "scale = x'ff'",
        "scale = CAST(x'fffe' AS TEXT)",
        "scale = 'celsius'",
        "stored_at_s = 'text'",
        "stored_at_s = NULL",
    ],
)
def test_a_poisoned_row_is_never_a_raw_error(path, poison, make_either):
    """It is a miss, so that the document is sent again. To SQLite a text is later than any number."""
    scorer = Pointwise()
    client = make_either(base_url="local:", scorer=scorer, cache=ScoreCache(path=path))
    documents = ["tea is hot", "milk"]
    first = client.rerank(**SPANS, documents=documents)
    change(path, f"UPDATE scores SET {poison}")
    again = client.rerank(**SPANS, documents=documents)
    assert pairs(again) == pairs(first)
    assert scorer.scored == documents * (1 if poison == "stored_at_s = 'text'" else 2)


def test_a_locked_file_costs_milliseconds_and_no_answer(path, server, make_either, caplog):
    """While another process writes for long, calls continue, and their scores are written afterwards."""
    client = make_either(cache=ScoreCache(path=path), deadline=5)
    blocker = sqlite3.connect(path)
    blocker.execute("BEGIN EXCLUSIVE")
    n_waits = []
    original = file_store.FileScoreStore._record_failure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_store.FileScoreStore, "_record_failure", lambda *of: n_waits.append(1) or original(*of))
        started_s = time.monotonic()
        for number in range(40):
            assert client.rerank(**CALL, documents=[f"document {number}"]).results
        most_waits = 2 + (time.monotonic() - started_s) / file_store._RETRY_S
    assert 1 <= len(n_waits) <= most_waits
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    blocker.rollback()
    blocker.close()
    client.client._config.cache._store._writes = file_store._Health()  # as after a while
    client.rerank(**CALL, documents=["last"])
    n_sent = len(server.requests)
    other = make_either(cache=ScoreCache(path=path))
    other.rerank(**CALL, documents=[f"document {number}" for number in range(40)])
    assert len(server.requests) == n_sent


def test_scores_that_could_not_be_written_are_written_when_the_cache_is_closed(path, server, make_either):
    """A lock that is held for a moment loses no score that was paid for."""
    client = make_either(cache=ScoreCache(path=path))
    blocker = sqlite3.connect(path)
    blocker.execute("BEGIN EXCLUSIVE")
    client.rerank(**CALL, documents=ABC)
    client.rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]  # known to this process meanwhile
    blocker.rollback()
    blocker.close()
    client.client._config.cache._store.__del__()
    make_either(cache=ScoreCache(path=path)).rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]


def test_a_statement_that_runs_for_long_is_interrupted(path):
    """A poisoned file with an endless query inside costs a quarter of a second."""
    store = ScoreCache(path=path)._store
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    assert store._attempt(lambda: store._database.execute(endless).fetchall(), store._reads) is None
    assert store._reads.is_waiting()
    assert store._attempt(lambda: store._database.execute("SELECT 1").fetchall(), store._writes) == [(1,)]


def test_a_path_with_a_meaning_for_sqlite_is_a_file(tmp_path, monkeypatch, server, make_either):
    """``:memory:`` is the name of a file, as any other path."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        make_either(cache=ScoreCache(path=":memory:")).rerank(**CALL, documents=ABC)
    assert sent(server) == [ABC]
    assert (tmp_path / ":memory:").exists()
