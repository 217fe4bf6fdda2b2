"""Compare several rerankers on the same lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from math import fsum
from os import PathLike
from typing import TYPE_CHECKING

from cohere_rerank.errors import InvalidRequestError

from .answers import Answers
from .lists import LabelledList, collect, is_measured
from .metrics import parse
from .progress import reporting
from .qrels import load_qrels
from .rankings import Ranking
from .report import Report
from .systems import as_function, with_error_context
from .ties import has_ties, rankings

if TYPE_CHECKING:
    from cohere_rerank.files import ReadOptions

    from .qrels import Qrels
    from .systems import ScoreList, System

__all__ = ["METRICS", "evaluate"]

METRICS = ("ndcg@10", "mrr@10", "recall@10", "map")


def evaluate(
    lists: Iterable[LabelledList] | str | PathLike[str],
    systems: Mapping[str, System],
    *,
    metrics: Sequence[str] = METRICS,
    qrels: Qrels | str | PathLike[str] | None = None,
    relevance_level: float | None = None,
    read: ReadOptions | None = None,
    answers: str | PathLike[str] | None = None,
    progress: bool | Callable[[int, int], object] = False,
) -> Report:
    """Rank every list with every system and measure the rankings.

    Args:
        lists: Labelled lists, or the path of a file with such lists, as `load_lists` reads it.
        systems: A name for each system. A system is a ``local:`` address, a scorer, a function of (query, documents),
            a pair (client, model), or a finished `Ranking`.
        metrics: The metrics by name, as for `measure`.
        qrels: Judgements for the file, as `load_lists` takes them. Default: the file has the labels.
        relevance_level: The lowest grade that counts as relevant, for all metrics except nDCG. Default: any grade
            above 0.
        read: How the file is read. Default: its format and shape are detected.
        answers: A file that keeps the scores of each list and system. An evaluation that failed continues from it, and
            nothing is paid twice. Default: None.
        progress: True draws a bar on stderr (extra ``progress``). A function is called with the number of finished
            rankings and their total. Default: False.

    Raises:
        InvalidRequestError: There are no lists, no systems or no metrics; one of them is not valid; or no list has a
            relevant document.
        CohereRerankError: A system failed. The ``part`` of the error says which one, and on which list. No list is
            skipped.
        ImportError: The extra ``progress`` is not installed.
    """
    functions = _as_functions(systems)
    metrics = _check_metrics(metrics)
    parsed = {name: parse(name, relevance_level) for name in metrics}
    loaded = collect(lists, read, load_qrels(qrels) if isinstance(qrels, (str, PathLike)) else qrels)
    measured = [index for index, item in enumerate(loaded) if is_measured(item)]
    per_list: dict[str, dict[str, list[float]]] = {system: {metric: [] for metric in metrics} for system in functions}
    n_tied = dict.fromkeys(functions, 0)
    with (
        closing(Answers(answers)) as saved,
        reporting(progress, len(measured) * len(functions)) as advance,
    ):
        for index in measured:
            for system, score in functions.items():
                item = loaded[index]
                ranked, is_tied = _ranked(score, item, saved, system, index)
                n_tied[system] += is_tied
                judged = None if item.judged is None else list(item.judged.values())
                for metric, function in parsed.items():
                    values = [function(grades, judged) or 0.0 for grades in ranked]
                    per_list[system][metric].append(fsum(values) / len(values))
                advance()
    names = [index if loaded[index].id is None else loaded[index].id for index in measured]
    queries = [loaded[index].query for index in measured]
    n_left_out = len(loaded) - len(measured)
    return Report(len(measured), n_left_out, per_list, n_tied, names, queries)  # type: ignore[arg-type]


def _ranked(
    score: ScoreList | Ranking, item: LabelledList, saved: Answers, system: str, index: int
) -> tuple[list[list[float]], bool]:
    """Return the grades in ranked order, once or in several orders, and whether scores are tied."""
    if isinstance(score, Ranking):
        with with_error_context(f"system {system!r}, lists[{index}]"):
            return [score.ranked_grades(item)], False
    key = saved.key(system, item)
    scores = saved.get(key)
    if scores is None or len(scores) != len(item.documents):
        with with_error_context(f"system {system!r}, lists[{index}]"):
            scores = score(item.query, item.documents)
        saved.put(key, scores)
    return rankings(scores, item.grades, item.document_ids, index), has_ties(scores, item.grades)


def _as_functions(systems: Mapping[str, System]) -> dict[str, ScoreList | Ranking]:
    unchecked: object = systems
    is_valid = isinstance(unchecked, Mapping) and unchecked and all(isinstance(name, str) for name in unchecked)
    if not is_valid:
        raise InvalidRequestError('systems must map at least one name to a system, such as {"lexical": "local:"}')
    functions: dict[str, ScoreList | Ranking] = {}
    for name, system in systems.items():
        try:
            functions[name] = system if isinstance(system, Ranking) else as_function(system)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"system {name!r}: {error}") from None
    return functions


def _check_metrics(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str) or not metrics:
        raise InvalidRequestError('metrics must be a list of at least one metric, such as ["ndcg@10"]')
    for metric in metrics:
        parse(metric)
    return list(dict.fromkeys(metrics))  # a metric that appears twice is measured once
