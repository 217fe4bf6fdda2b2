"""Metrics for Prometheus. With several worker processes, they are the sums over all workers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cohere_rerank._extras import importing

with importing("server", "The server"):
    import prometheus_client as prometheus
    from prometheus_client import multiprocess
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # processes write their counts into files here
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_GAUGE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")


class Metrics:
    """The metrics of one application. Only known routes become labels, so that callers cannot create new series."""

    def __init__(self) -> None:
        registry = self._registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "cohere_rerank_requests", "Requests with a response", ["path", "method", "status"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "cohere_rerank_request_seconds",
            "Time to the response",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._documents = prometheus.Counter("cohere_rerank_documents", "Documents ranked", registry=registry)
        self._in_flight = prometheus.Gauge(
            "cohere_rerank_in_flight", "Requests in flight", registry=registry, multiprocess_mode="livesum"
        )
        self._admitted = prometheus.Gauge(
            "cohere_rerank_admitted", "Rerank requests admitted", registry=registry, multiprocess_mode="livesum"
        )
        self._running = prometheus.Gauge(
            "cohere_rerank_running", "Busy threads", registry=registry, multiprocess_mode="livesum"
        )
        self._answers = prometheus.Counter(
            "cohere_rerank_answers",
            "Rankings by the engine that made them; fallback: in place of the upstream",
            ["engine", "fallback"],
            registry=registry,
        )
        self._upstream_failures = prometheus.Counter(
            "cohere_rerank_upstream_failures", "Failures of the upstream by kind", ["kind"], registry=registry
        )
        self._open_circuits = prometheus.Gauge(
            "cohere_rerank_upstream_circuits_open",
            "Processes whose circuit breaker is open, so that the local engine answers",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._answer_counters: dict[tuple[str, bool], Any] = {}
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._folder = os.environ.get(FOLDER_VARIABLE)
        if self._folder is None:
            prometheus.ProcessCollector(registry=registry)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request while it is in flight."""
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()

    def record_request(self, path: str, method: str, status: int, seconds: float, n_documents: int) -> None:
        """Count a request that has its response."""
        labels = (path, method, status)  # few combinations, and the library takes longer to find them
        if labels not in self._children:
            self._children[labels] = self._requests.labels(path, method, str(status)), self._seconds.labels(path)
        requests, durations = self._children[labels]
        requests.inc()
        durations.observe(seconds)
        self._documents.inc(n_documents)

    def record_answer(self, engine: str, *, is_fallback: bool) -> None:
        """Count a ranking. *engine* must be one of a few names."""
        labels = (engine, is_fallback)
        if labels not in self._answer_counters:
            self._answer_counters[labels] = self._answers.labels(engine, str(is_fallback).lower())
        self._answer_counters[labels].inc()

    def record_upstream_failure(self, kind: str) -> None:
        """Count a failure of the upstream."""
        self._upstream_failures.labels(kind).inc()

    def record_circuit(self, *, is_closed: bool) -> None:
        """Record whether requests are sent to the upstream."""
        self._open_circuits.set(0 if is_closed else 1)

    def record_queue(self, n_admitted: int, n_running: int) -> None:
        """Record the number of admitted requests and of busy threads."""
        self._admitted.set(n_admitted)
        self._running.set(n_running)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format. With several workers it reads files: call it in a thread."""
        if self._folder is None:
            return prometheus.generate_latest(self._registry)
        _drop_dead_workers(Path(self._folder))
        merged_registry = prometheus.CollectorRegistry()
        merged_registry.register(_WorkerCollector(Path(self._folder)))
        return prometheus.generate_latest(merged_registry)


class _WorkerCollector(Collector):
    """Collects the metrics of all workers. It skips files that a worker has created but not yet written.

    The library's own collector fails on such a file. The file stays empty if the worker is killed at that moment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the merged metrics, as `Collector` requires."""
        merge: Any = multiprocess.MultiProcessCollector.merge  # without annotations
        merged: Iterable[Metric] = merge([str(path) for path in self._folder.glob("*.db") if _has_content(path)])
        return merged


def _has_content(path: Path) -> bool:
    with suppress(FileNotFoundError):  # its process ended, and its file was deleted
        return path.stat().st_size > 0
    return False


def _drop_dead_workers(folder: Path) -> None:
    """Remove the live gauges of killed processes. The Prometheus library does not detect that they ended."""
    mark: Any = multiprocess.mark_process_dead
    for path in folder.glob("gauge_live*.db"):
        found = _GAUGE_FILE.fullmatch(path.name)
        if found and not _is_alive(int(found[1])):
            with suppress(FileNotFoundError):  # another worker removed it at the same time
                mark(int(found[1]), str(folder))


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # signal 0 is Ctrl-C there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
