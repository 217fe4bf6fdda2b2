"""Metrics over several processes, also when one of them starts or is killed."""

from __future__ import annotations

import os

from tests.server.running_server import program, wait_until


def test_an_empty_metrics_file_does_not_fail_a_scrape(tmp_path):
    """A new worker's metrics file is empty at first, and stays empty if the worker is killed then."""
    with program("--workers", "2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as started:
        assert started.post().status_code == 200
        for name in ("counter", "histogram", "gauge_livesum"):
            (tmp_path / f"{name}_{os.getpid()}.db").touch()
        scraped = started.http.get("/metrics")
        assert scraped.status_code == 200
        # The other worker counts its request until it has written its log, and the client already has the response.
        wait_until(lambda: "cohere_rerank_in_flight 1.0" in started.http.get("/metrics").text)
        assert not [line for line in started.lines if '"level": "error"' in line]
