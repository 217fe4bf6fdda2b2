"""The names of fields by which the shape of a row is recognized. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "DOCUMENTS",
    "DOC_ID",
    "GRADE",
    "NEGATIVES",
    "PAIR_ID",
    "POSITIVES",
    "QUERY",
    "RANK",
    "ROW_ID",
    "SCORE",
    "TEXT",
    "TITLE",
    "find",
    "get_path",
    "is_known_name",
    "plain",
]

_NOT_NAME = re.compile(r"[^a-z0-9]")


def plain(name: str) -> str:
    """Return a name without case and marks: ``Query ID``, ``query_id`` and ``queryId`` are the same."""
    return _NOT_NAME.sub("", name.lower())


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# In the order of preference. Each name is plain.
QUERY = _names("query question userinput querytext anchor searchquery userquery q topictext")
ROW_ID = _names("id qid queryid questionid customid topicid topic uid uuid")
PAIR_ID = _names("qid queryid questionid topicid topic")
DOCUMENTS = _names(
    "documents docs passages contexts retrievedcontexts retrieveddocuments candidates ctxs texts sourcedocuments "
    "sourcenodes nodes chunks context searchresults hits results matches points"
)
TEXT = _names(
    "text passage passagetext document documenttext doctext doc content contents body pagecontent chunk chunktext "
    "context"
)
TITLE = _names("title")
DOC_ID = _names("docno docid documentid pid passageid corpusid did chunkid id uuid")
GRADE = _names("relevance label grade rel judgement judgment qrel")
SCORE = _names("score")
RANK = _names("rank")
POSITIVES = _names("positive positives pos positivepassages relevantpassages")
NEGATIVES = _names("negative negatives neg negativepassages hardnegatives")

_KNOWN = frozenset((*QUERY, *ROW_ID, *DOCUMENTS, *TEXT, *TITLE, *DOC_ID, *GRADE, *SCORE, *RANK, *POSITIVES, *NEGATIVES))


def is_known_name(name: str) -> bool:
    """Whether a name is one of those by which shapes are recognized."""
    return plain(name) in _KNOWN


def find(record: Mapping[str, Any] | Iterable[str], names: Iterable[str]) -> str | None:
    """Return the field of a record that has the first of these names, or None."""
    by_plain: dict[str, str] = {}
    for name in record:
        by_plain.setdefault(plain(str(name)), name)
    return next((by_plain[name] for name in names if name in by_plain), None)


def get_path(record: object, path: str) -> object:
    """Return the value at a name or a dotted path such as ``node.text``, or None."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for name in path.split("."):
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record
