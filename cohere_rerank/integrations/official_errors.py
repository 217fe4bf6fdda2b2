"""Raise the errors of this package as instances of the official classes too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cohere_rerank.errors import ApiError, CohereRerankError, InvalidResponseError, rebuild_error

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["as_official", "official_errors"]

_CLASSES: dict[type[CohereRerankError], type[CohereRerankError] | None] = {}


@contextmanager
def official_errors() -> Iterator[None]:
    """Let every error of this block be an instance of the official class too, if the official package is installed."""
    try:
        yield
    except CohereRerankError as error:
        as_official(error)
        raise


def as_official(error: CohereRerankError) -> None:
    """Make an error an instance of the official class too, if there is one. Its attributes stay the same.

    An error of a status has the class of that status in ``cohere.errors``. Any other error of a reply is a
    ``cohere.core.api_error.ApiError``. Errors of connections are httpx exceptions already, as in the official client.
    """
    ours = type(error)
    if ours not in _CLASSES:
        _CLASSES[ours] = class_of_both(ours)
    kind = _CLASSES[ours]
    if kind is not None:
        error.__class__ = kind


def class_of_both(kind: type[CohereRerankError]) -> type[CohereRerankError] | None:
    """Return a subclass of a class of this package and of the official one, or None if there is no official one."""
    official = official_class(kind)
    if official is None or issubclass(kind, official):
        return None
    # It has the name of the class of this package, so that tracebacks and logs show that name.
    namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": _reduce, "_ours": kind}
    return type(kind.__name__, (kind, official), namespace)


def official_class(kind: type[CohereRerankError]) -> type[Exception] | None:
    """Return the official class for a class of this package, or None."""
    if not issubclass(kind, (ApiError, InvalidResponseError)):
        return None
    try:
        import cohere.errors
        from cohere.core.api_error import ApiError as OfficialApiError
    except ImportError:
        return None
    names = (base.__name__ for base in kind.__mro__)  # QuotaExceededError is a TooManyRequestsError
    found: type[Exception] = next(
        (cls for name in names if (cls := getattr(cohere.errors, name, None)) is not None), OfficialApiError
    )
    return found


def _reduce(error: Any) -> tuple[Any, ...]:
    _, (_kind, state) = CohereRerankError.__reduce__(error)
    return _restore, (error._ours, state)


def _restore(kind: type[CohereRerankError], state: dict[str, Any]) -> CohereRerankError:
    error = rebuild_error(kind, state)
    as_official(error)
    return error
