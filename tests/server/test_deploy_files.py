"""The files for a deployment: each one is run, or read by the program that it is for."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from click.testing import CliRunner

from cohere_rerank.cli._server_options import ServerOption
from cohere_rerank.cli.serve import serve
from tests.fake_server import Server, reply
from tests.server.container import ROOT, Image
from tests.server.running_server import JSON, RERANK_BODY, TIMEOUT_S, RunningServer, ServeProgram, program, wait_until

DEPLOY = ROOT / "docs" / "deploy"
KEY = {"authorization": "Bearer key"}
OPTIONS = {str(option.envvar) for option in serve.params if isinstance(option, ServerOption)}
MAX_STOP_S = 30  # as docs/deploy/serve.md says
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the Dockerfile is for Linux")


def answers(url, **options):
    try:
        return httpx.get(f"{url}/health", timeout=TIMEOUT_S, trust_env=False, **options).status_code == 200
    except httpx.TransportError:
        return False


# The container -----------------------------------------------------------------------------------


@pytest.fixture
def image():
    made = Image()
    yield made
    made.remove()


@on_linux
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_container_serves_and_stops(image):
    """It runs without root and without writing to its files, its health check works, and SIGTERM ends it with 0."""
    before = image.folder and image.folder.files()
    for workers in ("1", "2"):
        with image.container(CO_SERVER_API_KEY="key", CO_SERVER_WORKERS=workers) as container:
            wait_until(lambda: answers(container.url))
            check_container(container)
            if image.folder is not None:
                assert container.health() == 1
                assert image.folder.files() == before


def check_container(container):
    assert httpx.post(f"{container.url}/v2/rerank", json=RERANK_BODY, headers=KEY).status_code == 200
    assert httpx.post(f"{container.url}/v2/rerank", json=RERANK_BODY).status_code == 401
    assert container.health() == 0
    write = "import pathlib, cohere_rerank; pathlib.Path(cohere_rerank.__file__).with_name('x').write_text('')"
    assert container.run("python", "-c", write) != 0
    assert container.run("python", "-c", "import pip") != 0
    assert container.run("python", "-c", "import os, sys; sys.exit(os.getuid() == 0)") == 0
    assert container.stop() == 0


def test_compose_sets_only_options_of_the_server():
    """The service has the limits that the image is made for, and enough time to stop."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["rerank"]
    assert set(service["environment"]) <= OPTIONS
    assert (service["build"], service["read_only"], service["tmpfs"]) == (".", True, ["/tmp"])
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert int(service["stop_grace_period"].removesuffix("s")) > MAX_STOP_S


# systemd, Kubernetes and the options file ------------------------------------------------------------


def test_the_unit_starts_the_server(tmp_path):
    """Its command runs with its variables and credentials, and it has time to stop."""
    unit = (DEPLOY / "cohere-rerank.service").read_text(encoding="utf-8")
    installed = Path(sys.executable).with_name("cohere-rerank")
    unit = unit.replace("/opt/cohere-rerank/bin/cohere-rerank", str(installed))
    if shutil.which("systemd-analyze"):
        file = tmp_path / "cohere-rerank.service"
        file.write_text(unit, encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if "cohere-rerank" in line]
        assert (done.returncode, said) == (0, [])
    lines = [line.partition("=") for line in unit.splitlines() if "=" in line and not line.startswith("#")]
    assert int(next(value for name, _, value in lines if name == "TimeoutStopSec")) > MAX_STOP_S
    environment = dict(
        pair.split("=", 1) for name, _, value in lines if name == "Environment" for pair in value.split()
    )
    assert set(environment) <= OPTIONS
    (tmp_path / "api-keys").write_text("key\n", encoding="utf-8")
    environment["CO_SERVER_API_KEY_FILE"] = environment["CO_SERVER_API_KEY_FILE"].replace("%d", str(tmp_path))
    command = next(value for name, _, value in lines if name == "ExecStart").split()
    assert command == [str(installed), "serve"]
    del environment["CO_SERVER_PORT"]  # a free one
    with program(**environment) as running:
        assert running.post(**KEY).status_code == 200
        assert running.post().status_code == 401


