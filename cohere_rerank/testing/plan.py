"""The plan of a `FaultServer`: which requests get which faults. Pure; all random choices depend on a seed."""

from __future__ import annotations

import math
import re
from random import Random
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["Delay", "Fault", "Limit", "Plan"]

Malformed = Literal[
    "cut-json",
    "html",
    "empty",
    "bad-utf-8",
    "deep-json",
    "bare-list",
    "no-results",
    "null-results",
    "index-too-large",
    "index-negative",
    "index-twice",
    "score-text",
    "score-nan",
    "score-missing",
    "unsorted",
]

Seconds = Annotated[float, Field(ge=0, le=86_400, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Spans = tuple[tuple[int, float], ...]

_SPAN = re.compile(r"([0-9]+)(?:\s*(-)\s*([0-9]*))?")
_KINDS = ("status", "reset", "hang_up", "truncated", "malformed", "drip", "hang")
_STATUS_OPTIONS = ("message", "body", "retry_after", "headers")


class _StrictModel(BaseModel):
    # YAML files may have numbers as headers and keys. `plan_file` decides which values a message shows.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)


def _as_delay(value: Any) -> Any:
    return {"fixed": value} if isinstance(value, (int, float)) else value


class Delay(_StrictModel):
    """How long a response takes, in seconds. Give exactly one field; each request gets a new random value.

    Attributes:
        fixed: The same value every time.
        uniform: A uniform distribution between two bounds.
        normal: ``(mean, standard deviation)`` of a normal distribution; negative values become 0.
        lognormal: ``(median, sigma)`` of a lognormal distribution, which real services resemble. A sigma of 0.5 is
            usual; 1 has a long tail.
        exponential: The mean of an exponential distribution.
        one_of: Measured delays; each has the same probability.
        at_most: The upper bound of every value.

    Raises:
        pydantic.ValidationError: No field or several fields are given, or a number is out of range.
    """

    fixed: Seconds | None = None
    uniform: tuple[Seconds, Seconds] | None = None
    normal: tuple[Seconds, Seconds] | None = None
    lognormal: tuple[Seconds, Annotated[float, Field(ge=0, le=10, strict=True)]] | None = None
    exponential: Seconds | None = None
    one_of: Annotated[tuple[Seconds, ...], Field(min_length=1)] | None = None
    at_most: Seconds = 86_400

    @model_validator(mode="after")
    def _check(self) -> Delay:
        given = self.model_fields_set - {"at_most"}
        if len(given) != 1:
            names = [name for name in type(self).model_fields if name != "at_most"]
            raise ValueError(f"give one of {', '.join(names)}; got {' and '.join(sorted(given)) or 'none'}")
        return self

    def draw_s(self, draws: Random) -> float:
        """Return one delay in seconds."""
        (kind,) = self.model_fields_set - {"at_most"}
        seconds: float = _DRAWS[kind](draws, getattr(self, kind))
        return min(max(0.0, seconds), self.at_most)


_DRAWS: dict[str, Any] = {
    "fixed": lambda _draws, seconds: seconds,
    "uniform": lambda draws, bounds: draws.uniform(*bounds),
    "normal": lambda draws, shape: draws.gauss(*shape),
    "lognormal": lambda draws, shape: shape[0] * math.exp(shape[1] * draws.gauss(0, 1)),
    "exponential": lambda draws, mean: mean * draws.expovariate(1),
    "one_of": lambda draws, seconds: draws.choice(seconds),
}


def _as_spans(value: Any) -> Spans:
    """Return ``3``, ``"3"``, ``"3-5"``, ``"3-"`` or a list of these as pairs of the first and the last request."""
    if isinstance(value, (list, tuple)):
        return tuple(span for item in value for span in _as_spans(item))
    match = None if isinstance(value, bool) else _SPAN.fullmatch(str(value))
    if match is None:
        raise ValueError('requests are counted from 1: give 3, "3-5", "3-" or a list of these')
    first, dash, last = match.groups()
    span = int(first), float(int(last) if last else math.inf if dash else first)
    if not 1 <= span[0] <= span[1]:
        raise ValueError(f"requests {value} do not exist: they are counted from 1, and the lower bound comes first")
    return (span,)


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # 5.5, as latin-1


def _as_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid header name; use letters, digits and hyphens")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} must be latin-1, on one line, without control characters")
    return headers


class Fault(_StrictModel):
    """One fault, and the requests that get it. Without *requests*, *every* and *share*, every request gets it.

    Attributes:
        requests: Only these requests, counted from 1: ``3``, ``"3-5"``, ``"3-"`` or a list of these.
        every: Only every n-th request.
        share: Only this share of the requests, in (0, 1]. The plan's seed selects them.
        status: Respond with this status and an error in Cohere's form.
        message: With *status*: the message of the error instead of a usual one.
        body: With *status*: the whole body as text, such as the page of a proxy.
        retry_after: With *status*: the seconds of a ``Retry-After`` header.
        headers: With *status*: further headers, such as ``{"retry-after-ms": "50"}``; values are latin-1, on one line.
        reset: Break the connection with RST at the ``start``, inside the ``head`` or inside the ``body``.
        hang_up: Close the connection without sending a byte.
        truncated: Close the connection in the middle of a body. The body has a ``length`` or is ``chunked``.
        malformed: Send a malformed reply with status 200. The table in the reference lists the kinds.
        drip: Send the real response byte by byte, with this pause in seconds between two bytes.
        hang: Read the request and send nothing.
        delay: Wait first, for a number of seconds or a `Delay`. Without another fault, a valid reply follows.

    Raises:
        pydantic.ValidationError: A field is unknown or out of range, or two fields exclude each other.
    """

    requests: Annotated[Spans | None, BeforeValidator(lambda value: None if value is None else _as_spans(value))] = None
    every: Count | None = None
    share: Share | None = None
    status: Annotated[int, Field(ge=200, le=599, strict=True)] | None = None
    message: str | None = None
    body: str | None = None
    retry_after: Seconds | None = None
    headers: Annotated[dict[str, str], AfterValidator(_as_headers)] | None = None
    reset: Literal["start", "head", "body"] | None = None
    hang_up: Literal[True] | None = None
    truncated: Literal["length", "chunked"] | None = None
    malformed: Malformed | None = None
    drip: Seconds | None = None
    hang: Literal[True] | None = None
    delay: Annotated[Delay | None, BeforeValidator(_as_delay)] = None

    @model_validator(mode="after")
    def _check(self) -> Fault:
        kinds = [name for name in _KINDS if getattr(self, name) is not None]
        if len(kinds) > 1 or not (kinds or self.delay):
            raise ValueError(f"give one of {', '.join(_KINDS)}, or delay alone; got {' and '.join(kinds) or 'none'}")
        for name in _STATUS_OPTIONS:
            if getattr(self, name) is not None and self.status is None:
                raise ValueError(f"{name} needs status")
        if self.body is not None and self.message is not None:
            raise ValueError("give message or body, not both")
        return self

    def __repr_args__(self) -> Any:
        return [(name, value) for name, value in super().__repr_args__() if value is not None]

    @property
    def kind(self) -> str:
        """The kind of the fault: ``status``, ``reset``, … or ``delay``."""
        return next((name for name in _KINDS if getattr(self, name) is not None), "delay")

    @property
    def corrupts_reply(self) -> bool:
        """Whether the fault changes a valid reply. Other faults replace the reply."""
        return self.malformed is not None or self.drip is not None

    def applies_to(self, n: int, draws: Random) -> bool:
        """Return whether the n-th request gets the fault, counted from 1."""
        is_drawn = self.share is None or draws.random() < self.share
        return (
            is_drawn
            and (self.every is None or n % self.every == 0)
            and (self.requests is None or any(first <= n <= last for first, last in self.requests))
        )


class Limit(_StrictModel):
    """A rate limit for each key. A request over the limit gets 429.

    Attributes:
        requests: The number of requests in any period.
        period_s: The length of the period in seconds. A short period keeps tests short.
        per_month: The number of requests in total. After them, waiting does not help.
        trial: Whether responses have the headers and the messages of a trial key.
        hint: Whether a 429 has a ``Retry-After`` header. It is not known whether Cohere sends one.
    """

    requests: Count = 10
    period_s: Annotated[float, Field(gt=0, le=86_400, strict=True)] = 60.0
    per_month: Count | None = None
    trial: bool = False
    hint: bool = False


# the limits of rerank; source: https://docs.cohere.com/docs/rate-limits
_LIMITS = {
    "trial": {"requests": 10, "per_month": 1000, "trial": True},
    "production": {"requests": 1000},
}


def _as_limit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in _LIMITS:
        raise ValueError(f"a limit must be {' or '.join(_LIMITS)}, or a mapping with the fields of a Limit")
    return _LIMITS[value]


class Plan(_StrictModel):
    """Everything that a `FaultServer` does besides valid replies.

    Attributes:
        seed: The seed of all random choices. The n-th request gets the same fault and the same delay in every run.
        keys: The accepted API keys. None: accept every request, also without a key.
        limit: ``"trial"`` (10 a minute, 1,000 a month), ``"production"`` (1,000 a minute) or a `Limit`.
        delay: The delay of every response without a delay of its own, in seconds or as a `Delay`.
        faults: The faults. A request gets the first one that applies to it.

    Raises:
        pydantic.ValidationError: A field is unknown or out of range.
    """

    seed: int = 0
    keys: tuple[str, ...] | None = Field(default=None, repr=False)
    limit: Annotated[Limit | None, BeforeValidator(_as_limit)] = None
    delay: Annotated[Delay | None, BeforeValidator(_as_delay)] = None
    faults: tuple[Fault, ...] = ()

    def fault_for(self, n: int) -> Fault | None:
        """Return the fault of the n-th request, counted from 1. None: a valid reply."""
        draws = Random(f"{self.seed}/{n}")
        return next((fault for fault in self.faults if fault.applies_to(n, draws)), None)

    def delay_s(self, n: int, fault: Fault | None) -> float:
        """Return the delay of the n-th request in seconds."""
        delay = (fault.delay if fault else None) or self.delay
        return delay.draw_s(Random(f"{self.seed}/{n}/delay")) if delay else 0.0
