"""A small BERT encoder with random weights in both formats, and a wheel around it. Needs numpy."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile

import numpy as np

WIDTH, HEADS, INNER, LAYERS, POSITIONS = 64, 2, 96, 2, 512
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "\u2581tea", "\u2581green", "\u2581", "t", "e", "a", "\u2581black", "ﬁ"]
BLOCK = 32


def random_weights(seed=0):
    """All tensors by our own names, with matrices as (outputs, inputs)."""
    rng = np.random.default_rng(seed)

    def random(*shape, mean=0.0):
        return (mean + 0.3 * rng.standard_normal(shape)).astype(np.float32)

    tensors = {
        "words": random(len(PIECES), WIDTH),
        "positions": random(POSITIONS, WIDTH) / 3,
        "types": random(2, WIDTH) / 3,
        "norm.w": random(WIDTH, mean=1.0),
        "norm.b": random(WIDTH),
    }
    shapes = {"up": (INNER, WIDTH), "down": (WIDTH, INNER)}
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "out", "up", "down"):
            shape = shapes.get(name, (WIDTH, WIDTH))
            tensors[f"{layer}.{name}.w"], tensors[f"{layer}.{name}.b"] = random(*shape), random(shape[0])
        for name in ("attention_norm", "output_norm"):
            tensors[f"{layer}.{name}.w"], tensors[f"{layer}.{name}.b"] = random(WIDTH, mean=1.0), random(WIDTH)
    return tensors


def hidden_states(tensors, ids):
    """What BERT computes for one text, in plain numpy."""

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * tensors[f"{name}.w"] + tensors[f"{name}.b"]

    def linear(x, name):
        return x @ tensors[f"{name}.w"].T + tensors[f"{name}.b"]

    def heads(x):
        return x.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)

    erf = np.vectorize(__import__("math").erf)
    x = norm(tensors["words"][ids] + tensors["positions"][: len(ids)] + tensors["types"][0], "norm")
    for layer in range(LAYERS):
        q, k, v = (heads(linear(x, f"{layer}.{name}")) for name in "qkv")
        a = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS))
        mixed = (a / a.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = norm(linear(mixed, f"{layer}.out") + x, f"{layer}.attention_norm")
        up = linear(x, f"{layer}.up")
        x = norm(linear(up * (1 + erf(up / np.sqrt(2))) / 2, f"{layer}.down") + x, f"{layer}.output_norm")
    return x


def rounded(matrix):
    """The 4-bit numbers of a matrix in blocks of 32, their scales, and the matrix that they stand for."""
    blocks = matrix.reshape(len(matrix), -1, BLOCK)
    scales = (np.abs(blocks).max(-1) / 7).astype(np.float16)
    numbers = np.clip(np.round(blocks / scales[..., None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    return numbers, scales, ((numbers.astype(np.float32) - 8) * scales[..., None]).reshape(matrix.shape)


def q4_file(tensors):
    """The bytes of the file, and the tensors that they stand for."""
    ours = {"attention_norm": "aln", "output_norm": "oln", "out": "ao", "up": "fi", "down": "fo"}
    entries, data, meant = [], b"", dict(tensors)

    def add(name, values, *, is_matrix):
        nonlocal data
        if is_matrix:
            numbers, scales, values = rounded(values)
            nibbles = numbers[..., :16] | (numbers[..., 16:] << 4)
            content = np.concatenate([scales[..., None].view(np.uint8), nibbles], -1).tobytes()
        else:
            content = values.astype("<f4").tobytes()
        entries.append((name, int(is_matrix), values.size, len(data), len(content)))
        data += content
        return values

    meant["words"] = add("emb.word", tensors["words"], is_matrix=True)
    for name, theirs in (("positions", "pos"), ("types", "type"), ("norm.w", "ln.w"), ("norm.b", "ln.b")):
        add(f"emb.{theirs}", tensors[name], is_matrix=False)
    for name, values in tensors.items():
        if name[0].isdigit():
            layer, kind, part = name.split(".")
            is_matrix = values.ndim == 2
            meant[name] = add(f"l{layer}.{ours.get(kind, kind)}.{part}", values, is_matrix=is_matrix)

    letters = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, letters)])
    head = struct.pack("<4sI7ifi", b"E5S1", 1, WIDTH, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 2, 1e-12, BLOCK)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1]))
    head += ends.astype("<u4").tobytes() + np.linspace(0, -9, len(PIECES)).astype("<f4").tobytes() + b"".join(letters)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xFB01, 1, 0x66)
    start = len(head) + 4 + sum(2 + len(name) + 21 for name, *_ in entries)
    head += struct.pack("<i", len(entries))
    for name, kind, count, offset, n_bytes in entries:
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, count, start + offset, n_bytes)
    return head + data, meant


def wheel(folder, files):
    """A wheel with these files, and its hash."""
    path = folder / "small_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("small_model/__init__.py", "raise SystemExit('the package was imported')")
        archive.writestr(
            "small_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            "small_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
        )
        archive.writestr("small_model-1.0.dist-info/RECORD", "")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def safetensors_file(arrays):
    """The bytes of a file with these arrays."""
    header, data = {}, b""
    for name, values in arrays.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
