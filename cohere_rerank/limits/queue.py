"""Whose turn it is. Pure: an order of those who wait, without time and without waiting."""

from __future__ import annotations

from bisect import bisect_left, insort

__all__ = ["Place", "Turns"]

_OVERTAKES = 9  # turns in a row that may go to interactive calls while a bulk call waits; the next is the bulk call's

Place = tuple[int, int]  # lane, then number of arrival: the order of turns


class Turns:
    """Those who wait: lower lanes first, within a lane who came first.

    A flood in a low lane would keep the highest one waiting for ever, so every tenth turn, if both wait, is its own.
    """

    def __init__(self) -> None:
        self._waiting: list[Place] = []  # in order
        self._n_arrived = 0
        self._n_overtakes = 0  # in a row

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, lane: int) -> Place:
        """A place behind all of the same lane."""
        self._n_arrived += 1
        place = (lane, self._n_arrived)
        insort(self._waiting, place)
        return place

    def leave(self, place: Place) -> None:
        """Give up a place."""
        del self._waiting[bisect_left(self._waiting, place)]

    def serve(self, place: Place) -> None:
        """The place's turn was used."""
        overtakes = self._waiting[-1][0] > place[0]
        self._n_overtakes = self._n_overtakes + 1 if overtakes else 0
        self.leave(place)

    def first(self) -> Place:
        """Whose turn it is, of those who wait."""
        return self._waiting[self._last_lane() if self._n_overtakes >= _OVERTAKES else 0]

    def n_ahead(self, place: Place) -> int:
        """How many go before this one at least, if nobody gives up."""
        index, last_lane = bisect_left(self._waiting, place), self._last_lane()
        if index < last_lane:
            return index
        n_own = index - last_lane
        return min(index, max(0, _OVERTAKES - self._n_overtakes) + n_own * (_OVERTAKES + 1))

    def _last_lane(self) -> int:
        """Where the highest lane begins."""
        return bisect_left(self._waiting, (self._waiting[-1][0], 0))
