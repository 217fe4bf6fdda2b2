"""How servers count requests, on a clock that is passed in, and a client that always wants to send."""

from __future__ import annotations

import heapq
import math
from collections import deque


class Bucket:
    """Tokens that come back at an even pace, at most so many; hints in whole seconds, rounded up."""

    def __init__(self, n, period_s, burst):
        self._step_s, self._most, self._tokens, self._at_s = period_s / n, burst, float(burst), -math.inf

    def wait_s(self, now_s):
        if self._at_s > -math.inf:
            self._tokens = min(self._most, self._tokens + (now_s - self._at_s) / self._step_s)
        self._at_s = now_s
        if self._tokens > 1 - 1e-6:
            self._tokens -= 1
            return 0.0
        return float(math.ceil((1 - self._tokens) * self._step_s))


class FixedWindow:
    """Counts from zero when a period is over; the first request begins one."""

    def __init__(self, n, period_s, burst=0):
        self._n, self._period_s, self._start_s, self._count = n, period_s, -math.inf, 0

    def wait_s(self, now_s):
        if now_s >= self._start_s + self._period_s - 1e-6:
            self._start_s, self._count = now_s, 0
        if self._count < self._n:
            self._count += 1
            return 0.0
        return self._start_s + self._period_s - now_s


class SlidingWindow:
    """Counts what came within the last period."""

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
    """What a client sent: when it was let go, when it arrived, what came back."""

    def __init__(self, went_s, came_s, status):
        self.went_s, self.came_s, self.status = went_s, came_s, status


def drive(decision, server, *, until_s, delays, period_s=60.0, has_hints=True):
    """Send whenever the decision allows; ``delays() -> (to arrive, to reply)``. All that was sent, in order.

    Arrivals may overtake each other, so the server sees them in the order in which they come.
    """
    sent, events, now_s, pause_s, window_s = [], [], 0.0, 0.0, -math.inf
    while now_s < until_s:
        while events and events[0][0] <= now_s:
            at_s, _, kind, one = heapq.heappop(events)
            if kind == "arrives":
                one.hint_s = server.wait_s(at_s)
                one.status = 429 if one.hint_s else 200
                continue
            decision.ended(at_s)
            decision.heard(at_s, one.status, {})
            if one.status == 429:
                wait_s = one.hint_s if has_hints else max(1.0, window_s + period_s - at_s)
                pause_s = max(pause_s, at_s + wait_s)
                decision.rest(pause_s)
        wait_s = decision.take(now_s)
        if wait_s == 0.0:
            window_s = now_s if now_s >= window_s + period_s else window_s
            to_arrive_s, to_reply_s = delays()
            one = Sent(now_s, now_s + to_arrive_s, None)
            sent.append(one)
            heapq.heappush(events, (one.came_s, len(sent), "arrives", one))
            heapq.heappush(events, (one.came_s + to_reply_s, len(sent), "replies", one))
            continue
        next_s = now_s + wait_s
        if events:
            next_s = min(next_s, events[0][0])
        now_s = max(math.nextafter(now_s, math.inf), next_s)
    return [one for one in sent if one.status is not None]
