"""The order in which waiters are served. Pure: it knows neither time nor waiting."""

from __future__ import annotations

from bisect import bisect_left, insort

__all__ = ["Ticket", "WaitQueue"]

_MAX_OVERTAKES = 9  # interactive calls served in a row while a bulk call waits; the bulk call is served next

Ticket = tuple[int, int]  # traffic class, then number of arrival: tickets sort in the order of service


class WaitQueue:
    """A queue with traffic classes: a lower class is served first, and within a class the order of arrival counts.

    A steady flow of a low class would starve the highest one. So while both wait, every tenth one served is of the
    highest class.
    """

    def __init__(self) -> None:
        self._waiting: list[Ticket] = []  # sorted
        self._n_arrived = 0
        self._n_overtakes = 0  # in a row

    def __len__(self) -> int:
        return len(self._waiting)

    def enqueue(self, traffic_class: int) -> Ticket:
        """Add a waiter behind all of its class and return its ticket."""
        self._n_arrived += 1
        ticket = (traffic_class, self._n_arrived)
        insort(self._waiting, ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Remove a waiter that no longer waits."""
        del self._waiting[bisect_left(self._waiting, ticket)]

    def dequeue(self, ticket: Ticket) -> None:
        """Remove a waiter that was served."""
        overtakes = self._waiting[-1][0] > ticket[0]
        self._n_overtakes = self._n_overtakes + 1 if overtakes else 0
        self.cancel(ticket)

    def head(self) -> Ticket:
        """Return the ticket to serve next. There must be one."""
        return self._waiting[self._highest_class_index() if self._n_overtakes >= _MAX_OVERTAKES else 0]

    def position(self, ticket: Ticket) -> int:
        """Return how many waiters at least will be served before this one, if none is cancelled."""
        index, highest_class_index = bisect_left(self._waiting, ticket), self._highest_class_index()
        if index < highest_class_index:
            return index
        n_in_class = index - highest_class_index
        return min(index, max(0, _MAX_OVERTAKES - self._n_overtakes) + n_in_class * (_MAX_OVERTAKES + 1))

    def _highest_class_index(self) -> int:
        """Return the index of the first ticket of the highest class."""
        return bisect_left(self._waiting, (self._waiting[-1][0], 0))
