"""Threads, tasks, event loops, cancellations and forks: each call gets its own response."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import cohere_rerank
from cohere_rerank import AsyncClientV2, ClientV2, errors
from tests.fake_server import Server, error, good_reply, hang_up, reply, reset, score

PACKAGE_HOME = str(Path(cohere_rerank.__file__).parents[1])
TEXTS = [f"text {i}" for i in range(5)]


def ask(client, number):
    """A query of its own. The response shows which call it belongs to."""
    return client.rerank(model="m", query=f"question {number}", documents=TEXTS, top_n=3)


def right(number):
    ranking = sorted(range(len(TEXTS)), key=lambda index: -score(f"question {number}", TEXTS[index]))
    return [(index, score(f"question {number}", TEXTS[index])) for index in ranking[:3]]


def pairs(response):
    return [(item.index, item.relevance_score) for item in response.results]


def sometimes(fault, every):
    """A correct reply, except for every n-th request."""
    counter = iter(range(1_000_000))

    async def send(exchange):
        await (fault if next(counter) % every == every - 1 else good_reply())(exchange)

    return send


# Threads -----------------------------------------------------------------------------------------


def test_threads_that_make_the_first_call_together_share_one_pool(server, make_client):
    """No thread sees a half-initialized client, and no connection leaks."""
    client = make_client(max_connections=4)
    barrier = threading.Barrier(32)

    def first(number):
        barrier.wait()
        return pairs(ask(client, number))

    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(first, range(32))) == [right(number) for number in range(32)]
    assert server.n_connections <= 4
    client.close()
    server.wait_until(lambda s: s.n_open == 0)


@pytest.mark.parametrize("fault", [hang_up, reset, lambda: error(503, "later")])
def test_threads_with_faults_get_their_own_answers(server, clock, make_client, fault):
    """A retry in one thread does not disturb others. Each gets its own response."""
    client = make_client(clock=clock, max_connections=8, max_retries=20)
    server.default = sometimes(fault(), every=3)
    with ThreadPoolExecutor(16) as threads:
        answers = threads.map(lambda number: pairs(ask(client, number)), range(96))
        assert list(answers) == [right(number) for number in range(96)]


def test_copies_share_connections_between_threads(server, make_client):
    """``with_options`` in every thread: one pool for all, each copy with its own settings."""
    client = make_client(max_connections=3)

    def copied(number):
        copy = client.with_options(client_name=f"name {number}")
        return pairs(ask(copy, number))

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(copied, range(48))) == [right(number) for number in range(48)]
    assert server.n_connections <= 3
    names = {request.header("x-client-name"): request.json["query"] for request in server.requests}
    assert names == {f"name {number}": f"question {number}" for number in range(48)}


def test_the_cap_holds_back_and_keeps_order(server, make_client):
    """With one connection, calls that wait are served one after the other, none is lost."""
    client = make_client(max_connections=1)
    with ThreadPoolExecutor(8) as threads, server.hold_replies():
        jobs = [threads.submit(ask, client, number) for number in range(8)]
        server.wait_until(lambda s: s.n_in_flight == 1)
    assert [pairs(job.result()) for job in jobs] == [right(number) for number in range(8)]
    assert (server.n_connections, server.max_in_flight) == (1, 1)


def test_waiting_for_a_connection_is_bounded(server, make_client):
    """A full pool is a timeout of ours, and the deadline counts the wait in it."""
    client = make_client(max_connections=1, max_retries=0)
    with ThreadPoolExecutor(1) as threads:
        with server.hold_replies():
            first = threads.submit(ask, client, 0)
            server.wait_until(lambda s: s.n_in_flight == 1)
            with pytest.raises(errors.TimeoutExceededError) as caught:
                ask(client.with_options(timeout=0.05), 1)
            with pytest.raises(errors.DeadlineExceededError):
                ask(client.with_options(deadline=0.05), 1)
        assert pairs(first.result()) == right(0)
    assert isinstance(caught.value, httpx.PoolTimeout)
    assert pairs(ask(client, 2)) == right(2)
    assert len(server.requests) == 2


def test_closing_while_a_call_is_under_way_ends_in_an_answer_or_a_typed_error(server, make_client):
    """There is no hang and no bare RuntimeError. Later calls say that the client is closed."""
    client = make_client(max_retries=0)
    with ThreadPoolExecutor(4) as threads:
        with server.hold_replies():
            jobs = [threads.submit(ask, client, number) for number in range(4)]
            server.wait_until(lambda s: s.n_in_flight == 4)
            client.close()
        for number, job in enumerate(jobs):
            with suppress(errors.ClientClosedError, errors.ConnectionFailedError):
                assert pairs(job.result(timeout=10)) == right(number)
    with pytest.raises(errors.ClientClosedError):
        ask(client, 0)
    server.wait_until(lambda s: s.n_open == 0)


def test_a_split_call_in_many_threads(server, make_client):
    """Parts of different calls interleave on the wire and never in the results."""
    client = make_client(max_connections=4, max_documents_per_request=2)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: pairs(ask(client, number)), range(24)))
    assert answers == [right(number) for number in range(24)]
    assert len(server.requests) == 24 * 3


# Tasks and loops ---------------------------------------------------------------------------------


def test_many_tasks_with_faults_get_their_own_answers(server, clock, make_async_client):
    """Tasks that retry at the same time have separate states."""
    server.default = sometimes(hang_up(), every=3)

    async def main():
        async with make_async_client(clock=clock, max_connections=8, max_retries=20) as client:
            return [pairs(one) for one in await asyncio.gather(*(ask(client, number) for number in range(96)))]

    assert asyncio.run(main()) == [right(number) for number in range(96)]
    assert server.max_in_flight <= 8
    server.wait_until(lambda s: s.n_open == 0)


def test_loops_in_several_threads_share_a_client(server, make_async_client):
    """Loops at the same time, each in a thread: every one has connections of its own."""
    client = make_async_client(max_connections=2)

    async def several(start):
        return [pairs(one) for one in await asyncio.gather(*(ask(client, start + i) for i in range(6)))]

    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda start: asyncio.run(several(start)), range(0, 48, 6))
        assert [one for several in answers for one in several] == [right(number) for number in range(48)]
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


def test_a_loop_that_ends_in_an_error_leaves_nothing_open(server, make_async_client):
    """The next loop starts afresh, and the old one's sockets are closed."""
    client = make_async_client(max_retries=0)

    async def fail():
        await ask(client, 0)
        server.script(reply(400, text="no"))
        await ask(client, 1)

    for _ in range(3):
        with pytest.raises(errors.BadRequestError):
            asyncio.run(fail())
    assert pairs(asyncio.run(ask(client, 2))) == right(2)
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


