"""What Prometheus may scrape; of all worker processes together where there are several."""

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

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # where the library lets processes write their counts
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_GAUGE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")


class Metrics:
    """Counters of one application; paths are those of the routes, so that callers cannot make new series."""

    def __init__(self) -> None:
        registry = self._registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "cohere_rerank_requests", "Requests answered", ["path", "method", "status"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "cohere_rerank_request_seconds", "Time to answer", ["path"], buckets=_SECONDS, registry=registry
        )
        self._documents = prometheus.Counter("cohere_rerank_documents", "Documents ranked", registry=registry)
        self._in_flight = prometheus.Gauge(
            "cohere_rerank_in_flight", "Requests under way", registry=registry, multiprocess_mode="livesum"
        )
        self._admitted = prometheus.Gauge(
            "cohere_rerank_admitted", "Rerank requests let in", registry=registry, multiprocess_mode="livesum"
        )
        self._running = prometheus.Gauge(
            "cohere_rerank_running", "Threads at work", registry=registry, multiprocess_mode="livesum"
        )
        self._folder = os.environ.get(FOLDER_VARIABLE)
        if self._folder is None:
            prometheus.ProcessCollector(registry=registry)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a request while it is answered."""
        self._in_flight.inc()
        try:
            yield
        finally:
            self._in_flight.dec()

    def answered(self, path: str, method: str, status: int, seconds: float, n_documents: int) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, method, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        self._documents.inc(n_documents)

    def queued(self, n_admitted: int, n_running: int) -> None:
        """Note how full the queue is."""
        self._admitted.set(n_admitted)
        self._running.set(n_running)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format. With several workers it reads files: not for an event loop."""
        if self._folder is None:
            return prometheus.generate_latest(self._registry)
        _forget_the_dead(Path(self._folder))
        everyone = prometheus.CollectorRegistry()
        everyone.register(_Workers(Path(self._folder)))
        return prometheus.generate_latest(everyone)


class _Workers(Collector):
    """The counts of all processes; the library's own collector fails on a file that a process has just opened.

    Such a file is empty for a moment, and for ever if the process was killed in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        merge: Any = multiprocess.MultiProcessCollector.merge  # without annotations
        merged: Iterable[Metric] = merge([str(path) for path in self._folder.glob("*.db") if _has_begun(path)])
        return merged


def _has_begun(path: Path) -> bool:
    with suppress(FileNotFoundError):  # of a process that has died
        return path.stat().st_size > 0
    return False


def _forget_the_dead(folder: Path) -> None:
    """Leave out what processes that were killed had under way; nobody else tells the library."""
    mark: Any = multiprocess.mark_process_dead
    for path in folder.glob("gauge_live*.db"):
        found = _GAUGE_FILE.fullmatch(path.name)
        if found and not _is_alive(int(found[1])):
            with suppress(FileNotFoundError):  # another worker, scraped at the same time, was sooner
                mark(int(found[1]), str(folder))


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
