"""Each failure is one error class: what it carries, what its message says, and which bases catch it."""

from __future__ import annotations

import asyncio
import builtins
import copy
import inspect
import pickle
import ssl
import traceback

import cohere.errors as official
import httpx
import pytest
from cohere.core.api_error import ApiError as OfficialApiError
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import errors
from cohere_rerank._clock import Deadline
from cohere_rerank._error_bodies import error_message
from cohere_rerank._transport import errors as transport_errors
from cohere_rerank.testing import FakeClock

BY_STATUS = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    402: "PaymentRequiredError",
    403: "ForbiddenError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    409: "ConflictError",
    413: "PayloadTooLargeError",
    422: "UnprocessableEntityError",
    429: "TooManyRequestsError",
    498: "InvalidTokenError",
    499: "ClientClosedRequestError",
    500: "InternalServerError",
    501: "NotImplementedError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}
BODIES = [
    {"message": "why"},
    {"message": None},
    {"detail": "why"},
    {"error": {"message": "why", "type": "t", "code": 5}},
    {"error": "why", "error_type": "t"},
    {},
    [],
    ["why"],
    "why",
    "",
    "<html><title>why</title></html>",
    None,
    5,
    True,
]
NO_MSG = [
    {"detail": []},
    {"detail": ["5ecret"]},
    {"detail": [{"loc": ["body"], "input": "5ecret"}]},
    {"detail": [{"msg": 5}]},
]
VLLM = "[{'loc': ('body',), 'msg': 'why'"
WHY = "body.documents.0: why"
SECRETS = {"authorization": "Bearer 5ecret", "set-cookie": "5ecret", "x-echo": "5ecret"}


def every_class():
    found = {
        value for module in (errors, transport_errors) for value in vars(module).values() if inspect.isclass(value)
    }
    ours = [cls for cls in found if issubclass(cls, errors.CohereRerankError) and not cls.__name__.startswith("_")]
    return sorted(ours, key=lambda cls: cls.__name__)


def made(cls):
    """Return an instance with every attribute that it can have."""
    if issubclass(cls, errors.ApiError):
        error = cls.__new__(cls)
        errors.ApiError.__init__(error, status_code=503, headers={"x-request-id": "r"}, body={"message": "why"})
    elif issubclass(cls, errors.InvalidResponseError):
        error = cls("why", status_code=200, headers={"x-request-id": "r"})
    else:
        error = cls("why")
        error.request_id = "r"
    error.attempts, error.waited_s, error.retry_after, error.part = 3, 1.5, 7.0, "documents 0 to 9"
    if isinstance(error, httpx.RequestError):
        request = httpx.Request("POST", "https://x.example", headers={"authorization": "5ecret"}, content=b"5ecret")
        error.__dict__["_request"] = request
    return error


# The tree ----------------------------------------------------------------------------------------


def test_every_class_is_exported_and_documented():
    """``__all__`` is complete and sorted, and each class has a docstring."""
    public = [cls for cls in every_class() if cls in vars(errors).values()]
    assert sorted(cls.__name__ for cls in public) == errors.__all__
    for cls in every_class():
        assert cls.__dict__.get("__doc__"), cls
        assert issubclass(cls, errors.CohereRerankError)


def test_every_official_class_has_its_name_here():
    """The constructor is the same. The same arguments set the same status, headers and body."""
    names = [name for name in dir(official) if name.endswith("Error")]
    assert len(names) == 12
    for name in names:
        theirs = getattr(official, name)("body", {"a": "b"})
        ours = getattr(errors, name)("body", {"a": "b"})
        assert isinstance(ours, errors.ApiError)
        assert (ours.status_code, ours.headers, ours.body) == (theirs.status_code, theirs.headers, theirs.body)
        assert getattr(errors, name)(body="body", headers=None).headers is None


def test_api_error_is_made_like_the_official_one():
    """The arguments are keywords, and all of them are optional."""
    for arguments in ({}, {"status_code": 418}, {"headers": {"a": "b"}, "status_code": 500, "body": [1]}):
        ours, theirs = errors.ApiError(**arguments), OfficialApiError(**arguments)
        assert (ours.status_code, ours.headers, ours.body) == (theirs.status_code, theirs.headers, theirs.body)
    with pytest.raises(TypeError):
        errors.ApiError({"a": "b"})


