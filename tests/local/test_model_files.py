"""The files of a model: hostile and damaged ones are rejected with their name, and the hub is used only when asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

for package in ("onnxruntime", "tokenizers", "numpy", "onnx"):
    if find_spec(package) is None:
        pytest.importorskip(package, reason=f"the extra [onnx] and onnx are needed: {package} is missing")

import onnx  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from cohere_rerank.errors import InvalidRequestError  # noqa: E402
from cohere_rerank.local.external_data import external_files  # noqa: E402
from cohere_rerank.local.onnx import OnnxScorer  # noqa: E402
from cohere_rerank.local.tokenizer_file import check_tokenizer  # noqa: E402
from tests.local.onnx_models import save_cross_encoder  # noqa: E402

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    """The folder of a small model that works."""
    path = tmp_path / "model"
    path.mkdir()
    return save_cross_encoder(path)


def save_external(folder, *locations, nested=False):
    """Replace the model by one whose tensors are in other files; with *nested*, in the branch of a node."""
    tensors = [external_tensor(f"t{i}", location) for i, location in enumerate(locations)]
    nodes = [helper.make_node("Constant", [], ["c0"], value=tensors[0])] if nested else []
    branch = helper.make_graph(nodes, "branch", [], [], [] if nested else tensors)
    nodes = [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)] if nested else []
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], [] if nested else tensors))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def external_tensor(name, location):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="4")
    return tensor


@pytest.mark.parametrize("nested", [False, True], ids=["initializer", "branch"])
@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "a//secret",
        "..\\secret",
        "C:\\secret",
        "C:secret",
        "link",
        "dir/secret",
    ],
)
def test_external_data_outside_the_folder_is_rejected(folder, location, nested):
    """The path may not leave the folder in any notation, nor through a symbolic link."""
    (folder.parent / "secret").write_bytes(b"\0" * 4)
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "dir").symlink_to(folder.parent, target_is_directory=True)
    save_external(folder, location, nested=nested)
    with pytest.raises(InvalidRequestError, match=r"model\.onnx names external data outside its folder: "):
        OnnxScorer(folder)


def test_a_field_number_with_too_many_bits_is_rejected(folder):
    """onnxruntime ignores the bits above 32. A check that keeps them would skip the graph that onnxruntime reads."""
    model = save_external(folder, "../secret")
    content = model.read_bytes()
    at = content.index(b"\x3a")  # model.graph, as a varint of one byte
    model.write_bytes(content[:at] + b"\xba\x80\x80\x80\x10" + content[at + 1 :])
    with pytest.raises(InvalidRequestError, match="it is not an ONNX model"):
        OnnxScorer(folder)


def test_external_data_in_the_folder_is_found(folder):
    """In the folder of the model or below it; a missing file is named."""
    (folder / "data").mkdir()
    for name in ("weights.bin", "data/more.bin"):
        (folder / name).write_bytes(b"\0" * 4)
    model = save_external(folder, "weights.bin", "data/more.bin", "weights.bin")
    assert external_files(model, folder) == [folder / "data/more.bin", folder / "weights.bin"]
    save_external(folder, "missing.bin")
    with pytest.raises(InvalidRequestError, match=r"needs the external data 'missing\.bin', which is missing"):
        OnnxScorer(folder)


def test_external_data_written_by_the_onnx_package_is_found(folder):
    """The check reads what onnx writes, also large tensors between the others."""
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=100)
    assert external_files(folder / "model.onnx", folder) == [folder / "weights.bin"]
    assert OnnxScorer(folder).score("tea", ["tea"])[0] > 0.3


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x7f", b"\x3a" * 1000, b"\x0b"])
def test_a_file_that_is_not_a_model_is_named(folder, content):
    """Empty, text, a field longer than the file, endless nesting, and a field of an unknown kind."""
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(
        InvalidRequestError, match=re.escape(f"{folder / 'model.onnx'} cannot be loaded as an ONNX model")
    ):
        OnnxScorer(folder)


def test_deeply_nested_graphs_are_rejected(folder):
    """Graphs in the branches of nodes, a thousand levels deep, cost no stack."""
    content = b""
    for _ in range(1000):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            size, length = len(content), b""
            while size > 127:
                length += bytes([size & 127 | 128])
                size >>= 7
            content = tag + length + bytes([size]) + content
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    (folder / "model.onnx").write_bytes(b"\x3a" + length + bytes([size]) + content)
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        OnnxScorer(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {"type": "Unigram", "vocab": [["x" * 3001, 0.0]] * 1000}},
            "at most 3000000 characters in its pieces",
        ),
        ({"model": {"type": "BPE", "vocab": {}, "merges": [0] * 1_000_001}}, "at most 1000000 merges"),
        ({"added_tokens": [{"content": "x" * 1001}] * 500}, "at most 500000 characters in its added tokens"),
        ({"model": None}, "it has no model"),
    ],
    ids=["pieces", "merges", "added", "none"],
)
def test_a_tokenizer_that_takes_much_memory_is_rejected_before_it_is_loaded(folder, change, message):
    """A character of a piece takes hundreds of bytes once it is loaded."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InvalidRequestError, match=message):
        OnnxScorer(folder)


