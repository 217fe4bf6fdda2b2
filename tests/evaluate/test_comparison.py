"""Comparing systems: which lists count, what a report contains, and the errors of a system."""

from __future__ import annotations

import copy
import csv
import io
import json
import subprocess
import sys

import pytest

import cohere_rerank
from cohere_rerank.errors import CohereRerankError, InvalidRequestError, ScorerError, ServiceUnavailableError
from cohere_rerank.evaluate import LabelledList, Report, evaluate
from tests.fake_server import reply

LISTS = [
    LabelledList("capital of France", ["Lyon is large.", "Paris is the capital of France."], [0, 1]),
    LabelledList("nothing to find", ["a", "b"], [0, 0]),
    LabelledList("boiling point of water", ["Water boils at 100 degrees.", "Ice melts."], [2, 0]),
    LabelledList("tallest mountain", ["A river.", "A lake.", "Everest is the tallest mountain."], [0, 1, 3]),
    LabelledList("no documents", [], []),
]


def constant(query, documents):
    return [0.5] * len(documents)


def backwards(query, documents):
    return [index / 10 for index in range(len(documents))]


def test_a_constant_scorer_gets_chance_and_a_warning():
    """The value is the mean over random orders, even if the relevant document is always the first one."""
    lists = [LabelledList("q", ["a", "b", "c", "d"], [1, 0, 0, 0]) for _ in range(5)]
    report = evaluate(lists, {"constant": constant}, metrics=["mrr", "p@1"])
    assert report.mean("constant", "p@1") == pytest.approx(1 / 4, abs=0.06)
    assert report.mean("constant", "mrr") == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=0.06)
    assert report.n_tied == {"constant": 5}
    assert "in 5 of 5 lists, constant gives documents of different grades equal scores" in str(report)
    assert evaluate(lists, {"constant": constant}, metrics=["mrr"]).per_list["constant"]["mrr"] == list(
        report.per_list["constant"]["mrr"]
    )


def test_ids_of_documents_order_equal_scores_as_trec_eval_does():
    """The larger id comes first."""
    lists = [LabelledList("q", ["a", "b"], [1, 0], document_ids=["d1", "d2"])]
    assert evaluate(lists, {"constant": constant}, metrics=["mrr"]).mean("constant", "mrr") == 0.5


def test_answers_are_kept_and_not_paid_twice(tmp_path):
    """An evaluation that failed at a list continues there. The file survives a crash in the middle of a line."""
    asked = []

    def failing(query, documents):
        if len(asked) == 2:
            raise ValueError("the server is down")
        asked.append(query)
        return constant(query, documents)

    path = tmp_path / "answers.jsonl"
    with pytest.raises((CohereRerankError, ValueError)):
        evaluate(LISTS, {"s": failing}, answers=path)
    assert asked == ["capital of France", "boiling point of water"]
    with path.open("ab") as file:
        file.write(b'{"key": "ab')
    report = evaluate(
        LISTS, {"s": lambda query, documents: asked.append(query) or constant(query, documents)}, answers=path
    )
    assert asked == ["capital of France", "boiling point of water", "tallest mountain"]
    assert report.n_lists == 3
    path.write_text("mine\n")
    with pytest.raises(InvalidRequestError, match="line 1: this is not a file of answers"):
        evaluate(LISTS, {"s": constant}, answers=path)


def test_tables_have_a_line_for_each_metric(report):
    """Text has at most 80 columns. CSV has all digits. Markdown and LaTeX can be pasted."""
    wide = Report(3, 0, {f"system number {n}": {"map": [0.5, 0.6, 0.7], "p@5": [0.1] * 3} for n in range(5)})
    assert max(map(len, str(wide).splitlines()[:-1])) <= 80
    assert all(f"system number {n}" in str(wide) for n in range(5))
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [(row["metric"], row["system"], row["mean"]) for row in rows][-1] == ("mrr@10", "bad", "0.5")
    assert report.to_markdown().splitlines()[1] == "|---|---|---|---|"
    assert r"mrr@10 & 1.000" in report.to_latex() and report.to_latex().count(r"\\") == 2


