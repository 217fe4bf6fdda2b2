"""Build hook: the addresses of the project, and a README whose links work on a package index.

The addresses are set in one place, `[tool.hatch.metadata.hooks.custom]` of pyproject.toml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# The target of a Markdown link that is neither an address nor an anchor.
_RELATIVE_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?=[^)\s]+\))")


class AddressesHook(MetadataHookInterface):
    """Adds `urls` and `readme` to the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with the metadata of pyproject.toml."""
        repository = self.config["repository"]
        metadata["urls"] = {
            "Documentation": self.config["documentation"],
            "Source": repository,
            "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": _RELATIVE_LINK.sub(f"{repository}/blob/HEAD/", text),
        }
