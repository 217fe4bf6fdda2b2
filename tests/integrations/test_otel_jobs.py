"""Spans of jobs: one for the job, and a bounded number below it."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.trace import StatusCode

from cohere_rerank import AsyncClientV2
from cohere_rerank._tracing import jobs
from cohere_rerank.jobs import JobStoppedError, run_job, run_job_async
from tests.fake_server import error
from tests.integrations.otel import configured, is_child, span_id_of

JOB = "rerank job"


@pytest.fixture
def telemetry():
    with configured() as made:
        yield made


@pytest.fixture
def rows(tmp_path):
    """A file of six rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"query": f"secret {n}", "documents": ["a", "b"]}) + "\n" for n in range(6)))
    return path


@pytest.mark.parametrize("way", ["blocking", "async"])
def test_a_job_is_one_span_in_the_trace_of_its_caller(telemetry, server, rows, tmp_path, way):
    """Its rows are children of it, and each request continues the trace. The numbers of the report are attributes."""
    client = AsyncClientV2("k", base_url=server.url)
    with telemetry.current("program"):
        if way == "blocking":
            run_job(rows, tmp_path / "out.jsonl", client=client, model="m")
        else:
            asyncio.run(run_job_async(rows, tmp_path / "out.jsonl", client=client, model="m"))
    job, spans = telemetry.span(JOB), telemetry.spans()
    assert is_child(job, telemetry.span("program"))
    assert len(spans) == 6
    assert all(is_child(span, job) for span in spans)
    sent = {span_id_of(request.header("traceparent")) for request in server.requests}
    assert sent == {span.get_span_context().span_id for span in spans}
    found = {name.removeprefix("cohere_rerank.job."): value for name, value in job.attributes.items()}
    assert (found["rows"], found["written"], found["failed"], found["retries"]) == (6, 6, 0, 0)
    assert "secret" not in job.to_json()
    assert job.links == ()


def test_later_rows_start_traces_of_their_own(telemetry, server, rows, tmp_path, monkeypatch):
    """With a link to the job, so that no trace grows with the file. The span of the job has no links."""
    monkeypatch.setattr(jobs, "_MAX_CHILDREN", 2)
    run_job(rows, tmp_path / "out.jsonl", client=AsyncClientV2("k", base_url=server.url), model="m")
    job, spans = telemetry.span(JOB), telemetry.spans()
    children = [span for span in spans if span.parent is not None]
    others = [span for span in spans if span.parent is None]
    assert (len(children), len(others)) == (2, 4)
    assert all(is_child(span, job) for span in children)
    assert [span.links[0].context.span_id for span in others] == [job.get_span_context().span_id] * 4
    assert len({span.get_span_context().trace_id for span in spans}) == 5
    sent = {span_id_of(request.header("traceparent")) for request in server.requests}
    assert sent == {span.get_span_context().span_id for span in spans}
    assert job.links == ()


def test_a_job_that_stops_is_an_error(telemetry, server, rows, tmp_path):
    """With its numbers and the reason, and without the text of an error."""
    server.default = error(401, "invalid key: secret")
    with pytest.raises(JobStoppedError):
        run_job(rows, tmp_path / "out.jsonl", client=AsyncClientV2("k", base_url=server.url), model="m")
    job = telemetry.span(JOB)
    assert job.status.status_code is StatusCode.ERROR
    assert job.attributes["error.type"] == "JobStoppedError"
    assert job.attributes["cohere_rerank.job.stopped"] == "failed"
    assert "secret" not in job.to_json()


def test_a_local_job_has_spans_too(telemetry, rows, tmp_path):
    """With one process. Its rows are children of the job."""
    run_job(rows, tmp_path / "out.jsonl", client=AsyncClientV2(base_url="local:"), model="m", processes=1)
    assert len(telemetry.spans()) == 6
    assert all(is_child(span, telemetry.span(JOB)) for span in telemetry.spans())


def test_telemetry_false_turns_it_off(telemetry, server, rows, tmp_path):
    """Neither the job nor its rows have spans."""
    run_job(rows, tmp_path / "out.jsonl", client=AsyncClientV2("k", base_url=server.url, telemetry=False), model="m")
    assert telemetry.exporter.get_finished_spans() == ()
