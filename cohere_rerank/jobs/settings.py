"""The validated settings of a job."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from cohere_rerank._addresses import without_query
from cohere_rerank._calls import calls_of
from cohere_rerank._validators import number, whole_number
from cohere_rerank.async_client import AsyncClientV2
from cohere_rerank.errors import InvalidRequestError
from cohere_rerank.files.options import ReadOptions
from cohere_rerank.files.sources import require_pyarrow, require_zstd

from .errors import JobError
from .files import check_writable, format_of, journal_is_output
from .formats import expand
from .report import JobReport
from .rows import ARGUMENTS

if TYPE_CHECKING:
    from os import PathLike

    from cohere_rerank._calls import BaseCalls

__all__ = [
    "JobSettings",
    "check_shared_arguments",
    "checked_client",
    "checked_common",
    "checked_paths",
    "checked_read",
    "common_arguments",
]


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _path(name: str, value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise InvalidRequestError(f"{name} must be a path, got {type(value).__name__}")
    if "\0" in os.fspath(value):
        raise InvalidRequestError(f"{name} must be a path without null characters, got {os.fspath(value)!r}")
    return Path(value)


def checked_paths(value: object) -> list[Path]:
    """Return the files of an input: a path, or a list of paths.

    Raises:
        InvalidRequestError: It is neither.
        JobError: A path does not exist, or a folder has no files.
    """
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise InvalidRequestError("input must have at least one path, got an empty list")
    return expand([_path("input", each) for each in values])


def checked_read(read: object) -> ReadOptions:
    """Return the options of the reader.

    Raises:
        InvalidRequestError: They are not ReadOptions.
    """
    if read is not None and not isinstance(read, ReadOptions):
        raise InvalidRequestError(f"read must be ReadOptions, got {type(read).__name__}")
    return read or ReadOptions()


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file: by links, by hard links, or by letter case where the system ignores it."""
    names = [str(path.resolve()) for path in (one, other)]
    if sys.platform in ("win32", "darwin"):
        names = [name.casefold() for name in names]
    return names[0] == names[1] or (one.exists() and other.exists() and one.samefile(other))


def _no_progress(report: JobReport) -> None:
    """The default for ``progress``."""


