"""Embeddings kept in memory: computed once per text, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

Embed = Callable[[Sequence[str]], Sequence[Any]]


class VectorCache:
    """Holds the vectors of texts under hashes of the texts; threads may share it.

    Args:
        embed: Gives one value per text, such as an array (chunks, dimensions); called without a lock held.
        max_vectors: At most this many chunks are kept, over all texts.
        size: How many vectors a value holds.
    """

    def __init__(self, embed: Embed, max_vectors: int, size: Callable[[Any], int] = len) -> None:
        self._embed = embed
        self._size = size
        self._max_vectors = max_vectors
        self._n_vectors = 0
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n_vectors

    def get(self, texts: Sequence[str]) -> list[Any]:
        """Return one value per text, in their order; equal texts share one."""
        keys = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: text for key, text in zip(keys, texts) if key not in found}
        if missing:
            found.update(zip(missing, self._embed(list(missing.values()))))
        with self._lock:
            for key, vectors in found.items():
                if key not in self._kept:
                    self._n_vectors += self._size(vectors)
                self._kept[key] = vectors
                self._kept.move_to_end(key)
            while self._n_vectors > self._max_vectors:
                self._n_vectors -= self._size(self._kept.popitem(last=False)[1])
        return [found[key] for key in keys]
