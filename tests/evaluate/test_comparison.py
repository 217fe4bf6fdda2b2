"""Systems side by side: what counts, what is reported, what a failure says."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

import cohere_rerank
from cohere_rerank.errors import InvalidRequestError, ScorerError, ServiceUnavailableError
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


def test_ties_are_ranked_by_index():
    """Equal scores leave the documents as they came, as the client does."""
    report = evaluate(LISTS, {"constant": constant}, names=["mrr"])
    assert report.values == {"constant": {"mrr": [1 / 2, 1.0, 1 / 2]}}


def test_lists_without_an_answer_are_counted_and_left_out():
    """They have no place for a relevant document, and the table says how many they are; they are not even ranked."""
    seen = []
    report = evaluate(LISTS, {"s": lambda query, documents: seen.append(query) or constant(query, documents)})
    assert (report.n_lists, report.n_without_answer) == (3, 2)
    assert "(3 lists, 2 without an answer left out;" in str(report)
    assert seen == ["capital of France", "boiling point of water", "tallest mountain"]


def test_systems_are_measured_on_the_same_lists():
    """By default with nDCG@10, MRR@10, recall@10 and MAP; a generator of lists is read once for all."""
    report = evaluate((item for item in LISTS), {"lexical": "local:", "backwards": backwards})
    assert list(report.values) == ["lexical", "backwards"]
    for of_system in report.values.values():
        assert {name: len(values) for name, values in of_system.items()} == dict.fromkeys(
            ["ndcg@10", "mrr@10", "recall@10", "map"], 3
        )
    assert report.mean("lexical", "mrr@10") == 1.0
    assert report.mean("backwards", "mrr@10") == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert report.mean("backwards", "recall@10") == 1.0


def test_a_file_is_evaluated_like_its_lists(tmp_path):
    """A path, as string or Path."""
    path = tmp_path / "lists.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"query": item.query, "documents": item.documents, "grades": item.grades}) for item in LISTS
        )
    )
    assert evaluate(path, {"l": "local:"}) == evaluate(str(path), {"l": "local:"}) == evaluate(LISTS, {"l": "local:"})


def test_a_metric_named_twice_is_measured_once():
    """Doubled values would make an interval look sure."""
    report = evaluate(LISTS, {"c": constant}, names=["map", "ndcg@1", "map"])
    assert {name: len(values) for name, values in report.values["c"].items()} == {"map": 3, "ndcg@1": 3}


def test_what_the_caller_gave_is_unchanged():
    """Lists, documents, systems and names are read only."""
    lists, systems, names = copy.deepcopy(LISTS), {"c": constant, "l": "local:"}, ["map"]
    evaluate(lists, systems, names=names)
    assert (lists, systems, names) == (LISTS, {"c": constant, "l": "local:"}, ["map"])


@pytest.mark.parametrize(
    ("lists", "systems", "names", "problem"),
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
        (LISTS, {"l": "local:"}, ["map", "precision"], "'precision' is no metric"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_ranked(lists, systems, names, problem):
    """Rankings may cost money."""
    told = []
    with pytest.raises(InvalidRequestError, match=problem):
        evaluate(lists, systems, names=names, progress=lambda done, of: told.append(done))
    assert told == []


def test_a_scorer_that_fails_is_an_error_that_says_where():
    """Which system, which list; the user's own exception is its cause."""

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
def test_scores_that_are_none_make_no_value(scores):
    """Too few, not in [0, 1], no list at all."""
    with pytest.raises(ScorerError, match=r"system 'mine', lists\[0\]"):
        evaluate(LISTS[:1], {"mine": lambda query, documents: scores})


def test_an_api_that_fails_is_its_own_error_with_the_place(make_client, server):
    """Type and status stay; documents of a split list are named too."""
    client = make_client(max_retries=0)
    server.script(reply(json={"results": [{"index": 0, "relevance_score": 1.0}]}), reply(503))
    with pytest.raises(ServiceUnavailableError, match=r"system 'api', lists\[2\]") as caught:
        evaluate(LISTS, {"api": (client, "m")})
    assert caught.value.status_code == 503
    server.script(reply(503), reply(503))
    with pytest.raises(ServiceUnavailableError, match=r"lists\[0\], document [01]"):
        evaluate(LISTS, {"api": (client.with_options(max_documents_per_request=1), "m")})