_OUTPUT_FIELDS = frozenset(
    (
        *("id", "row", "results", "error", "is_fallback"),
        *("billed_units", "search_units", "estimated_search_units", "cost_usd", "estimated_cost_usd"),
    )
)
_COMMON = frozenset(ARGUMENTS) - {"query", "documents"}


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The arguments of `run_job`, validated.

    Raises:
        InvalidRequestError: A setting has the wrong type or is out of its range.
        JobError: A file cannot be written, or it is used twice.
        ImportError: A format needs an extra that is not installed.
    """

    inputs: Sequence[Path]
    output: Path
    read: ReadOptions = field(default_factory=ReadOptions)
    with_ids: bool = False
    with_documents: bool = False
    resume: bool = False
    retry_errors: bool = False
    errors: Path | None = None
    ordered: bool = True
    concurrency: int = 32
    processes: int = 1
    retry_for: float = 4 * 3600.0
    deadline: float | None = None
    max_error_fraction: float = 0.5
    budget_units: float | None = None
    budget_usd: float | None = None
    ignore_unknown: bool = False
    csv_safe: bool = False
    progress: Callable[[JobReport], object] = _no_progress
    common: Mapping[str, Any]

    @classmethod
    def from_arguments(
        cls,
        input: str | PathLike[str] | Sequence[str | PathLike[str]],
        output: str | PathLike[str],
        *,
        read: ReadOptions | None = None,
        errors: str | PathLike[str] | None = None,
        processes: int | None = None,
        progress: Callable[[JobReport], object] | None = None,
        **options: Any,
    ) -> JobSettings:
        """Make settings from the arguments of `run_job`. Options that are not the job's are common to all rows."""
        own = {each.name for each in fields(cls)}
        options["resume"] = options.get("resume", False) or options.get("retry_errors", False)
        return cls(
            inputs=checked_paths(input),
            output=_path("output", output),
            read=checked_read(read),
            errors=None if errors is None else _path("errors", errors),
            processes=n_cores() if processes is None else processes,
            progress=_no_progress if progress is None else progress,
            common={name: value for name, value in options.items() if name not in own},
            **{name: value for name, value in options.items() if name in own},
        )

    def __post_init__(self) -> None:
        whole_number("concurrency", self.concurrency, 1)
        whole_number("processes", self.processes, 1)
        fraction = number("max_error_fraction", self.max_error_fraction)
        if fraction is None or not 0 <= fraction <= 1:
            raise InvalidRequestError(f"max_error_fraction must be from 0 to 1, got {fraction}")
        retry_for = number("retry_for", self.retry_for)
        if retry_for is None or not retry_for >= 0:
            raise InvalidRequestError(f"retry_for must be at least 0 seconds, got {retry_for}")
        deadline = number("deadline", self.deadline)
        if deadline is not None and not deadline > 0:
            raise InvalidRequestError(f"deadline must be above 0 seconds, got {deadline}")
        for name in ("budget_units", "budget_usd"):
            budget = number(name, getattr(self, name))
            if budget is not None and not budget >= 0:
                raise InvalidRequestError(f"{name} must be at least 0, got {budget}")
        if not callable(self.progress):
            raise InvalidRequestError(f"progress must be a function, got {type(self.progress).__name__}")
        taken = sorted(_OUTPUT_FIELDS & set(self.read.keep))
        if taken:
            raise InvalidRequestError(f"keep cannot have {', '.join(taken)}: the output has fields of these names")
        checked_common(self.common)
        self._check_files()

    def _check_files(self) -> None:
        outputs = [self.output, *([self.errors] if self.errors else [])]
        for path in outputs:
            file_format, compression = format_of(path)
            if file_format == "parquet":
                require_pyarrow()
            if compression == ".zst":
                require_zstd()
            check_writable(path)
        pairs = [*combinations(outputs, 2), *((path, output) for path in self.inputs for output in outputs)]
        if any(_is_same_file(one, other) for one, other in pairs):
            raise JobError(f"{self.output}: input, output and errors must be different files")
        if self.csv_safe and not any(format_of(path)[0] == "csv" for path in outputs):
            raise InvalidRequestError("csv_safe needs an output or an errors file in CSV; leave it out")

    @property
    def input(self) -> Path:
        """The first file of the input."""
        return self.inputs[0]

    @property
    def joined(self) -> list[Path]:
        """The files that are joined with the input."""
        return expand([Path(path) for path in (self.read.corpus, self.read.queries) if path is not None])

    @property
    def has_ids(self) -> bool:
        """Whether the results have the ids of the documents. A run of TREC cannot be written without them."""
        return self.with_ids or format_of(self.output)[0] == "trec"

    @property
    def journal(self) -> Path:
        """The file that rows are appended to: the output itself, or a file next to it."""
        return self.output if journal_is_output(self.output, self.errors) else self.part

    @property
    def part(self) -> Path:
        """The journal of a job whose output cannot grow."""
        return self._beside(".part")

    @property
    def state(self) -> Path:
        """The file that says which job this is. It is also the lock."""
        return self._beside(".job")

    def _beside(self, ending: str) -> Path:
        return self.output.with_name(self.output.name + ending)

    @property
    def with_spans(self) -> bool:
        """Whether all rows ask for relevant spans."""
        return self.common.get("relevant_spans") is not None

    def fingerprint_options(self, client: AsyncClientV2) -> dict[str, Any]:
        """Return the options that change the results or the files, as JSON values."""
        config = calls_of(client).config
        options = {
            "address": without_query(config.base_url),
            "scorer": None if config.scorer is None else getattr(config.scorer, "name", type(config.scorer).__name__),
            "ordered": self.ordered,
            "csv_safe": self.csv_safe,
            "errors": None if self.errors is None else self.errors.name,
            **{f"read.{name}": value for name, value in self.read.as_dict().items()},
            **{name: True for name in ("with_ids", "with_documents") if getattr(self, name)},
            **{name: value for name, value in self.common.items() if value is not None},
        }
        plain: dict[str, Any] = from_json(to_json(options))
        return plain


def checked_common(common: Mapping[str, Any]) -> None:
    """Check the arguments that all rows share.

    Raises:
        InvalidRequestError: An argument is not one that rows can share.
    """
    unknown = sorted(common.keys() - _COMMON)
    if unknown:
        shared = ", ".join(sorted(_COMMON))
        raise InvalidRequestError(f"a job has no argument {', '.join(unknown)}; all rows may share {shared}")


def check_shared_arguments(calls: BaseCalls, common: Mapping[str, Any]) -> None:
    """Check the values of the arguments that all rows share, once and before anything is written.

    Raises:
        InvalidRequestError: A value has the wrong type or is out of its range.
    """
    given = {name: value for name, value in common.items() if value is not None}
    document: Any = "d"
    for path in given.get("rank_fields") or ():
        document = {} if document == "d" else document
        if isinstance(path, str):
            _set_field(document, path.split("."))
    arguments: dict[str, Any] = {"model": "m", **given, "query": "q", "documents": [document]}
    calls.encode_batch_call(**arguments)


def _set_field(document: dict[str, Any], path: list[str]) -> None:
    *parents, last = path
    for name in parents:
        inner = document.setdefault(name, {})
        document = inner if isinstance(inner, dict) else {}
    document.setdefault(last, "d")


def common_arguments(common: Mapping[str, Any], client: AsyncClientV2) -> dict[str, Any]:
    """Return the arguments that rows share, completed from the client's settings."""
    given = {name: value for name, value in common.items() if value is not None}
    return {"max_documents_per_request": calls_of(client).config.max_documents_per_request, **given}


def checked_client(client: object) -> AsyncClientV2:
    """Return the client.

    Raises:
        InvalidRequestError: It is not an AsyncClientV2.
    """
    if not isinstance(client, AsyncClientV2):
        raise InvalidRequestError(f"client must be an AsyncClientV2, got {type(client).__name__}")
    return client
