"""The settings of a client: keys, addresses, times and limits, and what is never shown."""

from __future__ import annotations

import copy
import decimal
import fractions
import pickle
import traceback

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._addresses import rerank_url
from cohere_rerank._retry import RetryPolicy
from cohere_rerank._settings import Config, Secret
from cohere_rerank.environment import ClientEnvironment

KEY = "co-5ecret-key"
WHOLE = ["max_retries", "max_documents_per_request", "max_connections", "max_response_bytes"]
TIMES = ["timeout", "connect_timeout", "deadline"]


def config(**settings):
    return Config(**{"api_key": KEY, "base_url": None, **settings})


def key_of(settings):
    return None if settings.api_key is None else settings.api_key.value


def fetch_key():
    return KEY


# Keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        ("a", {"CO_API_KEY": "b", "COHERE_API_KEY": "c"}, "a"),
        (None, {"CO_API_KEY": "b", "COHERE_API_KEY": "c"}, "b"),
        (None, {"COHERE_API_KEY": "c"}, "c"),
        (None, {"CO_API_KEY": "b"}, "b"),
        ("", {"CO_API_KEY": "b"}, ""),
        (None, {"CO_API_KEY": "", "COHERE_API_KEY": "c"}, "c"),
    ],
)
def test_the_key_comes_from_argument_then_co_then_cohere(monkeypatch, argument, environment, expected):
    """The order is the official one. An empty argument is a key too, an empty variable is not."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert key_of(config(api_key=argument)) == expected


def test_the_environment_is_read_when_a_client_is_made(monkeypatch):
    """A variable that is set after the import counts for later clients."""
    monkeypatch.setenv("CO_API_KEY", "first")
    first = config(api_key=None)
    monkeypatch.setenv("CO_API_KEY", "second")
    assert (key_of(first), key_of(config(api_key=None))) == ("first", "second")


def test_no_key_is_the_official_error_that_says_what_to_set():
    """It is an ApiError, as in the official client. It names the argument and both variables."""
    with pytest.raises(errors.ApiError) as caught:
        config(api_key=None)
    assert type(caught.value) is errors.MissingApiKeyError
    assert caught.value.status_code is None
    for what in ("api_key", "CO_API_KEY", "COHERE_API_KEY"):
        assert what in str(caught.value)


def test_a_local_address_needs_no_key(monkeypatch):
    """This holds for the argument and for CO_API_URL."""
    assert key_of(config(api_key=None, base_url="local:")) is None
    monkeypatch.setenv("CO_API_URL", "local:")
    assert key_of(config(api_key=None)) is None


@pytest.mark.parametrize("wrap", [lambda key: key, Secret])
@pytest.mark.parametrize("key", [5, b"bytes", {"k"}, True])
def test_a_key_of_another_type_is_rejected(key, wrap):
    """A key is a string, a function, or a list of these."""
    with pytest.raises(errors.InvalidRequestError, match=f"api_key.*{type(key).__name__}"):
        config(api_key=wrap(key))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nx-evil: 1", f" {KEY}", f"{KEY}\0", f"{KEY}é", f"{KEY}\x7f"])
def test_a_key_that_no_header_can_hold_is_rejected_without_showing_it(monkeypatch, key):
    """The error of the HTTP library would show the key."""
    with pytest.raises(errors.InvalidRequestError, match="api_key") as caught:
        config(api_key=key)
    assert "5ecret" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("COHERE_API_KEY", key.replace("\0", "\n"))
    with pytest.raises(errors.InvalidRequestError, match="the environment variable COHERE_API_KEY"):
        config(api_key=None)


@pytest.mark.parametrize("key", [KEY, fetch_key])
def test_no_repr_shows_the_key(key):
    """Neither the repr of the secret nor that of the settings or of a container shows it."""
    settings = config(api_key=key)
    shown = f"{settings!r} {settings} {settings.api_key!r} {[settings.api_key]} {settings.api_key} {vars(Config)}"
    assert "5ecret" not in shown
    assert "secret" in repr(settings.api_key)


def test_a_pickle_has_no_key(monkeypatch):
    """The process that loads it takes the key from its own environment."""
    data = pickle.dumps(config(base_url="https://host.example"))
    assert b"5ecret" not in data
    loaded = pickle.loads(data)
    assert (loaded.base_url, loaded.api_key) == ("https://host.example", None)
    monkeypatch.setenv("CO_API_KEY", "elsewhere")
    assert key_of(pickle.loads(data)) == "elsewhere"


def test_a_pickle_keeps_an_empty_key_and_a_key_function(monkeypatch):
    """Neither is a secret: an empty key has no content, and a function is pickled by name."""
    monkeypatch.setenv("CO_API_KEY", "elsewhere")
    assert key_of(pickle.loads(pickle.dumps(config(api_key="")))) == ""
    assert key_of(pickle.loads(pickle.dumps(config(api_key=fetch_key)))) is fetch_key


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_in_this_process_keeps_everything(duplicate):
    """Frameworks copy objects. A copy without its key would fail at its first call."""
    settings = config(base_url="https://host.example", timeout=3)
    copied = duplicate(copy.deepcopy({"client": settings})["client"])
    assert (key_of(copied), copied.base_url, copied.timeout) == (KEY, "https://host.example", 3)


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://api.cohere.com", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com//", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/v1", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/v2/", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/v2/rerank", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/v2/rerank/", "https://api.cohere.com/v2/rerank"),
        (
            "https://x.services.ai.azure.com/providers/cohere",
            "https://x.services.ai.azure.com/providers/cohere/v2/rerank",
        ),
        ("https://proxy.example/co/v1", "https://proxy.example/co/v2/rerank"),
        ("https://vllm.example/v1/rerank", "https://vllm.example/v1/rerank"),
        ("https://tei.example/rerank", "https://tei.example/rerank"),
        ("https://host.example/v10", "https://host.example/v10/v2/rerank"),
        ("https://host.example/my-rerank", "https://host.example/my-rerank/v2/rerank"),
        ("https://host.example/prev2", "https://host.example/prev2/v2/rerank"),
        ("http://rerank", "http://rerank/v2/rerank"),
        ("http://v1/", "http://v1/v2/rerank"),
        ("http://rerank:8000", "http://rerank:8000/v2/rerank"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v2/rerank"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v2/rerank"),
        ("http://[::1]", "http://[::1]/v2/rerank"),
        ("http://host.example:65535", "http://host.example:65535/v2/rerank"),
        ("HTTPS://Host.example", "HTTPS://Host.example/v2/rerank"),
        ("https://host.example/a@b", "https://host.example/a@b/v2/rerank"),
        ("https://bücher.example", "https://bücher.example/v2/rerank"),
    ],
)
def test_accepted_addresses(base, expected):
    """A base, also with a prefix or a version, or the whole endpoint means one address. httpx reads the same one."""
    url = rerank_url(config(base_url=base).base_url)
    assert url == expected
    assert httpx.URL(url).path.endswith("/rerank")


@pytest.mark.parametrize(
    "base",
    [
        "api.cohere.com",
        "//api.cohere.com",
        "ftp://api.cohere.com",
        "unix:///run/x",
        "https://",
        "https:///v2",
        "https:/host",
        "https:host",
        " https://host",
        "https://host\n",
        "https://ho st",
        "https://host/\tv1",
        "https://host:port",
        "https://host:65536",
        "https://host:-1",
        "http://[::1]:x",
        "https://host/v2?x=1",
        "https://host?x=1",
        "https://host/v2#top",
        "https://user:5ecret@host",
        "https://5ecret@host",
        "https://user:5ecret/with-slash@host",
        "ftp://user:5ecret@host",
        "https://host/v2?api_key=5ecret",
        "LOCAL:",
        "local",
    ],
)
def test_other_addresses_are_rejected(base):
    """The error names the setting, and shows no password and no key of the address."""
    with pytest.raises(errors.InvalidRequestError, match="base_url") as caught:
        config(base_url=base)
    assert "5ecret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", [5, b"https://host", ["https://host"], httpx.URL("https://host")])
def test_an_address_of_another_type_is_rejected(base):
    """Only a string is accepted, so httpx.URL is rejected too."""
    with pytest.raises(
        errors.InvalidRequestError, match=f"base_url must be a string, got ({base!r}|{type(base).__name__})"
    ):
        config(base_url=base)


@pytest.mark.parametrize("absent", [None, ""])
def test_the_address_comes_from_argument_then_variable_then_environment(monkeypatch, absent):
    """CO_API_URL is read when the client is made. An empty one counts as not set."""
    assert config(base_url=absent).base_url == "https://api.cohere.com"
    production = config(base_url=absent, environment=ClientEnvironment.PRODUCTION)
    assert production.base_url == "https://api.cohere.com"
    monkeypatch.setenv("CO_API_URL", "https://variable.example")
    assert config(base_url=absent, environment=ClientEnvironment.PRODUCTION).base_url == "https://variable.example"
    assert config(base_url="https://argument.example").base_url == "https://argument.example"
    monkeypatch.setenv("CO_API_URL", "")
    assert config(base_url=absent).base_url == "https://api.cohere.com"


def test_a_bad_variable_is_rejected_like_a_bad_argument(monkeypatch):
    """The message names the variable."""
    monkeypatch.setenv("CO_API_URL", "api.cohere.com")
    with pytest.raises(errors.InvalidRequestError, match="variable CO_API_URL must"):
        config()


@given(st.text(max_size=40), st.sampled_from(["", "https://", "http://host", "https://u:p@"]))
def test_any_string_is_an_address_or_raises_our_error(text, start):
    """No string raises another exception."""
    try:
        settings = config(base_url=start + text)
    except errors.InvalidRequestError:
        return
    assert settings.is_local or rerank_url(settings.base_url).endswith("/rerank")


# Times and limits --------------------------------------------------------------------------------


def test_defaults():
    """The timeout is the official one, a request has up to 10,000 documents, and the call sets deadline and retries."""
    settings = config()
    assert settings.deadline is None
    assert settings.max_documents_per_request == 10_000
    assert (settings.timeout, settings.connect_timeout, settings.max_retries) == (None, None, None)
    assert settings.fallback is None
    assert RetryPolicy().max_retries == 2


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "value",
    [3, 0.5, np.int64(3), np.float32(0.5), np.float64(2), fractions.Fraction(1, 2), decimal.Decimal(3), float("inf")],
)
def test_seconds_are_numbers_above_zero(name, value):
    """Every numeric type is accepted and stored as float."""
    kept = getattr(config(**{name: value}), name)
    assert type(kept) is float
    assert kept == float(value)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "value", [0, -1, -0.0, float("nan"), float("-inf"), "3", b"3", True, [3], httpx.Timeout(3), 3j]
)
def test_other_seconds_are_rejected(name, value):
    """Zero, NaN, text and other values are not a span of time."""
    with pytest.raises(errors.InvalidRequestError, match=rf"^{name} must be"):
        config(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7)])
def test_whole_numbers(name, value):
    """Every integer type is accepted and stored as int, numpy's too."""
    kept = getattr(config(**{name: value}), name)
    assert type(kept) is int
    assert kept == value


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [-1, 1.0, "3", True, np.True_, float("nan"), int, [1], np.array([1, 2])])
def test_other_whole_numbers_are_rejected(name, value):
    """The error has the name, what is allowed, and the value."""
    with pytest.raises(errors.InvalidRequestError, match=rf"^{name} must be a whole number, (at least|between) .*got"):
        config(**{name: value})


