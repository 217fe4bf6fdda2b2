"""The wait queue: lower classes first, first come first served, and no class starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.limits.queue import WaitQueue


def served(queue, n):
    """Serve n waiters and return their classes."""
    classes = []
    for _ in range(n):
        ticket = queue.head()
        queue.dequeue(ticket)
        classes.append(ticket[0])
    return classes


def test_interactive_calls_overtake_bulk_calls():
    """A lower class is served first, whenever it came."""
    queue = WaitQueue()
    for traffic_class in (1, 1, 0, 1, 0):
        queue.enqueue(traffic_class)
    assert served(queue, 5) == [0, 0, 1, 1, 1]


def test_within_a_class_the_order_of_arrival_counts():
    """A cancelled waiter does not change the order of the others."""
    queue = WaitQueue()
    tickets = [queue.enqueue(0) for _ in range(4)]
    queue.cancel(tickets[1])
    order = []
    while queue:
        order.append(queue.head())
        queue.dequeue(queue.head())
    assert order == [tickets[0], tickets[2], tickets[3]]


def test_in_a_flood_of_interactive_calls_every_tenth_is_a_bulk_call():
    """At most nine interactive calls in a row overtake a waiting bulk call."""
    queue = WaitQueue()
    for _ in range(100):
        queue.enqueue(0)
    for _ in range(100):
        queue.enqueue(1)
    assert served(queue, 40) == ([0] * 9 + [1]) * 4


def test_interactive_calls_that_overtook_none_do_not_count():
    """A bulk call that has just come waits for nine others."""
    queue = WaitQueue()
    for _ in range(40):
        queue.enqueue(0)
    served(queue, 20)
    queue.enqueue(1)
    assert served(queue, 11) == [0] * 9 + [1, 0]


@given(st.lists(st.tuples(st.sampled_from(["enqueue", "cancel", "dequeue"]), st.integers(0, 2), st.integers(0, 50))))
def test_a_position_is_never_too_high(steps):
    """At least as many waiters are served first as `position` says."""
    queue, waiting = WaitQueue(), []
    for action, traffic_class, pick in steps:
        if action == "enqueue" or not waiting:
            waiting.append(queue.enqueue(traffic_class))
        elif action == "cancel":
            queue.cancel(waiting.pop(pick % len(waiting)))
        else:
            waiting.remove(queue.head())
            queue.dequeue(queue.head())
    expected = {ticket: queue.position(ticket) for ticket in waiting}
    assert len(queue) == len(waiting)
    for n_served in range(len(waiting)):
        head = queue.head()
        assert expected.pop(head) <= n_served
        queue.dequeue(head)
    assert not expected