def test_a_tokenizer_file_is_limited_in_size(tmp_path):
    """No more of it is read than the limit."""
    with (tmp_path / "tokenizer.json").open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(InvalidRequestError, match=r"tokenizer\.json must have at most 67108864 bytes"):
        check_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "1_Pooling/config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a":' * 100_000, "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"a": 1' + b"0" * 10_000, "is not valid JSON"),
    ],
    ids=["arrays", "objects", "bytes", "list", "digits"],
)
def test_damaged_configurations_are_named(folder, name, content, message):
    """Deep nesting and wrong bytes included."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    with pytest.raises(InvalidRequestError, match=re.escape(f"{folder / name} {message}")):
        OnnxScorer(folder)


@pytest.mark.parametrize("value", [True, "many", -1, 1e9, None, 10**30, [5]])
def test_sizes_that_are_not_valid_are_ignored(folder, value):
    """Only a positive whole number limits the context."""
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": value, "model_type": "roberta"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": value}))
    assert OnnxScorer(folder).score("tea", ["tea"])[0] > 0.3


@pytest.fixture
def downloads(folder, monkeypatch):
    """The downloads from the hub, in place of which a folder is returned that is laid out as its cache."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing")
    snapshot = folder.parent / "repository" / "snapshots" / COMMIT
    blobs = snapshot.parent.parent / "blobs"
    shutil.copytree(folder, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(file)
    recorded = []

    def snapshot_download(name, **arguments):
        recorded.append((name, arguments))
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return recorded


def test_a_model_is_downloaded_from_the_hub_when_the_path_says_so(downloads):
    """Only the files that a model needs are downloaded, at the given commit."""
    assert OnnxScorer("hub:owner/model", revision=COMMIT).score("tea", ["tea"])[0] > 0.3
    ((name, arguments),) = downloads
    assert (name, arguments["revision"]) == ("owner/model", COMMIT)
    assert {"*.json", "model.onnx", "onnx/model.onnx"} <= set(arguments["allow_patterns"])


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:7], COMMIT.upper(), f"{COMMIT}\n"])
def test_a_model_on_the_hub_needs_a_commit(downloads, revision):
    """A branch or tag may be moved to other files."""
    with pytest.raises(InvalidRequestError, match="needs revision= with a commit of its repository, 40 hex digits"):
        OnnxScorer("hub:owner/model", revision=revision)
    assert downloads == []


@pytest.mark.parametrize("path", ["models/minilm", "owner/model", "./other/minilm", Path("other/minilm"), "hub"])
def test_a_path_is_never_a_name_on_the_hub(downloads, tmp_path, monkeypatch, path):
    """A misspelled or missing folder is an error, whatever the path looks like. The message shows the other form."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match=r"there is no model folder .* is path=hub:owner/name"):
        OnnxScorer(path)
    with pytest.raises(InvalidRequestError, match="revision= is for a path such as hub:owner/name"):
        OnnxScorer(path, revision=COMMIT)
    assert downloads == []


@pytest.mark.parametrize("name", ["model", "a/b/c", "../b", "owner/", "/model", "owner/..", "owner/m\n"])
def test_a_name_on_the_hub_is_an_owner_and_a_model(downloads, name):
    """Anything else could name a folder of the cache."""
    with pytest.raises(InvalidRequestError, match="path must be 'hub:owner/name'"):
        OnnxScorer(f"hub:{name}", revision=COMMIT)
    assert downloads == []


def test_a_model_on_the_hub_without_a_network_is_a_clear_error(tmp_path):
    """The hub's address is a closed port. The test runs in its own process."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing")
    code = f"from cohere_rerank.local.onnx import OnnxScorer; OnnxScorer('hub:owner/model', revision={COMMIT!r})"
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert "InvalidRequestError: the download of the model hub:owner/model failed with" in done.stderr


def test_a_model_on_the_hub_without_its_client_says_what_to_install(monkeypatch):
    """The hub's client is not a dependency."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InvalidRequestError, match="pip install huggingface_hub"):
        OnnxScorer("hub:owner/model", revision=COMMIT)
