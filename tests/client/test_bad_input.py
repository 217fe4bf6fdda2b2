"""Every argument, given values that it cannot have: an error names it, shows the value, and says what is allowed."""

from __future__ import annotations

import datetime
import inspect
import math
import warnings

import pytest

import cohere_rerank
from cohere_rerank import Budget, CircuitBreaker, ClientV2, Hedge, InvalidRequestError, RateLimit, RetryPolicy
from cohere_rerank.cache import ScoreCache
from cohere_rerank.limits import FileStore

DOCUMENT = "a document that no message may show"
KEY = "co-5ecret-key-1234567"
BAD = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -1,
    "fraction": 1.5,
    "nan": math.nan,
    "infinite": math.inf,
    "large": 10**30,
    "huge": 10**5000,
    "empty text": "",
    "blank": "  ",
    "digit": "3",
    "word": "x",
    "document": DOCUMENT,
    "key": KEY,
    "bytes": b"b",
    "list": [1],
    "empty list": [],
    "mapping": {"a": 1},
    "empty mapping": {},
    "object": object(),
    "timedelta": datetime.timedelta(seconds=3),
}
TEXTS = "empty text, blank, digit, word, document, key"
SECONDS = "none, fraction, infinite, large"
FLAGS = "none, true, false"
# The values that each argument accepts, of those above.
CLIENT = {
    "api_key": "empty text, digit, word, document, key",
    "base_url": "none, empty text",
    "rerank_url": "none",
    "environment": "none, empty text",
    "client_name": "none, empty text, digit, word, document, key",
    "headers": "none, mapping, empty mapping",
    "params": "none, mapping, empty mapping",
    "proxy": "none",
    "verify": FLAGS,
    "timeout": SECONDS,
    "max_retries": "none, zero",
    "httpx_client": "none",
    "connect_timeout": SECONDS,
    "deadline": SECONDS,
    "retry_policy": "none",
    "max_documents_per_request": "none",
    "max_request_bytes": "none",
    "pointwise": FLAGS,
    "circuit_breaker": "none",
    "hedge": "none",
    "max_connections": "none",
    "max_response_bytes": "none",
    "fallback": "none",
    "scorer": "none",
    "limit": "none",
    "budget": "none",
    "prices": "none, empty mapping",
    "cache": "none",
    "tag": f"none, {TEXTS}",
    "dialect": "none",
    "strict": FLAGS,
    "score_scale": "none",
    "clock": "none",
    "on_event": "none",
    "telemetry": FLAGS,
}
RERANK = {
    "model": "digit, word, document, key",
    "query": "digit, word, document, key",
    "documents": "empty list",
    "top_n": "none",
    "max_tokens_per_doc": "none",
    "relevant_spans": "none",
    "priority": "none, zero",
    "request_options": "none, empty mapping",
    "rank_fields": "none",
    "text": f"none, {TEXTS}",
    "on_empty": "none",
    "min_score": "none, zero, negative, fraction, infinite, large",
    "max_documents_per_request": "none",
    "deadline": SECONDS,
}
OPTIONS = {
    "timeout": SECONDS,
    "max_retries": "none, zero",
    "retry_remote_protocol_errors": FLAGS,
    "additional_headers": "none, mapping, empty mapping",
    "additional_query_parameters": "none, mapping, empty mapping",
    "additional_body_parameters": "none, mapping, empty mapping",
    "deadline": SECONDS,
}
MANY = {
    "requests": "list, empty list",
    "concurrency": "",
    "ordered": "true, false",
    "on_error": "",
    "progress": FLAGS,
}
POLICY = {
    "max_retries": "zero",
    "wait_initial_s": "zero, fraction, infinite, large",
    "wait_max_s": "zero, fraction, infinite, large",
    "jitter": "zero",
    "rate_limit_window_s": "none, zero, fraction, infinite, large",
    "retry_statuses": "empty list, empty mapping",
    "no_retry_statuses": "empty list, empty mapping",
    "remote_protocol_errors": "true, false",
    "budget": "zero",
}
BREAKER = {"max_failures": "", "open_s": "fraction", "max_open_s": "infinite, large"}
HEDGE = {"percentile": "", "max_extra": "", "min_samples": ""}
BUDGET = {"usd": "zero, fraction", "units": "none, zero, fraction", "per": "", "store": "none"}
LIMIT = {
    "per_minute": "",
    "requests": "",
    "period_s": "none, fraction",
    "burst": "none",
    "concurrency": "none",
    "store": "none",
    "name": f"none, {TEXTS}",
}
CACHE = {"max_entries": "", "path": "none, blank, digit, word, document, key", "ttl_s": SECONDS}


