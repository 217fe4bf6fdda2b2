"""When a `FaultServer` misbehaves and how: the fields of a faults file, as checked values. Pure, by a seed."""

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
_OF_STATUS = ("message", "body", "retry_after", "headers")


class _Checked(BaseModel):
    # Numbers in YAML are good headers and keys; values in messages are for `_told` to choose.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True)


def _in_seconds(value: Any) -> Any:
    return {"fixed": value} if isinstance(value, (int, float)) else value


class Delay(_Checked):
    """How long an answer takes, in seconds: one of these, drawn anew for each request.

    Attributes:
        fixed: Always the same.
        uniform: Anything between two bounds.
        normal: ``(mean, standard deviation)``, never below 0.
        lognormal: ``(median, sigma)``: what services look like; 0.5 is a usual sigma, 1 has a long tail.
        exponential: The mean.
        one_of: Measured delays, each as likely.
        at_most: No draw is longer.

    Raises:
        pydantic.ValidationError: None is given or several are, or a number is out of range.
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
        """One delay in seconds."""
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
    """``3``, ``"3"``, ``"3-5"``, ``"3-"`` or a list of these, as pairs of first and last."""
    if isinstance(value, (list, tuple)):
        return tuple(span for item in value for span in _as_spans(item))
    match = None if isinstance(value, bool) else _SPAN.fullmatch(str(value))
    if match is None:
        raise ValueError('requests are counted from 1: give 3, "3-5", "3-" or a list of these')
    first, dash, last = match.groups()
    span = int(first), float(int(last) if last else math.inf if dash else first)
    if not 1 <= span[0] <= span[1]:
        raise ValueError(f"there are no requests {value}: they are counted from 1, the first bound is the lower one")
    return (span,)


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # 5.5, as latin-1


def _as_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header: letters, digits and hyphens are")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} must be latin-1, on one line, without control characters")
    return headers


class Fault(_Checked):
    """One way to misbehave, and when: for every request unless *requests*, *every* or *share* say otherwise.

    Attributes:
        requests: For these only, counted from 1: ``3``, ``"3-5"``, ``"3-"`` or a list of these.
        every: For every n-th only.
        share: For this share of them, in (0, 1], by the plan's seed.
        status: Answer with this status and an error in Cohere's form.
        message: With *status*: its message, instead of a usual one.
        body: With *status*: the whole body as text, such as a proxy's page.
        retry_after: With *status*: the seconds of a ``Retry-After`` header.
        headers: With *status*: further headers, such as ``{"retry-after-ms": "50"}``; values are latin-1, on one line.
        reset: Break the connection by RST: at the ``start``, inside the ``head`` or inside the ``body``.
        hang_up: Close the connection without a byte.
        truncated: Close it in the middle of a body that is framed by its ``length`` or ``chunked``.
        malformed: A 200 that is no good answer; see the table in the reference.
        drip: The real answer byte by byte, with so many seconds between two.
        hang: Read the request and never answer.
        delay: Wait first; a number of seconds or a `Delay`. Alone, a good answer follows.

    Raises:
        pydantic.ValidationError: A field is unknown or out of range, or these do not fit together.
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
    delay: Annotated[Delay | None, BeforeValidator(_in_seconds)] = None

    @model_validator(mode="after")
    def _check(self) -> Fault:
        kinds = [name for name in _KINDS if getattr(self, name) is not None]
        if len(kinds) > 1 or not (kinds or self.delay):
            raise ValueError(f"give one of {', '.join(_KINDS)}, or delay alone; got {' and '.join(kinds) or 'none'}")
        for name in _OF_STATUS:
            if getattr(self, name) is not None and self.status is None:
                raise ValueError(f"{name} goes with status")
        if self.body is not None and self.message is not None:
            raise ValueError("give message or body, not both")
        return self

    def __repr_args__(self) -> Any:
        return [(name, value) for name, value in super().__repr_args__() if value is not None]

    @property
    def kind(self) -> str:
        """What it does, in a word: ``status``, ``reset``, … or ``delay``."""
        return next((name for name in _KINDS if getattr(self, name) is not None), "delay")

    @property
    def corrupts_reply(self) -> bool:
        """Whether it changes the answer that there would be, instead of coming in its place."""
        return self.malformed is not None or self.drip is not None

    def concerns(self, n: int, draws: Random) -> bool:
        """Whether it is for the n-th request, counted from 1."""
        is_drawn = self.share is None or draws.random() < self.share
        return (
            is_drawn
            and (self.every is None or n % self.every == 0)
            and (self.requests is None or any(first <= n <= last for first, last in self.requests))
        )


class Limit(_Checked):
    """A rate limit, counted for each key; a request over it is answered 429.

    Attributes:
        requests: How many in any period.
        period_s: Its seconds. A short one keeps tests short.
        per_month: How many in all, after which no wait helps.
        trial: Whether good answers bear the headers of a trial key, and errors its words.
        hint: Whether a 429 says in ``Retry-After`` how long to wait. Cohere is not known to.
    """

    requests: Count = 10
    period_s: Annotated[float, Field(gt=0, le=86_400, strict=True)] = 60.0
    per_month: Count | None = None
    trial: bool = False
    hint: bool = False


# https://docs.cohere.com/docs/rate-limits, for rerank
_LIMITS = {
    "trial": {"requests": 10, "per_month": 1000, "trial": True},
    "production": {"requests": 1000},
}


def _as_limit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in _LIMITS:
        raise ValueError(f"a limit is {' or '.join(_LIMITS)}, or has fields of its own")
    return _LIMITS[value]


class Plan(_Checked):
    """All that a `FaultServer` does besides answering.

    Attributes:
        seed: Of every draw. The n-th request meets the same fault and the same delay in every run.
        keys: The API keys that are accepted; None: any, and none.
        limit: ``"trial"`` (10 a minute, 1,000 a month), ``"production"`` (1,000 a minute) or a `Limit`.
        delay: Of every answer that no fault delays; seconds or a `Delay`.
        faults: The first that is for a request is what it meets.

    Raises:
        pydantic.ValidationError: A field is unknown or out of range.
    """

    seed: int = 0
    keys: tuple[str, ...] | None = Field(default=None, repr=False)
    limit: Annotated[Limit | None, BeforeValidator(_as_limit)] = None
    delay: Annotated[Delay | None, BeforeValidator(_in_seconds)] = None
    faults: tuple[Fault, ...] = ()

    def fault_for(self, n: int) -> Fault | None:
        """What the n-th request meets, counted from 1; None: a good answer."""
        draws = Random(f"{self.seed}/{n}")
        return next((fault for fault in self.faults if fault.concerns(n, draws)), None)

    def delay_s(self, n: int, fault: Fault | None) -> float:
        """How long the n-th request waits first, in seconds."""
        delay = (fault.delay if fault else None) or self.delay
        return delay.draw_s(Random(f"{self.seed}/{n}/delay")) if delay else 0.0
