"""Which of several API keys sends the next request. Pure: the caller passes every time in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE_S = 60.0  # of a key after a 429 without a hint: the usual period of a limit
_USED_UP_S = 3_600.0  # of a key whose quota of a month or a day is used up


class KeyRing:
    """The state of several keys, by position. A key is used until it must wait; then the one that waits least.

    Threads share it without a lock. A race costs one request with a key that must wait, and a 429 corrects it.

    Args:
        n: The number of keys.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._current = 0
        self._paused_until_s = [0.0] * n
        self._used_up_until_s = [0.0] * n

    def choose(self, now_s: float, waits_s: Sequence[float]) -> int:
        """Return the position of the key to send with.

        Args:
            now_s: The time.
            waits_s: How long the own limit of each key would delay a request.
        """

        def cost(index: int) -> tuple[bool, float, int]:
            wait_s = max(waits_s[index], self._paused_until_s[index] - now_s)
            return self._used_up_until_s[index] > now_s, wait_s, (index - self._current) % self._n

        self._current = min(range(self._n), key=cost)
        return self._current

    def record_rejection(self, index: int, now_s: float, retry_after_s: float | None, *, is_used_up: bool) -> bool:
        """Record a 429 for a key, and return whether another key may send the request now."""
        if is_used_up:
            self._used_up_until_s[index] = now_s + _USED_UP_S
            return any(until_s <= now_s for until_s in self._used_up_until_s)
        self._paused_until_s[index] = now_s + (_PAUSE_S if retry_after_s is None else retry_after_s)
        return self.wait_s(now_s) <= 0

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the first key may be used again: 0.0 or less if one may be used now."""
        pairs = zip(self._paused_until_s, self._used_up_until_s)
        return min(max(until_s) for until_s in pairs) - now_s
