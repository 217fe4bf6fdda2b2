"""Write a BERT encoder as an ONNX file whose matrices are 8-bit numbers.

The word vectors keep their 4-bit numbers where the weights have them. Each matrix has one scale for each output. The
inputs of a matrix are turned into 8-bit numbers while the model runs, with one scale for each run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cohere_rerank._extras import require

from .weights import BLOCK, Encoder

np = require("numpy", "multilingual", "The conversion of a model")
onnx = require("onnx", "multilingual", "The conversion of a model")

__all__ = ["write_onnx"]

_OPSET = 18  # onnxruntime 1.14 reads it
_IR_VERSION = 9
_MASKED = -1e9  # added to the attention of padding


def write_onnx(encoder: Encoder, file: Path) -> None:
    """Write an encoder. Its output ``last_hidden_state`` has one vector for each token."""
    graph = _Graph(encoder)
    graph.build()
    graph.save(file)


class _Graph:
    """Collects nodes and weights. Each method returns the name of its output."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._tensors = encoder.tensors
        self._width = encoder.tensors["norm.w"].shape[0]
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def build(self) -> None:
        """Add all nodes."""
        positions = self._tensors["positions"] + self._tensors["types"][0]
        length = self._node("Shape", "input_ids", start=1, end=2)
        place = self._node("Slice", self._constant(positions), self._integers(0), length)
        state = self._norm(self._node("Add", self._word_vectors(), place), "norm")
        mask = self._node("Sub", self._node("Cast", "attention_mask", to=onnx.TensorProto.FLOAT), self._number(1))
        mask = self._node("Unsqueeze", self._node("Mul", mask, self._number(-_MASKED)), self._integers(1, 2))
        for layer in range(self._encoder.n_layers):
            state = self._layer(f"{layer}.", state, mask)
        self._node("Identity", state, out="last_hidden_state")

    def save(self, file: Path) -> None:
        """Write the file."""
        helper, types = onnx.helper, onnx.TensorProto
        inputs = [
            helper.make_tensor_value_info(name, types.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ]
        shape = ["batch", "length", self._width]
        output = helper.make_tensor_value_info("last_hidden_state", types.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "encoder", inputs, [output], self._weights)
        opset = helper.make_opsetid("", _OPSET)
        onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION), str(file))

    def _layer(self, prefix: str, state: str, mask: str) -> str:
        outputs = [f"{prefix}{name}.out" for name in "qkv"]
        joint = self._linear(state, *(prefix + name for name in "qkv"))  # one product instead of three
        self._nodes.append(onnx.helper.make_node("Split", [joint], outputs, axis=-1, num_outputs=3))
        query, key, value = (self._heads(output, name) for output, name in zip(outputs, "qkv"))
        scale = self._number((self._width // self._encoder.n_heads) ** -0.5)
        attention = self._node("Mul", self._node("MatMul", query, key), scale)
        attention = self._node("Softmax", self._node("Add", attention, mask), axis=-1)
        context = self._node("Transpose", self._node("MatMul", attention, value), perm=[0, 2, 1, 3])
        context = self._node("Reshape", context, self._integers(0, 0, self._width))
        state = self._norm(self._node("Add", self._linear(context, prefix + "out"), state), prefix + "attention_norm")
        inner = self._gelu(self._linear(state, prefix + "up"))
        return self._norm(self._node("Add", self._linear(inner, prefix + "down"), state), prefix + "output_norm")

    def _word_vectors(self) -> str:
        if self._encoder.words is None:
            values, scales = _to_8_bits(self._tensors["words"])
            rows = self._node("Cast", self._node("Gather", self._constant(values), "input_ids"), to=1)
            row_scales = self._node("Gather", self._constant(scales[:, None]), "input_ids")
            return self._node("Mul", rows, row_scales)
        nibbles, scales = self._encoder.words
        nibbles = nibbles.reshape(len(nibbles), self._width)
        packed = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
        found = self._node("Gather", self._constant(packed), "input_ids")
        low = self._node("BitwiseAnd", found, self._constant(np.array(15, np.uint8)))
        high = self._node("BitShift", found, self._constant(np.array(4, np.uint8)), direction="RIGHT")
        last = self._integers(-1)
        pairs = self._node("Concat", self._node("Unsqueeze", low, last), self._node("Unsqueeze", high, last), axis=-1)
        blocks = self._node("Reshape", pairs, self._integers(0, 0, self._width // BLOCK, BLOCK))
        blocks = self._node("Sub", self._node("Cast", blocks, to=1), self._number(8))
        row_scales = self._node("Gather", self._constant(scales[:, :, None]), "input_ids")
        blocks = self._node("Mul", blocks, self._node("Cast", row_scales, to=1))
        return self._node("Reshape", blocks, self._integers(0, 0, self._width))

    def _heads(self, state: str, name: str) -> str:
        n_heads = self._encoder.n_heads
        split = self._node("Reshape", state, self._integers(0, 0, n_heads, self._width // n_heads))
        return self._node("Transpose", split, perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])

    def _linear(self, state: str, *names: str) -> str:
        values, scales = _to_8_bits(np.concatenate([self._tensors[name + ".w"] for name in names]))
        biases = np.concatenate([self._tensors[name + ".b"] for name in names])
        rounded, scale, zero = (f"{names[0]}.{part}" for part in ("values", "scale", "zero"))
        self._nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", [state], [rounded, scale, zero]))
        product = self._node("MatMulInteger", rounded, self._constant(values.T), zero)
        product = self._node("Cast", product, to=1)
        product = self._node("Mul", product, self._node("Mul", scale, self._constant(scales)))
        return self._node("Add", product, self._constant(biases))

    def _norm(self, state: str, name: str) -> str:
        weight, bias = (self._constant(self._tensors[f"{name}.{part}"]) for part in "wb")
        return self._node("LayerNormalization", state, weight, bias, axis=-1, epsilon=self._encoder.epsilon)

    def _gelu(self, state: str) -> str:
        error = self._node("Erf", self._node("Mul", state, self._number(2**-0.5)))
        product = self._node("Mul", state, self._node("Add", error, self._number(1)))
        return self._node("Mul", product, self._number(0.5))

    def _node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"n{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def _constant(self, values: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))


def _to_8_bits(matrix: Any) -> tuple[Any, Any]:
    """Return a matrix as 8-bit integers, and the scale of each row."""
    scales = np.maximum(np.abs(matrix).max(axis=1), 1e-12).astype(np.float32) / 127
    return np.round(matrix / scales[:, None]).astype(np.int8), scales
