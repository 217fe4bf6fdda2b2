"""One gate for each key, limit and address, in each process."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from cohere_rerank import AsyncClientV2, ClientV2, RateLimit
from cohere_rerank._clock import Deadline, SystemClock
from cohere_rerank.limits import limiter as gate_module
from cohere_rerank.limits.limiter import gate_for
from cohere_rerank.testing import FakeClock


def gate_of(key="k", url="https://api.example", limit="trial", client=ClientV2, **options):
    return gate_for(client(key, base_url=url, limit=limit, **options)._config)


def test_clients_with_the_same_key_limit_and_address_share_a_gate():
    """However the address is written, and whichever client it is."""
    gate = gate_of(limit=RateLimit(per_minute=7))
    assert gate_of(limit=RateLimit(requests=7, period_s=60.0)) is gate
    assert gate_of(limit=RateLimit(per_minute=7), url="https://api.example/v2/") is gate
    assert gate_of(limit=RateLimit(per_minute=7), client=AsyncClientV2) is gate
    assert gate_of(limit=RateLimit(per_minute=7), timeout=5) is gate


def test_another_key_limit_name_or_address_has_a_gate_of_its_own():
    gates = [
        gate_of(),
        gate_of(key="other"),
        gate_of(url="https://other.example"),
        gate_of(limit="production"),
        gate_of(limit="auto"),
        gate_of(limit=RateLimit(per_minute=10, name="other")),
    ]
    assert len(set(gates)) == len(gates)


def test_a_function_that_gives_keys_stands_for_its_keys():
    class Keys:
        __hash__ = None

        def __call__(self):
            return "k"

    keys = Keys()
    assert gate_of(key=keys) is gate_of(key=keys)
    assert gate_of(key=Keys()) is not gate_of(key=keys)


def test_gates_of_keys_that_are_no_longer_used_do_not_pile_up(monkeypatch):
    """A service with a key for each of its users keeps those of the last hour."""
    monkeypatch.setattr(gate_module, "_gates", {})
    clock = FakeClock()

    def used(key):
        gate = gate_of(key, clock=clock)
        gate.enter(clock, Deadline(clock, 10), 0)
        return gate

    busy, waited_for = used("busy"), used("recent")
    for number in range(1200):
        used(f"key {number}").leave()
    assert len(gate_module._gates) == 1202
    clock.advance(3000)
    waited_for.leave()
    clock.advance(700)
    used("new")
    assert len(gate_module._gates) == 3
    assert gate_of("busy", clock=clock) is busy
    assert gate_of("recent", clock=clock) is waited_for


def test_the_presets_mean_what_they_say():
    assert gate_of(limit="trial") is gate_of(limit=RateLimit(per_minute=10))
    assert gate_of(limit="production") is gate_of(limit=RateLimit(per_minute=1000))


def _child(config, queue):
    clock = SystemClock()
    gate = gate_for(config)
    gate.enter(clock, Deadline(clock, 5), 0)
    gate.leave()
    queue.put(os.getpid())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_gate_of_its_own():
    """Even when the parent's is held by a thread that waits at that moment."""
    config = ClientV2("fork", base_url="https://api.example", limit=RateLimit(per_minute=1))._config
    clock, gate = SystemClock(), gate_for(config)
    gate.enter(clock, Deadline(clock, 5), 0)
    gate.leave()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with gate._lock:
        child = context.Process(target=_child, args=(config, queue))
        child.start()
    assert queue.get(timeout=20) == child.pid
    child.join(20)
    assert child.exitcode == 0
