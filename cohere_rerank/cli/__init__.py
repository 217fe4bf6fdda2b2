"""The command line: ``cohere-rerank``, the same as ``python -m cohere_rerank``.

One file a command, imported when that command runs. A module without an underscore is a command, and holds a click
command of its own name; `_program` lists them. What several commands need is in `_common`.

Exit codes: 0 done, 1 the API or a scorer failed, 2 the command as given cannot be run, 130 interrupted.
"""

from __future__ import annotations

from cohere_rerank._extras import importing

with importing("cli", "The command line"):
    import click as click
