"""Rules that need no socket: settings, keys, threads, logs, and the errors of an upstream."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from cohere_rerank import errors
from cohere_rerank.local.registry import get_scorer
from cohere_rerank.server import ServerSettings, create_app, metrics, models, upstream
from cohere_rerank.server.executor import BoundedExecutor
from cohere_rerank.server.http import HttpError
from cohere_rerank.server.logs import JsonFormatter
from cohere_rerank.server.run import serve
from tests.server.running_server import RERANK_BODY, wait_until

# ServerSettings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"api_keys": ("",)},
        {"api_keys": ("a key\n",)},
        {"api_keys": ("é",)},
        {"api_keys": ("sesame")},  # a string: the comma was forgotten
        {"api_keys": None},
        {"api_keys": (None,)},
        {"api_keys": b"sesame"},
        {"model": 4},
        {"is_strict": "no"},
        {"concurrency": None},
        {"body_timeout_s": None},
        {"scorer": "lexical", "upstream": "http://127.0.0.1"},
        {"upstream": ""},  # a client would take it for Cohere's address
        {"upstream": 1},
        {"model": ""},
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"queue": -1},
        {"max_body_bytes": 0},
        {"body_timeout_s": 0},
        {"upstream_timeout_s": float("nan")},
    ],
)
def test_wrong_settings_are_rejected(settings):
    """Wrong settings are an error before the server listens."""
    with pytest.raises(errors.InvalidRequestError):
        ServerSettings(**settings)


def test_a_string_of_keys_is_rejected_without_showing_it():
    """Each letter of a string would become a key."""
    with pytest.raises(errors.InvalidRequestError, match=r"must be a list or tuple of strings.* got str") as caught:
        ServerSettings(api_keys=("sesame"))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("upstream", ["local:", "local:semantic"])
def test_the_local_engine_is_not_an_upstream(upstream):
    """The message points to --scorer."""
    with pytest.raises(errors.InvalidRequestError, match="--scorer"):
        ServerSettings(upstream=upstream)


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_keys_may_come_in_any_collection(kind):
    """The keys become a tuple, which cannot change later."""
    assert ServerSettings(api_keys=kind(["a"])).api_keys == ("a",)


@pytest.mark.parametrize("settings", [{"scorer": "nonsense"}, {"scorer": "lexical?k=1"}, {"upstream": "ftp://x"}])
def test_the_scorer_and_the_upstream_are_checked_when_the_application_is_created(settings):
    """An unknown scorer, missing options and an invalid address are errors."""
    with pytest.raises(errors.InvalidRequestError):
        create_app(ServerSettings(**settings))


def test_settings_reach_workers_as_json():
    """All settings fit in one line of JSON."""
    settings = ServerSettings(api_keys=("a", "b"), scorer="semantic", is_strict=True, queue=7)
    assert ServerSettings.from_json(settings.to_json()) == settings
    assert "\n" not in settings.to_json()


def test_keys_stay_out_of_the_repr():
    """No log and no traceback shows the keys."""
    assert "secret" not in repr(ServerSettings(api_keys=("secret",)))


def test_a_scorer_object_cannot_go_to_workers():
    """Worker processes cannot receive an object."""
    with pytest.raises(errors.InvalidRequestError, match="workers"):
        serve(ServerSettings(scorer=get_scorer("lexical")), workers=2)


def test_only_models_with_an_effect_are_listed():
    """With a fixed scorer or an upstream, model names have no effect."""
    assert models.model_names(ServerSettings(model="m"))[:2] == ["m", "local-lexical"]
    assert models.model_names(ServerSettings(model="local-lexical")).count("local-lexical") == 1
    assert models.model_names(ServerSettings(model="m", scorer="lexical")) == ["m"]
    assert models.model_names(ServerSettings(model="m", upstream="http://x")) == ["m"]


# Mounted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("", "/v2/rerank"),
        ("/", "/v2/rerank"),
        ("/ranker", "/ranker/v2/rerank"),
        ("/ranker/", "/ranker/v2/rerank/"),
        ("/ranker", "/v2/rerank"),  # of a framework that cuts the path itself
        ("/v2", "/v2/v2/rerank"),
    ],
)
def test_a_mounted_application_knows_its_paths(root, path):
    """The paths work below any mount point."""
    transport = httpx.ASGITransport(create_app(), root_path=root)

    async def scenario():
        async with httpx.AsyncClient(transport=transport, base_url="http://mounted") as client:
            return await client.post(path, json=RERANK_BODY)

    said = asyncio.run(scenario())
    assert said.status_code == 200, said.text


@pytest.mark.parametrize(("path", "status"), [("/ranker", 200), ("/ranker/", 200), ("/rankers", 404)])
def test_the_root_of_a_mounted_application_is_its_page(path, status):
    """A path that only starts with the mount point is not found."""
    transport = httpx.ASGITransport(create_app(), root_path="/ranker")

    async def scenario():
        async with httpx.AsyncClient(transport=transport, base_url="http://mounted") as client:
            return await client.get(path)

    assert asyncio.run(scenario()).status_code == status


# BoundedExecutor ------------------------------------------------------------------------------------------


def test_places_are_bounded_and_released():
    """One request more than threads and queue hold is rejected. Errors release their place."""
    executor = BoundedExecutor(1, 1, lambda *_: None)
    with executor.admit():
        with pytest.raises(KeyError), executor.admit():
            raise KeyError
        with executor.admit():
            assert executor.is_full
            with pytest.raises(HttpError) as caught, executor.admit():
                pass
    assert caught.value.status == 503
    assert not executor.is_full
    executor.close()


def test_a_job_that_is_cancelled_while_it_waits_never_runs():
    """A job that is cancelled while it runs keeps its thread until its end."""
    go, ran, counts = threading.Event(), [], []

    def work(name):
        ran.append(name)
        assert go.wait(20)

    async def scenario():
        executor = BoundedExecutor(1, 9, lambda *count: counts.append(count))
        first, second, third = (asyncio.ensure_future(executor.run(work, name)) for name in "abc")
        await asyncio.to_thread(wait_until, lambda: ran == ["a"])
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert counts[-1] == (0, 1)
        go.set()
        await third
        executor.close()

    asyncio.run(scenario())
    assert ran == ["a", "c"]


def test_an_error_in_a_thread_reaches_the_caller():
    """The error reaches the caller, and the thread is free for the next job."""

    async def scenario():
        executor = BoundedExecutor(1, 0, lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 / 0)
        assert await executor.run(max, 1, 2) == 2
        executor.close()

    asyncio.run(scenario())


# Metrics ------------------------------------------------------------------------------------------


def test_another_worker_may_remove_the_gauges_of_a_dead_one(tmp_path, monkeypatch):
    """Two workers can find the same file at the same time."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    file = tmp_path / f"gauge_livesum_{dead.pid}.db"
    file.touch()
    removed = []

    def late(process, folder):
        file.unlink()
        removed.append(process)
        (Path(folder) / file.name).unlink()

    monkeypatch.setattr(metrics.multiprocess, "mark_process_dead", late)
    metrics._drop_dead_workers(tmp_path)
    assert removed == [dead.pid]