@pytest.mark.parametrize(
    ("cls", "parents"),
    [
        (errors.InvalidRequestError, [ValueError]),
        (errors.ScorerError, [ValueError]),
        (errors.ClientClosedError, [RuntimeError]),
        (errors.QuotaExceededError, [errors.TooManyRequestsError]),
        (errors.RedirectError, [errors.ApiError]),
        (errors.MissingApiKeyError, [errors.ApiError]),
        (errors.ResponseTooLargeError, [errors.InvalidResponseError]),
        (errors.CertificateError, [errors.ConnectionFailedError]),
        (errors.TimeoutExceededError, [errors.ConnectionFailedError, TimeoutError, OSError]),
        (errors.DeadlineExceededError, [errors.TimeoutExceededError]),
        (transport_errors.CallDeadlineExceeded, [errors.DeadlineExceededError, httpx.TimeoutException, TimeoutError]),
        (transport_errors.UntrustedCertificate, [errors.CertificateError, httpx.ConnectError]),
    ],
)
def test_each_class_is_caught_by_its_bases(cls, parents):
    """The test lists the bases beside the one that catches everything."""
    for parent in [*parents, errors.CohereRerankError]:
        assert issubclass(cls, parent)


def test_an_api_error_is_not_a_connection_failure_or_a_builtin():
    """A 501 is not Python's NotImplementedError, which programs catch for other reasons."""
    assert not issubclass(errors.NotImplementedError, builtins.NotImplementedError)
    for cls in every_class():
        assert not (issubclass(cls, errors.ApiError) and issubclass(cls, errors.ConnectionFailedError))
        assert issubclass(cls, errors.TimeoutExceededError) == issubclass(cls, TimeoutError)


# From a reply ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", BY_STATUS)
def test_one_class_per_status_whatever_the_body(status):
    """The body can be JSON of any shape, text, HTML or nothing."""
    for body in BODIES:
        error = errors.error_from_response(status, {"a": "b"}, body)
        assert type(error) is getattr(errors, BY_STATUS[status])
        assert (error.status_code, error.headers, error.body) == (status, {"a": "b"}, body)
        assert str(error).startswith(f"The API answered {status}")


@pytest.mark.parametrize("status", [405, 418, 425, 451, 505, 520, 599])
def test_other_statuses_are_plain_api_errors(status):
    """They have the same attributes."""
    error = errors.error_from_response(status, {}, {"message": "why"})
    assert type(error) is errors.ApiError
    assert (error.status_code, error.body) == (status, {"message": "why"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "why"}, "why"),
        ({"message": " why\n\nreally "}, "why really"),
        ({"detail": "why"}, "why"),  # Xinference
        ({"error": {"message": "why", "type": "t"}}, "why"),  # vLLM, infinity, LiteLLM
        ({"error": "why", "error_type": "t"}, "why"),  # TEI
        ({"message": "", "detail": "why"}, "why"),
        ({"detail": [{"type": "t", "loc": ["body", "documents", 0], "msg": "why", "input": "5ecret"}]}, WHY),  # FastAPI
        ({"detail": [{"loc": ["body", "documents", 0], "msg": "why", "ctx": {"x": "5ecret"}}, {"msg": "5ecret"}]}, WHY),
        ({"detail": [{"loc": [], "msg": "why"}]}, "why"),
        ({"detail": [{"loc": "5ecret", "msg": "why", "input": ["5ecret"]}]}, "why"),
        ({"error": {"message": "[{'loc': ('body',), 'msg': 'why', 'input': {'query': '5ecret'}}]"}}, VLLM),
        ({"message": '[{"loc": ["body"], "msg": "why", "input": "5ecret"}]'}, '[{"loc": ["body"], "msg": "why"'),
        ({"detail": "why [type=missing, input_value={'query': '5ecret'}]"}, "why [type=missing"),
        ({"detail": "a list in 'input': why"}, "a list in 'input': why"),
        ("why", "why"),
        (" why\n", "why"),
    ],
)
def test_the_message_of_the_server_is_quoted(body, said):
    """It is found in the forms that servers of this API use, and put on one line."""
    assert str(errors.error_from_response(400, {}, body)) == f"The API answered 400: {said}"


@pytest.mark.parametrize(
    "body", [{}, [], "", " ", None, 5, "<html>why</html>", "\n<!doctype html>", {"message": [1]}, *NO_MSG]
)
def test_without_a_message_the_status_is_shown(body):
    """A page of HTML is not quoted, because it says no more than its status."""
    assert str(errors.error_from_response(502, {}, body)) == "The API answered 502"


