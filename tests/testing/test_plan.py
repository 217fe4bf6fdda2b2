"""A plan does the same in every run. A mistake in a file is reported with the name of the entry."""

from __future__ import annotations

import json
import statistics
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohere_rerank import InvalidRequestError
from cohere_rerank.testing.plan import Delay, Plan
from cohere_rerank.testing.plan_file import read_plan

EXAMPLE = """
seed: 7
keys: [trial-key]
limit: {requests: 3, period_s: 1, per_month: 50, trial: true, hint: true}
delay: {lognormal: [0.2, 0.5], at_most: 2}
faults:
  - {requests: 1-3, status: 429, retry_after: 0.5}
  - {requests: [5, 7-8], reset: body}
  - {every: 10, malformed: index-too-large}
  - {share: 0.5, hang_up: yes, delay: 0.1}
"""


def kinds(plan, n=40):
    return [fault.kind if (fault := plan.fault_for(i)) else None for i in range(1, n + 1)]


def test_a_file_is_read_completely(tmp_path):
    """YAML and JSON files yield every part of the example."""
    import yaml

    (tmp_path / "faults.yaml").write_text(EXAMPLE, encoding="utf-8")
    (tmp_path / "faults.json").write_text(json.dumps(yaml.safe_load(EXAMPLE)), encoding="utf-8-sig")
    plan = read_plan(tmp_path / "faults.yaml")
    assert plan == read_plan(str(tmp_path / "faults.json")) == read_plan(yaml.safe_load(EXAMPLE))
    assert plan.limit.trial and plan.limit.period_s == 1 and plan.keys == ("trial-key",)
    assert kinds(plan)[:3] == ["status"] * 3
    assert kinds(plan)[4] == kinds(plan)[6] == kinds(plan)[7] == "reset"
    assert kinds(plan)[9] == kinds(plan)[19] == "malformed"
    assert {kinds(plan)[3], *kinds(plan)[10:18]} == {"hang_up", None}