def test_zero_is_a_number_of_retries_and_of_nothing_else():
    """A client may make no retries. It needs at least one document, connection and byte."""
    assert config(max_retries=0).max_retries == 0
    for name in WHOLE[1:]:
        with pytest.raises(errors.InvalidRequestError, match=name):
            config(**{name: 0})


def test_a_request_holds_at_most_ten_thousand_documents():
    """Cohere's limit is allowed, and one more is not."""
    assert config(max_documents_per_request=10_000).max_documents_per_request == 10_000
    with pytest.raises(errors.InvalidRequestError, match="between 1 and 10000, got 10001"):
        config(max_documents_per_request=10_001)


@pytest.mark.parametrize("name", ["two\nlines", "Zoë", " padded ", "tab\t", 5, b"bytes"])
def test_a_client_name_that_no_header_can_hold_is_rejected(name):
    """The name is sent as X-Client-Name."""
    with pytest.raises(errors.InvalidRequestError, match="client_name"):
        config(client_name=name)


@pytest.mark.parametrize("fallback", ["lexical", "", 5, ["locale"]])
def test_an_invalid_fallback_is_rejected(fallback):
    """The error says what can be a fallback."""
    with pytest.raises(errors.InvalidRequestError, match="fallback must be 'local', 'keep-order', a client, a scorer"):
        config(fallback=fallback)