def test_a_long_message_is_cut():
    """The message fits into a line of a log. The body is complete."""
    error = errors.error_from_response(400, {}, {"message": "x" * 10_000})
    assert 200 < len(str(error)) < 300
    assert str(error).endswith("…")
    assert error.body == {"message": "x" * 10_000}


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, {"id": "body-id", "message": "m"}, "body-id"),
        ({"x-request-id": "h"}, {"id": "body-id"}, "body-id"),
        ({"x-request-id": "h"}, {"id": ""}, "h"),
        ({"x-request-id": "h"}, {"id": None}, "h"),
        ({"x-request-id": "h"}, {"id": {"a": 1}}, "h"),
        ({"x-request-id": "h"}, "text", "h"),
        ({"x-debug-trace-id": "t"}, None, "t"),
        ({"x-request-id": "h", "x-debug-trace-id": "t"}, [], "h"),
        ({"x-request-id": ""}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_request_id_is_found(headers, body, expected):
    """It is in the body, as Cohere sends it, or in a header. The message shows it for the support."""
    error = errors.error_from_response(500, headers, body)
    assert error.request_id == expected
    assert ("request id" in str(error)) == (expected is not None)
    assert expected is None or expected in str(error)


@pytest.mark.parametrize(
    ("text", "is_quota"),
    [
        ("You are using a Trial key, which is limited to 1000 API calls / month. Contact us", True),
        ("Monthly quota exceeded", True),
        ("You have reached your MONTHLY limit", True),
        ("You have used up the 1000 calls a month of a trial key", True),
        ("Your daily request limit is reached", True),
        ("limited to 2,000 requests per day", True),
        ("You exceeded your current quota, please check your plan and billing details.", True),
        ("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", True),
        ("Crossed TPM / RPM Limit for key. The monthly budget is not used up", False),
        ("You have exceeded the call rate limit of your S0 pricing tier. Please retry after 60 seconds.", False),
        ("Rate limit exceeded: 60 per 1 minute", False),
        ("100 requests per minute; get a monthly plan for more", False),
        ("This month we are busy, please wait", False),
        ("Rate limit of 10 requests/minute and 1000 requests/month", False),
        ("quota exceeded", False),
        ("Too many requests, see your daily usage", False),
        ("You are past the per minute request limit, please wait and try again later.", False),
        ("You are using a Trial key, which is limited to 40 API calls / minute.", False),
        ("Please wait and try again later", False),
        ("trial token rate limit exceeded, limit is 100000 tokens per minute", False),
        ("", False),
    ],
)
def test_a_used_up_quota_differs_from_a_rate_limit(text, is_quota):
    """The known texts decide, in any form of body. In doubt it is a rate limit, which does not end a job."""
    for body in (text, {"message": text}, {"error": {"message": text}}, {"detail": text}):
        error = errors.error_from_response(429, {}, body)
        assert isinstance(error, errors.TooManyRequestsError)
        assert isinstance(error, errors.QuotaExceededError) == is_quota
        assert error.status_code == 429
        assert type(errors.error_from_response(402, {}, body)) is errors.PaymentRequiredError
    page = "<html>this month's status page</html>"
    assert type(errors.error_from_response(429, {}, page)) is errors.TooManyRequestsError


def test_the_headers_are_a_copy():
    """An error outlives its response, and later changes of the headers do not reach it."""
    headers = {"a": "b"}
    error = errors.error_from_response(500, headers, None)
    headers["a"] = "c"
    assert error.headers == {"a": "b"}


# What it says ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_an_error_reads_as_one_sentence(cls):
    """The message has the problem, then the documents, the request id and the attempts. The repr adds the class."""
    error = made(cls)
    assert str(error).endswith("why (documents 0 to 9, request id r, 3 attempts)")
    assert "\n" not in str(error)
    assert repr(error) == f"{cls.__name__}({str(error)!r})"


def test_unknown_values_are_not_shown():
    """A single attempt, a missing id and a whole list add nothing to the message."""
    error = errors.error_from_response(500, {}, None)
    assert (error.attempts, error.waited_s, error.retry_after, error.part, error.request_id) == (
        0,
        0.0,
        None,
        None,
        None,
    )
    error.attempts = 1
    assert str(error) == "The API answered 500"


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_text_shows_no_header_and_no_request(cls):
    """Neither str nor repr nor a traceback shows them."""
    error = made(cls)
    if error.headers is not None:
        error.headers.update(SECRETS)
    try:
        raise error
    except errors.CohereRerankError as raised:
        shown = f"{raised} {raised!r} {raised.args}" + "".join(traceback.format_exception(raised))
    assert "5ecret" not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "error", "detail", "id", "loc", "msg"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    st.integers(300, 599),
    JSON,
    st.dictionaries(st.sampled_from(["x-request-id", "x-trace-id"]), st.text(max_size=20)),
)
def test_any_response_makes_one_line(status, body, headers):
    """This holds for every response, and the error can be pickled."""
    error = errors.error_from_response(status, headers, body)
    assert error.status_code == status
    assert len(str(error).splitlines()) == 1
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# Pickles and copies ------------------------------------------------------------------------------


