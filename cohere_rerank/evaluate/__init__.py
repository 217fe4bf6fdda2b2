"""Measure rerankers on your own labelled lists: ranking quality, significance of differences, score thresholds.

>>> from cohere_rerank.evaluate import LabelledList, evaluate
>>> lists = [LabelledList("capital of France", ["Lyon is large.", "Paris is the capital of France."], [0, 1])]
>>> evaluate(lists, {"lexical": "local:"}).mean("lexical", "ndcg@10")
1.0
"""

from __future__ import annotations

from .comparison import Comparison, Report, evaluate
from .lists import LabelledList, load_lists
from .metrics import average_precision, measure, ndcg, recall, reciprocal_rank
from .resampling import Interval
from .threshold import OperatingPoint, Threshold, borderline_threshold, recommend_threshold

__all__ = [
    "Comparison",
    "Interval",
    "LabelledList",
    "OperatingPoint",
    "Report",
    "Threshold",
    "average_precision",
    "borderline_threshold",
    "evaluate",
    "load_lists",
    "measure",
    "ndcg",
    "recall",
    "reciprocal_rank",
    "recommend_threshold",
]