def test_the_queries_with_the_largest_differences_are_listed():
    """The largest difference comes first. Equal values are left out."""
    values = {"a": {"map": [0.1, 0.5, 0.9]}, "b": {"map": [0.2, 0.5, 0.1]}}
    report = Report(3, 0, values, names=["x", "y", "z"], queries=["q1", "q2", "q3"])
    assert report.differences("a", "b", "map") == [("z", "q3", 0.9, 0.1), ("x", "q1", 0.1, 0.2)]
    assert len(report.differences("a", "b", "map", 1)) == 1


def test_lists_without_a_relevant_document_are_counted_and_left_out():
    """They have no relevant document to find, so they are not ranked. The table says how many there are."""
    seen = []
    report = evaluate(LISTS, {"s": lambda query, documents: seen.append(query) or constant(query, documents)})
    assert (report.n_lists, report.n_without_relevant) == (3, 2)
    assert "(3 lists, 2 without a relevant document left out;" in str(report)
    assert seen == ["capital of France", "boiling point of water", "tallest mountain"]


def test_systems_are_measured_on_the_same_lists():
    """The default metrics are nDCG@10, MRR@10, recall@10 and MAP. A generator of lists is read only once."""
    report = evaluate((item for item in LISTS), {"lexical": "local:", "backwards": backwards})
    assert list(report.per_list) == ["lexical", "backwards"]
    for of_system in report.per_list.values():
        assert {name: len(values) for name, values in of_system.items()} == dict.fromkeys(
            ["ndcg@10", "mrr@10", "recall@10", "map"], 3
        )
    assert report.mean("lexical", "mrr@10") == 1.0
    assert report.mean("backwards", "mrr@10") == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert report.mean("backwards", "recall@10") == 1.0


def test_a_file_is_evaluated_like_its_lists(tmp_path):
    """The path may be a string or a Path."""
    path = tmp_path / "lists.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"query": item.query, "documents": item.documents, "grades": item.grades}) for item in LISTS
        )
    )
    report = evaluate(path, {"l": "local:"})
    assert report == evaluate(str(path), {"l": "local:"})
    assert report.per_list == evaluate(LISTS, {"l": "local:"}).per_list
    assert report.names == [1, 3, 4]  # the lines


def test_a_metric_named_twice_is_measured_once():
    """Repeated values would make an interval too narrow."""
    report = evaluate(LISTS, {"c": constant}, metrics=["map", "ndcg@1", "map"])
    assert {name: len(values) for name, values in report.per_list["c"].items()} == {"map": 3, "ndcg@1": 3}


def test_arguments_are_not_changed():
    """Lists, documents, systems and metrics are not changed."""
    lists, systems, metrics = copy.deepcopy(LISTS), {"c": constant, "l": "local:"}, ["map"]
    evaluate(lists, systems, metrics=metrics)
    assert (lists, systems, metrics) == (LISTS, {"c": constant, "l": "local:"}, ["map"])


