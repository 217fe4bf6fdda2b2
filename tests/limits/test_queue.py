"""The order of turns: lower lanes first, first come first served, nobody starves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.limits.queue import Turns


def served(turns, n):
    """The lanes of the next n turns."""
    lanes = []
    for _ in range(n):
        place = turns.first()
        turns.serve(place)
        lanes.append(place[0])
    return lanes


def test_interactive_calls_overtake_bulk_calls():
    """A lower lane goes first, whenever it came."""
    turns = Turns()
    for lane in (1, 1, 0, 1, 0):
        turns.join(lane)
    assert served(turns, 5) == [0, 0, 1, 1, 1]


def test_within_a_lane_who_came_first_goes_first():
    """Places of a lane are served in order of arrival, whoever leaves in between."""
    turns = Turns()
    places = [turns.join(0) for _ in range(4)]
    turns.leave(places[1])
    order = []
    while turns:
        order.append(turns.first())
        turns.serve(turns.first())
    assert order == [places[0], places[2], places[3]]


def test_under_a_flood_of_interactive_calls_every_tenth_turn_is_a_bulk_call():
    """A waiting bulk call goes after nine others at the latest, and again and again."""
    turns = Turns()
    for _ in range(100):
        turns.join(0)
    for _ in range(100):
        turns.join(1)
    assert served(turns, 40) == ([0] * 9 + [1]) * 4


def test_interactive_turns_that_overtook_nobody_do_not_count():
    """A bulk call that has just come waits for its own nine."""
    turns = Turns()
    for _ in range(40):
        turns.join(0)
    served(turns, 20)
    turns.join(1)
    assert served(turns, 11) == [0] * 9 + [1, 0]


@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "serve"]), st.integers(0, 2), st.integers(0, 50))))
def test_the_number_ahead_is_never_too_high(steps):
    """As many go before as `n_ahead` says, or more; the first one has nobody ahead who is served before it."""
    turns, waiting = Turns(), []
    for what, lane, pick in steps:
        if what == "join" or not waiting:
            waiting.append(turns.join(lane))
        elif what == "leave":
            turns.leave(waiting.pop(pick % len(waiting)))
        else:
            waiting.remove(turns.first())
            turns.serve(turns.first())
    expected = {place: turns.n_ahead(place) for place in waiting}
    assert len(turns) == len(waiting)
    for n_served in range(len(waiting)):
        first = turns.first()
        assert expected.pop(first) <= n_served
        turns.serve(first)
    assert not expected
