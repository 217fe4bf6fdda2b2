"""Find the external data files of an ONNX model, without running or importing anything of it; reads only the file.

A model may name other files that hold its weights. Some releases of onnxruntime read such a file anywhere on the disk.

Source: onnx.proto of ONNX 1.17, messages ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from cohere_rerank.errors import InvalidRequestError

__all__ = ["external_files"]

_MAX_DEPTH = 100  # of messages in messages

# Field numbers by message: which fields contain messages, and of which kind.
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {13: "entry"},
    "entry": {},
}


def external_files(model: Path, root: Path) -> list[Path]:
    """Return the external data files of a model.

    Args:
        model: The file of the model.
        root: The folder that all of them must be in, after symbolic links are followed.

    Raises:
        InvalidRequestError: The file is not an ONNX model, or a file that it names is missing or outside the folder.
    """
    if not model.stat().st_size:
        raise InvalidRequestError(f"{model} cannot be loaded as an ONNX model: the file is empty")
    with model.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            locations = sorted(set(_locations(data, 0, len(data), "model", 0)))
        except (IndexError, UnicodeDecodeError, ValueError) as error:
            raise InvalidRequestError(f"{model} cannot be loaded as an ONNX model: {error}") from None
    return [_check_location(model, root, location) for location in locations]


def _check_location(model: Path, root: Path, location: str) -> Path:
    file = model.parent / location
    parts = location.replace("\\", "/").split("/")
    is_plain = not {"", ".."} & set(parts) and ":" not in location and "\0" not in location
    if not is_plain or not file.resolve().is_relative_to(root.resolve()):
        raise InvalidRequestError(f"the model {model} names external data outside its folder: {location[:200]!r}")
    if not file.is_file():
        raise InvalidRequestError(f"the model {model} needs the external data {location[:200]!r}, which is missing")
    return file


def _locations(data: mmap.mmap, start: int, end: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("its messages are nested too deeply")
    if kind == "entry":
        texts = {number: data[begin:stop] for number, begin, stop in _fields(data, start, end)}
        if texts.get(1) == b"location":
            yield texts.get(2, b"").decode()
        return
    for number, begin, stop in _fields(data, start, end):
        child = _CHILDREN[kind].get(number)
        if child is not None:
            yield from _locations(data, begin, stop, child, depth + 1)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number, the start and the end of each field with a length; skip all others."""
    while start < end:
        tag, start = _varint(data, start, end)
        if tag >> 32:  # onnxruntime ignores these bits and reads another field
            raise ValueError("it is not an ONNX model")
        kind = tag & 7
        if kind == 0:
            _, start = _varint(data, start, end)
        elif kind == 1:
            start += 8
        elif kind == 5:
            start += 4
        elif kind == 2:
            length, start = _varint(data, start, end)
            if start + length > end:
                raise ValueError("the file is truncated or is not an ONNX model")
            yield tag >> 3, start, start + length
            start += length
        else:
            raise ValueError("it is not an ONNX model")
    if start != end:
        raise ValueError("the file is truncated or is not an ONNX model")


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            break
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
    raise ValueError("the file is truncated or is not an ONNX model")
