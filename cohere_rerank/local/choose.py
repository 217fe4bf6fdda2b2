"""Which scorer answers: from a ``local:`` address, a model name, or an object that the user brought."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from cohere_rerank.errors import InvalidRequestError

from .scorer import FunctionScorer, Scorer

_SCHEME = "local:"


def chooser(address: str, scorer: Any = None) -> Callable[[str], Scorer]:
    """A function from model names to scorers, for ``local:`` addresses.

    Args:
        address: ``local:`` or ``local:NAME``.
        scorer: A scorer or a function ``(query, documents) -> scores``; outranks address and model.

    Raises:
        InvalidRequestError: No scorer has that name, or the object is none.
    """
    if scorer is not None:
        fixed = as_scorer(scorer)
        return lambda _model: fixed
    named = address.removeprefix(_SCHEME)
    default = by_name(named or "lexical")

    def pick(model: str) -> Scorer:
        name = model.removeprefix("local-")
        return by_name(name) if not named and name != model and name in NAMES else default

    return pick


def as_scorer(scorer: Any) -> Scorer:
    """A scorer as it is, a plain function as one."""
    if callable(getattr(scorer, "score", None)):
        missing = [name for name in ("name", "version", "pointwise") if not hasattr(scorer, name)]
        if missing:
            raise InvalidRequestError(f"the scorer {type(scorer).__name__} has no {' and no '.join(missing)}")
        return scorer  # type: ignore[no-any-return]
    if callable(scorer):
        return FunctionScorer(scorer)
    raise InvalidRequestError(
        f"scorer must have a score(query, documents) method or be such a function, got {type(scorer).__name__}"
    )


@cache
def by_name(name: str) -> Scorer:
    """The one shared scorer of this name."""
    if name not in NAMES:
        known = ", ".join(f"local:{known}" for known in NAMES)
        raise InvalidRequestError(f"there is no local scorer {name!r}; known are {known}")
    return NAMES[name]()


def _lexical() -> Scorer:
    from .lexical import LexicalScorer

    return LexicalScorer()


NAMES: dict[str, Callable[[], Scorer]] = {"lexical": _lexical}
