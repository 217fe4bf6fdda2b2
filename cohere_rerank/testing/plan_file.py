"""A plan from a file, or from the fields that a file has, with errors that name the entry."""

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

__all__ = ["checked", "read_plan"]

M = TypeVar("M", bound=BaseModel)

_OWNERS: dict[object, type[BaseModel]] = {"faults": Fault, "delay": Delay, "limit": Limit}
_SHORT = 40  # characters


def read_plan(source: Plan | Mapping[str, Any] | str | PathLike[str] | None) -> Plan:
    """A plan as it is, from its fields, or from a YAML or JSON file; None: an empty one.

    Raises:
        InvalidRequestError: It is no plan; the message names the file and the entry, such as ``faults[2].status``.
        OSError: The file cannot be read.
    """
    if source is None or isinstance(source, Plan):
        return source or Plan()
    if isinstance(source, Mapping):
        return checked(Plan, source)
    path = Path(source)
    fields = _loaded(path)
    try:
        return checked(Plan, {} if fields is None else fields)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{path}: {error}") from None


def checked(model: type[M], fields: object) -> M:
    """The model with these fields.

    Raises:
        InvalidRequestError: They do not fit; names each, and what is allowed.
    """
    if not isinstance(fields, Mapping):
        raise InvalidRequestError(f"a plan has the fields {', '.join(model.model_fields)}; got {type(fields).__name__}")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        problems = [_told(model, problem) for problem in error.errors(include_url=False)]
        raise InvalidRequestError("; ".join(problems)) from None


def _told(model: type[BaseModel], problem: Any) -> str:
    """One problem, where it is and what is allowed; the value where that is no text of the caller's."""
    loc = problem["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    value = problem.get("input")
    if problem["type"] == "extra_forbidden":
        owner = next((_OWNERS[part] for part in reversed(loc[:-1]) if part in _OWNERS), model)
        return f"{where}: there is no such field; known are {', '.join(owner.model_fields)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:].replace("a valid tuple", "a list")
    message = message.replace("a valid dictionary or instance of ", "the fields of a ")
    is_plain = isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _SHORT)
    shown = f", got {value!r}" if is_plain and loc[0] != "keys" else ""
    return f"{where + ': ' if where else ''}{message}{shown}"


def _loaded(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{path} is not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InvalidRequestError(f"{path}{line}: this is not YAML: {getattr(error, 'problem', error)}") from None