@pytest.mark.parametrize(
    ("lists", "systems", "metrics", "problem"),
    [
        ([], {"l": "local:"}, ["map"], "none of the 0 lists has a relevant document"),
        (LISTS[1:2], {"l": "local:"}, ["map"], "none of the 1 lists has a relevant document"),
        ([LISTS[0], {"query": "q"}], {"l": "local:"}, ["map"], r"lists\[1\] must be a LabelledList, got dict"),
        (LISTS, {}, ["map"], "at least one name to a system"),
        (LISTS, "local:", ["map"], "at least one name to a system"),
        (LISTS, {1: "local:"}, ["map"], "at least one name to a system"),
        (LISTS, {"l": "local:", "x": None}, ["map"], "system 'x': cannot evaluate NoneType"),
        (LISTS, {"l": "local:"}, [], "at least one metric"),
        (LISTS, {"l": "local:"}, "map", "must be a list"),
        (LISTS, {"l": "local:"}, ["map", "dcg"], "'dcg' is not a metric"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_invalid_arguments_are_rejected_before_the_first_ranking(lists, systems, metrics, problem):
    """Rankings may cost money, so all arguments are checked first."""
    calls = []
    with pytest.raises(InvalidRequestError, match=problem):
        evaluate(lists, systems, metrics=metrics, progress=lambda done, of: calls.append(done))
    assert calls == []


def test_the_error_of_a_failed_scorer_names_the_system_and_the_list():
    """The error names the system and the list. Its cause is the exception of the function."""

    def fails(query, documents):
        if "water" in query:
            raise KeyError("no vector")
        return constant(query, documents)

    with pytest.raises(ScorerError, match=r"system 'mine', lists\[2\]") as caught:
        evaluate(LISTS, {"l": "local:", "mine": fails})
    assert "KeyError" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    assert LISTS[2].documents[0] not in str(caught.value)


@pytest.mark.parametrize("scores", [[0.5], [0.5, float("nan")], [0.5, 2.0], "no", None])
def test_invalid_scores_are_an_error(scores):
    """The function returns too few scores, scores outside [0, 1], or not a list."""
    with pytest.raises(ScorerError, match=r"system 'mine', lists\[0\]"):
        evaluate(LISTS[:1], {"mine": lambda query, documents: scores})


def test_an_error_of_the_api_keeps_its_type_and_names_the_list(make_client, server):
    """The error keeps its type and status. It also names the documents of a part of a split list."""
    client = make_client(max_retries=0)
    results = [{"index": index, "relevance_score": 0.5} for index in range(2)]
    server.script(reply(json={"results": results}), reply(503))
    with pytest.raises(ServiceUnavailableError, match=r"system 'api', lists\[2\]") as caught:
        evaluate(LISTS, {"api": (client, "m")})
    assert caught.value.status_code == 503
    server.script(reply(503), reply(503))
    with pytest.raises(ServiceUnavailableError, match=r"lists\[0\], document [01]"):
        evaluate(LISTS, {"api": (client.with_options(max_documents_per_request=1), "m")})


def test_a_client_is_evaluated_beside_a_scorer(make_client):
    """The server ranks by shared words, the local engine by character grams."""
    report = evaluate(LISTS, {"api": (make_client(), "rerank-v4.0-fast"), "local": "local:"}, metrics=["mrr"])
    assert set(report.per_list) == {"api", "local"}


@pytest.fixture
def report():
    """A report on 30 lists: *good* and *twin* rank every answer first, *bad* ranks it second."""
    best, second = [1.0] * 30, [0.5] * 30
    return Report(30, 0, {"good": {"mrr@10": best}, "twin": {"mrr@10": best}, "bad": {"mrr@10": second}})


def test_equal_systems_do_not_differ_and_a_clear_difference_shows(report):
    """p is 1 for equal systems. A star marks the systems that differ from the first one."""
    same, worse = report.compare("good", "twin", "mrr@10"), report.compare("good", "bad", "mrr@10")
    assert (same.p_value, same.difference.mean) == (1.0, 0.0)
    assert worse.p_value < 0.005
    assert (worse.first, worse.second, worse.metric, worse.difference.mean) == ("good", "bad", "mrr@10", -0.5)
    assert str(report).splitlines() == [
        "metric  good                  twin                  bad",
        "mrr@10  1.000 [1.000, 1.000]  1.000 [1.000, 1.000]  0.500 [0.500, 0.500]*",
        "(30 lists; 95 % intervals; * differs from good, p < 0.05)",
    ]


def test_figures_are_the_same_every_time_and_a_seed_draws_others():
    """The same lists make the same table, so tables of two pull requests can be compared."""
    values = [i / 20 for i in range(21)]
    report = Report(21, 0, {"a": {"map": values}, "b": {"map": values[::-1]}})
    assert report.interval("a", "map") == report.interval("a", "map") != report.interval("a", "map", seed=1)
    assert report.compare("a", "b", "map") == report.compare("a", "b", "map")
    mixed = Report(6, 0, {"a": {"map": [0.5] * 6}, "b": {"map": [0.6, 0.7, 0.4, 0.8, 0.3, 0.65]}})
    drawn = [mixed.compare("a", "b", "map", n_resamples=99, seed=seed) for seed in range(5)]
    assert len({comparison.difference for comparison in drawn}) > 1
    assert len({comparison.p_value for comparison in drawn}) > 1
    assert report.interval("a", "map").low < report.mean("a", "map") < report.interval("a", "map").high
    assert str(report) == str(report)


def test_repr_fits_a_line(report):
    """It shows neither documents nor the values of single lists."""
    assert repr(report) == "Report(n_lists=30, n_without_relevant=0)"
    assert repr(LISTS[1]) == "LabelledList(query='nothing to find', grades=[0.0, 0.0], id=None)"


def test_json_has_every_figure(report):
    """The JSON loads again and agrees with the methods."""
    data = json.loads(report.to_json())
    assert data == report.to_dict()
    assert data["n_lists"] == 30
    assert data["systems"]["bad"]["mrr@10"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert [(item["first"], item["second"]) for item in data["comparisons"]] == [("good", "twin"), ("good", "bad")]
    assert data["comparisons"][1]["p_value"] == report.compare("good", "bad", "mrr@10").p_value


@pytest.mark.parametrize(("system", "metric", "missing"), [("x", "mrr@10", "system 'x'"), ("bad", "x", "metric 'x'")])
def test_an_unknown_system_or_metric_is_rejected(report, system, metric, missing):
    """The message lists what was evaluated."""
    for ask in (report.mean, report.interval, lambda *names: report.compare("good", *names)):
        with pytest.raises(InvalidRequestError, match=f"the {missing} was not evaluated; use one of "):
            ask(system, metric)


def test_progress_is_reported_after_every_ranking():
    """The function gets the number of finished rankings and their total: measured lists times systems."""
    calls = []
    evaluate(LISTS, {"a": constant, "b": constant}, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_progress_bar_is_drawn_on_stderr(capsys):
    """There is no bar by default."""
    pytest.importorskip("tqdm")
    evaluate(LISTS, {"a": constant, "b": constant}, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "6/6" in printed.err
    evaluate(LISTS, {"a": constant})
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm_names_the_extra(monkeypatch):
    """The error comes before the first ranking."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    seen = []
    with pytest.raises(ImportError, match=r'pip install "cohere-rerank\[progress\]"'):
        evaluate(LISTS, {"a": lambda query, documents: seen.append(query)}, progress=True)
    assert seen == []


def test_extras_are_not_imported_before_they_are_needed():
    """A table imports neither matplotlib nor tqdm nor numpy."""
    program = (
        "import sys; from cohere_rerank.evaluate import LabelledList, evaluate;"
        "print(evaluate([LabelledList('a', ['a', 'b'], [1, 0])], {'l': 'local:'}).to_json());"
        "sys.exit(repr(sorted({'matplotlib', 'tqdm', 'numpy'} & set(sys.modules)) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "''", done.stderr


def test_the_example_of_the_package_runs():
    """The example in the docstring of the package works."""
    import doctest

    import cohere_rerank.evaluate

    result = doctest.testmod(cohere_rerank.evaluate)
    assert result.failed == 0
    assert result.attempted > 0


def test_package_exports_every_public_name():
    """`evaluate` is a package, and also a function inside it."""
    from cohere_rerank import evaluate as package

    assert callable(package.evaluate)
    assert cohere_rerank.evaluate is package