def new_client(name, value):
    base = {"base_url": "local:"} if name == "scorer" else {}
    ClientV2(**{"api_key": KEY, **base, name: value})


def check_call(name, value):
    calls = ClientV2(base_url="local:")._calls
    with warnings.catch_warnings(action="ignore"):
        calls.encode(**{"model": "m", "query": "q", "documents": [DOCUMENT], name: value})


def check_option(name, value):
    check_call("request_options", {name: value})


def check_many(name, value):
    ClientV2(base_url="local:").rerank_many(**{"requests": [], name: value})


def new_limit(name, value):
    base = {"per_minute": 5} if name not in ("per_minute", "requests", "period_s") else {}
    base = {"requests": 5} if name == "period_s" else base
    RateLimit(**{**base, name: value})


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def new_budget(name, value):
    Budget(**({name: value} if name == "usd" else {"usd": 1, name: value}))


def made_by(kind):
    return lambda name, value: kind(**{name: value})


SECRET = ("api_key",)
TABLES = {
    "ClientV2": (new_client, CLIENT),
    "rerank": (check_call, RERANK),
    "request_options": (check_option, OPTIONS),
    "rerank_many": (check_many, MANY),
    "RetryPolicy": (made_by(RetryPolicy), POLICY),
    "CircuitBreaker": (made_by(CircuitBreaker), BREAKER),
    "Hedge": (made_by(Hedge), HEDGE),
    "RateLimit": (new_limit, LIMIT),
    "Budget": (new_budget, BUDGET),
    "FileStore": (made_by(FileStore), {"path": "blank, digit, word, document, key"}),
    "ScoreCache": (made_by(ScoreCache), CACHE),
}
ARGUMENTS = [(owner, name) for owner, (_, accepted) in TABLES.items() for name in accepted]


@pytest.mark.parametrize(("owner", "name"), ARGUMENTS, ids=[f"{owner}.{name}" for owner, name in ARGUMENTS])
def test_a_refusal_names_the_argument_and_shows_the_value(owner, name):
    """It is an InvalidRequestError with ``must`` or advice, without a document and without a key."""
    use, table = TABLES[owner]
    accepted = set(filter(None, table[name].split(", ")))
    for label, value in BAD.items():
        error = error_of(use, name, value)
        if error is None:
            assert label in accepted, f"{owner}.{name} accepts {label}"
        else:
            message = str(error)
            place = f"{owner}.{name}, {label}: {message}"
            assert label not in accepted, place
            assert isinstance(error, (InvalidRequestError, cohere_rerank.MissingApiKeyError)), place
            assert name.rstrip("s") in message, place
            assert any(word in message for word in ("must", "pass", "needs", "no option", "a document is")), place
            assert DOCUMENT not in message, place
            assert KEY not in message, place
            assert len(message) < 400, place
            if label in ("true", "negative", "fraction", "nan", "digit") and name not in SECRET:
                assert repr(value) in message or type(value).__name__ in message or owner == "FileStore", place


def error_of(use, name, value):
    try:
        use(name, value)
    except cohere_rerank.CohereRerankError as error:
        return error
    return None


def test_the_tables_have_every_argument():
    """A new argument of the constructor or of rerank needs a line."""
    no_effect = {"self", "others", "thread_pool_executor", "log_warning_experimental_features"}
    kinds = {
        "ClientV2": ClientV2.__init__,
        "rerank": ClientV2.rerank,
        "RetryPolicy": RetryPolicy,
        "CircuitBreaker": CircuitBreaker,
        "Hedge": Hedge,
        "RateLimit": RateLimit,
        "FileStore": FileStore,
        "ScoreCache": ScoreCache,
    }
    for owner, kind in kinds.items():
        assert TABLES[owner][1].keys() == inspect.signature(kind).parameters.keys() - no_effect
    many = inspect.signature(ClientV2.rerank_many).parameters.keys() - {"self", "common"}
    assert MANY.keys() == many


def test_a_timedelta_gets_advice():
    """It is a usual mistake."""
    with pytest.raises(
        InvalidRequestError, match=r"timeout must be a number of seconds above 0, got timedelta; pass its"
    ):
        ClientV2("k", timeout=datetime.timedelta(seconds=3))
