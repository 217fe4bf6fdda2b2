"""Signatures of AWS are right: by AWS's own test suite, and by botocore for any request."""

from __future__ import annotations

import calendar
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank.integrations.aws import signing
from cohere_rerank.integrations.aws.signing import Scope, signature_headers

SUITE = json.loads((Path(__file__).parents[1] / "data" / "aws4_testsuite.json").read_text(encoding="utf-8"))
TIME_S = calendar.timegm(time.strptime(SUITE["credentials"]["time"], "%Y-%m-%dT%H:%M:%SZ"))
SCOPE = Scope(SUITE["credentials"]["region"], SUITE["credentials"]["service"])
ACCESS_KEY, SECRET_KEY = SUITE["credentials"]["access_key"], SUITE["credentials"]["secret_key"]


def parsed(text: str) -> tuple[str, str, dict[str, str], bytes]:
    """The method, the URL, the headers and the body of a request of the suite."""
    head, _, body = text.partition("\n\n")
    line, *lines = re.sub(r"\n[ \t]+", " ", head.rstrip("\n")).split("\n")  # folded headers
    method, target = line.removesuffix(" HTTP/1.1").split(" ", 1)
    headers: dict[str, str] = {}
    for name, value in (each.split(":", 1) for each in lines):
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known},{value}"
    path, mark, query = target.partition("?")  # HTTP sends characters beyond ASCII encoded
    url = f"https://{headers['host']}{path}{mark}{quote(query, safe='=&%-._~')}"
    return method, url, headers, body.encode()


@pytest.mark.parametrize("name", SUITE["cases"])
def test_aws_test_suite(name):
    """Each request of AWS's suite gets the signature that AWS published."""
    case = SUITE["cases"][name]
    method, url, headers, body = parsed(case["request"])
    found = re.search("^x-amz-security-token:(.*)$", case["canonical_request"], re.MULTILINE)
    headers.pop("x-amz-security-token", None)
    made = signature_headers(
        method,
        url,
        headers,
        body,
        scope=SCOPE,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        token=found[1] if found else None,
        time_s=TIME_S,
    )
    assert made["authorization"] == case["authorization"]


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SEGMENTS = st.one_of(TEXT, st.sampled_from([".", "..", "", "a b", "a:b/c", "arn:aws:bedrock:us-east-1::m/x-v3-5:0"]))
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    segments=st.lists(SEGMENTS, max_size=5),
    query=st.lists(st.tuples(TEXT, TEXT), max_size=4),
    value=VALUES,
    body=st.binary(max_size=200),
    token=st.one_of(st.none(), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)),
)
def test_any_request_has_the_signature_of_botocore(segments, query, value, body, token):
    """Spaces, ``%3A`` and ``%2F``, Unicode, dots, empty segments, queries, and session tokens."""
    path = "/" + "/".join(quote(segment, safe="") if segment not in (".", "..") else segment for segment in segments)
    pairs = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in query)
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com{path}{'?' + pairs if pairs else ''}"
    headers = {"host": "bedrock-runtime.us-east-1.amazonaws.com", "x-amzn-custom": value}
    made = signature_headers(
        "POST",
        url,
        headers,
        body,
        scope=Scope("us-east-1", "bedrock"),
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        token=token,
        time_s=TIME_S,
    )
    request = AWSRequest("POST", url, {**headers, "x-amz-date": "20150830T123600Z"}, body)
    if token:
        request.headers["x-amz-security-token"] = token
    request.context["timestamp"] = "20150830T123600Z"
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, token), "bedrock", "us-east-1")
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert made["authorization"].endswith(f"Signature={signature}")
    assert made.get("x-amz-security-token") == token


def test_a_wrong_path_has_another_signature():
    """The comparison above would see a path that is encoded once only."""
    assert signing._canonical_path("/model/a%3Ab/invoke") == "/model/a%253Ab/invoke"
    assert signing._canonical_path("//a/./b/../c/") == "/a/c/"
