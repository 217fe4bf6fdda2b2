"""The options of `serve` from the command line, the environment and a file: which one counts, and what is refused."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

import cohere_rerank.server.run as run_module
from cohere_rerank.cli._program import program as command
from cohere_rerank.cli._server_options import ServerOption
from cohere_rerank.cli.serve import serve
from tests.server.running_server import program


@pytest.fixture
def started(monkeypatch):
    """What the server would be started with."""
    calls = []
    monkeypatch.setattr(run_module, "serve", lambda settings, **options: calls.append((settings, options)))
    for name in [name for name in os.environ if name.startswith("CO_")]:
        monkeypatch.delenv(name)
    return calls


def invoke(*options, **environment):
    done = CliRunner().invoke(command, ["serve", *map(str, options)], env=environment, catch_exceptions=False)
    return done.exit_code, done.stderr


def write(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_option_overrides_a_variable_and_a_variable_overrides_the_file(started, tmp_path):
    """The order is: command line, environment, file, default."""
    file = write(tmp_path, "concurrency = 3\nqueue = 3\nmax-body = 3\n")
    environment = {"CO_SERVER_CONCURRENCY": "2", "CO_SERVER_QUEUE": "2", "CO_SERVER_CONFIG": str(file)}
    assert invoke("--concurrency", 1, **environment) == (0, "")
    settings, options = started[0]
    assert (settings.concurrency, settings.queue, settings.max_body_bytes) == (1, 2, 3 * 2**20)
    assert (settings.body_timeout_s, options["port"]) == (30.0, 8000)


OTHERS = {"config", "faults"}
EVERY_OPTION = {  # as a variable, and as a value of the file
    "host": ("127.0.0.2", "127.0.0.2"),
    "port": ("0", 0),
    "workers": ("2", 2),
    "api-key": ("one, two", ["one", "two"]),
    "api-key-file": ("", ""),
    "scorer": ("local:lexical", "local:lexical"),
    "upstream": ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    "upstream-key-file": ("", ""),
    "timeout": ("1.5", 1.5),
    "model": ("m", "m"),
    "strict": ("true", True),
    "concurrency": ("3", 3),
    "queue": ("4", 4),
    "max-body": ("5", 5),
    "body-timeout": ("6", 6),
    "request-timeout": ("7.5", 7.5),
    "stuck-after": ("8", 8),
    "allow-host": ("a.example,b.example", ["a.example", "b.example"]),
    "cors-origin": ("https://a.example", ["https://a.example"]),
    "log-level": ("warning", "warning"),
    "log-format": ("json", "json"),
}


@pytest.mark.parametrize("excluded", [("scorer",), ("upstream", "upstream-key-file")], ids=["upstream", "scorer"])
def test_every_option_can_be_set_in_each_way(started, tmp_path, excluded):
    """A variable is CO_SERVER_ and the name of the option. A key of the file is its name, with - or _."""
    assert {option.key for option in serve.params if isinstance(option, ServerOption)} == {*EVERY_OPTION, *OTHERS}
    keys = tmp_path / "keys"
    keys.write_text("three\n", encoding="utf-8")
    options, environment, lines = [], {}, []
    for name, (text, value) in EVERY_OPTION.items():
        if name in excluded:
            continue
        text, value = (str(keys), str(keys)) if name.endswith("-file") else (text, value)
        environment[f"CO_SERVER_{name.replace('-', '_').upper()}"] = text
        lines.append(f"{name.replace('-', '_')} = {json.dumps(value)}")  # JSON's values are TOML's too
        for item in value if isinstance(value, list) else [value]:
            options += [f"--{name}"] if item is True else [f"--{name}", item]
    assert invoke(*options) == (0, "")
    assert invoke(**environment) == (0, "")
    assert invoke("--config", write(tmp_path, "\n".join(lines))) == (0, "")
    assert started[0] == started[1] == started[2]
    assert started[0][0].api_keys == ("one", "two", "three")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CO_SERVER_PORT": "abc"}, "CO_SERVER_PORT (--port): 'abc' is not a whole number from 0 to 65535."),
        ({"CO_SERVER_PORT": "tcp://10.0.0.1:80"}, "'tcp://10.0.0.1:80' is not a whole number from 0 to 65535."),
        ({"CO_SERVER_WORKERS": "0"}, "CO_SERVER_WORKERS (--workers): '0' is not a whole number of at least 1."),
        ({"CO_SERVER_TIMEOUT": "0"}, "CO_SERVER_TIMEOUT (--timeout): '0' is not a number above 0."),
        ({"CO_SERVER_TIMEOUT": "nan"}, "CO_SERVER_TIMEOUT (--timeout): it must be a finite number, got nan."),
        ({"CO_SERVER_STRICT": "maybe"}, "CO_SERVER_STRICT (--strict): 'maybe' is not true or false."),
        ({"CO_SERVER_LOG_LEVEL": "loud"}, "'loud' is not one of 'debug', 'info', 'warning', 'error'."),
        ({"CO_SERVER_UPSTREAM": "nowhere"}, "upstream must look like https://host or https://host/prefix"),
        ({"CO_SERVER_SCORER": "guess"}, "CO_SERVER_SCORER (--scorer): there is no local scorer 'guess'"),
        ({"CO_SERVER_CORS_ORIGIN": "a.example"}, "CO_SERVER_CORS_ORIGIN (--cors-origin): cors_origins must be origins"),
        ({"CO_SERVER_ALLOW_HOST": "http://a"}, "CO_SERVER_ALLOW_HOST (--allow-host): allowed_hosts must be host names"),
        ({"CO_SERVER_API_KEY": ""}, "CO_SERVER_API_KEY: the variable is set but has no key"),
        ({"CO_SERVER_API_KEY": " , "}, "CO_SERVER_API_KEY: the variable is set but has no key"),
        ({"CO_SERVER_API_KEYS": "secret"}, "did you mean CO_SERVER_API_KEY?"),
        ({"CO_SERVER_PROT": "1"}, "CO_SERVER_PROT sets no option; did you mean CO_SERVER_PORT?"),
        ({"CO_SERVER_CONFIG": "/nowhere.toml"}, "CO_SERVER_CONFIG (--config): File '/nowhere.toml' does not exist."),
    ],
)
def test_a_wrong_variable_is_named(started, environment, words):
    """The message has the variable, the option, the value and what is allowed."""
    code, text = invoke(**environment)
    assert (code, len(text.splitlines())) == (2, 1), text
    assert words in text
    assert "secret" not in text
    assert not started


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 80", "there is no option 'prot'; did you mean 'port'?"),
        ("[serve]\nport = 80", "there is no option 'serve'; the options are host, port,"),
        ("config = 'a.toml'", "there is no option 'config'"),
        ("max-body = 1\nmax_body = 2", "the option 'max-body' appears twice"),
        ("port = '80'", "'port' in {file}: it must be a whole number from 0 to 65535, got '80'."),
        ("port = true", "'port' in {file}: it must be a whole number from 0 to 65535, got True."),
        ("port = 80.5", "'port' in {file}: '80.5' is not a whole number from 0 to 65535."),
        ("strict = 'yes'", "'strict' in {file}: it must be true or false, got 'yes'."),
        ("host = 1", "'host' in {file}: it must be a text, got 1."),
        ("allow-host = 'a'", "'allow-host' in {file}: it must be a list of texts, got 'a'."),
        ("api-key = 'secret'", "'api-key' in {file}: it must be a list of texts."),
        ('api-key = ["secret\\n"]', "'api-key' in {file}: a key must be printable ASCII"),
        ("port =", "{file} is not valid TOML: Invalid value (at"),
        ("scorer = 'lexical'\nupstream = 'http://a'", "'scorer' in {file} and 'upstream' in {file} are mutually excl"),
    ],
)
def test_a_mistake_in_the_file_is_named(started, tmp_path, text, words):
    """The message has the file, the key, the value and what is allowed. It never shows a key of the API."""
    file = write(tmp_path, text)
    code, said = invoke("--config", file)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert words.format(file=file) in said
    assert "secret" not in said
    assert not started


def test_a_file_that_is_not_text_is_refused(started, tmp_path):
    """It is read up to a limit, and the message names it."""
    file = tmp_path / "serve.toml"
    for data in (b"\xff\xfe", b"#" * (1024 * 1024 + 1)):
        file.write_bytes(data)
        code, said = invoke("--config", file)
        assert (code, f"{file} is not valid TOML" in said) == (2, True)


@pytest.mark.parametrize(("data", "words"), [(b" \n", "has no key"), (b"\xff", "UTF-8"), (b"a\x01secret", "ASCII")])
def test_a_key_file_without_valid_keys_does_not_open_the_server(started, tmp_path, data, words):
    """The message names the file and shows nothing of it."""
    file = tmp_path / "keys"
    file.write_bytes(data)
    code, said = invoke("--api-key-file", file)
    assert (code, len(said.splitlines())) == (2, 1)
    assert words in said
    assert "secret" not in said


def test_a_key_in_place_of_its_file_is_not_shown(started):
    """The message has the reason only."""
    code, said = invoke(CO_SERVER_API_KEY_FILE="secret-key")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "--api-key-file: the file cannot be read (No such file or directory)" in said
    assert "secret" not in said


def test_an_empty_variable_is_not_set(started):
    """compose.yaml sets a variable to nothing if the shell has none."""
    assert invoke(CO_SERVER_PORT="", CO_SERVER_UPSTREAM="", CO_SERVER_ALLOW_HOST="") == (0, "")
    assert started[0][1]["port"] == 8000


def test_variables_that_kubernetes_creates_are_ignored_with_a_warning(started):
    """A service that is called co-server creates them in each container."""
    code, said = invoke(CO_SERVER_SERVICE_HOST="10.0.0.1", CO_SERVER_PORT_8000_TCP="tcp://10.0.0.1:8000")
    assert code == 0
    assert said.count("sets no option and is ignored") == 2


def test_a_server_runs_with_a_file_and_keys_in_files(tmp_path):
    """A process with two workers reads everything once, and shows no key."""
    (tmp_path / "keys").write_text("from-file\n", encoding="utf-8")
    file = write(tmp_path, f"workers = 2\nqueue = 5\napi-key-file = '{tmp_path / 'keys'}'\nlog-level = 'debug'\n")
    with program(CO_SERVER_CONFIG=str(file), CO_SERVER_API_KEY="from-variable") as running:
        keys = ("from-file", "from-variable", "other")
        assert [running.post(authorization=f"Bearer {key}").status_code for key in keys] == [200, 200, 401]
    assert '"path": "/health"' in "".join(running.lines)  # of level debug
    assert "from-" not in "".join(running.lines)


def test_the_upstreams_key_comes_from_a_file(server, tmp_path):
    """The variable CO_API_KEY is not needed then."""
    (tmp_path / "key").write_text("upstream-key\n", encoding="utf-8")
    with program("--upstream", server.url, "--upstream-key-file", str(tmp_path / "key")) as running:
        assert running.post().status_code == 200
    assert ("authorization", "Bearer upstream-key") in server.requests[0].headers
    assert not [line for line in running.lines if "no key for the upstream" in line]
    assert "upstream-key" not in "".join(running.lines)