def test_a_loop_closed_under_a_call_leaves_the_client_usable(server, make_async_client):
    """As when a program is interrupted: the task never ends, its loop is gone."""
    client = make_async_client()

    async def interrupted():
        task = asyncio.ensure_future(ask(client, 0))
        await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
        assert not task.done()  # asyncio.run cancels it on the way out

    with server.hold_replies():
        asyncio.run(interrupted())
    assert pairs(asyncio.run(ask(client, 1))) == right(1)
    asyncio.run(client.aclose())
    server.wait_until(lambda s: s.n_open == 0)


@pytest.mark.parametrize("seed", range(4))
def test_cancellation_at_any_point_leaks_nothing(server, make_async_client, seed):
    """Calls cancelled after any number of steps of the loop: no connection and no place is lost."""
    chance = random.Random(seed)

    async def cancelled_after(client, number, n_steps):
        task = asyncio.ensure_future(ask(client, number))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            return pairs(await task) == right(number)
        except asyncio.CancelledError:
            return True

    async def main():
        async with make_async_client(max_connections=3) as client:
            calls = [cancelled_after(client, number, chance.randrange(60)) for number in range(60)]
            assert all(await asyncio.gather(*calls))
            answers = await asyncio.gather(*(ask(client, number) for number in range(12)))
            assert [pairs(one) for one in answers] == [right(number) for number in range(12)]
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 0 and s.n_open <= 3)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    server.wait_until(lambda s: s.n_open == 0)


def test_a_cancelled_wait_for_a_connection_gives_its_place_up(server, make_async_client):
    """Those behind it are served."""

    async def main():
        async with make_async_client(max_connections=1) as client:
            with server.hold_replies():
                tasks = [asyncio.ensure_future(ask(client, number)) for number in range(6)]
                await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
                for task in tasks[1:5]:
                    task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one).__name__ for one in done[1:5]] == ["CancelledError"] * 4
            assert [pairs(done[0]), pairs(done[5])] == [right(0), right(5)]

    asyncio.run(main())


def test_a_cancelled_split_call_cancels_its_parts(server, make_async_client):
    """No part continues without the call."""

    async def main():
        async with make_async_client(max_documents_per_request=1) as client:
            with server.hold_replies():
                task = asyncio.ensure_future(ask(client, 0))
                await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == len(TEXTS))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert asyncio.all_tasks() == {asyncio.current_task()}
            assert pairs(await ask(client, 1)) == right(1)

    asyncio.run(main())
    server.wait_until(lambda s: s.n_open == 0)


def test_a_cancelled_wait_between_repeats_ends_the_call(server, make_async_client):
    """The wait is part of the call, and cancelling it sends nothing more."""

    class EndlessWait:
        def __init__(self):
            self.began = asyncio.Event()

        def monotonic(self):
            return 0.0

        def time(self):
            return 0.0

        async def async_sleep(self, seconds):
            self.began.set()
            await asyncio.Event().wait()

    async def main():
        clock = EndlessWait()
        server.script(error(503, "later"))
        async with make_async_client(clock=clock) as client:
            task = asyncio.ensure_future(ask(client, 0))
            await clock.began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(server.requests) == 1
            assert pairs(await ask(client, 1)) == right(1)

    asyncio.run(main())