def through_pickle(error):
    return pickle.loads(pickle.dumps(error))


DUPLICATES = [through_pickle, copy.copy, copy.deepcopy]


@pytest.mark.parametrize("duplicate", DUPLICATES, ids=lambda way: way.__name__)
@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_errors_pickle_and_copy(cls, duplicate):
    """A copy has the type, the text and every attribute. Classes that are httpx errors or OSError are included."""
    error = made(cls)
    error.extra = ["a user's own attribute"]
    other = duplicate(error)
    assert other is not error
    assert type(other) is cls
    assert (str(other), repr(other), other.args) == (str(error), repr(error), error.args)
    expected = {name: value for name, value in vars(error).items() if name != "_request"}
    assert {name: value for name, value in vars(other).items() if name != "_request"} == expected
    with pytest.raises(cls):
        raise other


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_works(protocol):
    """Process pools and task queues choose different protocols."""
    error = made(transport_errors.ReadTimeout)
    assert str(pickle.loads(pickle.dumps(error, protocol))) == str(error)


@pytest.mark.parametrize(
    "cls", [c for c in every_class() if issubclass(c, httpx.RequestError)], ids=lambda c: c.__name__
)
def test_a_pickle_has_no_request(cls):
    """The request has the key and the documents. httpx's ``.request`` then says that there is none."""
    error = made(cls)
    assert error.request.content == b"5ecret"
    assert copy.copy(error).request is error.request
    data = pickle.dumps(error)
    assert b"5ecret" not in data
    for other in (pickle.loads(data), copy.deepcopy(error)):
        with pytest.raises(RuntimeError, match="request"):
            other.request  # noqa: B018 - the property raises


def test_a_changed_message_survives():
    """The retry loop adds to the message after the error was made."""
    error = errors.error_from_response(503, {}, None)
    error.message += "; not repeated"
    for duplicate in DUPLICATES:
        assert str(duplicate(error)) == "The API answered 503; not repeated"


def test_notes_survive_a_pickle():
    """Notes exist since Python 3.11 (PEP 678)."""
    error = errors.InvalidRequestError("why")
    if not hasattr(error, "add_note"):
        pytest.skip("add_note came with Python 3.11")
    error.add_note("a note")
    assert through_pickle(error).__notes__ == ["a note"]


class TheirOwn(errors.ApiError):
    """A user's class with its own constructor."""

    def __init__(self, tenant, *, code):
        super().__init__(status_code=code, body={"message": f"for {tenant}"})
        self.tenant = tenant


@pytest.mark.parametrize("duplicate", DUPLICATES, ids=lambda way: way.__name__)
def test_a_subclass_with_its_own_constructor_pickles_and_copies(duplicate):
    """The constructor is not called again."""
    other = duplicate(TheirOwn("me", code=418))
    assert (type(other), other.tenant, other.status_code) == (TheirOwn, "me", 418)
    assert str(other) == "The API answered 418: for me"


# From httpx --------------------------------------------------------------------------------------

TRANSPORT_ERRORS = [
    httpx.ConnectTimeout,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.PoolTimeout,
    httpx.TimeoutException,
    httpx.ConnectError,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.TransportError,
]


def typed(error, left_s=10.0):
    return transport_errors.map_httpx_error(error, Deadline(FakeClock(), left_s))


@pytest.mark.parametrize("cls", TRANSPORT_ERRORS)
@pytest.mark.parametrize("text", ["", "what happened"])
def test_except_httpx_still_works(cls, text):
    """The error is the httpx exception that happened, and each of its bases. It keeps the request and the message."""
    request = httpx.Request("POST", "https://x.example")
    error = typed(cls(text, request=request))
    assert isinstance(error, errors.ConnectionFailedError)
    for parent in cls.__mro__:
        assert isinstance(error, parent), parent
    assert error.request is request
    assert text in str(error)
    assert len(str(error)) > 20
    assert "\n" not in str(error)


@pytest.mark.parametrize("cls", TRANSPORT_ERRORS)
def test_a_subclass_of_an_httpx_error_is_mapped_like_its_base(cls):
    """Other transports raise their own subclasses."""
    own = type("Own", (cls,), {})
    assert isinstance(typed(own("x")), cls)


