"""Words of like meaning, told by the sentence encoder's own table of tokens: needs the extra ``[semantic]``.

The encoder adds up vectors of tokens. Taken one by one they are a dictionary of its languages: "water" lies next to
"Wasser", "вода" and "水".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cohere_rerank._extras import require

np = require("numpy", "semantic", "local:semantic")

_FIRST_PIECE = 6  # before it: unknown, beginning, end and the like
_MOST_QUERY_TOKENS = 256
_BLOCK = 4_096  # vectors looked up at once, 8 MB


class TokenTable:
    """The vectors and the rarity of the tokens of words.

    Args:
        model: The package's `NumpyBackend`: its table of one byte a number, and how to read it.
        tokenizer: The package's `UseTokenizer`: its pieces and the logarithms of their shares of all text.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._encode = tokenizer.encode
        self._rarity = -np.array(tokenizer._scores, dtype=np.float32)
        self._in_words = np.array([any(map(str.isalnum, piece)) for piece in tokenizer._pieces])
        self._in_words[:_FIRST_PIECE] = False

    def words(self, text: str) -> Any:
        """Return the different tokens of the words of *text*, ascending."""
        tokens = np.unique(np.array(self._encode(text, add_bos=False, add_eos=False), dtype=np.int32))
        return tokens[self._in_words[tokens]]

    def shares(self, query: Any, documents: Sequence[Any]) -> Any:
        """Return how much of a query each document holds in like words, in [0, 1].

        Each token of the query is worth its cosine with the likest one of the document, weighted by its rarity in
        the list and by the square of its rarity in all text.

        Args:
            query: Tokens, as `words` gives them; the first 256 count.
            documents: Tokens of each document, at least one of them.
        """
        query = query[:_MOST_QUERY_TOKENS]
        seen = np.unique(np.concatenate(documents))
        if not len(query) or not len(seen):
            return np.zeros(len(documents))
        asked = self._unit(query).T
        blocks = [self._unit(seen[start : start + _BLOCK]) @ asked for start in range(0, len(seen), _BLOCK)]
        likeness = np.concatenate(blocks)
        likest = np.array([likeness[np.searchsorted(seen, some)].max(axis=0, initial=0.0) for some in documents])
        n_holding = likest.sum(axis=0)
        weights = np.log1p((len(documents) - n_holding + 0.5) / (n_holding + 0.5)) * self._rarity[query] ** 2
        return (likest @ (weights / weights.sum())).clip(0.0, 1.0)

    def _unit(self, tokens: Any) -> Any:
        chunks = tokens % len(self._model.scale)
        vectors = self._model.table[tokens] * self._model.scale[chunks, None] + self._model.lo[chunks, None]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
