"""Find the scorer for a ``local:`` address, a model name, or an object of the user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from cohere_rerank.errors import InvalidRequestError

from .options import read_options
from .scorer import FunctionScorer, ScoreFunction, Scorer

_SCHEME = "local:"


def scorer_resolver(address: str, scorer: Any = None) -> Callable[[str], Scorer]:
    """Return a function that maps a model name to a scorer, for a ``local:`` address.

    Args:
        address: ``local:``, ``local:NAME`` or ``local:NAME?option=value&option=value``.
        scorer: A scorer or a function ``(query, documents) -> scores``. It is used for every address and model.

    Raises:
        InvalidRequestError: No scorer has that name, an option is not valid, or *scorer* is not a scorer.
        ImportError: The scorer needs an extra that is not installed.
    """
    if scorer is not None:
        fixed = as_scorer(scorer)
        return lambda _model: fixed
    address_name = address.removeprefix(_SCHEME)
    default = get_scorer(address_name or "lexical")

    def scorer_for(model: str) -> Scorer:
        name = model.removeprefix("local-")
        return get_scorer(name) if not address_name and name != model and name in FACTORIES else default

    return scorer_for


def as_scorer(scorer: Any) -> Scorer:
    """Return a scorer unchanged, and a plain function as a `FunctionScorer`.

    Raises:
        InvalidRequestError: The object is neither a scorer nor a function.
    """
    if callable(getattr(scorer, "score", None)):
        missing = [name for name in ("name", "version", "pointwise") if not hasattr(scorer, name)]
        if missing:
            raise InvalidRequestError(
                f"the scorer {type(scorer).__name__} has no {' and no '.join(missing)}; "
                "a scorer needs name, version, pointwise and score(query, documents)"
            )
        return scorer  # type: ignore[no-any-return]
    if callable(scorer):
        return FunctionScorer(cast("ScoreFunction", scorer))
    raise InvalidRequestError(
        f"scorer must be a function of (query, documents) or an object with a score method, got {type(scorer).__name__}"
    )


def get_scorer(name: str) -> Scorer:
    """Return the shared scorer of a name, such as ``"lexical"`` or ``"semantic?first_stage=100"``.

    Raises:
        InvalidRequestError: No scorer has that name, or an option is not valid.
        ImportError: The scorer needs an extra that is not installed.
    """
    if name not in _SCORERS:
        with _LOADING:
            if name not in _SCORERS:
                _SCORERS[name] = _new_scorer(name)
    return _SCORERS[name]


def _new_scorer(name: str) -> Scorer:
    kind, _, options = name.partition("?")
    if kind not in FACTORIES:
        known = ", ".join(f"local:{known}" for known in FACTORIES)
        raise InvalidRequestError(f"there is no local scorer {kind!r}; use one of {known}")
    return FACTORIES[kind](options)


def _lexical(options: str) -> Scorer:
    from .lexical import LexicalScorer

    return LexicalScorer(**read_options("lexical", options, {}))


def _semantic(options: str) -> Scorer:
    from .semantic import SemanticScorer
    from .two_stage import TwoStageScorer

    k = read_options("semantic", options, {"first_stage": int}).get("first_stage")
    return SemanticScorer() if k is None else TwoStageScorer(get_scorer("semantic"), k)


def _multilingual(options: str) -> Scorer:
    from .multilingual import MultilingualScorer
    from .two_stage import TwoStageScorer

    values = read_options("multilingual", options, {"first_stage": int, "threads": int})
    k = values.pop("first_stage", None)
    scorer = MultilingualScorer(**values)
    return scorer if k is None else TwoStageScorer(scorer, k)


def _onnx(options: str) -> Scorer:
    from .onnx import from_options

    return from_options(options)


FACTORIES: dict[str, Callable[[str], Scorer]] = {
    "lexical": _lexical,
    "multilingual": _multilingual,
    "semantic": _semantic,
    "onnx": _onnx,
}

_SCORERS: dict[str, Scorer] = {}
_LOADING = threading.RLock()  # a factory may get another scorer
