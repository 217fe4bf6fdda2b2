"""The model `local-multilingual` of a server, with a small model in place of the real one."""

from __future__ import annotations

import pytest

for package in ("numpy", "onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(package, reason=f"the extra [multilingual] is needed: {package} is missing")

from cohere_rerank import models  # noqa: E402
from cohere_rerank.local.multilingual import MODEL  # noqa: E402
from tests.models.test_models import small  # noqa: E402, F401 - a fixture
from tests.server.running_server import RERANK_BODY, RunningServer  # noqa: E402


@pytest.mark.usefixtures("small")
def test_it_is_listed_and_ranks_when_it_is_installed():
    """Before the download it is not listed, and a request for it gets 404 with the command."""
    with RunningServer() as running:

        def listed():
            return [model["id"] for model in running.http.get("/v1/models").json()["data"]]

        body = {**RERANK_BODY, "model": "local-multilingual"}
        assert "local-multilingual" not in listed()
        missing = running.post(body=body)
        assert missing.status_code == 404
        assert f"cohere-rerank models get {MODEL}" in missing.json()["message"]
        models.get(MODEL)
        assert "local-multilingual" in listed()
        ranked = running.post(body=body)
        assert (ranked.status_code, ranked.headers["x-answered-by"]) == (200, "local-multilingual")
        assert len(ranked.json()["results"]) == 3
        assert running.post().headers["x-answered-by"] == "local-lexical"
