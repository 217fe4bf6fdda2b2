"""Rerank with Ray Data: the batch that `map_batches` takes, and one limit for the whole cluster. Extra ``ray``."""

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
_PATIENCE_S = 30.0  # for an answer of the actor, which may have to start


@dataclass(frozen=True)
class RayStore:
    """A limit's counts in one named actor of the cluster; see ``RateLimit(store=...)``.

    The actor is made by whoever asks first, takes no CPU, outlives the job and is restarted (with an empty count)
    where its node is lost.

    Args:
        name: All who share the limit give the same one; every API key needs its own.

    Raises:
        InvalidRequestError: The name is blank or no string.
    """

    name: str

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequestError(f"the name of a RayStore must be a string, not blank, got {name!r}")

    def acquire(self, limit: RateLimit, now_s: float) -> float:  # noqa: ARG002 - the actor's clock counts
        """Seconds after which to ask again; 0.0 grants a send and counts it."""
        return float(self._asked("acquire", _alone(limit)))

    def pause(self, limit: RateLimit, seconds: float, now_s: float) -> None:  # noqa: ARG002
        """Nobody who shares the limit sends for so long."""
        self._asked("pause", _alone(limit), seconds)

    def stop(self) -> None:
        """End the actor, once no job needs it any more."""
        ray = _ray()
        try:
            ray.kill(ray.get_actor(self.name, namespace=_NAMESPACE))
        except ValueError:  # there is none
            return

    def _asked(self, method: str, *arguments: Any) -> Any:
        ray = _ray()
        try:
            answer = getattr(_counter(self.name), method).remote(*arguments)
            return ray.get(answer, timeout=_PATIENCE_S)
        except ray.exceptions.RayError as error:
            raise RateLimitStoreError(f"the actor that counts for the limit does not answer: {error}") from error


class _Counter:
    """What runs in the actor: the counts, on its own clock."""

    def __init__(self) -> None:
        import time

        self._now = time.monotonic
        self._store = MemoryStore()

    def acquire(self, limit: RateLimit) -> float:
        return self._store.acquire(limit, self._now())

    def pause(self, limit: RateLimit, seconds: float) -> None:
        self._store.pause(limit, seconds, self._now())


def _alone(limit: RateLimit) -> RateLimit:
    """The limit alone, as the actor knows it."""
    return replace(limit, store=None)


def _counter(name: str) -> Any:
    counter = _ray().remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Counter)
    return counter.options(name=name, namespace=_NAMESPACE, get_if_exists=True, lifetime="detached").remote()


def _ray() -> Any:
    return require("ray", "ray", "A limit in Ray")