def test_the_manifest_of_kubernetes_fits_the_server():
    """With its variables the server runs, and its probes get 200. The pod has time to stop."""
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {variable["name"]: variable.get("value", "key") for variable in container["env"]}
    assert set(variables) <= OPTIONS
    assert variables.pop("CO_SERVER_PORT") == str(ports["http"])
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["http"])
    assert service["spec"]["ports"][0]["targetPort"] in ports
    selectors = (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"], pod["metadata"]["labels"])
    assert selectors[0] == selectors[1] == selectors[2]
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > MAX_STOP_S + pause_s
    running = ServeProgram(**{**variables, "CO_SERVER_HOST": "127.0.0.1"})  # tests listen on this machine only
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] in ports
        assert running.http.get(probe["path"], headers={"host": "10.0.0.7:8000"}).status_code == 200
    assert running.http.get(pod["metadata"]["annotations"]["prometheus.io/path"]).status_code == 200
    assert running.post(**KEY).status_code == 200
    assert running.stop() == 0


def test_the_options_file_is_valid():
    """The server accepts each line of it, until the port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = ["--config", str(DEPLOY / "serve.toml"), "--port", str(taken.getsockname()[1])]
        done = CliRunner().invoke(serve, command)
    assert isinstance(done.exception, OSError)
    assert "cannot listen on" in str(done.exception)


# Proxies -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed():
    with RunningServer(api_keys=("key",)) as running:
        yield running


@pytest.fixture
def certificate(tmp_path):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(tmp_path / "cert.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def check_proxy(command, port, context, server):
    """Start a proxy, and check what it must do for the server."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    url = f"https://localhost:{port}"
    try:
        wait_until(lambda: process.poll() is not None or answers(url, verify=context))
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        with httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False) as http:
            for _ in range(2):  # the second over the connection of the first
                got = http.post("/v2/rerank", json=RERANK_BODY, headers=KEY)
                assert got.status_code == 200, got.text
                assert got.headers["x-answered-by"] == "local-lexical"
            assert http.post("/v2/rerank", json=RERANK_BODY).status_code == 401
            too_large = http.post("/v2/rerank", content=b" " * (17 * 2**20), headers={**KEY, **JSON})
            assert too_large.status_code == 413
            assert http.get("/metrics").status_code == 200  # this machine may
            options = {"headers": {**KEY, "x-request-timeout": "20"}, "json": RERANK_BODY}
            assert http.post("/v2/rerank", **options).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)


def test_nginx_passes_requests_on(keyed, certificate, tmp_path):
    """A real nginx with the example in front of a real server."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    example = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for old, new in [
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{keyed.port}"),
        ("/etc/ssl/rerank.example.org.pem", str(tmp_path / "cert.pem")),
        ("/etc/ssl/rerank.example.org.key", str(tmp_path / "key.pem")),
    ]:
        assert example.count(old) == 1
        example = example.replace(old, new)
    folders = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{example}}}\n",
        encoding="utf-8",
    )
    check_proxy([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], port, certificate, keyed)


def test_caddy_passes_requests_on(keyed, certificate, tmp_path):
    """A real Caddy with the example in front of a real server."""
    if not shutil.which("caddy"):
        pytest.skip("caddy is not installed")
    port = free_port()
    example = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    head = f"https://localhost:{port} {{\n\ttls {tmp_path}/cert.pem {tmp_path}/key.pem\n"
    for old, new in [("rerank.example.org {\n", head), ("127.0.0.1:8000", f"127.0.0.1:{keyed.port}")]:
        assert example.count(old) == 1
        example = example.replace(old, new)
    file = tmp_path / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + example, encoding="utf-8")
    command = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    check_proxy(command, port, certificate, keyed)


# Monitoring --------------------------------------------------------------------------------------


def samples(text):
    """Return the labels of each metric in the output of /metrics."""
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=\"", labels))
    return found


@pytest.mark.parametrize("file", ["grafana.json", "prometheus.yml"])
def test_every_metric_of_the_dashboard_and_the_alerts_exists(server: Server, file):
    """Each name and each label is one that the server has."""
    text = (DEPLOY / file).read_text(encoding="utf-8")
    parsed = json.loads(text) if file.endswith("json") else yaml.safe_load(text)
    assert parsed
    server.script(*[reply(503, json={"message": "down"}, headers={"retry-after": "0"})] * 3)
    with RunningServer(upstream=server.url) as running:
        assert running.post().status_code == 200
        real = samples(running.http.get("/metrics").text)
    used = re.findall(r"(cohere_rerank_\w+)(?:\{(.*?)\})?", text.replace('\\"', '"'))
    assert len(used) >= 4
    for name, labels in used:
        assert name in real
        assert set(re.findall(r"(\w+)=~?\"", labels)) <= {*real[name], "instance"}
    by = re.findall(r"by \(([\w, ]+)\) \(rate\((\w+)", text)
    for names, metric in by:
        assert set(names.split(", ")) <= real[metric], (names, metric)
