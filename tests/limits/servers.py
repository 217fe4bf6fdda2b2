"""How servers count requests, on a clock that is passed in, and a client that sends whenever it may."""

from __future__ import annotations

import heapq
import math
from collections import deque


class Bucket:
    """A token bucket that refills evenly; hints in whole seconds, rounded up."""

    def __init__(self, n, period_s, burst):
        self._interval_s, self._size, self._n_tokens, self._at_s = period_s / n, burst, float(burst), -math.inf

    def wait_s(self, now_s):
        if self._at_s > -math.inf:
            self._n_tokens = min(self._size, self._n_tokens + (now_s - self._at_s) / self._interval_s)
        self._at_s = now_s
        if self._n_tokens > 1 - 1e-6:
            self._n_tokens -= 1
            return 0.0
        return float(math.ceil((1 - self._n_tokens) * self._interval_s))


class FixedWindow:
    """Starts at zero in each period; the first request after a period begins the next."""

    def __init__(self, n, period_s, burst=0):
        self._n, self._period_s, self._start_s, self._count = n, period_s, -math.inf, 0

    def wait_s(self, now_s):
        if now_s >= self._start_s + self._period_s - 1e-6:
            self._start_s, self._count = now_s, 0
        if self._count < self._n:
            self._count += 1
            return 0.0
        return self._start_s + self._period_s - now_s


class SlidingWindowServer:
    """Counts the requests of the last period."""

    def __init__(self, n, period_s, burst=0):
        self._n, self._period_s, self._came_s = n, period_s, deque()

    def wait_s(self, now_s):
        while self._came_s and self._came_s[0] <= now_s - self._period_s + 1e-6:
            self._came_s.popleft()
        if len(self._came_s) < self._n:
            self._came_s.append(now_s)
            return 0.0
        return self._came_s[0] + self._period_s - now_s


class Sent:
    """A request: when it was sent, when it arrived, and the status of the reply."""

    def __init__(self, sent_s, arrived_s, status):
        self.sent_s, self.arrived_s, self.status = sent_s, arrived_s, status


def drive(algorithm, server, *, until_s, delays, period_s=60.0, has_hints=True):
    """Send whenever the algorithm allows; ``delays() -> (to arrive, to reply)``. Return the requests in order.

    Requests may overtake one another, so the server sees them in the order in which they arrive.
    """
    sent, events, now_s, pause_s, period_start_s = [], [], 0.0, 0.0, -math.inf
    while now_s < until_s:
        while events and events[0][0] <= now_s:
            at_s, _, kind, request = heapq.heappop(events)
            if kind == "arrives":
                request.hint_s = server.wait_s(at_s)
                request.status = 429 if request.hint_s else 200
                continue
            algorithm.on_complete(at_s)
            algorithm.on_response(at_s, request.status, {})
            if request.status == 429:
                wait_s = request.hint_s if has_hints else max(1.0, period_start_s + period_s - at_s)
                pause_s = max(pause_s, at_s + wait_s)
                algorithm.pause(pause_s)
        wait_s = algorithm.acquire(now_s)
        if wait_s == 0.0:
            period_start_s = now_s if now_s >= period_start_s + period_s else period_start_s
            to_arrive_s, to_reply_s = delays()
            request = Sent(now_s, now_s + to_arrive_s, None)
            sent.append(request)
            heapq.heappush(events, (request.arrived_s, len(sent), "arrives", request))
            heapq.heappush(events, (request.arrived_s + to_reply_s, len(sent), "replies", request))
            continue
        next_s = now_s + wait_s
        if events:
            next_s = min(next_s, events[0][0])
        now_s = max(math.nextafter(now_s, math.inf), next_s)
    return [request for request in sent if request.status is not None]
