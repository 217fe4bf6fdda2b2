"""schemathesis creates requests from the server's OpenAPI document and checks every response."""

from __future__ import annotations

import pytest

from tests.server.running_server import RunningServer

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402

KEY = {"Authorization": "Bearer the-key"}


@pytest.fixture(scope="module")
def served():
    with RunningServer(api_keys=("the-key",)) as running:
        yield running


@pytest.fixture(scope="module")
def document(served):
    described = served.http.get("/openapi.json").json()
    for path in ("/v2/rerank", "/v1/rerank", "/rerank"):
        assert described["paths"][path]["post"].pop("parameters")  # a tiny timeout is rightly a 504
    assert described["paths"].pop("/openapi.json")  # schemathesis leaves the path of the document out
    loaded = schemathesis.openapi.from_dict(described)
    loaded.config.update(base_url=served.url)
    return loaded


RERANK = [("POST", path) for path in ("/v2/rerank", "/v1/rerank", "/rerank")]
PAGES = [("GET", path) for path in ("/v1/models", "/health", "/ready", "/metrics")]
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [(*operation, GOOD) for operation in RERANK + PAGES] + [(*operation, BAD) for operation in RERANK]
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_every_operation_matches_its_description(document, method, path, mode):
    """Valid requests are accepted and invalid ones rejected, with the documented status, type and form."""

    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def check(case):
        reply = case.call(headers=KEY)
        if not is_beyond_a_schema(reply):
            case.validate_response(reply)

    check()


def is_beyond_a_schema(reply):
    """Return whether a request breaks a rule that joins two fields, which a schema cannot express."""
    rules = ("none of the rank_fields", "number of total max chunks")
    return reply.status_code == 400 and any(rule in reply.json()["message"] for rule in rules)


def test_every_operation_is_tested(document):
    """The list above has all operations of the document."""
    described = {(operation.ok().method.upper(), operation.ok().path) for operation in document.get_all_operations()}
    assert described == set(RERANK + PAGES)


QUERIES = ["столица", "عاصمة", "राजधानी", "首都はどこ", "é", "🍵", "\u3000首都\n", "tea", "?"]
BLANK = ["", " ", "\t\r\n", "\xa0\u3000", "\u2028\u2029", "\x1c\x1d\x1e\x1f", "\x85"]
FORMS = {
    "v2": ("/v2/rerank", {"model": "m", "documents": ["чай"]}),
    "v1": ("/v1/rerank", {"documents": ["чай", {"text": "кофе"}]}),
    "jina": ("/rerank", {"documents": ["чай"]}),
    "tei": ("/rerank", {"texts": ["чай"]}),
}


@pytest.mark.parametrize("is_strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("form", FORMS)
def test_a_query_in_any_script_is_valid_and_a_blank_one_is_not(form, is_strict):
    """The document and the server agree, because a gateway may validate by the document."""
    validators = pytest.importorskip("jsonschema_rs")
    path, options = FORMS[form]
    with RunningServer(is_strict=is_strict) as running:
        described = running.http.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]
        validator = validators.validator_for(described["content"]["application/json"]["schema"])
        for query in QUERIES + BLANK:
            body = {**options, "query": query}
            is_good = query in QUERIES
            assert validator.is_valid(body) == is_good, ascii(query)
            assert running.post(path, body).status_code == (200 if is_good else 400), ascii(query)


def test_the_document_names_every_rerank_path(served):
    """The document requires a key only where the server does."""
    paths = served.http.get("/openapi.json").json()["paths"]
    assert {"/v2/rerank", "/v1/rerank", "/rerank"} <= set(paths)
    assert paths["/v2/rerank"]["post"]["security"] == [{"key": []}]
    assert "security" not in paths["/health"]["get"]


def test_an_open_server_asks_for_no_key(open_server):
    """A server without keys documents no 401 and no security scheme."""
    described = open_server.http.get("/openapi.json").json()
    assert "401" not in described["paths"]["/v2/rerank"]["post"]["responses"]
    assert "securitySchemes" not in described["components"]