def test_an_empty_file_is_a_plan_without_faults(tmp_path):
    """The server then sends only valid replies."""
    (tmp_path / "faults.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert read_plan(tmp_path / "faults.yaml") == Plan() == read_plan(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("faults: [{status: 503}, {status: 99}]", "faults[1].status: input should be greater than or equal to 200"),
        ("faults: [{staus: 503}]", "faults[0].staus: unknown field; the fields are requests, every, share, status"),
        ("fault: []", "fault: unknown field; the fields are seed, keys, limit, delay, faults"),
        ("faults: [{requests: 2}]", "faults[0]: give one of status, reset"),
        ("faults: [{status: 500, reset: body}]", "got status and reset"),
        ("faults: [{reset: middle}]", "faults[0].reset: input should be 'start', 'head' or 'body', got 'middle'"),
        ("faults: [{hang: yes, retry_after: 1}]", "faults[0]: retry_after needs status"),
        ("faults: [{status: 500, body: a, message: b}]", "message or body, not both"),
        ("faults: [{share: 10%, hang: yes}]", "faults[0].share: input should be a valid number, got '10%'"),
        ("faults: [{share: 0, hang: yes}]", "faults[0].share: input should be greater than 0"),
        ("faults: [{share: true, hang: yes}]", "faults[0].share"),
        ("faults: [{requests: 3-2, hang: yes}]", "faults[0].requests: requests 3-2 do not exist"),
        ("faults: [{requests: 0, hang: yes}]", "faults[0].requests: requests 0 do not exist"),
        ("faults: [{requests: first, hang: yes}]", 'give 3, "3-5", "3-" or a list'),
        ("faults: [{malformed: json}]", "faults[0].malformed: input should be 'cut-json'"),
        ("faults: {status: 500}", "faults: input should be a list"),
        (
            'faults: [{status: 429, headers: {x-a: "b\\nset-cookie: c"}}]',
            "faults[0].headers: the value of x-a must be latin-1",
        ),
        ("faults: [{status: 429}, {status: 429, headers: {x-a: 1 €}}]", "faults[1].headers: the value of x-a must"),
        ('faults: [{status: 429, headers: {"a b": c}}]', "faults[0].headers: 'a b' is not a valid header name"),
        ("delay: {lognormal: [0.2]}", "delay.lognormal[1]: field required"),
        ("delay: {fixed: 1, uniform: [1, 2]}", "delay: give one of fixed, uniform"),
        ("delay: 200ms", "delay: input should be the fields of a Delay, got '200ms'"),
        ("delay: -1", "delay.fixed: input should be greater than or equal to 0, got -1"),
        ("delay: .nan", "delay.fixed"),
        (
            "limit: free",
            "limit: a limit must be trial or production, or a mapping with the fields of a Limit, got 'free'",
        ),
        ("limit: {requests: 0}", "limit.requests: input should be greater than or equal to 1, got 0"),
        ("limit: {per_day: 5}", "limit.per_day: unknown field; the fields are requests, period_s"),
        ("- status: 500", "a plan must be a mapping with the fields seed, keys, limit, delay, faults; got list"),
        ("faults: [", "line 1: the file is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_file_entry_and_what_is_allowed(tmp_path, text, said):
    """The message names the file, the entry and what is allowed."""
    path = tmp_path / "faults.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequestError) as caught:
        read_plan(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_broken_json_and_broken_utf_8_have_different_messages(tmp_path):
    """The message has the line of broken JSON, or the byte that is not UTF-8."""
    (tmp_path / "a.json").write_text('{"faults": \n [}', encoding="utf-8")
    (tmp_path / "b.yaml").write_bytes(b"seed: \xff")
    with pytest.raises(InvalidRequestError, match="line 2: the file is not valid JSON"):
        read_plan(tmp_path / "a.json")
    with pytest.raises(InvalidRequestError, match="not UTF-8"):
        read_plan(tmp_path / "b.yaml")


def test_no_error_and_no_repr_shows_a_key():
    """A faults file may contain real keys."""
    with pytest.raises(InvalidRequestError) as caught:
        read_plan({"keys": "very-secret-key", "limit": 3})
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(Plan(keys=("very-secret-key",)))


@given(seed=st.integers(), share=st.floats(0.01, 1), n=st.integers(1, 10**6))
def test_a_request_gets_the_same_fault_in_every_run(seed, share, n):
    """Only the seed and the number of the request matter, not earlier requests."""
    fields = {"seed": seed, "faults": [{"share": share, "status": 500, "delay": {"normal": [1, 1]}}]}
    first, second = read_plan(fields), read_plan(fields)
    for i in range(1, 5):
        first.fault_for(i)
    fault = first.fault_for(n)
    assert fault == second.fault_for(n)
    assert first.delay_s(n, fault) == second.delay_s(n, fault)


def test_shares_hold_and_seeds_differ():
    """A tenth is about a tenth, another seed selects other requests, and a second share applies to the rest."""
    plans = [read_plan({"seed": seed, "faults": [{"share": 0.1, "status": 500}]}) for seed in (1, 2)]
    hits = [{n for n in range(1, 5001) if plan.fault_for(n)} for plan in plans]
    assert all(400 < len(hit) < 600 for hit in hits)
    assert hits[0] != hits[1]
    both = kinds(read_plan({"faults": [{"share": 0.5, "hang": True}, {"share": 0.5, "hang_up": True}]}), 4000)
    assert 1800 < both.count("hang") < 2200 and 800 < both.count("hang_up") < 1200


@given(first=st.integers(1, 20), length=st.integers(0, 20), every=st.integers(1, 5), is_open=st.booleans())
def test_requests_and_every_must_both_hold(first, length, every, is_open):
    """Bounds are inclusive and counted from 1."""
    last = "" if is_open else first + length
    plan = read_plan({"faults": [{"requests": f"{first}-{last}", "every": every, "hang": True}]})
    expected = [n for n in range(1, 61) if first <= n <= (60 if is_open else last) and n % every == 0]
    assert [n for n in range(1, 61) if plan.fault_for(n)] == expected


@pytest.mark.parametrize(
    ("delay", "median", "mean"),
    [
        ({"fixed": 0.3}, 0.3, 0.3),
        ({"uniform": (0.1, 0.5)}, 0.3, 0.3),
        ({"normal": (0.3, 0.05)}, 0.3, 0.3),
        ({"lognormal": (0.2, 0.5)}, 0.2, 0.2 * 2.718281828**0.125),
        ({"exponential": 0.2}, 0.2 * 0.693, 0.2),
        ({"one_of": (0.1, 0.1, 0.1, 0.9)}, 0.1, 0.3),
    ],
)
def test_delays_have_the_shape_they_name(delay, median, mean):
    """The median and the mean of 4,000 delays are within a tenth, and none is negative."""
    draws = Random(1)
    drawn = [Delay(**delay).draw_s(draws) for _ in range(4000)]
    assert min(drawn) >= 0
    assert statistics.median(drawn) == pytest.approx(median, rel=0.1)
    assert statistics.fmean(drawn) == pytest.approx(mean, rel=0.1)


@given(st.integers())
def test_no_delay_is_negative_or_above_at_most(seed):
    """A wide normal distribution is cut on both sides."""
    assert 0 <= Delay(normal=(0.1, 5), at_most=0.2).draw_s(Random(seed)) <= 0.2


def test_numbers_are_valid_headers_and_keys():
    """YAML files may have numbers without quotes."""
    plan = read_plan({"keys": [123], "faults": [{"status": 429, "headers": {"retry-after-ms": 5}}]})
    assert plan.keys == ("123",) and plan.faults[0].headers == {"retry-after-ms": "5"}
