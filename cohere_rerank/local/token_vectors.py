"""Words of similar meaning, from the token vectors of the sentence encoder. Needs the extra ``[semantic]``.

The encoder adds up the vectors of tokens. The single vectors are a dictionary of its languages: "water" is close to
"Wasser", "вода" and "水".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cohere_rerank._extras import require

np = require("numpy", "semantic", "local:semantic")

_FIRST_PIECE = 6  # the pieces before it are special: unknown, beginning, end
_MAX_QUERY_TOKENS = 256
_BLOCK_SIZE = 4_096  # vectors that are compared at once, 8 MB


class TokenVectors:
    """The vectors of the tokens of words, and their inverse frequencies.

    Args:
        model: The package's `NumpyBackend`. It has the quantized table of vectors.
        tokenizer: The package's `UseTokenizer`. It has the pieces and the logarithms of their frequencies.
        encode: Returns the tokens of a text, as the tokenizer's method does.
    """

    def __init__(self, model: Any, tokenizer: Any, encode: Callable[..., list[int]]) -> None:
        self._model = model
        self._encode = encode
        self._log_inverse_frequency = -np.array(tokenizer._scores, dtype=np.float32)
        self._is_word_piece = np.array([any(map(str.isalnum, piece)) for piece in tokenizer._pieces])
        self._is_word_piece[:_FIRST_PIECE] = False

    def words(self, text: str) -> Any:
        """Return the distinct tokens of the words of *text*, ascending."""
        tokens = np.unique(np.array(self._encode(text, add_bos=False, add_eos=False), dtype=np.int32))
        return tokens[self._is_word_piece[tokens]]

    def soft_overlap(self, query: Any, documents: Sequence[Any]) -> Any:
        """Return for each document which share of the query it contains in similar words, in [0, 1].

        The value of a query token is its highest cosine with a token of the document. Its weight is its inverse
        document frequency in the list, times the square of its inverse frequency in all text.

        Args:
            query: Tokens, as `words` returns them. The first 256 count.
            documents: The tokens of each document, for at least one document.
        """
        query = query[:_MAX_QUERY_TOKENS]
        distinct = np.unique(np.concatenate(documents))
        if not len(query) or not len(distinct):
            return np.zeros(len(documents))
        query_vectors = self._unit_vectors(query).T
        blocks = [distinct[start : start + _BLOCK_SIZE] for start in range(0, len(distinct), _BLOCK_SIZE)]
        similarity = np.concatenate([self._unit_vectors(block) @ query_vectors for block in blocks])
        rows = [np.searchsorted(distinct, tokens) for tokens in documents]
        best_match = np.array([similarity[row].max(axis=0, initial=0.0) for row in rows])
        df = best_match.sum(axis=0)
        idf = np.log1p((len(documents) - df + 0.5) / (df + 0.5))
        weights = idf * self._log_inverse_frequency[query] ** 2
        return (best_match @ (weights / weights.sum())).clip(0.0, 1.0)

    def _unit_vectors(self, tokens: Any) -> Any:
        chunks = tokens % len(self._model.scale)
        vectors = self._model.table[tokens] * self._model.scale[chunks, None] + self._model.lo[chunks, None]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
