"""Check a tokenizer file before it is loaded. The library builds large tables from small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import from_json

from cohere_rerank.errors import InvalidRequestError

__all__ = ["check_tokenizer", "read_json"]

_MAX_BYTES = 64 << 20  # the largest published tokenizer files have 35 MB
_MAX_PIECES = 1_000_000  # the largest published vocabularies have 260,000
# A character of a Unigram piece takes up to 340 bytes, measured with tokenizers 0.22. XLM-R has 250,000 pieces.
_MAX_UNIGRAM_CHARS = 3_000_000
_MAX_ADDED_CHARS = 500_000


def check_tokenizer(file: Path) -> None:
    """Check the sizes in a ``tokenizer.json``, so that loading it takes at most about 1 GB and a few seconds.

    Raises:
        InvalidRequestError: The file is not a tokenizer, or it is too large.
    """
    content = read_json(file, _MAX_BYTES)
    model = content.get("model")
    if not isinstance(model, dict):
        raise InvalidRequestError(f"{file} cannot be loaded as a tokenizer: it has no model")
    vocab, added = model.get("vocab"), content.get("added_tokens")
    _check(file, "pieces", _length(vocab), _MAX_PIECES)
    _check(file, "merges", _length(model.get("merges")), _MAX_PIECES)
    if isinstance(vocab, list):
        _check(file, "characters in its pieces", sum(map(_piece_length, vocab)), _MAX_UNIGRAM_CHARS)
    if isinstance(added, list):
        n_chars = sum(_length(token.get("content")) for token in added if isinstance(token, dict))
        _check(file, "characters in its added tokens", n_chars, _MAX_ADDED_CHARS)


def read_json(file: Path, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        InvalidRequestError: The file cannot be read, is too large, or is not a JSON object.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise InvalidRequestError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise InvalidRequestError(f"{file} must have at most {max_bytes} bytes; it is not the file of a known model")
    try:
        parsed = from_json(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{file} is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidRequestError(f"{file} must be a JSON object")
    return parsed


def _check(file: Path, name: str, n: int, maximum: int) -> None:
    if n > maximum:
        raise InvalidRequestError(f"the tokenizer {file} must have at most {maximum} {name}, got {n}")


def _length(value: object) -> int:
    return len(value) if isinstance(value, (str, list, dict)) else 0


def _piece_length(piece: object) -> int:
    return _length(piece[0]) if isinstance(piece, list) and piece else 0