@pytest.mark.parametrize("cls", TRANSPORT_ERRORS)
def test_a_timeout_is_a_timeout_error(cls):
    """It is the builtin TimeoutError, which is asyncio's too since Python 3.11."""
    error = typed(cls("x"))
    is_timeout = issubclass(cls, httpx.TimeoutException)
    assert isinstance(error, TimeoutError) == is_timeout
    assert isinstance(error, errors.TimeoutExceededError) == is_timeout


def test_an_error_without_a_request_says_so():
    """``.request`` raises RuntimeError as httpx's does, and not AttributeError."""
    error = typed(httpx.ReadError("x"))
    with pytest.raises(RuntimeError, match="request"):
        error.request  # noqa: B018 - the property raises


@pytest.mark.parametrize("cls", [httpx.ConnectTimeout, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout])
def test_a_timeout_at_the_deadline_is_the_deadline(cls):
    """The call ran out of time, not a phase. The error can be caught as either."""
    error = typed(cls("x"), left_s=0)
    assert isinstance(error, errors.DeadlineExceededError)
    assert isinstance(error, httpx.TimeoutException)
    assert isinstance(typed(httpx.ReadError("x"), left_s=0), httpx.ReadError)


def test_the_deadline_is_named_in_seconds():
    """The message shows the value that was passed."""
    assert "deadline of 2.5 s" in str(transport_errors.deadline_exceeded(Deadline(FakeClock(), 2.5)))


def certificate_error():
    return ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed")


def caused(error, cause, attribute):
    setattr(error, attribute, cause)
    return error


@pytest.mark.parametrize(
    "error",
    [
        caused(httpx.ConnectError("x"), certificate_error(), "__cause__"),
        caused(httpx.ConnectError("x"), certificate_error(), "__context__"),
        caused(httpx.ConnectError("x"), caused(OSError(), certificate_error(), "__context__"), "__cause__"),
        httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
    ],
)
def test_an_untrusted_certificate_is_its_own_error(error):
    """It is found however deep httpx has wrapped it. It is not retried, and the message says what helps."""
    ours = typed(error)
    assert isinstance(ours, errors.CertificateError)
    assert isinstance(ours, httpx.ConnectError)
    assert not ours.is_transient
    assert "certificate" in str(ours)
    assert "SSL_CERT_FILE" in str(ours)


def test_other_tls_failures_are_connect_errors():
    """A handshake that was cut off may succeed at the next attempt."""
    ours = typed(caused(httpx.ConnectError("eof"), ssl.SSLEOFError(8, "EOF"), "__cause__"))
    assert not isinstance(ours, errors.CertificateError)
    assert ours.is_transient


def test_an_invalid_address_is_an_invalid_request():
    """Such an address is found only when httpx reads it."""
    with pytest.raises(httpx.InvalidURL) as caught:
        httpx.URL("https://[::1")
    ours = typed(caught.value)
    assert type(ours) is errors.InvalidRequestError
    assert "base_url" in str(ours)


def test_an_error_of_one_task_can_be_caught_in_another():
    """asyncio sets attributes on exceptions and raises them again."""

    async def fail():
        raise made(transport_errors.ReadTimeout)

    async def main():
        results = await asyncio.gather(fail(), return_exceptions=True)
        with pytest.raises(httpx.ReadTimeout):
            await fail()
        return results

    (error,) = asyncio.run(main())
    assert isinstance(error, errors.TimeoutExceededError)


@pytest.mark.parametrize("cls", [cls for cls in every_class() if issubclass(cls, httpx.HTTPError)])
def test_an_error_shows_its_public_name(cls):
    """Tracebacks, logs and rows of jobs have a name that a program can import."""
    shown = traceback.format_exception_only(cls, made(cls))[0].partition(":")[0]
    module, _, name = shown.rpartition(".")
    assert module == "cohere_rerank.errors"
    assert issubclass(cls, getattr(errors, name))
    assert type(pickle.loads(pickle.dumps(made(cls)))) is cls


@pytest.mark.parametrize(
    "page",
    [
        "<html><center>The plain HTTP request was sent to HTTPS port</center></html>",  # nginx
        "<!DOCTYPE HTML><p>You're speaking plain HTTP to an SSL-enabled server port.</p>",  # Apache
        "Client sent an HTTP request to an HTTPS server.",  # Go
    ],
    ids=["nginx", "Apache", "Go"],
)
def test_http_to_a_port_with_tls_asks_for_https(page):
    """The 400 of a proxy that expects TLS says which scheme the address needs."""
    assert error_message(400, page).endswith("; this port speaks TLS, so base_url needs https:// in place of http://")
