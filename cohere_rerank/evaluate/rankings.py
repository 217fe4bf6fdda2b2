"""Finished rankings: a run of TREC, or the output of a job. They are measured without asking a system again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.errors import FileError
from cohere_rerank.files.opening import open_records
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.rows import as_float32, open_rows

from .lists import LabelledList

__all__ = ["Ranking"]


class Ranking:
    """A finished ranking of many queries, which `evaluate` measures as a system.

    Args:
        path: A run of TREC, or the output of a job in JSON Lines, JSON or Parquet. The documents of a run have ids. The
            results of a job have indices into the lists, and ids with the option ``--with-ids``.

    Raises:
        FileError: The file cannot be read, or it has no rankings.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._by_query: dict[str, Sequence[str]] = {}
        self._by_index: dict[str, Sequence[int]] = {}
        reader = open_records(self._path, ReadOptions())
        for number, raw in reader:
            record = reader.parse(raw)
            if isinstance(record, Mapping) and ("results" in record or "error" in record):
                self._add_result(reader.place(number), record)
                continue
            self._read_run()
            break
        if not self._by_query and not self._by_index:
            raise FileError(f"{path}: it has no rankings")

    def _add_result(self, place: str, record: Mapping[str, Any]) -> None:
        if "results" not in record or record["results"] is None:
            raise FileError(f"{self._path}, {place}: the row has an error and no results")
        results = sorted(record["results"], key=lambda result: -result["relevance_score"])
        key = str(record["id"])
        if results and all(result.get("id") is not None for result in results):
            ordered = sorted(results, key=lambda result: str(result["id"]), reverse=True)
            ordered.sort(key=lambda result: as_float32(result["relevance_score"]), reverse=True)
            self._by_query[key] = [str(result["id"]) for result in ordered]
        self._by_index[key] = [result["index"] for result in results]

    def _read_run(self) -> None:
        with closing(open_rows(self._path, ReadOptions(is_ids_only=True))) as rows:
            rows.prepare()
            for _, raw in rows:
                row = rows.parse(raw)
                ids = row.document_ids
                if ids is None or row.id is None:
                    raise FileError(f"{self._path}: a finished ranking must have ids of queries and documents")
                order = range(len(ids)) if row.ranking is None else row.ranking
                self._by_query[str(row.id)] = [str(ids[index]) for index in order]

    def ranked_grades(self, item: LabelledList) -> list[float]:
        """Return the grades of a list in the order of this ranking, best first.

        Raises:
            InvalidRequestError: The ranking does not have the query, or it is not one of this list.
        """
        key = str(item.id)
        ids = self._by_query.get(key)
        if ids is not None and (item.judged is not None or item.document_ids is not None):
            grades = item.judged
            if grades is None:
                known = zip(item.document_ids or (), item.grades)
                grades = {str(doc_id): grade for doc_id, grade in known}
            return [grades.get(doc_id, 0.0) for doc_id in ids]
        indices = self._by_index.get(key)
        if indices is None:
            raise InvalidRequestError(f"{self._path} has no ranking of the query {key!r}")
        if len(set(indices)) != len(indices) or any(not 0 <= index < len(item.grades) for index in indices):
            raise InvalidRequestError(f"{self._path} has a ranking of other documents for the query {key!r}")
        rest = [index for index in range(len(item.grades)) if index not in set(indices)]
        return [item.grades[index] for index in (*indices, *rest)]