def test_a_timeout_scope_around_a_call_is_obeyed(server, make_async_client):
    """``asyncio.wait_for`` cancels. That is not a failure, and nothing is retried."""

    async def main():
        async with make_async_client() as client:
            with server.hold_replies():
                first = asyncio.ensure_future(ask(client, 0))
                await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
                with pytest.raises(asyncio.TimeoutError) as caught:
                    await asyncio.wait_for(first, 0.01)
            assert not isinstance(caught.value, errors.CohereRerankError)
            return await ask(client, 1)

    assert pairs(asyncio.run(main())) == right(1)
    assert len(server.requests) == 2


def test_a_tasks_wait_for_a_connection_is_bounded(server, make_async_client):
    """As in threads."""

    async def main():
        async with make_async_client(max_connections=1, max_retries=0) as client:
            with server.hold_replies():
                first = asyncio.ensure_future(ask(client, 0))
                await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
                with pytest.raises(errors.TimeoutExceededError) as caught:
                    await ask(client.with_options(timeout=0.05), 1)
                with pytest.raises(errors.DeadlineExceededError):
                    await ask(client.with_options(deadline=0.05), 1)
            assert isinstance(caught.value, httpx.PoolTimeout)
            assert [pairs(await first), pairs(await ask(client, 2))] == [right(0), right(2)]

    asyncio.run(main())
    assert len(server.requests) == 2


def test_the_slowest_call_holds_up_no_other(server, make_async_client):
    """A call that hangs does not block another one."""

    async def main():
        async with make_async_client() as client:
            release = asyncio.Event()
            loop = asyncio.get_running_loop()

            async def held(exchange):
                done = asyncio.run_coroutine_threadsafe(release.wait(), loop)
                await asyncio.wrap_future(done)
                await good_reply()(exchange)

            server.script(held)
            slow = asyncio.ensure_future(ask(client, 0))
            await asyncio.to_thread(server.wait_until, lambda s: s.n_in_flight == 1)
            fast = await asyncio.gather(*(ask(client, number) for number in range(1, 9)))
            assert [pairs(one) for one in fast] == [right(number) for number in range(1, 9)]
            assert not slow.done()
            release.set()
            assert pairs(await slow) == right(0)

    asyncio.run(main())


# Processes ---------------------------------------------------------------------------------------

THREADED_FORK = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from cohere_rerank import ClientV2

url = sys.argv[1]
client = ClientV2("k", base_url=url, max_connections=4)
call = dict(model="m", documents=["a", "b"])
stop = threading.Event()
failures = []

def work():
    while not stop.is_set():
        try:
            client.rerank(query="parent", **call)
        except BaseException as error:
            failures.append(error)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
statuses = []
for _ in range(5):
    client.rerank(query="parent", **call)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(3):
                client.rerank(query="child", deadline=20, **call)
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
client.rerank(query="parent", **call)
assert statuses == [0] * 5, statuses
assert failures == [], failures
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_other_threads_call_is_safe(server):
    """Locks of threads that the child does not have block nothing, and no connection is used by both."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning:__main__", "-c", THREADED_FORK, server.url],
        env={"PYTHONPATH": PACKAGE_HOME},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    users = {}
    for request in server.requests:
        users.setdefault(request.connection, set()).add(request.json["query"])
    assert all(len(queries) == 1 for queries in users.values())
    assert sum(request.json["query"] == "child" for request in server.requests) == 15


def _rerank_in_process(pickled, number):
    return pairs(ask(pickle.loads(pickled), number))


def test_a_client_travels_to_spawned_processes(server, monkeypatch):
    """A pickled client works where it arrives, with the key that it finds there."""
    monkeypatch.setenv("CO_API_KEY", "the key here")
    server.keys = {"the key here"}
    client = ClientV2(base_url=server.url, client_name="traveller")
    assert pairs(ask(client, 0)) == right(0)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert processes.submit(_rerank_in_process, pickle.dumps(client), 7).result() == right(7)
    client.close()
    assert [request.header("x-client-name") for request in server.requests] == ["traveller"] * 2


EXIT = """
import asyncio, sys
from cohere_rerank import AsyncClientV2, ClientV2

call = dict(model="m", query="q", documents=["a", "b"])
client, other = ClientV2("k", base_url=sys.argv[1]), AsyncClientV2("k", base_url=sys.argv[1])
assert client.rerank(**call).results
assert asyncio.run(other.rerank(**call)).results
"""


def test_a_program_that_never_closes_its_clients_ends_quietly(server):
    """There is no warning, and the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT, server.url],
        env={"PYTHONPATH": PACKAGE_HOME},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    server.wait_until(lambda s: s.n_open == 0)


def test_clients_of_two_servers_do_not_mix(server, clock):
    """Connections belong to their origin, also where copies share a pool."""
    with Server() as other, ClientV2("k", base_url=server.url, clock=clock) as client:
        there = client.with_options(base_url=other.url)
        for number in range(6):
            assert pairs(ask(there if number % 2 else client, number)) == right(number)
        assert [request.json["query"] for request in other.requests] == [f"question {n}" for n in (1, 3, 5)]
        assert [request.json["query"] for request in server.requests] == [f"question {n}" for n in (0, 2, 4)]


def test_an_unused_async_client_needs_no_loop():
    """Made and dropped outside any loop, without a warning."""
    assert repr(AsyncClientV2("k", base_url="http://127.0.0.1:1"))
