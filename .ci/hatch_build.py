"""Build hook: a README whose links work on a package index too.

In the repository the links are relative. The package gets links to the repository, with the address that
`[project.urls]` of pyproject.toml names as the source.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A Markdown link or image whose target is neither an address nor an anchor, up to the target.
_RELATIVE_LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)(?=[^)\s]+\))")


class ReadmeHook(MetadataHookInterface):
    """Adds `readme` to the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with the metadata of pyproject.toml."""
        repository = metadata["urls"]["Source"]
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": _RELATIVE_LINK.sub(
                lambda link: f"{link[0]}{repository}/{'raw' if link[1] else 'blob'}/HEAD/", text
            ),
        }
