"""`cohere-rerank eval` and `threshold` run the evaluation module."""

from __future__ import annotations

import json
import random

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
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["metric", "as-given", "local:"]
    assert [line.split()[0] for line in lines[:4]] == ["ndcg@10", "mrr@10", "recall@10", "map"]
    assert lines[6] == "2 queries with the largest differences in ndcg@10:"
    assert lines[-1].endswith("track my parcel") or lines[-1].endswith("return an item")


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


def make_collection(folder, form):
    """Write a run and judgements of 1,000 queries, in the form of TREC or BEIR, and return both as dictionaries."""
    draw = random.Random(7)
    run, qrels = {}, {}
    for number in range(1000):
        documents = draw.sample(range(5000), 20)
        run[f"q{number}"] = {f"d{d}": draw.choice([draw.random() * 20, 3.25]) for d in documents[:15]}
        judged = {f"d{d}": draw.randint(-1, 3) for d in documents[8:]}
        qrels[f"q{number}"] = {**judged, f"d{documents[8]}": 1}
    lines = [(q, d, grade) for q, grades in qrels.items() for d, grade in grades.items()]
    if form == "trec":
        (folder / "qrels.txt").write_text("".join(f"{q} 0 {d} {grade}\n" for q, d, grade in lines))
    else:
        table = "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in lines)
        (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{table}")
    triples = [(q, d, score) for q, scores in run.items() for d, score in scores.items()]
    draw.shuffle(triples)
    if form == "object":
        (folder / "run.json").write_text(json.dumps(run, indent=draw.choice([None, 1])))
    elif form == "trec":
        (folder / "run.trec").write_text("".join(f"{q} Q0 {d} 0 {score!r} t\n" for q, d, score in triples))
    else:
        rows = [json.dumps({"query_id": q, "doc_id": d, "score": score}) for q, d, score in triples]
        (folder / "run.jsonl").write_text("\n".join(rows))
    return run, qrels


@pytest.mark.parametrize(
    ("form", "files"),
    [("trec", ("run.trec", "qrels.txt")), ("beir", ("run.jsonl", "qrels.tsv")), ("object", ("run.json", "qrels.tsv"))],
)
def test_a_finished_run_has_the_figures_of_trec_eval(run, tmp_path, form, files):
    """1,000 queries with missed documents, negative grades and ties agree to 1e-12. Nothing is ranked."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    found, qrels = make_collection(tmp_path, form)
    names = ["ndcg_cut_10", "map", "recip_rank", "recall_5", "P_5", "success_1", "Rprec"]
    metrics = [option for name in names for option in ("--metric", name)]
    done = run("eval", files[0], "--qrels", files[1], *metrics, "--json")
    assert done.exit_code == 0, done.stderr
    means = json.loads(done.stdout)["systems"]["as-given"]
    evaluator = pytrec_eval.RelevanceEvaluator(
        qrels, {"ndcg_cut.10", "map", "recip_rank", "recall.5", "P.5", "success.1", "Rprec"}
    )
    values = evaluator.evaluate(found)
    for name in names:
        wanted = sum(value[name] for value in values.values()) / 1000
        assert means[name]["mean"] == pytest.approx(wanted, abs=1e-12), name


def test_finished_rankings_are_measured_without_asking_again(run, tmp_path, lists):
    """A run against the order of another run, and the output of batch against the lists."""
    (tmp_path / "a.trec").write_text("q Q0 d1 1 2 t\nq Q0 d2 2 1 t\n")
    (tmp_path / "b.trec").write_text("q Q0 d2 1 2 t\nq Q0 d3 2 1 t\n")
    (tmp_path / "qrels.txt").write_text("q 0 d2 1\nq 0 d3 1\n")
    done = run("eval", "a.trec", "as-given", "b.trec", "--qrels", "qrels.txt", "--metric", "map", "--json")
    systems = json.loads(done.stdout)["systems"]
    assert [systems[name]["map"]["mean"] for name in ("as-given", "b.trec")] == [0.25, 1.0]
    assert run("batch", lists, "-o", "out.jsonl", "--local", "--processes", 1).exit_code == 0
    done = run("eval", lists, "local:", "out.jsonl", "--metric", "map", "--json")
    assert done.exit_code == 0, done.stderr
    systems = json.loads(done.stdout)["systems"]
    assert systems["local:"] == systems["out.jsonl"]


def test_a_failed_evaluation_continues_where_it_stopped(run, lists, server, tmp_path):
    """The answers that were paid are in a file beside the lists, until the command is done."""
    from tests.fake_server import error, good_reply

    environment = {"CO_API_KEY": KEY}
    server.script(good_reply(), error(400, "too long"))
    done = run("eval", lists, "fast", "--base-url", server.url, env=environment)
    assert done.exit_code in (1, 2)
    assert "the scores so far are in" in done.stderr
    assert len((tmp_path / "lists.jsonl.answers.jsonl").read_text().splitlines()) == 1
    done = run("eval", lists, "fast", "--base-url", server.url, env=environment)
    assert done.exit_code == 0, done.stderr
    assert len(server.requests) == 3
    assert not (tmp_path / "lists.jsonl.answers.jsonl").exists()


def test_figures_are_exported(run, lists, tmp_path):
    """The ending of the name is the format."""
    done = run("eval", lists, *(f"--export=figures{ending}" for ending in (".json", ".csv", ".md", ".tex")))
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "figures.json").read_text())["n_lists"] == 2
    assert (tmp_path / "figures.csv").read_text().startswith("metric,system,mean,low,high,p_value,n_lists\n")
    assert (tmp_path / "figures.md").read_text().startswith("| metric | as-given | local: |")
    assert r"\begin{tabular}" in (tmp_path / "figures.tex").read_text()
    done = run("eval", lists, "--export", "figures.xlsx")
    assert (done.exit_code, "must end with .json" in done.stderr) == (2, True)


def test_a_collection_in_the_form_of_beir_is_reranked_and_measured(run, tmp_path):
    """A corpus, queries, qrels and a run: the baseline is the order of the run."""
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "", "text": "coffee"}\n{"_id": "d2", "title": "", "text": "green tea"}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "green tea"}\n')
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq1\td9\t1\n")
    (tmp_path / "run.json").write_text('{"q1": {"d1": 2.0, "d2": 1.5}}')
    joined = ["--corpus", "corpus.jsonl", "--queries", "queries.jsonl", "--qrels", "test.tsv"]
    done = run("eval", "run.json", "as-given", "local:", *joined, "--metric", "map", "--json")
    assert done.exit_code == 0, done.stderr
    systems = json.loads(done.stdout)["systems"]
    assert [systems[name]["map"]["mean"] for name in ("as-given", "local:")] == [0.25, 0.5]
