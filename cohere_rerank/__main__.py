"""The program ``cohere-rerank``; also ``python -m cohere_rerank``."""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit: with 1 without its extra, with 130 after an interrupt."""
    try:
        from .cli._program import program
    except ImportError as error:
        print(f"cohere-rerank: error: {_what_to_install(error)}", file=sys.stderr)  # noqa: T201 - no click to say it with
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    _prepare_process()
    program.main(prog_name="cohere-rerank")


def _what_to_install(error: ImportError) -> str:
    """What to install, once: the extra of the server brings click too."""
    if error.name == "click" and sys.argv[1:2] == ["serve"]:
        from ._extras import missing_extra

        return missing_extra("server", "The server", error.__cause__)
    return str(error)


def _prepare_process() -> None:
    """Make of the process what a program is: three streams, and one line a warning."""
    if sys.stdin is None:  # closed by a shell's <&-
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as above
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows what it can
    warnings.formatwarning = lambda message, *_args, **_more: f"cohere-rerank: {message}\n"


if __name__ == "__main__":
    main()