@pytest.mark.parametrize("policy", [3, "twice", {"retries": 1}])
def test_a_policy_of_another_type_is_rejected(policy):
    """The error is raised when the client is made, not at the first failure."""
    with pytest.raises(errors.InvalidRequestError, match="retry_policy must be a RetryPolicy"):
        config(retry_policy=policy)


# Copies with changes -----------------------------------------------------------------------------


def test_replace_changes_what_is_passed_and_keeps_the_rest():
    """None keeps a setting, the original stays unchanged, and new values are checked."""
    settings = config(timeout=3, max_retries=1, client_name="me")
    changed = settings.replace(timeout=4, max_retries=None, api_key="other")
    assert (changed.timeout, changed.max_retries, changed.client_name, key_of(changed)) == (4, 1, "me", "other")
    assert (settings.timeout, key_of(settings)) == (3, KEY)
    with pytest.raises(errors.InvalidRequestError, match="timeout"):
        settings.replace(timeout=-1)


def test_leaving_a_local_address_needs_a_key(monkeypatch):
    """The key comes from the argument or the environment, as for a new client."""
    local = config(api_key=None, base_url="local:")
    with pytest.raises(errors.MissingApiKeyError):
        local.replace(base_url="https://host.example")
    assert key_of(local.replace(base_url="https://host.example", api_key=KEY)) == KEY
    monkeypatch.setenv("CO_API_KEY", "found")
    assert key_of(local.replace(base_url="https://host.example")) == "found"


def test_names_of_limits_and_dialects_exist():
    """The names are written twice, so that a new client loads neither package."""
    from cohere_rerank import _settings as _config
    from cohere_rerank._wire.dialects import DIALECTS
    from cohere_rerank.limits.rate_limit import PRESETS

    assert set(_config.LIMIT_PRESETS) == {*PRESETS, "auto"}
    assert set(_config._DIALECTS) == {*DIALECTS, "auto"}
