"""Rerank with Ray Data: the class for `map_batches`, and one rate limit for the whole cluster. Extra ``ray``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cohere_rerank._extras import require
from cohere_rerank.errors import InvalidRequestError, RateLimitStoreError
from cohere_rerank.limits.memory import MemoryStore

from .arrow import RerankBatch

if TYPE_CHECKING:
    from cohere_rerank.limits import RateLimit

__all__ = ["RayStore", "RerankBatch"]

_NAMESPACE = "cohere_rerank"
_CALL_TIMEOUT_S = 30.0  # the actor may have to start first


@dataclass(frozen=True)
class RayStore:
    """The state of a rate limit in one named actor of the cluster; see ``RateLimit(store=...)``.

    The first request creates the actor. The actor uses no CPU and outlives the job. If its node is lost, Ray restarts
    it with an empty state.

    Args:
        name: The name of the actor. Clients that share the limit use the same name. Each API key needs its own.

    Raises:
        InvalidRequestError: The name is blank or is not a string.
    """

    name: str

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequestError(f"the name of a RayStore must be a string that is not blank, got {name!r}")

    def acquire(self, limit: RateLimit, now_s: float) -> float:  # noqa: ARG002 - the actor's clock counts
        """See `Store.acquire`."""
        return float(self._call_actor("acquire", _without_store(limit)))

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:  # noqa: ARG002
        """See `Store.pause`."""
        self._call_actor("pause", _without_store(limit), seconds)

    def stop(self) -> None:
        """Stop the actor. Call it when no job uses the limit any more."""
        ray = _ray()
        try:
            ray.kill(ray.get_actor(self.name, namespace=_NAMESPACE))
        except ValueError:  # the actor does not exist
            return

    def _call_actor(self, method: str, *arguments: Any) -> Any:
        ray = _ray()
        try:
            result = getattr(_counter(self.name), method).remote(*arguments)
            return ray.get(result, timeout=_CALL_TIMEOUT_S)
        except ray.exceptions.RayError as error:
            raise RateLimitStoreError(f"the actor {self.name!r} of the rate limit did not respond: {error}") from error


class _Counter:
    """The code of the actor: the state of the limit, on the clock of its node."""

    def __init__(self) -> None:
        import time

        self._now = time.monotonic
        self._store = MemoryStore()

    def acquire(self, limit: RateLimit) -> float:
        return self._store.acquire(limit, self._now())

    def pause(self, limit: RateLimit, seconds: float) -> None:
        self._store.pause(limit, seconds, self._now())


def _without_store(limit: RateLimit) -> RateLimit:
    """Return the limit without its store, as the actor needs it."""
    return replace(limit, store=None)


def _counter(name: str) -> Any:
    counter = _ray().remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter)
    return counter.options(name=name, namespace=_NAMESPACE, get_if_exists=True, lifetime="detached").remote()


def _ray() -> Any:
    return require("ray", "ray", "A limit in Ray")
