"""Reads a plan from a file, or from the fields of a file. Error messages name the entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cohere_rerank.errors import InvalidRequestError

from .plan import Delay, Fault, Limit, Plan

__all__ = ["read_plan", "validate"]

M = TypeVar("M", bound=BaseModel)

_OWNERS: dict[object, type[BaseModel]] = {"faults": Fault, "delay": Delay, "limit": Limit}
_MAX_VALUE_CHARS = 40


def read_plan(source: Plan | Mapping[str, Any] | str | PathLike[str] | None) -> Plan:
    """Return a plan from its fields, or from a YAML or JSON file. None makes an empty plan.

    Raises:
        InvalidRequestError: The plan is not valid. The message names the file and the entry, such as
            ``faults[2].status``.
        OSError: The file cannot be read.
    """
    __tracebackhide__ = True
    if source is None or isinstance(source, Plan):
        return source or Plan()
    if isinstance(source, Mapping):
        return validate(Plan, source)
    path = Path(source)
    fields = _load(path)
    try:
        return validate(Plan, {} if fields is None else fields)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}: {error}") from None


def validate(model: type[M], fields: object) -> M:
    """Return the model with these fields.

    Raises:
        InvalidRequestError: A field is not valid. The message names each one, and what is allowed.
    """
    __tracebackhide__ = True
    if not isinstance(fields, Mapping):
        names = ", ".join(model.model_fields)
        raise InvalidRequestError(f"a plan must be a mapping with the fields {names}; got {type(fields).__name__}")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        problems = [_describe(model, problem) for problem in error.errors(include_url=False)]
        raise InvalidRequestError("; ".join(problems)) from None


def _describe(model: type[BaseModel], problem: Any) -> str:
    """Return one problem: its place, what is allowed, and the value if it is short and not a key."""
    loc = problem["loc"]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    value = problem.get("input")
    if problem["type"] == "extra_forbidden":
        owner = next((_OWNERS[part] for part in reversed(loc[:-1]) if part in _OWNERS), model)
        return f"{place}: unknown field; the fields are {', '.join(owner.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:].replace("a valid tuple", "a list")
    message = message.replace("a valid dictionary or instance of ", "the fields of a ")
    is_plain = isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _MAX_VALUE_CHARS)
    shown = f", got {value!r}" if is_plain and loc[0] != "keys" else ""
    return f"{place + ': ' if place else ''}{message}{shown}"


def _load(path: Path) -> Any:
    __tracebackhide__ = True
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path} is not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"{path}, line {error.lineno}: the file is not valid JSON: {error.msg}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", error)
        raise InvalidRequestError(f"{path}{line}: the file is not valid YAML: {problem}") from None
