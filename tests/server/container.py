"""The container of the Dockerfile: with Docker or Podman if one works here, otherwise each instruction in a folder.

Without an engine, an absolute path of the image becomes one below a new folder. The program runs there as the user of
the Dockerfile, if this process may change its user, and without the right to write anywhere but in /tmp.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import environments
from tests.server.running_server import TIMEOUT_S

ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 600  # for a build
_BASE = re.compile(r"FROM python:(\d\.\d+)-slim(?: AS \w+)?")


def engine() -> str | None:
    """Return the program of a container engine that works here."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, timeout=60).returncode == 0:
            return name
    return None


def instructions() -> list[tuple[str, str]]:
    """Return the keyword and the text of each instruction, without comments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], " ".join(line.split(None, 1)[1].split())) for line in joined.splitlines()]


def _interpreter() -> str:
    """Return a Python that another user can run too, if there is one."""
    for name in (getattr(sys, "_base_executable", ""), "/usr/bin/python3", "/usr/local/bin/python3"):
        path = Path(name).resolve() if name else Path()
        is_open = all(parent.stat().st_mode & 1 for parent in path.parents)
        if path.is_file() and is_open and subprocess.run([path, "-c", "import ensurepip"]).returncode == 0:
            return str(path)
    return sys.executable


class Folder:
    """The instructions of the Dockerfile, followed in a folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cohere-rerank-image-"))
        self.folder.chmod(0o755)
        self.environment: dict[str, str] = {}
        self.user = self.work = ""
        self.health: list[str] = []
        self.entry: list[str] = []
        (self.folder / "tmp").mkdir()
        (self.folder / "tmp").chmod(0o777)
        python = self.folder / "usr" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {_interpreter()} "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        for keyword, text in instructions():
            getattr(self, f"_{keyword.lower()}")(text)

    def path(self, text: str) -> Path:
        return self.folder / os.path.join("/", self.work, text).lstrip("/")  # noqa: PTH118 - paths of the image

    def variables(self) -> dict[str, str]:
        path = f"{self.folder}/usr/bin:/usr/bin:/bin"
        mapped = {name: self._mapped(value).replace("$PATH", path) for name, value in self.environment.items()}
        return {"PATH": path, **mapped, "TMPDIR": str(self.folder / "tmp")}

    def _mapped(self, text: str) -> str:
        return re.sub(r"(?<![\w./])/(opt|src|tmp)\b", rf"{self.folder}/\1", text)

    def _from(self, text: str) -> None:
        assert _BASE.fullmatch(f"FROM {text}")
        if self.work:  # a new stage has nothing of the one before
            shutil.rmtree(self.path(""))
        self.environment, self.work = {}, ""

    def _arg(self, text: str) -> None:
        name, _, value = text.partition("=")
        self.environment[name] = value

    def _workdir(self, text: str) -> None:
        self.work = text
        self.path("").mkdir(parents=True)

    def _copy(self, text: str) -> None:
        *sources, target = text.split()
        if sources[0].startswith("--from="):
            assert sources[1:] == [target]  # the same path, so that the scripts of the environment work
            return
        for source in sources:
            assert self._is_sent(source), f"{source} is not sent to the builder"
            place = self.path(target) / Path(source).name if target.endswith("/") else self.path(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)

    @staticmethod
    def _is_sent(source: str) -> bool:
        is_sent = True
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#") and fnmatch.fnmatch(source, line.lstrip("!")):
                is_sent = line.startswith("!")
        return is_sent

    def _run(self, text: str) -> None:
        hidden = ("CO_", "PYTHON", "VIRTUAL_ENV")
        kept = {name: value for name, value in environments.SETTINGS.items() if not name.startswith(hidden)}
        variables = {**kept, **self.variables(), "PATH": self.variables()["PATH"]}
        command = ["sh", "-ec", self._mapped(text)]
        done = subprocess.run(
            command, cwd=self.path(""), env=variables, capture_output=True, text=True, timeout=_SECONDS
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    def _env(self, text: str) -> None:
        for assignment in text.split():
            name, _, value = assignment.partition("=")
            self.environment[name] = value

    def _user(self, text: str) -> None:
        self.user = text

    def _expose(self, text: str) -> None:
        assert text == self.environment["CO_SERVER_PORT"]

    def _healthcheck(self, text: str) -> None:
        self.health = json.loads(text.partition(" CMD ")[2])

    def _entrypoint(self, text: str) -> None:
        self.entry = json.loads(text)

    def start(self, command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        options: dict[str, object] = {}
        if os.geteuid() == 0 and not _interpreter().startswith("/root"):
            uid, gid = map(int, self.user.split(":"))
            options = {"user": uid, "group": gid, "extra_groups": []}
        else:
            subprocess.run(["chmod", "-R", "a-w", self.folder / "opt"], check=True)
        environment = {**self.variables(), **variables}
        program = shutil.which(command[0], path=environment["PATH"])
        assert program
        return subprocess.Popen([program, *command[1:]], env=environment, cwd=self.folder, **options)  # type: ignore[call-overload, no-any-return]

    def files(self) -> set[tuple[str, int]]:
        """Return each file with the time of its last change, except those in /tmp."""
        paths = (path for path in self.folder.rglob("*") if path.relative_to(self.folder).parts[0] != "tmp")
        return {(str(path), path.lstat().st_mtime_ns) for path in paths}

    def remove(self) -> None:
        subprocess.run(["chmod", "-R", "u+w", self.folder], check=True)
        shutil.rmtree(self.folder)


class FolderContainer:
    """The program of a `Folder`, on a free port."""

    def __init__(self, folder: Folder, **variables: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._folder, self._variables = folder, {**variables, "CO_SERVER_PORT": str(port)}
        self.url = f"http://127.0.0.1:{port}"
        self._process = folder.start(folder.entry, self._variables)

    def run(self, *command: str) -> int:
        return self._folder.start(list(command), self._variables).wait(TIMEOUT_S)

    def health(self) -> int:
        return self.run(*self._folder.health)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(35)

    def remove(self) -> None:
        self._process.kill()
        self._process.wait()


class EngineContainer:
    """A container of the image, run as the Dockerfile says."""

    def __init__(self, name: str, **variables: str) -> None:
        self._engine = name
        options = [option for variable, value in variables.items() for option in ("--env", f"{variable}={value}")]
        limits = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--publish", "127.0.0.1::8000"]
        self._id = self._output("run", "--detach", *limits, *options, IMAGE)
        self.url = f"http://{self._output('port', self._id, '8000').splitlines()[0]}"

    def _output(self, *arguments: str) -> str:
        done = subprocess.run([self._engine, *arguments], capture_output=True, text=True, timeout=_SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *command: str) -> int:
        return subprocess.run([self._engine, "exec", self._id, *command], timeout=60).returncode

    def health(self) -> int:
        return self.run("python", "-m", "cohere_rerank.server.probe")

    def stop(self) -> int:
        self._output("stop", "--time", "35", self._id)
        return int(self._output("inspect", "--format", "{{.State.ExitCode}}", self._id))

    def remove(self) -> None:
        self._output("rm", "--force", self._id)


IMAGE = "cohere-rerank-test"


class Image:
    """The image, built once."""

    def __init__(self) -> None:
        self.engine = engine()
        self.folder = None
        if self.engine is None:
            self.folder = Folder()
        else:
            subprocess.run([self.engine, "build", "--tag", IMAGE, ROOT], check=True, timeout=_SECONDS)

    @contextmanager
    def container(self, **variables: str) -> Iterator[FolderContainer | EngineContainer]:
        made: FolderContainer | EngineContainer
        if self.folder is not None:
            made = FolderContainer(self.folder, **variables)
        else:
            assert self.engine is not None
            made = EngineContainer(self.engine, **variables)
        try:
            yield made
        finally:
            made.remove()

    def remove(self) -> None:
        if self.folder is not None:
            self.folder.remove()
