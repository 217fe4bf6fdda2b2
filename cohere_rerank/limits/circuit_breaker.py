"""Stop sending to a server that fails. `Circuit` decides on a time that is passed in; `SharedCircuit` shares it."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cohere_rerank._addresses import without_query
from cohere_rerank._validators import needed_whole_number, seconds
from cohere_rerank.errors import InvalidRequestError

if TYPE_CHECKING:
    from cohere_rerank._clock import Clock

    State = Literal["closed", "open", "half-open"]

__all__ = ["Circuit", "CircuitBreaker", "SharedCircuit", "circuit_for"]

_MAX_CIRCUITS = 1000


@dataclass(frozen=True)
class CircuitBreaker:
    """When a client stops sending requests to a server that fails, and when it tries again.

    After *max_failures* failures in a row the circuit is open: calls fail at once with CircuitOpenError, or the
    fallback answers. After *open_s* seconds one request probes the server. If it succeeds, the circuit is closed. If it
    fails, the circuit stays open for twice as long, and *max_open_s* at most.

    A failure is a timeout, a connection that fails, a status of 500 or above, or any other error that makes a fallback
    answer, except a 429 and a model that is loading or overloaded. All clients of a process with the same settings,
    address and clock share a circuit.

    Args:
        max_failures: Failures in a row that open the circuit, at least 1. Retries count. Default: 5.
        open_s: Seconds until the first probe, above 0. Default: 5.
        max_open_s: The longest time between two probes in seconds, at least *open_s*. Default: 60.

    Raises:
        InvalidRequestError: A value is of the wrong type or out of its range.
    """

    max_failures: int = 5
    open_s: float = 5.0
    max_open_s: float = 60.0

    def __post_init__(self) -> None:
        values = {
            "max_failures": needed_whole_number("max_failures", self.max_failures, 1),
            "open_s": seconds("open_s", self.open_s),
            "max_open_s": seconds("max_open_s", self.max_open_s),
        }
        for name, value in values.items():
            if value is None:
                raise InvalidRequestError(f"{name} must be a number of seconds above 0, got None")
            object.__setattr__(self, name, value)  # frozen
        if self.max_open_s < self.open_s:
            raise InvalidRequestError(
                f"max_open_s must be at least open_s ({self.open_s:g} s), got {self.max_open_s:g}"
            )


class Circuit:
    """The state of one circuit. Pure: the caller passes in every time.

    Args:
        settings: When it opens, and for how long.
    """

    def __init__(self, settings: CircuitBreaker) -> None:
        self._settings = settings
        self.state: State = "closed"
        self.n_failures = 0  # in a row
        self.open_s = 0.0  # of the last opening
        self._next_probe_s = 0.0

    def try_acquire(self, now_s: float) -> float:
        """Return 0.0 if a request may be sent, or the seconds until the next probe."""
        if self.state == "closed":
            return 0.0
        if now_s < self._next_probe_s:
            return self._next_probe_s - now_s
        self.state = "half-open"
        self._next_probe_s = now_s + self._settings.open_s  # of another one, if this one never ends
        return 0.0

    def record_success(self) -> None:
        """Record that the server answered."""
        self.state, self.n_failures, self.open_s = "closed", 0, 0.0

    def record_failure(self, now_s: float) -> None:
        """Record that the server failed. While the circuit is open, only the failure of a probe counts."""
        if self.state == "open":
            return
        self.n_failures += 1
        if self.state == "half-open" or self.n_failures >= self._settings.max_failures:
            self.open_s = min(max(2 * self.open_s, self._settings.open_s), self._settings.max_open_s)
            self.state, self._next_probe_s = "open", now_s + self.open_s


class SharedCircuit:
    """A circuit for any number of threads and event loops. It logs each change.

    Each method returns the new state if it changed, and None otherwise.
    """

    def __init__(self, settings: CircuitBreaker, address: str) -> None:
        self._circuit = Circuit(settings)
        self._address = without_query(address)
        self._lock = threading.Lock()
        self.last_failure = ""

    def try_acquire(self, now_s: float) -> tuple[float, State | None]:
        """See `Circuit.try_acquire`."""
        with self._lock:
            before = self._circuit.state
            return self._circuit.try_acquire(now_s), self._change(before)

    @property
    def is_closed(self) -> bool:
        """Whether all requests are sent."""
        return self._circuit.state == "closed"

    def record_success(self) -> State | None:
        """See `Circuit.record_success`."""
        if self._circuit.state == "closed" and not self._circuit.n_failures:
            return None
        with self._lock:
            before = self._circuit.state
            self._circuit.record_success()
            return self._change(before)

    def record_failure(self, now_s: float, failure: str) -> State | None:
        """See `Circuit.record_failure`. The failure is described in the log."""
        with self._lock:
            before, self.last_failure = self._circuit.state, failure
            self._circuit.record_failure(now_s)
            return self._change(before)

    def _change(self, before: State) -> State | None:
        circuit = self._circuit
        if circuit.state == before:
            return None
        from logging import getLogger

        log = getLogger("cohere_rerank")
        if circuit.state == "open":
            log.warning(
                "%s: failures in a row: %d (the last: %s); sending nothing for %g s, then one request as a probe",
                self._address,
                circuit.n_failures,
                self.last_failure,
                circuit.open_s,
            )
        elif circuit.state == "half-open":
            log.info("%s: sending one request as a probe", self._address)
        else:
            log.warning("%s answers again: sending all requests", self._address)
        return circuit.state


_circuits: dict[tuple[object, ...], SharedCircuit] = {}


def circuit_for(settings: CircuitBreaker, *, address: str, clock: Clock | None) -> SharedCircuit:
    """Return the circuit of a client: a process has one for each settings, address and clock.

    A forked process has circuits of its own.

    Args:
        settings: When it opens, and for how long.
        address: The URL that the requests go to.
        clock: The clock in the settings of the client.
    """
    circuit_id = (os.getpid(), settings, address, clock)
    circuit = _circuits.get(circuit_id)
    if circuit is None:
        if len(_circuits) >= _MAX_CIRCUITS:
            _circuits.pop(next(iter(_circuits)), None)
        circuit = _circuits.setdefault(circuit_id, SharedCircuit(settings, address))  # atomic
    return circuit
