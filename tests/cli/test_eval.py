"""`cohere-rerank eval` and `threshold` run the evaluation module."""

from __future__ import annotations

import json

import pytest

from cohere_rerank.evaluate import evaluate, recommend_threshold

KEY = "secret-key-0123456789"
LISTS = """\
{"query": "return an item", "documents": ["Store hours", "How to return an item"], "relevant": [1]}
{"query": "track my parcel", "documents": ["Gift cards", "Track your parcel", "Parcel sizes"], "grades": [0, 3, 1]}
{"query": "dinosaurs", "documents": ["Jobs", "Press"], "relevant": []}
"""


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "lists.jsonl").write_text(LISTS)
    return tmp_path / "lists.jsonl"


def test_eval_prints_the_report(run, lists):
    """The table is that of the report. The default systems are the order as given and the local engine."""
    done = run("eval", lists)
    assert (done.exit_code, done.stderr) == (0, "")
    header, as_given, local, _ = done.stdout.splitlines()
    assert header.split() == ["system", "ndcg@10", "mrr@10", "recall@10", "map"]
    assert as_given.split()[:1] == ["as-given"]
    assert local.split()[:1] == ["local:"]


def test_eval_gives_all_figures_as_json(run, lists):
    """--json prints the report for the chosen metrics."""
    done = run("eval", lists, "as-given", "local:", "--metric", "ndcg@3", "--metric", "map", "--json")

    def as_given(query, documents):
        return [1 / (1 + rank) for rank in range(len(documents))]

    report = evaluate(lists, {"as-given": as_given, "local:": "local:"}, metrics=["ndcg@3", "map"])
    assert json.loads(done.stdout) == report.to_dict()
    assert report.mean("as-given", "map") < 1 == report.mean("local:", "map")


def test_models_of_the_api_share_one_client(run, lists, server):
    """Each model ranks each list with a relevant document, on one connection."""
    done = run("eval", lists, "fast", "pro", "--base-url", server.url, env={"CO_API_KEY": KEY})
    assert done.exit_code == 0
    assert [request.json["model"] for request in server.requests] == ["fast", "pro"] * 2
    assert server.n_connections == 1


@pytest.mark.parametrize("command", ["eval", "threshold"])
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["fast"], 2, "CO_API_KEY"),
        (["local:bogus"], 2, "bogus"),
        (["fast", "--base-url", "http://127.0.0.1:1", "--max-retries", "0"], 1, "lists[0]"),
    ],
    ids=["no-key", "no-scorer", "no-server"],
)
def test_failures_are_one_line(run, lists, command, args, code, message):
    """Each failure has the exit code of its kind."""
    done = run(command, lists, *args, env={"CO_API_KEY": KEY if code == 1 else None})
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["eval", "threshold"])
def test_an_invalid_list_is_named_with_its_line(run, lists, command):
    """The message has the file and the line. The exit code is 2, also for a missing file."""
    lists.write_text(LISTS + '{"query": "q"}\n')
    done = run(command, lists)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "lists.jsonl, line 4" in done.stderr
    assert run(command, "not-there.jsonl").exit_code == 2


def test_threshold_prints_the_recommendation(run, lists):
    """The text is that of the recommended threshold."""
    done = run("threshold", lists)
    assert (done.exit_code, done.stdout) == (0, f"{recommend_threshold(lists, 'local:')}\n")


def test_threshold_meets_a_condition(run, lists):
    """--min-recall and --min-precision are the arguments of the module. --json has the values at every score."""
    done = run("threshold", lists, "local:", "--min-recall", 1, "--json")
    wanted = recommend_threshold(lists, "local:", min_recall=1)
    found = json.loads(done.stdout)
    assert found["min_score"] == wanted.min_score
    assert len(found["operating_points"]) == len(wanted.operating_points)
    both = run("threshold", lists, "--min-recall", 1, "--min-precision", 1)
    assert (both.exit_code, both.stdout) == (2, "")


def test_threshold_from_borderline_pairs_is_their_mean(run, tmp_path, server):
    """Each pair is scored on its own."""
    pairs = [{"query": "tea", "document": text} for text in ("green", "black", "white")]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    options = ["pairs.jsonl", "m", "--borderline", "--base-url", server.url]
    done = run("threshold", *options, env={"CO_API_KEY": KEY})
    assert done.exit_code == 0
    assert "3 borderline pairs" in done.stdout
    assert [request.json["documents"] for request in server.requests] == [["green"], ["black"], ["white"]]


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ('{"query": "tea"}\n', [], "pairs.jsonl:1"),
        ("[]\n", [], "pairs.jsonl:1"),
        ('{"query": "tea", "document": "green"}\n', ["--min-recall", "1"], "--borderline"),
    ],
)
def test_invalid_pairs_are_rejected(run, tmp_path, text, args, message):
    """The message names the place of the first invalid pair, or the option that cannot be used with pairs."""
    (tmp_path / "pairs.jsonl").write_text(text)
    done = run("threshold", "pairs.jsonl", "--borderline", *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