def test_a_client_is_evaluated_beside_a_scorer(make_client):
    """The server's own ranking (by shared words) against the engine's."""
    report = evaluate(LISTS, {"api": (make_client(), "rerank-v4.0-fast"), "local": "local:"}, names=["mrr"])
    assert set(report.values) == {"api", "local"}


@pytest.fixture
def report():
    """30 lists: *good* finds every answer, *twin* too, *bad* finds it at rank 2."""
    best, second = [1.0] * 30, [0.5] * 30
    return Report(30, 0, {"good": {"mrr@10": best}, "twin": {"mrr@10": best}, "bad": {"mrr@10": second}})


def test_equal_systems_do_not_differ_and_a_clear_difference_shows(report):
    """p is 1 for twins; the difference is second less first, and the star goes to those that differ from the first."""
    same, worse = report.compare("good", "twin", "mrr@10"), report.compare("good", "bad", "mrr@10")
    assert (same.p_value, same.difference.mean) == (1.0, 0.0)
    assert worse.p_value < 0.005
    assert (worse.first, worse.second, worse.metric, worse.difference.mean) == ("good", "bad", "mrr@10", -0.5)
    assert str(report).splitlines() == [
        "system  mrr@10",
        "good    1.000 [1.000, 1.000]",
        "twin    1.000 [1.000, 1.000]",
        "bad     0.500 [0.500, 0.500]*",
        "(30 lists; 95 % intervals; * differs from good, p < 0.05)",
    ]


def test_figures_are_the_same_every_time_and_a_seed_draws_others():
    """A table in a pull request can be compared with the last one."""
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
    """In a shell, neither documents nor a value for each list scroll by."""
    assert repr(report) == "Report(n_lists=30, n_without_answer=0)"
    assert repr(LISTS[1]) == "LabelledList(query='nothing to find', grades=[0.0, 0.0])"


def test_json_has_every_figure(report):
    """Plain data: it loads again, and agrees with the methods."""
    data = json.loads(report.to_json())
    assert data == report.to_dict()
    assert data["n_lists"] == 30
    assert data["systems"]["bad"]["mrr@10"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert [(item["first"], item["second"]) for item in data["comparisons"]] == [("good", "twin"), ("good", "bad")]
    assert data["comparisons"][1]["p_value"] == report.compare("good", "bad", "mrr@10").p_value


@pytest.mark.parametrize(("system", "metric", "missing"), [("x", "mrr@10", "system 'x'"), ("bad", "x", "metric 'x'")])
def test_a_figure_that_was_not_measured_is_refused(report, system, metric, missing):
    """The message has what was."""
    for ask in (report.mean, report.interval, lambda *names: report.compare("good", *names)):
        with pytest.raises(InvalidRequestError, match=f"{missing} was not evaluated; these were: "):
            ask(system, metric)


def test_progress_is_told_after_every_ranking():
    """(done, of) in rankings: lists that count, times systems."""
    told = []
    evaluate(LISTS, {"a": constant, "b": constant}, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_progress_bar_is_drawn_on_stderr(capsys):
    """Only when it is asked for."""
    pytest.importorskip("tqdm")
    evaluate(LISTS, {"a": constant, "b": constant}, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "6/6" in printed.err
    evaluate(LISTS, {"a": constant})
    assert capsys.readouterr().err == ""


def test_progress_bar_without_tqdm_names_the_extra(monkeypatch):
    """Before anything is ranked."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    seen = []
    with pytest.raises(ImportError, match=r'pip install "cohere-rerank\[progress\]"'):
        evaluate(LISTS, {"a": lambda query, documents: seen.append(query)}, progress=True)
    assert seen == []


def test_extras_are_not_imported_before_they_are_needed():
    """A table costs neither matplotlib nor tqdm nor numpy."""
    program = (
        "import sys; from cohere_rerank.evaluate import LabelledList, evaluate;"
        "print(evaluate([LabelledList('a', ['a', 'b'], [1, 0])], {'l': 'local:'}).to_json());"
        "sys.exit(repr(sorted({'matplotlib', 'tqdm', 'numpy'} & set(sys.modules)) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "''", done.stderr


def test_the_example_of_the_package_runs():
    """Its docstring is the first thing that a reader tries."""
    import doctest

    import cohere_rerank.evaluate

    result = doctest.testmod(cohere_rerank.evaluate)
    assert result.failed == 0
    assert result.attempted > 0


def test_package_offers_what_it_names():
    """`evaluate` is a package and, inside it, a function."""
    from cohere_rerank import evaluate as package

    assert callable(package.evaluate)
    assert cohere_rerank.evaluate is package
