"""The command line: ``cohere-rerank``, the same as ``python -m cohere_rerank``.

A module without an underscore is one command. It holds a click command with the name of the module, and is
imported when that command runs. `_program` lists the commands. `_common` has the parts that several commands use.

Exit codes: 0 success, 1 the API or a scorer failed, 2 the command is not valid, 130 interrupted.
"""

from __future__ import annotations

from cohere_rerank._extras import importing

with importing("cli", "The command line"):
    import click as click
