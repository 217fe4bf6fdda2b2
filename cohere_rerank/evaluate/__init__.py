"""Measure rerankers on your own labelled lists: ranking quality, significance of differences, score thresholds.

>>> from cohere_rerank.evaluate import LabelledList, evaluate
>>> lists = [LabelledList("capital of France", ["Lyon is large.", "Paris is the capital of France."], [0, 1])]
>>> evaluate(lists, {"lexical": "local:"}).mean("lexical", "ndcg@10")
1.0
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .comparison import evaluate as evaluate
    from .lists import LabelledList as LabelledList
    from .lists import load_lists as load_lists
    from .metrics import average_precision as average_precision
    from .metrics import measure as measure
    from .metrics import ndcg as ndcg
    from .metrics import precision as precision
    from .metrics import r_precision as r_precision
    from .metrics import recall as recall
    from .metrics import reciprocal_rank as reciprocal_rank
    from .metrics import success as success
    from .qrels import load_qrels as load_qrels
    from .rankings import Ranking as Ranking
    from .report import Comparison as Comparison
    from .report import QueryDifference as QueryDifference
    from .report import Report as Report
    from .resampling import Interval as Interval
    from .threshold import OperatingPoint as OperatingPoint
    from .threshold import Threshold as Threshold
    from .threshold import borderline_threshold as borderline_threshold
    from .threshold import recommend_threshold as recommend_threshold

_EXPORTS = {
    "Comparison": "report",
    "Interval": "resampling",
    "LabelledList": "lists",
    "OperatingPoint": "threshold",
    "QueryDifference": "report",
    "Ranking": "rankings",
    "Report": "report",
    "Threshold": "threshold",
    "average_precision": "metrics",
    "borderline_threshold": "threshold",
    "evaluate": "comparison",
    "load_lists": "lists",
    "load_qrels": "qrels",
    "measure": "metrics",
    "ndcg": "metrics",
    "precision": "metrics",
    "r_precision": "metrics",
    "recall": "metrics",
    "reciprocal_rank": "metrics",
    "recommend_threshold": "threshold",
    "success": "metrics",
}
__all__ = [
    "Comparison",
    "Interval",
    "LabelledList",
    "OperatingPoint",
    "QueryDifference",
    "Ranking",
    "Report",
    "Threshold",
    "average_precision",
    "borderline_threshold",
    "evaluate",
    "load_lists",
    "load_qrels",
    "measure",
    "ndcg",
    "precision",
    "r_precision",
    "recall",
    "reciprocal_rank",
    "recommend_threshold",
    "success",
]

if not TYPE_CHECKING:  # a type checker would accept any name, misspelled ones too
    __getattr__, __dir__ = lazy_exports(globals(), _EXPORTS)