def test_metrics_are_collected_in_a_thread(monkeypatch):
    """With several workers, metrics are read from files."""
    names = []
    monkeypatch.setattr(metrics.Metrics, "render", lambda _: names.append(threading.current_thread()) or b"")
    transport = httpx.ASGITransport(create_app())

    async def scenario():
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            assert (await client.get("/metrics")).status_code == 200

    asyncio.run(scenario())
    assert len(names) == 1
    assert names[0] is not threading.main_thread()


# An upstream's errors -----------------------------------------------------------------------------


def api_error(status, body=None, retry_after=None):
    error = errors.error_from_response(status, {}, body)
    error.retry_after = retry_after
    return error


UPSTREAM = [
    (api_error(400, {"message": "bad"}), 400, "bad", {}),
    (api_error(404, {"message": "model 'x' not found"}), 404, "model 'x' not found", {}),
    (api_error(422, "text"), 422, "the upstream answered 422", {}),
    (api_error(429, {"message": "slow down"}, 12.4), 429, "slow down", {"retry-after": "13"}),
    (api_error(429, {"message": "slow down"}, 0.2), 429, "slow down", {"retry-after": "1"}),
    (api_error(401, {"message": "invalid api token"}), 502, "the upstream rejected this server's own key", {}),
    (api_error(403), 502, "the upstream rejected this server's own key", {}),
    (api_error(500), 500, "the upstream answered 500", {}),
    (errors.InvalidResponseError("odd"), 502, "the upstream's response is not valid", {}),
    (errors.InvalidRequestError("too much"), 400, "invalid request: too much", {}),
    (errors.DeadlineExceededError("late"), 504, "the upstream did not answer in time", {}),
    (errors.CertificateError("self-signed"), 502, "the upstream cannot be reached", {}),
    (api_error(999), 502, "the upstream's response is not valid", {}),
    (errors.RedirectError(status_code=302), 502, "the upstream's response is not valid", {}),
]


@pytest.mark.parametrize(("error", "status", "message", "headers"), UPSTREAM)
def test_an_upstreams_error_is_forwarded_if_the_caller_caused_it(error, status, message, headers):
    """Errors of the caller are forwarded. A rejected key of this server is a 502."""
    refusal = upstream.http_error_for(error)
    assert (refusal.status, refusal.message, refusal.headers) == (status, message, headers)


# Logs ---------------------------------------------------------------------------------------------


def test_a_log_line_is_json_with_its_fields():
    """Line breaks in the message are escaped."""
    record = logging.LogRecord("n", logging.WARNING, "f", 1, "two\nlines %s", ("more",), None)
    record.fields = {"status": 200}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["level"], parsed["message"], parsed["status"]) == ("warning", "two\nlines more", 200)


def test_an_exception_is_logged_by_the_type_and_place_of_its_cause():
    """Its text is not logged, because it can contain a document."""
    try:
        try:
            raise KeyError("secret-document")
        except KeyError as error:
            raise errors.ScorerError("secret-document") from error
    except errors.ScorerError as error:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "failed", (), (type(error), error, None))
    line = JsonFormatter().format(record)
    assert json.loads(line)["error"] == "KeyError"
    assert "test_rules.py" in json.loads(line)["where"][0]
    assert "secret" not in line
