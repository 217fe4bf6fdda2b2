"""A cache of embeddings in memory. It drops the least recently used ones first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

Embed = Callable[[Sequence[str]], Sequence[Any]]


class EmbeddingCache:
    """Caches the embeddings of texts by the hash of the text. Threads may share it.

    Args:
        embed: Returns one value per text, such as an array (chunks, dimensions). It is called without a lock.
        max_vectors: The most vectors that are kept, over all texts.
        size: Returns how many vectors a value contains.
    """

    def __init__(self, embed: Embed, max_vectors: int, size: Callable[[Any], int] = len) -> None:
        self._embed = embed
        self._size = size
        self._max_vectors = max_vectors
        self._n_vectors = 0
        self._cached: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n_vectors

    def get(self, texts: Sequence[str]) -> list[Any]:
        """Return one value per text, in the order of *texts*. Equal texts share one value."""
        keys = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        with self._lock:
            found = {key: self._cached[key] for key in keys if key in self._cached}
        missing = {key: text for key, text in zip(keys, texts) if key not in found}
        if missing:
            found.update(zip(missing, self._embed(list(missing.values()))))
        with self._lock:
            for key, vectors in found.items():
                if key not in self._cached:
                    self._n_vectors += self._size(vectors)
                self._cached[key] = vectors
                self._cached.move_to_end(key)
            while self._n_vectors > self._max_vectors:
                self._n_vectors -= self._size(self._cached.popitem(last=False)[1])
        return [found[key] for key in keys]
